package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/keys"
	"signpath/internal/service/keys/keystest"
	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/service/store"
	"signpath/internal/testkit/testkeys"
)

// testIssuer makes P-256 keys whatever is asked for; what no route needs stays nil.
type testIssuer struct {
	admin.Issuer
	soft *keys.Soft
	ring interface {
		Signer(context.Context, model.Key) (keys.Signer, error)
	}
}

func (i testIssuer) key(ctx context.Context) (admin.Issued, keys.Signer, error) {
	key, sealed, err := i.soft.Generate(ctx, "Ecdsa", 256)
	if err != nil {
		return admin.Issued{}, nil, err
	}
	signer, err := i.soft.Open(ctx, key, sealed)
	return admin.Issued{Key: key, Sealed: sealed}, signer, err
}

func (i testIssuer) Issue(ctx context.Context, r admin.X509Request) (admin.Issued, error) {
	out, signer, err := i.key(ctx)
	if err != nil {
		return out, err
	}
	out.NotBefore, out.NotAfter = time.Now().UTC().Truncate(time.Second), r.NotAfter
	out.Leaf, err = pki.SelfSigned(ctx, signer, pki.Template{CommonName: r.CommonName, Country: r.Country, NotAfter: r.NotAfter, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})
	return out, err
}

func (i testIssuer) Request(ctx context.Context, r admin.X509Request) (admin.Issued, error) {
	out, signer, err := i.key(ctx)
	if err != nil {
		return out, err
	}
	out.CSR, err = pki.NewRequest(ctx, signer, pki.Template{CommonName: r.CommonName, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})
	return out, err
}

// administrated gives the bench's other user a role and the service an issuer.
func (b *bench) administrated(t *testing.T, role model.Role) {
	t.Helper()
	b.admin.Issuer = testIssuer{soft: b.soft, ring: b.service.Keys}
	u := b.other
	u.Roles = []model.Role{role}
	b.change(t, func(tx store.Tx) error { return tx.PutUser(u) })
}

func (b *bench) as(token secret.Secret) string { return "Authorization: Bearer " + token.Reveal() }

// form is a multipart form with one file per content.
func form(contents ...[]byte) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, c := range contents {
		part, _ := w.CreateFormFile("X509Certificate", "c.pem") // a buffer takes everything
		_, _ = part.Write(c)
	}
	_ = w.Close()
	return "Content-Type: " + w.FormDataContentType(), b.Bytes()
}

// issued answers a certification request in PEM with a certificate, in PEM.
func issued(t *testing.T, csrPEM []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(csrPEM)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	must(t, err)
	ca := testkeys.ECDSA(t, 384)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	root.Subject.CommonName = "Root"
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, ca.Public(), ca)
	must(t, err)
	root, err = x509.ParseCertificate(rootDER)
	must(t, err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: request.Subject, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, request.PublicKey, ca)
	must(t, err)
	return pki.EncodePEM(rootDER, der)
}

const newSelfSigned = `{"slug":"own","keyType":"Ecdsa","keySizeInBits":256,"subject":{"commonName":"Example","country":"AT"},"validTo":"2031-01-01T00:00:00Z"}`

// tryCertificates holds every route of certificates against the document.
func tryCertificates(t *testing.T, b *bench, c *contract) {
	b.administrated(t, model.CertificateAdministrator)
	admin := b.as(b.otherToken)
	get := func(path string, status int) []byte {
		t.Helper()
		return c.check(t, b, b.request(t, "GET", path, nil, admin), status).Body.Bytes()
	}
	post := func(path, contentType string, body []byte, status int) []byte {
		t.Helper()
		return c.check(t, b, b.request(t, "POST", path, bytes.NewReader(body), contentType, admin), status).Body.Bytes()
	}
	const isJSON = "Content-Type: application/json"
	post("Certificates/CreateSelfSignedX509", isJSON, []byte(newSelfSigned), 201)
	post("Certificates/CreateSelfSignedX509", isJSON, []byte(newSelfSigned), 400) // the slug is taken
	post("Certificates/CreateCsrBasedX509", isJSON, []byte(`{"slug":"csr","subject":{"commonName":"Example"}}`), 201)
	post("Certificates/CreateCsrBasedX509", isJSON, []byte(`{`), 400)
	post("Certificates/CreateCsrBasedX509", "Content-Type: text/plain", []byte(`x`), 415)
	for _, slug := range []string{"own", "csr", "gpg-rsa3072"} {
		get("Certificates/"+slug, 200)
	}
	get("Certificates/nowhere", 403)
	get("Certificates/own/X509Certificate", 200)
	get("Certificates/own/GpgPublicKey", 404)
	get("Certificates/own/Csr", 404)
	get("Certificates/csr/X509Certificate", 404)
	get("Certificates/gpg-rsa3072/GpgPublicKey", 200)
	get("Certificates/gpg-rsa3072/X509Certificate", 404)
	csr := get("Certificates/csr/Csr", 200)
	contentType, body := form(issued(t, csr))
	post("Certificates/csr/UploadX509Certificate", contentType, body, 200)
	post("Certificates/nowhere/UploadX509Certificate", contentType, body, 403)
	post("Certificates/own/UploadX509Certificate", contentType, body, 400)
	post("Certificates/csr/UploadX509Certificate", isJSON, []byte("{}"), 415)
	get("Certificates/csr/X509Certificate", 200)
	get("Certificates", 200)
	for _, path := range []string{"Certificates", "Certificates/own"} {
		r := b.request(t, "GET", path, nil)
		r.Header.Del("Authorization")
		c.check(t, b, r, 401)
	}
}

// Reading is for everybody, changing for two roles; who changed what is on record.
func TestCertificateRights(t *testing.T) {
	for _, c := range []struct {
		role    model.Role
		allowed bool
	}{
		{model.GlobalAdministrator, true}, {model.CertificateAdministrator, true}, {model.UserAdministrator, false},
		{model.ProjectAdministrator, false}, {model.GlobalReader, false}, {"", false},
	} {
		b := newBench(t)
		b.administrated(t, c.role)
		if c.role == "" {
			b.change(t, func(tx store.Tx) error { return tx.PutUser(b.other) })
		}
		made, uploaded := 403, 403
		if c.allowed {
			made, uploaded = 201, 200
		}
		for path, want := range map[string]int{"Certificates": 200, "Certificates/p256": 200, "Certificates/p256/X509Certificate": 200} {
			if w := b.do(t, "GET", path, nil, b.as(b.otherToken)); w.Code != want {
				t.Errorf("%q GET %s: %d", c.role, path, w.Code)
			}
		}
		for _, path := range []string{"CreateSelfSignedX509", "CreateCsrBasedX509"} {
			body := strings.Replace(strings.Replace(newSelfSigned, `"own"`, `"`+path+`"`, 1), `,"validTo":"2031-01-01T00:00:00Z"`, "", 1)
			if w := b.do(t, "POST", "Certificates/"+path, strings.NewReader(body), "Content-Type: application/json", b.as(b.otherToken)); w.Code != made {
				t.Errorf("%q POST %s: %d %s", c.role, path, w.Code, w.Body)
			}
		}
		csr := b.do(t, "GET", "Certificates/CreateCsrBasedX509/Csr", nil, b.as(b.otherToken))
		file := []byte("x")
		if c.allowed {
			file = issued(t, csr.Body.Bytes())
		}
		contentType, body := form(file)
		if w := b.do(t, "POST", "Certificates/CreateCsrBasedX509/UploadX509Certificate", bytes.NewReader(body), contentType, b.as(b.otherToken)); w.Code != uploaded {
			t.Errorf("%q upload: %d %s", c.role, w.Code, w.Body)
		}
		var rows admin.AuditEntries
		raw, err := b.admin.Run(t.Context(), admin.Call{}, "audit.rows", nil)
		must(t, err)
		must(t, json.Unmarshal(raw, &rows))
		told := 0
		for _, r := range rows.Items {
			if strings.HasPrefix(r.Type, "Certificate.") {
				told++
				if !bytes.Contains(r.Leaf, []byte(b.other.ID)) || !bytes.Contains(r.Leaf, []byte(`"192.0.2.1"`)) {
					t.Errorf("%s does not tell who did it: %s", r.Type, r.Leaf)
				}
			}
		}
		if want := map[bool]int{true: 3}[c.allowed]; told != want {
			t.Errorf("%q: %d entries", c.role, told)
		}
	}
}

// What the answers say, and how wrong input is named.
func TestCertificateAnswers(t *testing.T) {
	b := newBench(t)
	b.administrated(t, model.GlobalAdministrator)
	admin := b.as(b.otherToken)
	post := func(path, contentType string, body io.Reader) (int, http.Header, string) {
		t.Helper()
		w := b.do(t, "POST", "Certificates/"+path, body, contentType, admin)
		return w.Code, w.Header(), w.Body.String()
	}
	status, header, text := post("createSELFsignedX509", "Content-Type: application/json", strings.NewReader(newSelfSigned))
	if status != 201 || header.Get("Location") != "https://sign.example.test/Api/v1/"+b.org+"/Certificates/own" {
		t.Fatalf("%d %v %s", status, header, text)
	}
	for _, want := range []string{`"creationMethod":"SelfSigned"`, `"state":"Active"`, `"subject":"CN=Example,C=AT"`, `"extendedKeyUsage":["codeSigning"]`, `"validTo":"2031-01-01T00:00:00Z"`, `"signingPolicies":[]`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
	if w := b.do(t, "GET", "Certificates/RSA2048", nil, admin); !strings.Contains(w.Body.String(), `"signingPolicies":["hash-signing/approval","hash-signing/inactive","hash-signing/rsa2048"]`) {
		t.Errorf("%s", w.Body)
	}
	for body, fields := range map[string][]string{
		`{"slug":"a/b","keyType":"Ecdsa","keySizeInBits":255,"subject":{"country":"at","organization":"` + strings.Repeat("x", 65) + `"},"subjectAlternativeNames":["x"],"validTo":"2001-01-01T00:00:00Z"}`: {"Slug", "KeyType", "Subject.CommonName", "Subject.Country", "Subject.Organization", "SubjectAlternativeNames", "ValidTo"},
		`{"keyType":"Dsa"}`:     {"KeyType"},
		`{"slug":"x","slug":1}`: {""},
		`[]`:                    {""},
	} {
		w := b.do(t, "POST", "Certificates/CreateSelfSignedX509", strings.NewReader(body), "Content-Type: application/json", admin)
		p := problemIn(t, w)
		for _, f := range fields {
			if len(p.Errors[f]) == 0 {
				t.Errorf("%s: %q is not named: %v", body, f, p)
			}
		}
		if w.Code != 400 || len(p.Errors) != len(fields) {
			t.Errorf("%s: %d %v", body, w.Code, p)
		}
	}
	if status, _, text := post("CreateCsrBasedX509", "Content-Type: application/json", strings.NewReader(`{"slug":"csr","subject":{"commonName":"Example"}}`)); status != 201 || !strings.Contains(text, `"state":"NotIssued"`) || strings.Contains(text, "x509CertificateData") {
		t.Errorf("%d %s", status, text)
	}
	csr := b.do(t, "GET", "Certificates/csr/Csr", nil, admin)
	if got := csr.Header().Get("Content-Disposition"); got != `attachment; filename="csr.csr"` {
		t.Error(got)
	}
	good := issued(t, csr.Body.Bytes())
	multiType, two := form(good, good)
	goodType, whole := form(good)
	emptyType, empty := form(nil)
	noneType, none := form()
	otherType, other := form(issued(t, pemRequest(t)))
	for name, c := range map[string]struct {
		contentType string
		body        []byte
		status      int
		text        string
	}{
		"two files":           {multiType, two, 400, "several parts"},
		"empty file":          {emptyType, empty, 400, "The file is empty."},
		"no file":             {noneType, none, 400, "The form cannot be read"},
		"cut off":             {goodType, whole[:len(whole)-20], 400, "The form cannot be read"},
		"no boundary":         {"Content-Type: multipart/form-data", whole, 415, "multipart/form-data"},
		"another key":         {otherType, other, 400, "None of the certificates belongs to the key"},
		"larger than allowed": {goodType, bytes.Repeat([]byte("x"), maxBody+1), 413, ""},
	} {
		if status, _, text := post("csr/UploadX509Certificate", c.contentType, bytes.NewReader(c.body)); status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, _, text := post("csr/UploadX509Certificate", goodType, bytes.NewReader(whole)); status != 200 || !strings.Contains(text, `"state":"Active"`) || !strings.Contains(text, `"chainLength":1`) || strings.Contains(text, "warnings") {
		t.Errorf("%d %s", status, text)
	}
}

func pemRequest(t *testing.T) []byte {
	t.Helper()
	der, err := pki.NewRequest(t.Context(), keystest.Signer(t, "p521"), pki.Template{CommonName: "x"})
	must(t, err)
	return pki.EncodeRequestPEM(der)
}

// FuzzUpload: no body of an upload may crash or change a certificate.
func FuzzUpload(f *testing.F) {
	contentType, body := form([]byte("-----BEGIN CERTIFICATE-----\n"))
	f.Add(strings.TrimPrefix(contentType, "Content-Type: "), body)
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\n\r\n0\x80\r\n--x--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		x := &exchange{w: &recorder{}, r: &http.Request{Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(bytes.NewReader(body))}}
		file, err := x.formFile()
		if err == nil {
			_, err = pki.ParseCertificates(file)
		}
		if err != nil && err.Error() == "" {
			t.Error("an error without a sentence")
		}
	})
}
