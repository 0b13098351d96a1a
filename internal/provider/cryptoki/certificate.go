package cryptoki

import (
	"crypto/sha1" //nolint:gosec // SHA-1 is what the standard names for CKA_CHECK_VALUE and CKA_HASH_OF_…
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"
)

// certificate is what certificate objects show of an X.509 certificate, as the
// bytes that stand in it. It is read with the bare ASN.1 rules, because hosts
// have to get a certificate even when a strict verifier would refuse it.
type certificate struct {
	raw                       []byte // DER
	serial                    []byte // DER INTEGER
	issuer, subject           []byte // DER Name
	publicKeyInfo             []byte // DER SubjectPublicKeyInfo
	publicKey                 []byte // the bit string in it
	notBefore, notAfter       time.Time
	commonName, subjectString string
}

// parseCertificate reads one DER certificate (RFC 5280 section 4.1).
func parseCertificate(der []byte) (*certificate, error) {
	var outer struct {
		TBS struct {
			Raw       asn1.RawContent
			Version   int `asn1:"optional,explicit,default:0,tag:0"`
			Serial    asn1.RawValue
			Algorithm asn1.RawValue
			Issuer    asn1.RawValue
			Validity  struct{ NotBefore, NotAfter time.Time }
			Subject   asn1.RawValue
			PublicKey struct {
				Raw       asn1.RawContent
				Algorithm asn1.RawValue
				Key       asn1.BitString
			}
			IssuerID   asn1.RawValue `asn1:"optional,tag:1"`
			SubjectID  asn1.RawValue `asn1:"optional,tag:2"`
			Extensions asn1.RawValue `asn1:"optional,explicit,tag:3"`
		}
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &outer)
	if err != nil {
		return nil, fmt.Errorf("not a DER certificate: %w", err)
	}
	if len(rest) > 0 {
		return nil, errors.New("not a DER certificate: bytes follow its end")
	}
	tbs := &outer.TBS
	if tbs.Serial.Tag != asn1.TagInteger || tbs.Serial.Class != asn1.ClassUniversal {
		return nil, errors.New("not a DER certificate: the serial number is no integer")
	}
	c := &certificate{
		raw: der, serial: tbs.Serial.FullBytes, issuer: tbs.Issuer.FullBytes, subject: tbs.Subject.FullBytes,
		publicKeyInfo: tbs.PublicKey.Raw, publicKey: tbs.PublicKey.Key.RightAlign(),
		notBefore: tbs.Validity.NotBefore, notAfter: tbs.Validity.NotAfter,
	}
	var rdn pkix.RDNSequence
	if _, err := asn1.Unmarshal(c.subject, &rdn); err == nil {
		var name pkix.Name
		name.FillFromRDNSequence(&rdn)
		c.commonName, c.subjectString = name.CommonName, name.String()
	}
	return c, nil
}

// keyID is the usual key identifier, SHA-1 over the bit string of the public key
// (RFC 5280 section 4.2.1.2, method 1).
func (c *certificate) keyID() []byte {
	sum := sha1.Sum(c.publicKey) //nolint:gosec // see the import
	return sum[:]
}

// checkValue is CKA_CHECK_VALUE: the first three bytes of the SHA-1 of the whole.
func (c *certificate) checkValue() []byte {
	sum := sha1.Sum(c.raw) //nolint:gosec // see the import
	return sum[:3]
}
