package admin_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// Request makes a real certification request.
func (i p256Issuer) Request(_ context.Context, r admin.X509Request) (admin.Issued, error) {
	out, key, err := i.make()
	if err != nil {
		return out, err
	}
	if r.Key != nil {
		out.Key, out.Sealed = *r.Key, nil // the request itself is not looked at
	}
	out.NotBefore = time.Time{}
	out.CSR, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: r.CommonName}}, key)
	return out, err
}

func (p256Issuer) RenewOpenPGP(_ context.Context, key model.Key, _ []byte, notAfter time.Time) (admin.Issued, error) {
	return admin.Issued{Key: key, OpenPGP: []byte("renewed"), NotAfter: notAfter}, nil
}

func (p256Issuer) RevokeOpenPGP(_ context.Context, _ model.Key, _ []byte, reason pki.RevocationReason, text string) ([]byte, error) {
	return []byte("revoked: " + string(reason) + " " + text), nil
}

// ImportPFX takes "certificates in PEM" with the password "right" for a PKCS #12 file.
func (i p256Issuer) ImportPFX(_ context.Context, pfx []byte, password secret.Secret) (admin.Issued, error) {
	if password.Reveal() != "right" {
		return admin.Issued{}, pki.ErrPFXPassword
	}
	certs, err := pki.ParseCertificates(pfx)
	if err != nil {
		return admin.Issued{}, pki.ErrPFXContent
	}
	out, _, err := i.make()
	out.Key.Public = certs[0].RawSubjectPublicKeyInfo
	out.Leaf = certs[0].Raw
	return out, err
}

var errDestroy = errors.New("the token is away")

// Destroy fails for keys that are not in the database.
func (p256Issuer) Destroy(_ context.Context, key model.Key, sealed []byte) error {
	if key.Backend == "soft" {
		return nil
	}
	if len(sealed) == 0 {
		return errors.New("the sealed form was gone too early")
	}
	return errDestroy
}

// authority is a certificate authority outside of the service.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T, name string, above *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: testNow.AddDate(-1, 0, 0), NotAfter: testNow.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if above == nil {
		above = &authority{t: t, key: key, cert: c}
	}
	a.cert = above.issue(c, key.Public())
	return a
}

func (a *authority) issue(c *x509.Certificate, public any) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// answer issues a code signing certificate for a request.
func (a *authority) answer(csr []byte, edit func(*x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(99), Subject: request.Subject, NotBefore: testNow.AddDate(0, 0, -1), NotAfter: testNow.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if edit != nil {
		edit(c)
	}
	return a.issue(c, request.PublicKey)
}

func pemOf(certs ...*x509.Certificate) []byte {
	var ders [][]byte
	for _, c := range certs {
		ders = append(ders, c.Raw)
	}
	return pki.EncodePEM(ders...)
}

func ref(slug string) admin.CertificateReference {
	return admin.CertificateReference{Certificate: slug}
}

// A request waits for its certificate; each upload is on record once.
func TestUpload(t *testing.T) {
	f := filled(t)
	root := newAuthority(t, "Root", nil)
	middle := newAuthority(t, "Middle", root)
	var made admin.ExportedCertificate
	f.do("certificate.create-csr", admin.NewCertificate{Slug: "ca", KeyType: "p256", CommonName: "Example"}, &made)
	if made.State != admin.StateNotIssued || made.Creation != model.CreatedFromCSR || made.Subject != "CN=Example" || made.CSR == nil || made.Leaf != nil {
		t.Fatalf("%+v", made)
	}
	var again admin.ExportedCertificate
	f.do("certificate.export", ref("ca"), &again)
	if !bytes.Equal(again.CSR, made.CSR) {
		t.Error("the request is another one the second time")
	}
	var p admin.Policy
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "ca", Certificate: "ca", Submitters: []string{"build"}}, &p)
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "not issued yet") {
		t.Errorf("%q", p.Warnings)
	}
	leaf := middle.answer(made.CSR, nil)
	for _, c := range []struct {
		name     string
		file     []byte
		chain    int
		warnings int
		events   []string
	}{
		{"leaf alone", pemOf(leaf), 0, 1, []string{"Certificate.Uploaded"}},
		{"the same again", leaf.Raw, 0, 1, nil},
		{"with an issuer", pemOf(middle.cert, leaf), 1, 1, []string{"Certificate.Replaced"}},
		{"complete", pemOf(middle.cert, leaf, root.cert), 2, 0, []string{"Certificate.Replaced"}},
		{"known issuers are not lost", pemOf(leaf), 2, 0, nil},
		{"no code signing", pemOf(middle.answer(made.CSR, func(c *x509.Certificate) { c.ExtKeyUsage = nil })), 2, 1, []string{"Certificate.Replaced"}},
		{"an authority, not for signatures, later", pemOf(middle.answer(made.CSR, func(c *x509.Certificate) {
			c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.NotBefore = true, true, x509.KeyUsageCertSign, testNow.Add(time.Second)
		})), 2, 3, []string{"Certificate.Replaced"}},
	} {
		before := len(f.types())
		var out admin.Certificate
		f.do("certificate.upload", admin.CertificateFile{CertificateReference: ref("ca"), File: c.file}, &out)
		if out.ChainLength != c.chain || len(out.Warnings) != c.warnings {
			t.Errorf("%s: %d issuers, warnings %q", c.name, out.ChainLength, out.Warnings)
		}
		if got := f.types()[before:]; !slices.Equal(got, c.events) {
			t.Errorf("%s: audit entries %v, want %v", c.name, got, c.events)
		}
	}
	// Valid to its last second, and not after it.
	end := func(at time.Time) []byte {
		return pemOf(middle.answer(made.CSR, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = testNow.AddDate(-1, 0, 0), at }))
	}
	f.do("certificate.upload", admin.CertificateFile{CertificateReference: ref("ca"), File: end(testNow)}, nil)
	other := newAuthority(t, "Other", nil)
	version := f.config().Version
	for text, file := range map[string][]byte{
		"expired on 2027-03-01T11:59:59Z":  end(testNow.Add(-time.Second)),
		"None of the certificates belongs": pemOf(other.cert),
		"has no place in the chain":        pemOf(leaf, other.cert),
		"No certificate found":             []byte("x"),
		"No certificate found: give PEM":   nil,
	} {
		if err := f.fail("certificate.upload", admin.CertificateFile{CertificateReference: ref("ca"), File: file}); !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if err := f.fail("certificate.upload", admin.CertificateFile{CertificateReference: ref("release"), File: pemOf(leaf)}); !strings.Contains(err.Error(), "self-signed") {
		t.Error(err)
	}
	if f.config().Version != version {
		t.Error("a refused upload wrote something")
	}
}

// Issuers that one organization knows are nobody else's.
func TestIssuersStayInTheirOrganization(t *testing.T) {
	f := filled(t)
	root := newAuthority(t, "Root", nil)
	var mine, theirs admin.ExportedCertificate
	f.do("certificate.create-csr", admin.NewCertificate{Slug: "a", KeyType: "p256", CommonName: "A"}, &mine)
	f.do("certificate.upload", admin.CertificateFile{CertificateReference: ref("a"), File: pemOf(root.answer(mine.CSR, nil), root.cert)}, nil)
	f.do("organization.create", admin.NewOrganization{Name: "Other"}, nil)
	other := admin.OrganizationReference{Organization: "Other"}
	f.do("certificate.create-csr", admin.NewCertificate{OrganizationReference: other, Slug: "b", KeyType: "p256", CommonName: "B"}, &theirs)
	var out admin.Certificate
	f.do("certificate.upload", admin.CertificateFile{CertificateReference: admin.CertificateReference{OrganizationReference: other, Certificate: "b"}, File: pemOf(root.answer(theirs.CSR, nil))}, &out)
	if out.ChainLength != 0 || len(out.Warnings) != 1 {
		t.Errorf("%+v", out)
	}
}

func TestImportPFX(t *testing.T) {
	f := filled(t)
	root := newAuthority(t, "Root", nil)
	leaf := pemOf(root.cert)
	password := admin.ShownOnce{Secret: secret.New("right")}
	var out admin.Certificate
	f.do("certificate.import-pfx", admin.PFXFile{Slug: "pfx", PFX: leaf, Password: password}, &out)
	if out.Creation != model.PFXImport || out.NotAfter == nil || !out.NotAfter.Equal(root.cert.NotAfter) {
		t.Errorf("%+v", out)
	}
	if got := f.types(); !slices.Equal(got[len(got)-2:], []string{"Key.Imported", "Certificate.Created"}) {
		t.Errorf("%v", got)
	}
	for _, e := range f.events() {
		if bytes.Contains(e.Data, []byte("right")) {
			t.Error("the password is on record")
		}
	}
	for field, input := range map[string]admin.PFXFile{
		"pfx: The key is here already":  {Slug: "x", PFX: leaf, Password: password},
		"pfx: The PKCS #12 file is mis": {Slug: "x", Password: password},
		"password: The password":        {Slug: "x", PFX: leaf},
		"pfx: The PKCS #12 file cannot": {Slug: "x", PFX: []byte("x"), Password: password},
	} {
		if err := f.fail("certificate.import-pfx", input); !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	// A key that was deleted may come back: whoever has the file has the key.
	f.do("certificate.delete-key", admin.KeyDeletion{CertificateReference: ref("pfx"), Confirm: "pfx"}, nil)
	f.do("certificate.import-pfx", admin.PFXFile{Slug: "back", PFX: leaf, Password: password}, nil)
}

func TestRenew(t *testing.T) {
	f := filled(t)
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "release", Certificate: "release"}, nil)
	var newKey, sameKey admin.ExportedCertificate
	f.do("certificate.renew", admin.RenewedCertificate{CertificateReference: ref("release"), Slug: "two"}, &newKey)
	f.do("certificate.renew", admin.RenewedCertificate{CertificateReference: ref("release"), Slug: "three", SameKey: true, Method: admin.MethodCSR}, &sameKey)
	var old admin.ExportedCertificate
	f.do("certificate.export", ref("release"), &old)
	if n := len(f.config().Keys); n != 2 || newKey.KeyID == old.KeyID || sameKey.KeyID != old.KeyID || sameKey.CSR == nil {
		t.Errorf("%d keys, %s and %s after %s", n, newKey.KeyID, sameKey.KeyID, old.KeyID)
	}
	// A renewal with the same key must not touch the key's private part.
	if sealed, err := f.store.SealedKey(t.Context(), sameKey.KeyID); err != nil || string(sealed) != "sealed" {
		t.Errorf("%q, %v", sealed, err)
	}
	policies := func() string {
		var all admin.Certificates
		f.do("certificate.list", nil, &all)
		slices.SortFunc(all.Items, func(a, b admin.Certificate) int { return strings.Compare(a.Slug, b.Slug) })
		var out []string
		for _, c := range all.Items {
			out = append(out, c.Slug+":"+strings.Join(c.Policies, ","))
		}
		return strings.Join(out, " ")
	}
	if got := policies(); got != "release:app/release three: two:" {
		t.Errorf("the policy did not stay: %s", got)
	}
	two := "two"
	f.do("policy.edit", admin.PolicyEdit{PolicyReference: admin.PolicyReference{Project: "app", Policy: "release"}, Certificate: &two}, nil)
	if got := policies(); got != "release: three: two:app/release" {
		t.Errorf("the policy was not switched: %s", got)
	}

	f.do("certificate.create-gpg", admin.NewOpenPGPKey{Slug: "packages", KeyType: "rsa2048", UserName: "P", Email: "p@example.com"}, nil)
	end := testNow.Add(time.Hour)
	var gpg admin.Certificate
	f.do("certificate.renew-gpg", admin.RenewedOpenPGPKey{CertificateReference: ref("packages"), NotAfter: &end}, &gpg)
	if gpg.NotAfter == nil || !gpg.NotAfter.Equal(end) || f.types()[len(f.types())-1] != "Certificate.Renewed" {
		t.Errorf("%+v", gpg)
	}
}

// The states at the very second. A certificate of X.509 is valid at its last
// second, an OpenPGP key is not.
func TestStates(t *testing.T) {
	f := filled(t)
	end := testNow.Add(time.Hour)
	f.do("certificate.create", admin.NewCertificate{Slug: "x509", KeyType: "p256", CommonName: "X", NotAfter: &end}, nil)
	f.do("certificate.create-gpg", admin.NewOpenPGPKey{Slug: "gpg", KeyType: "rsa2048", UserName: "P", Email: "p@example.com"}, nil)
	f.do("certificate.renew-gpg", admin.RenewedOpenPGPKey{CertificateReference: ref("gpg"), NotAfter: &end}, nil)
	for _, c := range []struct {
		slug string
		now  time.Time
		want admin.CertificateState
	}{
		{"x509", testNow.Add(-time.Millisecond), admin.StateNotYetValid},
		{"x509", testNow, admin.StateActive},
		{"x509", end, admin.StateActive},
		{"x509", end.Add(time.Millisecond), admin.StateExpired},
		{"gpg", end.Add(-time.Millisecond), admin.StateActive},
		{"gpg", end, admin.StateExpired},
	} {
		f.service.Now = func() time.Time { return c.now }
		var out admin.ExportedCertificate
		f.do("certificate.export", ref(c.slug), &out)
		if out.State != c.want {
			t.Errorf("%s at %v: %s, want %s", c.slug, c.now, out.State, c.want)
		}
	}
}

// Deleting a key needs its name, tells what used it, and is final.
func TestDeleteKey(t *testing.T) {
	f := filled(t)
	f.do("certificate.renew", admin.RenewedCertificate{CertificateReference: ref("release"), Slug: "second", SameKey: true, Method: admin.MethodCSR}, nil)
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "one", Certificate: "release"}, nil)
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "two", Certificate: "second"}, nil)
	inactive := false
	f.do("policy.edit", admin.PolicyEdit{PolicyReference: admin.PolicyReference{Project: "app", Policy: "two"}, Active: &inactive}, nil)
	for _, confirm := range []string{"", "RELEASE", "second", "yes"} {
		if err := f.fail("certificate.delete-key", admin.KeyDeletion{CertificateReference: ref("release"), Confirm: confirm}); !strings.Contains(err.Error(), "confirm") {
			t.Errorf("%q: %v", confirm, err)
		}
	}
	told := 0
	f.service.Changed = func(context.Context) { told++ }
	var out admin.DeletedKey
	f.do("certificate.delete-key", admin.KeyDeletion{CertificateReference: ref("release"), Confirm: "release"}, &out)
	if !slices.Equal(out.Certificates, []string{"release", "second"}) || !slices.Equal(out.Policies, []string{"app/one"}) || !slices.Equal(out.Inactive, []string{"app/two"}) || len(out.Warnings) != 0 {
		t.Errorf("%+v", out)
	}
	if told != 1 {
		t.Errorf("the server was told %d times", told)
	}
	cfg := f.config()
	if !cfg.Keys[0].Deleted {
		t.Error("the key is not marked")
	}
	if _, err := f.store.SealedKey(t.Context(), cfg.Keys[0].ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the private part is there: %v", err)
	}
	last := f.events()[len(f.events())-1]
	if last.Type != "Key.Deleted" || !bytes.Contains(last.Data, []byte(`"policies":["app/one"]`)) {
		t.Errorf("%s %s", last.Type, last.Data)
	}
	for operation, input := range map[string]any{
		"certificate.delete-key": admin.KeyDeletion{CertificateReference: ref("release"), Confirm: "release"},
		"certificate.upload":     admin.CertificateFile{CertificateReference: ref("second"), File: []byte("x")},
		"certificate.renew":      admin.RenewedCertificate{CertificateReference: ref("release"), Slug: "third", SameKey: true},
		"policy.create":          admin.NewPolicy{Project: "app", Slug: "x", Certificate: "release"},
	} {
		if err := f.fail(operation, input); !strings.Contains(err.Error(), "deleted") {
			t.Errorf("%s: %v", operation, err)
		}
	}
	// The certificate stays for verification, also with a new key beside it.
	var exported admin.ExportedCertificate
	f.do("certificate.export", ref("release"), &exported)
	if exported.Leaf == nil || exported.State != admin.StateKeyDeleted {
		t.Errorf("%+v", exported.Certificate)
	}
	f.do("certificate.renew", admin.RenewedCertificate{CertificateReference: ref("release"), Slug: "fourth"}, nil)
}

// A key store that fails to delete does not bring the key back.
func TestDeleteKeyElsewhere(t *testing.T) {
	f := filled(t)
	key := f.config().Keys[0]
	key.Backend = "hsm:main"
	if err := f.store.Write(t.Context(), func(tx store.Tx) error { return tx.PutKey(key, []byte("reference")) }); err != nil {
		t.Fatal(err)
	}
	var out admin.DeletedKey
	f.do("certificate.delete-key", admin.KeyDeletion{CertificateReference: ref("release"), Confirm: "release"}, &out)
	if len(out.Warnings) != 1 || !strings.Contains(out.Warnings[0], errDestroy.Error()) || !f.config().Keys[0].Deleted {
		t.Errorf("%+v", out)
	}
}

// A key that is here under two names, as one that was adopted twice, goes under both.
func TestDeleteKeyTwice(t *testing.T) {
	f := filled(t)
	key, certificate := f.config().Keys[0], f.config().Certificates[0]
	key.Backend = "hsm:main"
	twin := key
	twin.ID = uuid.NewString()
	certificate.ID, certificate.Slug, certificate.KeyID = uuid.NewString(), "twin", twin.ID
	if err := f.store.Write(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.PutKey(key, []byte("reference")), tx.PutKey(twin, []byte("reference")), tx.PutCertificate(certificate))
	}); err != nil {
		t.Fatal(err)
	}
	var use admin.KeyUse
	f.do("certificate.key-use", ref("twin"), &use)
	var out admin.DeletedKey
	f.do("certificate.delete-key", admin.KeyDeletion{CertificateReference: ref("twin"), Confirm: "twin"}, &out)
	for _, u := range []admin.KeyUse{use, out.KeyUse} {
		if !slices.Equal(u.Certificates, []string{"release", "twin"}) {
			t.Errorf("%+v", u)
		}
	}
	for _, k := range f.config().Keys {
		if bytes.Equal(k.Public, key.Public) && !k.Deleted {
			t.Errorf("key %s is still there", k.ID)
		}
	}
	if len(out.Warnings) != 2 { // the key store was asked for both
		t.Errorf("%q", out.Warnings)
	}
}

// Wrong fields of the new operations are named, and nothing is written.
func TestCertificateRefusals(t *testing.T) {
	f := filled(t)
	f.do("certificate.create-gpg", admin.NewOpenPGPKey{Slug: "gpg", KeyType: "rsa2048", UserName: "P", Email: "p@example.com"}, nil)
	past, far := testNow.Add(-time.Second), time.Date(2107, 1, 1, 0, 0, 0, 0, time.UTC)
	details := admin.SubjectDetails{OrganizationalUnit: strings.Repeat("x", 65), Locality: strings.Repeat("x", 129), State: "a\x00", Country: "Austria", AlternativeNames: []string{"x"}}
	many := admin.SubjectDetails{AlternativeNames: slices.Repeat([]string{"DNS:example.com"}, 21)}
	version := f.config().Version
	for _, c := range []struct {
		operation string
		input     any
		fields    []string
	}{
		{"certificate.create", admin.NewCertificate{Slug: "x", CommonName: "x", SubjectDetails: details}, []string{"alternativeNames", "country", "locality", "organizationalUnit", "state"}},
		{"certificate.create-csr", admin.NewCertificate{Slug: "release", CommonName: "x", SubjectDetails: many, NotAfter: &far}, []string{"alternativeNames", "notAfter", "slug"}},
		{"certificate.create-csr", admin.NewCertificate{}, []string{"commonName", "slug"}},
		{"certificate.create-gpg", admin.NewOpenPGPKey{Slug: "x", UserName: "x", Email: "x@example.com", NotAfter: &past}, []string{"notAfter"}},
		{"certificate.renew", admin.RenewedCertificate{CertificateReference: ref("nope")}, []string{"certificate"}},
		{"certificate.renew", admin.RenewedCertificate{CertificateReference: ref("release"), Slug: "/", Method: "x"}, []string{"method"}},
		{"certificate.renew", admin.RenewedCertificate{CertificateReference: ref("release"), Slug: "/", KeyType: "x"}, []string{"keyType", "slug"}},
		{"certificate.renew", admin.RenewedCertificate{CertificateReference: ref("release"), Slug: "x", SameKey: true, KeyType: "p256", NotAfter: &past}, []string{"keyType", "notAfter"}},
		{"certificate.renew", admin.RenewedCertificate{CertificateReference: ref("release"), Slug: "x", Method: "csr", NotAfter: &far}, []string{"notAfter"}},
		{"certificate.renew", admin.RenewedCertificate{CertificateReference: ref("gpg"), Slug: "x"}, []string{"certificate"}},
		{"certificate.renew-gpg", admin.RenewedOpenPGPKey{CertificateReference: ref("release"), NotAfter: &far}, []string{"certificate", "notAfter"}},
		{"certificate.renew-gpg", admin.RenewedOpenPGPKey{CertificateReference: ref("gpg"), NotAfter: &past}, []string{"notAfter"}},
		{"certificate.upload", admin.CertificateFile{CertificateReference: ref("gpg")}, []string{"certificate"}},
		{"certificate.upload", admin.CertificateFile{CertificateReference: ref("nope")}, []string{"certificate"}},
		{"certificate.key-use", ref("nope"), []string{"certificate"}},
		{"certificate.delete-key", admin.KeyDeletion{CertificateReference: ref("nope")}, []string{"certificate"}},
	} {
		err := f.fail(c.operation, c.input)
		var fields wire.FieldErrors
		if !errors.As(err, &fields) {
			t.Errorf("%s: %v, want field errors", c.operation, err)
			continue
		}
		var got []string
		for name := range fields {
			got = append(got, name)
		}
		if slices.Sort(got); !slices.Equal(got, c.fields) {
			t.Errorf("%s: fields %q, want %q (%v)", c.operation, got, c.fields, err)
		}
	}
	if f.config().Version != version {
		t.Error("a refused operation wrote something")
	}
}
