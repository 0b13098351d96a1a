// Package testkeys holds private keys for tests, so that no test waits for RSA
// key generation.
//
// What leaves are parsed keys; they are published with the sources and protect
// nothing. The package imports nothing of ours and is for tests only: every
// function takes a testing.TB.
package testkeys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"strconv"
	"testing"
)

//go:embed *.pem
var files embed.FS

// Names lists the keys: RSA modulus sizes, then NIST curves.
func Names() []string { return []string{"rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521"} }

// PEM is a key's file: PKCS #8 after one line of warning.
func PEM(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := files.ReadFile(name + ".pem")
	if err != nil {
		tb.Fatalf("no test key %q; there are %v", name, Names())
	}
	return data
}

// Signer is the key with that name, *rsa.PrivateKey, *ecdsa.PrivateKey or, for
// "ed25519", which Names leaves out, ed25519.PrivateKey.
func Signer(tb testing.TB, name string) crypto.Signer {
	tb.Helper()
	block, _ := pem.Decode(PEM(tb, name))
	if block == nil {
		tb.Fatalf("test key %q is no PEM", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		tb.Fatalf("test key %q: %v", name, err)
	}
	return key.(crypto.Signer)
}

// RSA is the RSA key with 2048, 3072 or 4096 bits.
func RSA(tb testing.TB, bits int) *rsa.PrivateKey {
	tb.Helper()
	return Signer(tb, "rsa"+strconv.Itoa(bits)).(*rsa.PrivateKey)
}

// ECDSA is the key on P-256, P-384 or P-521.
func ECDSA(tb testing.TB, bits int) *ecdsa.PrivateKey {
	tb.Helper()
	return Signer(tb, "p"+strconv.Itoa(bits)).(*ecdsa.PrivateKey)
}
