package cryptoki

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"
)

// The validity of a dummy certificate; constants, so that its bytes never change.
var (
	dummyNotBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	dummyNotAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// dummyCertificate makes an X.509 certificate around an OpenPGP key: hosts such
// as gnupg-pkcs11-scd see a key only when a certificate with the same CKA_ID
// stands beside it. Subject and issuer are CN=name, the public key is the real
// one, the signature is zeros: nobody can mistake it for a valid certificate.
// The same key and name give the same bytes in every run (SignPath crypto
// providers, IncludeDummyX509CertificateForGpgKeys).
func dummyCertificate(name string, public crypto.PublicKey) (*certificate, error) {
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	subject, err := asn1.Marshal(pkix.Name{CommonName: name}.ToRDNSequence())
	if err != nil {
		return nil, err
	}
	seed := sha256.Sum256(append([]byte(name+"\x00"), spki...))
	seed[0] = seed[0]&0x3F | 0x40 // positive, always 16 bytes
	sha256WithRSA := pkix.AlgorithmIdentifier{
		Algorithm:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11},
		Parameters: asn1.NullRawValue,
	}
	tbs, err := asn1.Marshal(struct {
		Version   int `asn1:"optional,explicit,default:0,tag:0"`
		Serial    *big.Int
		Algorithm pkix.AlgorithmIdentifier
		Issuer    asn1.RawValue
		Validity  struct{ NotBefore, NotAfter time.Time }
		Subject   asn1.RawValue
		PublicKey asn1.RawValue
	}{
		Version:   2, // v3
		Serial:    new(big.Int).SetBytes(seed[:16]),
		Algorithm: sha256WithRSA,
		Issuer:    asn1.RawValue{FullBytes: subject},
		Validity:  struct{ NotBefore, NotAfter time.Time }{dummyNotBefore, dummyNotAfter},
		Subject:   asn1.RawValue{FullBytes: subject},
		PublicKey: asn1.RawValue{FullBytes: spki},
	})
	if err != nil {
		return nil, err
	}
	der, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, sha256WithRSA, asn1.BitString{Bytes: make([]byte, 256), BitLength: 2048}})
	if err != nil {
		return nil, err
	}
	return parseCertificate(der)
}
