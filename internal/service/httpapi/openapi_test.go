package httpapi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"signpath/internal/service/keys/keystest"
	"signpath/internal/wire"
)

// contract checks requests and answers against openapi.yaml.
type contract struct {
	doc    *openapi3.T
	router routers.Router
	seen   map[string]bool // operation and status
}

func newContract(t *testing.T) *contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(wire.OpenAPI)
	must(t, err)
	must(t, doc.Validate(t.Context()))
	router, err := gorillamux.NewRouter(doc)
	must(t, err)
	for _, contentType := range []string{"application/pkix-cert", "application/pgp-keys", "application/x-pem-file", "application/octet-stream"} {
		openapi3filter.RegisterBodyDecoder(contentType, openapi3filter.FileBodyDecoder)
	}
	openapi3filter.RegisterBodyDecoder("text/json", openapi3filter.RegisteredBodyDecoder("application/json"))
	openapi3filter.RegisterBodyDecoder("text/html", func(r io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		b, err := io.ReadAll(r)
		return string(b), err
	})
	return &contract{doc: doc, router: router, seen: map[string]bool{}}
}

// check sends the request, and validates it (unless it is meant to be wrong) and the answer.
func (c *contract) check(t *testing.T, b *bench, r *http.Request, wantStatus int) *httptest.ResponseRecorder {
	t.Helper()
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		t.Fatalf("%s %s is not documented: %v", r.Method, r.URL.Path, err)
	}
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}}
	err = openapi3filter.ValidateRequest(t.Context(), input)
	if err != nil && wantStatus < 300 {
		t.Errorf("%s %s: the request does not follow the document: %v", r.Method, r.URL.Path, err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	if w.Code != wantStatus {
		t.Fatalf("%s %s: status %d, want %d: %s", r.Method, r.URL.Path, w.Code, wantStatus, w.Body)
	}
	c.seen[route.Operation.OperationID] = true
	output := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: w.Code, Header: w.Header(), Options: input.Options}
	if err := openapi3filter.ValidateResponse(t.Context(), output.SetBodyBytes(w.Body.Bytes())); err != nil {
		t.Errorf("%s %s: the answer does not follow the document: %v", r.Method, r.URL.Path, err)
	}
	if w.Code >= 400 {
		problemIn(t, w)
	}
	return w
}

// Every documented operation, with the real signing service behind it.
func TestOpenAPI(t *testing.T) {
	b, c := newBench(t), newContract(t)
	get := func(path string) *http.Request { return b.request(t, "GET", path, nil) }
	post := func(path, contentType string, body io.Reader, headers ...string) *http.Request {
		return b.request(t, "POST", path, body, append([]string{contentType}, headers...)...)
	}
	const policy = "Projects/hash-signing/SigningPolicies/"

	for _, path := range []string{"/Api/healthz", "/Api/healthzd", "/Api/openapi.yaml", "/Api/swagger", "/Api/v1/Meta/SystemInfo"} {
		r := get(path)
		r.Header.Del("Authorization")
		c.check(t, b, r, 200)
	}
	b.health, b.healthD = errors.New("secret cause"), errors.New("secret cause")
	for _, path := range []string{"/Api/healthz", "/Api/healthzd"} {
		if w := c.check(t, b, get(path), 503); strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s tells the cause: %s", path, w.Body)
		}
	}

	for _, path := range []string{
		"Cryptoki/MySigningPolicies", "Cryptoki/MySigningPolicies?projectSlug=hash-signing&signingPolicySlug=p256",
		policy + "rsa2048", policy + "p256", policy + "gpg-rsa3072", policy + "inactive",
		policy + "rsa2048/Certificate", policy + "p256/Certificate", policy + "gpg-rsa3072/Certificate",
		policy + "rsa2048/Certificate/X509Certificate", policy + "gpg-rsa3072/Certificate/GpgPublicKey",
	} {
		c.check(t, b, get(path), 200)
	}
	for path, status := range map[string]int{
		policy + "nowhere": 403, "Projects/nowhere/SigningPolicies/rsa2048/Certificate": 403,
		policy + "gpg-rsa3072/Certificate/X509Certificate": 404, policy + "rsa2048/Certificate/GpgPublicKey": 404,
	} {
		c.check(t, b, get(path), status)
	}

	for _, path := range []string{"SigningRequests", "SigningRequests/SubmitWithArtifact"} {
		for _, s := range []struct {
			policy string
			scheme wire.Scheme
			format wire.ECDSAFormat
			status int
		}{
			{"rsa2048", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}, "", 200},
			{"gpg-rsa3072", wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA256}, "", 200},
			{"p256", wire.Scheme{Algorithm: wire.ECDSA}, wire.IEEE, 200},
			{"p256", wire.Scheme{Algorithm: wire.ECDSA}, wire.ASN1, 200},
			{"rsa2048", wire.Scheme{Algorithm: wire.ECDSA}, wire.IEEE, 400},
			{"approval", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}, "", 400},
			{"inactive", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}, "", 400},
			{"nowhere", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}, "", 400},
		} {
			contentType, body := classic(t, s.policy, s.scheme, s.format)
			c.check(t, b, post(path, contentType, body), s.status)
		}
		contentType, body := classic(t, "rsa2048", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}, "")
		c.check(t, b, post(path, contentType, body, "Authorization: Bearer "+b.otherToken.Reveal()), 403)
		c.check(t, b, post(path, "Content-Type: text/plain", strings.NewReader("x")), 415)
	}

	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "application/json-patch+json", "text/json"} {
		c.check(t, b, post("SigningRequests/SignHash", "Content-Type: "+contentType, strings.NewReader(signHashBody("rsa2048"))), 200)
	}
	c.check(t, b, post("SigningRequests/SignHash", "Content-Type: application/json", strings.NewReader(signHashBody("nowhere"))), 400)
	c.check(t, b, post("SigningRequests/SignHash", "Content-Type: application/json", strings.NewReader("{")), 400)
	c.check(t, b, post("SigningRequests/SignHash", "Content-Type: application/xml", strings.NewReader("<a/>")), 415)

	for _, path := range []string{"Cryptoki/MySigningPolicies", policy + "rsa2048", policy + "rsa2048/Certificate"} {
		for _, token := range []string{"", "Bearer AUAlongbutunknown"} {
			r := get(path)
			r.Header.Del("Authorization")
			if token != "" {
				r.Header.Set("Authorization", token)
			}
			c.check(t, b, r, 401)
		}
	}

	tryRequests(t, b, c)
	tryAdministration(t, b, c)
	tryCertificates(t, b, c)
	tryAuditLog(t, b, c)
	tryKeys(t, b, c)

	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !c.seen[op.OperationID] {
				t.Errorf("%s %s was not tried", method, path)
			}
			found := false
			for _, rt := range newRoutes(&api{}) {
				found = found || rt.method == method && rt.pattern == c.doc.Servers[0].URL+path
			}
			if !found {
				t.Errorf("%s %s has no handler", method, path)
			}
		}
	}
	for _, rt := range newRoutes(&api{}) {
		if c.doc.Paths.Value(strings.TrimPrefix(rt.pattern, "/Api")) == nil && rt.pattern != "/Api/swagger/index.html" {
			t.Errorf("%s %s is not documented", rt.method, rt.pattern)
		}
	}
}

func signHashBody(policy string) string {
	return `{"projectSlug":"hash-signing","signingPolicySlug":"` + policy + `","hashSigningData":{"hash":"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=","signatureAlgorithm":"Rsa","rsaOptions":{"hashAlgorithmName":"Sha256","paddingMode":"Pss"},"metadata":{"sourceProcess":{"commandLine":"x"}}}}`
}

// What comes out verifies with the listed public key, in the format asked for.
func TestSignaturesVerify(t *testing.T) {
	b := newBench(t)
	list, err := wire.ParseSigningPolicies(b.do(t, "GET", "Cryptoki/MySigningPolicies", nil).Body.Bytes())
	must(t, err)
	if len(list) != 4 { // rsa2048, p256, gpg-rsa3072, approval
		t.Fatalf("%d policies", len(list))
	}
	tried := 0
	for _, p := range list {
		pub, err := p.PublicKey()
		must(t, err)
		var cases []wire.HashSigning
		switch {
		case p.SigningPolicySlug == "approval":
		case p.KeyType == wire.KeyRSA:
			cases = []wire.HashSigning{{Scheme: wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}}, {Scheme: wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA256}}}
		default:
			cases = []wire.HashSigning{{Scheme: wire.Scheme{Algorithm: wire.ECDSA}, ECDSAFormat: wire.IEEE}, {Scheme: wire.Scheme{Algorithm: wire.ECDSA}, ECDSAFormat: wire.ASN1}}
		}
		for _, h := range cases {
			contentType, body := classic(t, p.SigningPolicySlug, h.Scheme, h.ECDSAFormat)
			w := b.do(t, "POST", "SigningRequests", body, contentType)
			signature, id, err := wire.ParseClassicAnswer(w.Body.Bytes())
			if err != nil || id == "" {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if h.ECDSAFormat == wire.ASN1 {
				if !ecdsa.VerifyASN1(pub.(*ecdsa.PublicKey), abc[:], signature) {
					t.Errorf("%s: the DER signature does not verify", p.Name())
				}
			} else if err := keystest.Verify(pub, h.Scheme, abc[:], signature); err != nil {
				t.Errorf("%s %v: %v", p.Name(), h.Scheme, err)
			}
			tried++
		}
	}
	if tried != 6 {
		t.Errorf("%d signatures tried", tried)
	}
	w := b.do(t, "POST", "SigningRequests/SignHash", strings.NewReader(signHashBody("rsa2048")), "Content-Type: application/json")
	var answer wire.SignHashAnswer
	must(t, json.Unmarshal(w.Body.Bytes(), &answer))
	signature, err := wire.DecodeBase64(answer.HashSigningResult.Signature)
	must(t, err)
	pub, err := list[3].PublicKey()
	must(t, err)
	if err := keystest.Verify(pub.(*rsa.PublicKey), wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA256}, abc[:], signature); err != nil {
		t.Errorf("%s: %v", list[3].Name(), err)
	}
}

// The answer of the classic form is the payload, echoed, plus ours.
func TestClassicAnswerEchoes(t *testing.T) {
	b := newBench(t)
	contentType, body := classic(t, "rsa2048", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}, "")
	w := b.do(t, "POST", "SigningRequests", body, contentType)
	var m map[string]any
	must(t, json.Unmarshal(w.Body.Bytes(), &m))
	if m["SignatureAlgorithm"] != "RsaPkcs1" || m["RsaHashAlgorithm"] != wire.SHA256.OID() || m["Base64EncodedHash"] != base64.StdEncoding.EncodeToString(abc[:]) || m["KeyVersion"] != 1.0 {
		t.Errorf("%s", w.Body)
	}
	if !strings.Contains(w.Body.String(), `a <b> & c`) {
		t.Errorf("metadata is not echoed as it came: %s", w.Body)
	}
	if link, _ := m["WebLink"].(string); !strings.HasPrefix(link, "https://sign.example.test/Web/"+b.org+"/") {
		t.Errorf("WebLink %q", m["WebLink"])
	}
}

func TestCertificateFiles(t *testing.T) {
	b := newBench(t)
	const policy = "Projects/HASH-signing/signingpolicies/"
	w := b.do(t, "GET", policy+"RSA2048/Certificate/x509certificate", nil)
	if _, err := x509.ParseCertificate(w.Body.Bytes()); err != nil || w.Header().Get("Content-Disposition") != `attachment; filename="rsa2048.cer"` || w.Header().Get("Content-Type") != "application/pkix-cert" {
		t.Errorf("%d %v %v", w.Code, err, w.Header())
	}
	w = b.do(t, "GET", policy+"gpg-rsa3072/Certificate/GpgPublicKey", nil)
	if !strings.HasPrefix(w.Body.String(), "-----BEGIN PGP PUBLIC KEY BLOCK-----\n") || w.Header().Get("Content-Disposition") != `attachment; filename="gpg-rsa3072.asc"` {
		t.Errorf("%d %v\n%s", w.Code, w.Header(), w.Body)
	}
}
