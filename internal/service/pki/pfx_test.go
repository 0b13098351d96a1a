package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"signpath/internal/secret"
	"signpath/internal/testkit/testkeys"
)

func pfx(t testing.TB, e *pkcs12.Encoder, key crypto.Signer, leaf *x509.Certificate, chain []*x509.Certificate, password string) []byte {
	t.Helper()
	data, err := e.Encode(key, leaf, chain, password)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// plainLeaf is a self-signed certificate of a test key.
func plainLeaf(t testing.TB, key crypto.Signer) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(4e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// Files of OpenSSL are tried in the tests of the command line.
func TestParsePFX(t *testing.T) {
	ca, other := devCA(t), devCA(t)
	key := testkeys.RSA(t, 2048)
	der, err := ca.Leaf(t.Context(), mustTemplate(t, "rsa2048"), key.Public())
	if err != nil {
		t.Fatal(err)
	}
	leaf := mustParse(t, der)
	issuers := []*x509.Certificate{ca.root, ca.intermediate} // in the wrong order
	password := "pass wörd"
	for name, data := range map[string][]byte{
		"RC2":       pfx(t, pkcs12.LegacyRC2, key, leaf, issuers, password),
		"3DES":      pfx(t, pkcs12.LegacyDES, key, leaf, issuers, password),
		"AES":       pfx(t, pkcs12.Modern2023, key, leaf, issuers, password),
		"PBMAC1":    pfx(t, pkcs12.Modern2026, key, leaf, issuers, password),
		"leaf last": pfx(t, pkcs12.Modern2023, key, ca.root, []*x509.Certificate{ca.intermediate, leaf}, password),
	} {
		got, err := ParsePFX(data, secret.New(password))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !got.Key.Equal(key) || !got.Leaf.Equal(leaf) || len(got.Chain) != 2 || !got.Chain[0].Equal(ca.intermediate) || !got.Chain[1].Equal(ca.root) {
			t.Errorf("%s: %+v", name, got)
		}
		if _, err := ParsePFX(data, secret.New("wrong")); !errors.Is(err, ErrPFXPassword) {
			t.Errorf("%s, wrong password: %v", name, err)
		}
		if _, err := ParsePFX(data, secret.Secret{}); !errors.Is(err, ErrPFXPassword) {
			t.Errorf("%s, no password: %v", name, err)
		}
	}
	good := pfx(t, pkcs12.Modern2023, key, leaf, nil, password)
	ec := testkeys.ECDSA(t, 256)
	for text, data := range map[string][]byte{
		"EC key":                     pfx(t, pkcs12.Modern2023, ec, plainLeaf(t, ec), nil, password),
		"none of its certificates":   pfx(t, pkcs12.Modern2023, key, ca.root, nil, password),
		"no place in the chain":      pfx(t, pkcs12.Modern2023, key, leaf, []*x509.Certificate{other.root}, password),
		"not a PKCS #12 file":        []byte("-----BEGIN"),
		"not a PKCS #12 file in DER": append(bytes.Clone(good), 0),
		"iterations of its key":      pfx(t, pkcs12.Modern2023.WithIterations(maxPFXIterations+1), key, leaf, nil, password),
		"no integrity check":         pfx(t, pkcs12.Passwordless, key, leaf, nil, ""),
	} {
		if _, err := ParsePFX(data, secret.New(password)); !errors.Is(err, ErrPFXContent) || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	// Broken in any byte: an error, no crash, never another key.
	for i := 0; i < len(good); i += 41 {
		broken := bytes.Clone(good)
		broken[i] ^= 0x41
		if got, err := ParsePFX(broken, secret.New(password)); err == nil && !got.Key.Equal(key) {
			t.Errorf("byte %d: another key", i)
		}
	}
}

func FuzzParsePFX(f *testing.F) {
	key := testkeys.ECDSA(f, 256) // small inputs are minimized sooner
	leaf := plainLeaf(f, key)
	for _, e := range []*pkcs12.Encoder{pkcs12.LegacyRC2, pkcs12.LegacyDES, pkcs12.Modern2023, pkcs12.Modern2026} {
		f.Add(pfx(f, e.WithIterations(1), key, leaf, nil, "x"))
	}
	f.Add([]byte{0x30, 0x06, 0x04, 0x01, 0x00, 0x02, 0x01, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		// What asks for much work is refused elsewhere; here it would only be slow.
		if iterations(data, 0) > 1000 {
			return
		}
		// A wrong password: checks of RSA keys are random, which the fuzzer takes for news.
		if _, err := ParsePFX(data, secret.New("y")); err == nil {
			t.Error("opened with a wrong password")
		} else if !errors.Is(err, ErrPFXPassword) && !errors.Is(err, ErrPFXContent) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
