package cryptoki

import (
	"cmp"
	"crypto/sha1" //nolint:gosec // SHA-1 is what the standard names for CKA_CHECK_VALUE and CKA_HASH_OF_…
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// certificate is what certificate objects show of an X.509 certificate, as the
// bytes that stand in it. It is read with the bare ASN.1 rules, because hosts
// have to get a certificate even when a strict verifier would refuse it.
type certificate struct {
	raw                 []byte // DER
	serial              []byte // DER INTEGER
	issuer, subject     []byte // DER Name
	publicKeyInfo       []byte // DER SubjectPublicKeyInfo
	publicKey           []byte // the bit string in it
	notBefore, notAfter time.Time
}

// parseCertificate reads one DER certificate (RFC 5280 section 4.1). It stands in
// the way of every host, for every certificate in sight: no reflection here.
func parseCertificate(der []byte) (*certificate, error) {
	broken := func(what string) (*certificate, error) {
		return nil, fmt.Errorf("not a DER certificate: %s", what)
	}
	var outer, tbs, validity, keyInfo cryptobyte.String
	var signature, key asn1.BitString
	rest := cryptobyte.String(der)
	if !rest.ReadASN1(&outer, tags.SEQUENCE) {
		return broken("it is no sequence")
	}
	if !rest.Empty() {
		return broken("bytes follow its end")
	}
	var element cryptobyte.String
	c := &certificate{raw: der}
	if !outer.ReadASN1(&tbs, tags.SEQUENCE) || !outer.ReadAnyASN1Element(&element, nil) || !outer.ReadASN1BitString(&signature) {
		return broken("it does not have three parts")
	}
	if !tbs.SkipOptionalASN1(tags.Tag(0).Constructed().ContextSpecific()) { // version
		return broken("its version is malformed")
	}
	var serial, issuer, subject, spki cryptobyte.String
	if !tbs.ReadASN1Element(&serial, tags.INTEGER) {
		return broken("the serial number is no integer")
	}
	if !tbs.ReadAnyASN1Element(&element, nil) || !tbs.ReadAnyASN1Element(&issuer, nil) {
		return broken("it ends before the issuer")
	}
	if !tbs.ReadASN1(&validity, tags.SEQUENCE) || !readTime(&validity, &c.notBefore) || !readTime(&validity, &c.notAfter) {
		return broken("its validity is malformed")
	}
	if !tbs.ReadAnyASN1Element(&subject, nil) || !tbs.ReadASN1Element(&spki, tags.SEQUENCE) {
		return broken("it ends before the public key")
	}
	inside := spki
	if !inside.ReadASN1(&keyInfo, tags.SEQUENCE) || !keyInfo.ReadAnyASN1Element(&element, nil) || !keyInfo.ReadASN1BitString(&key) {
		return broken("its public key is malformed")
	}
	c.serial, c.issuer, c.subject, c.publicKeyInfo, c.publicKey = serial, issuer, subject, spki, key.RightAlign()
	return c, nil
}

// readTime reads a UTCTime or a GeneralizedTime (RFC 5280 section 4.1.2.5).
func readTime(s *cryptobyte.String, t *time.Time) bool {
	if s.PeekASN1Tag(tags.UTCTime) {
		return s.ReadASN1UTCTime(t)
	}
	return s.ReadASN1GeneralizedTime(t)
}

// title is the subject's common name or, without one, the whole subject as text
// (RFC 4514); "" when the subject is not readable.
func (c *certificate) title() string {
	var rdn pkix.RDNSequence
	if _, err := asn1.Unmarshal(c.subject, &rdn); err != nil {
		return ""
	}
	var name pkix.Name
	name.FillFromRDNSequence(&rdn)
	return cmp.Or(name.CommonName, name.String())
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
