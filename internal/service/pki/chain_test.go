package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"signpath/internal/testkit/testkeys"
)

// family is root → intermediate → leaf, the root also cross-signed by another
// root, and a stranger.
type family struct {
	leaf, renewed, inter, root, cross, otherRoot, stranger *x509.Certificate
	key                                                    crypto.Signer
}

func newFamily(t *testing.T) family {
	t.Helper()
	f := family{key: testkeys.ECDSA(t, 256)}
	rootKey, interKey, otherKey := testkeys.ECDSA(t, 384), testkeys.ECDSA(t, 521), testkeys.RSA(t, 2048)
	day := time.Now().Add(24 * time.Hour)
	self := func(tmpl Template, key crypto.Signer) *x509.Certificate {
		der, err := selfSigned(tmpl, key)
		if err != nil {
			t.Fatal(err)
		}
		return parse(t, der)
	}
	issue := func(tmpl Template, pub crypto.PublicKey, issuer *x509.Certificate, key crypto.Signer) *x509.Certificate {
		der, err := Issue(t.Context(), tmpl, pub, issuer, key)
		if err != nil {
			t.Fatal(err)
		}
		return parse(t, der)
	}
	rootTmpl := Template{CommonName: "root", CA: true, PathLen: -1, NotAfter: day}
	f.root = self(rootTmpl, rootKey)
	f.otherRoot = self(Template{CommonName: "other root", CA: true, PathLen: -1, NotAfter: day}, otherKey)
	f.cross = issue(rootTmpl, rootKey.Public(), f.otherRoot, otherKey)
	f.inter = issue(Template{CommonName: "inter", CA: true, NotAfter: day}, interKey.Public(), f.root, rootKey)
	f.leaf = issue(Template{CommonName: "leaf", EKU: codeSigning, NotAfter: day.Add(-time.Hour)}, f.key.Public(), f.inter, interKey)
	f.renewed = issue(Template{CommonName: "leaf", EKU: codeSigning, NotAfter: day}, f.key.Public(), f.inter, interKey)
	f.stranger = self(Template{CommonName: "stranger", NotAfter: day}, otherKey)
	return f
}

func TestOrder(t *testing.T) {
	f := newFamily(t)
	type certs = []*x509.Certificate
	for _, c := range []struct {
		name  string
		in    certs
		leaf  *x509.Certificate
		chain certs
		want  string // part of the error
	}{
		{"sorted", certs{f.leaf, f.inter, f.root}, f.leaf, certs{f.inter, f.root}, ""},
		{"reversed", certs{f.root, f.inter, f.leaf}, f.leaf, certs{f.inter, f.root}, ""},
		{"twice", certs{f.leaf, f.inter, f.leaf, f.inter, f.root, f.root}, f.leaf, certs{f.inter, f.root}, ""},
		{"leaf alone", certs{f.leaf}, f.leaf, nil, ""},
		{"partial", certs{f.inter, f.leaf}, f.leaf, certs{f.inter}, ""},
		{"cross-signed", certs{f.cross, f.leaf, f.otherRoot, f.inter}, f.leaf, certs{f.inter, f.cross, f.otherRoot}, ""},
		{"both roots", certs{f.cross, f.leaf, f.root, f.inter}, f.leaf, certs{f.inter, f.root}, ""},
		{"renewed", certs{f.leaf, f.renewed, f.inter, f.root}, f.renewed, certs{f.inter, f.root}, ""},
		{"stranger", certs{f.leaf, f.inter, f.stranger}, nil, nil, "stranger"},
		{"gap", certs{f.leaf, f.root}, nil, nil, "no place"},
		{"no leaf", certs{f.inter, f.root}, nil, nil, ErrOtherKey.Error()},
		{"none", nil, nil, nil, ErrOtherKey.Error()},
	} {
		leaf, chain, err := Order(c.in, f.key.Public())
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			continue
		}
		if err != nil || leaf != c.leaf || !slices.EqualFunc(chain, c.chain, (*x509.Certificate).Equal) {
			t.Errorf("%s: leaf %v, %d issuers, %v", c.name, leaf, len(chain), err)
		}
	}
}

// A certificate with the issuer's name but another key has not signed anything.
func TestOrderChecksSignatures(t *testing.T) {
	f := newFamily(t)
	der, err := selfSigned(Template{CommonName: "inter", CA: true, NotAfter: time.Now().Add(time.Hour)}, testkeys.RSA(t, 3072))
	if err != nil {
		t.Fatal(err)
	}
	if _, chain, err := Order([]*x509.Certificate{f.leaf, parse(t, der)}, f.key.Public()); err == nil {
		t.Errorf("the impostor was taken: %v", chain)
	}
}

func TestBelongsTo(t *testing.T) {
	f := newFamily(t)
	if !BelongsTo(f.leaf, f.key.Public()) || BelongsTo(f.inter, f.key.Public()) || BelongsTo(f.leaf, testkeys.RSA(t, 2048).Public()) || BelongsTo(f.leaf, nil) {
		t.Error("BelongsTo is wrong")
	}
}

func TestParseCertificates(t *testing.T) {
	f := newFamily(t)
	leaf, inter, root := f.leaf.Raw, f.inter.Raw, f.root.Raw
	bundle := EncodePEM(leaf, inter, root)
	dir := t.TempDir()
	p7 := func(form string) []byte {
		path := dir + "/" + form
		if out, err := openssl(t, "crl2pkcs7", "-nocrl", "-certfile", file(t, bundle), "-outform", form, "-out", path); err != nil {
			t.Fatal(out)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	for _, c := range []struct {
		name string
		in   []byte
		n    int // 0: refused
	}{
		{"PEM", bundle, 3},
		{"PEM with text", append([]byte("subject=x\n"), bundle...), 3},
		{"PEM, Windows lines", bytes.ReplaceAll(bundle, []byte("\n"), []byte("\r\n")), 3},
		{"DER", leaf, 1},
		{"DER, one after the other", slices.Concat(leaf, inter), 2},
		{"PKCS #7 DER", p7("DER"), 3},
		{"PKCS #7 PEM", p7("PEM"), 3},
		{"empty", nil, 0},
		{"text", []byte("hello"), 0},
		{"cut DER", leaf[:len(leaf)-1], 0},
		{"DER and more", append(bytes.Clone(leaf), 0), 0},
		{"cut PKCS #7", p7("DER")[:200], 0},
		{"PEM of something else", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: leaf}), 0},
		{"PEM with rubbish", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), 0},
		{"PEM with nothing", []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), 0},
		{"private key too", slices.Concat(bundle, key), 0},
		{"too many", bytes.Repeat(EncodePEM(leaf), maxCertificates+1), 0},
	} {
		certs, err := ParseCertificates(c.in)
		if len(certs) != c.n || (err == nil) != (c.n > 0) {
			t.Errorf("%s: %d certificates, %v, want %d", c.name, len(certs), err, c.n)
		}
	}
	if _, err := ParseCertificates([]byte("hello")); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("text: %v, want ErrNoCertificate", err)
	}
}

func FuzzParseCertificates(f *testing.F) {
	der, err := selfSigned(Template{CommonName: "a", NotAfter: time.Now().Add(time.Hour)}, testkeys.ECDSA(f, 256))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add(EncodePEM(der))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := ParseCertificates(data)
		if (len(certs) == 0) == (err == nil) {
			t.Fatalf("%d certificates, %v", len(certs), err)
		}
		for _, c := range certs {
			_, _, _ = Order(certs, c.PublicKey)
		}
	})
}
