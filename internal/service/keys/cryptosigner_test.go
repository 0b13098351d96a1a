package keys_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha3" // registers the hash
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/keys"
	"signpath/internal/service/keys/keystest"
	"signpath/internal/testkit/testkeys"
)

func TestCryptoSignerX509(t *testing.T) {
	for _, name := range testkeys.Names() {
		signer := keys.CryptoSigner(t.Context(), keystest.Signer(t, name))
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		}
		algs := []x509.SignatureAlgorithm{0}
		if strings.HasPrefix(name, "rsa") {
			algs = append(algs, x509.SHA256WithRSAPSS, x509.SHA512WithRSAPSS, x509.SHA384WithRSA)
		}
		for _, alg := range algs {
			tmpl.SignatureAlgorithm = alg
			der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, signer.Public(), signer)
			if err != nil {
				t.Errorf("%s %v: %v", name, alg, err)
				continue
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := cert.CheckSignatureFrom(cert); err != nil {
				t.Errorf("%s %v: %v", name, alg, err)
			}
		}
	}
}

func TestCryptoSignerOptions(t *testing.T) {
	rsaKey := keys.CryptoSigner(t.Context(), keystest.Signer(t, "rsa2048"))
	ecKey := keys.CryptoSigner(t.Context(), keystest.Signer(t, "p256"))
	pss := func(salt int) crypto.SignerOpts { return &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256} }
	for _, c := range []struct {
		name   string
		key    crypto.Signer
		digest int
		opts   crypto.SignerOpts
		ok     bool
	}{
		{"RSA SHA-256", rsaKey, 32, crypto.SHA256, true},
		{"RSA MD5", rsaKey, 16, crypto.MD5, true},
		{"RSA SHA-1", rsaKey, 20, crypto.SHA1, true},
		{"RSA without hash", rsaKey, 32, crypto.Hash(0), false},
		{"RSA without options", rsaKey, 32, nil, false},
		{"RSA SHA-224", rsaKey, 28, crypto.SHA224, false},
		{"RSA SHA3-256", rsaKey, 32, crypto.SHA3_256, false},
		{"RSA wrong length", rsaKey, 20, crypto.SHA256, false},
		{"PSS salt as digest", rsaKey, 32, pss(rsa.PSSSaltLengthEqualsHash), true},
		{"PSS salt 32", rsaKey, 32, pss(32), true},
		{"PSS salt 20", rsaKey, 32, pss(20), false},
		{"PSS salt as long as possible", rsaKey, 32, pss(rsa.PSSSaltLengthAuto), false},
		{"ECDSA SHA-256", ecKey, 32, crypto.SHA256, true},
		{"ECDSA SHA-224", ecKey, 28, crypto.SHA224, true},
		{"ECDSA SHA-512", ecKey, 64, crypto.SHA512, true},
		{"ECDSA without hash", ecKey, 32, crypto.Hash(0), true},
		{"ECDSA without options", ecKey, 32, nil, true},
		{"ECDSA wrong length", ecKey, 20, crypto.SHA256, false},
		{"ECDSA odd length", ecKey, 31, crypto.Hash(0), false},
	} {
		digest := make([]byte, c.digest)
		sig, err := c.key.Sign(nil, digest, c.opts)
		var typed *keys.SchemeError
		switch {
		case c.ok && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case !c.ok && (!errors.As(err, &typed) || sig != nil):
			t.Errorf("%s: %v, want a *SchemeError", c.name, err)
		case c.ok:
			if err := verifyCrypto(c.key.Public(), digest, sig, c.opts); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

func verifyCrypto(pub crypto.PublicKey, digest, sig []byte, opts crypto.SignerOpts) error {
	if p, ok := pub.(*ecdsa.PublicKey); ok {
		if !ecdsa.VerifyASN1(p, digest, sig) {
			return errors.New("crypto/ecdsa refuses the signature")
		}
		return nil
	}
	if o, ok := opts.(*rsa.PSSOptions); ok {
		return rsa.VerifyPSS(pub.(*rsa.PublicKey), o.Hash, digest, sig, o)
	}
	return rsa.VerifyPKCS1v15(pub.(*rsa.PublicKey), opts.HashFunc(), digest, sig)
}

func TestECDSAToASN1(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"\x01\x02", "\x30\x06\x02\x01\x01\x02\x01\x02"},
		{"\x00\x80\x00\x7f", "\x30\x07\x02\x02\x00\x80\x02\x01\x7f"}, // a sign byte where the top bit is set, no padding else
	} {
		got, err := keys.ECDSAToASN1([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%x: %x, %v, want %x", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "\x01", "\x01\x02\x03"} {
		if _, err := keys.ECDSAToASN1([]byte(in)); err == nil {
			t.Errorf("%x was accepted", in)
		}
	}
}
