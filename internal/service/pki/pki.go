// Package pki makes and reads what belongs to a key in public: X.509
// certificates, the certificate authority of the development service, TLS
// certificates for the service itself, and OpenPGP public keys.
//
// What enters are public keys, signers and descriptions, what leaves are
// certificates and certification requests in DER (or PEM where a file is meant)
// and OpenPGP keys in binary or armour. The package holds no state, reads no files, knows no database and
// no permissions. Private keys of customers stay behind keys.Signer; only the
// keys of the two small authorities that this package makes itself, and those
// in a PKCS #12 file on their way into a key store, pass through it.
//
// Sources: RFC 5280 (X.509), RFC 2986 (PKCS #10), RFC 7292 (PKCS #12), RFC 9580 and, for version 4 keys, RFC 4880 (OpenPGP).
package pki

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // names keys
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"signpath/internal/service/keys"
)

// Backdate is how far a certificate may begin in the past, so that machines
// whose clocks are a little slow accept it at once.
const Backdate = time.Hour

// Template describes a certificate. The zero value of CA makes an end-entity
// certificate: CA:FALSE and key usage digitalSignature, both critical.
type Template struct {
	CommonName   string // 1 to 64 characters
	Organization string // optional, at most 64 characters
	// More of the subject, all optional (RFC 5280 appendix A.1): at most 64, 128
	// and 128 characters, and two capital letters (ISO 3166).
	OrganizationalUnit, Locality, State, Country string
	EKU                                          []x509.ExtKeyUsage
	DNSNames                                     []string
	IPs                                          []net.IP
	Emails                                       []string
	URIs                                         []*url.URL
	// NotBefore and NotAfter bound the validity, both inclusive. Fractions of a
	// second are cut off. A zero NotBefore means one hour ago; an earlier one is
	// refused.
	NotBefore time.Time
	NotAfter  time.Time
	// CA makes an authority: key usage keyCertSign and cRLSign. PathLen is how
	// many authorities may follow below it (0: it issues end-entity certificates
	// only, -1: no limit).
	CA      bool
	PathLen int
}

// SelfSigned makes a certificate that the key signs for itself. The result is DER.
func SelfSigned(ctx context.Context, signer keys.Signer, t Template) ([]byte, error) {
	return selfSigned(t, keys.CryptoSigner(ctx, signer))
}

func selfSigned(t Template, key crypto.Signer) ([]byte, error) {
	cert, err := t.certificate(key.Public(), time.Now())
	if err != nil {
		return nil, err
	}
	return create(cert, cert, key.Public(), key)
}

// Issue makes a certificate for pub, signed by an authority. The result is DER.
// A NotBefore earlier than the issuer's is moved to it; a NotAfter later than
// the issuer's is refused, because the chain would break before the
// certificate ends.
func Issue(ctx context.Context, t Template, pub crypto.PublicKey, issuer *x509.Certificate, issuerKey crypto.Signer) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cert, err := t.certificate(pub, time.Now())
	if err != nil {
		return nil, err
	}
	if err := mayIssue(issuer, issuerKey, cert); err != nil {
		return nil, err
	}
	if cert.NotBefore.Before(issuer.NotBefore) {
		cert.NotBefore = issuer.NotBefore
	}
	return create(cert, issuer, pub, issuerKey)
}

func create(cert, issuer *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	alg, err := signatureAlgorithm(key.Public())
	if err != nil {
		return nil, err
	}
	cert.SignatureAlgorithm = alg
	der, err := x509.CreateCertificate(rand.Reader, cert, issuer, pub, key) // checks the signature that it made
	if err != nil {
		return nil, fmt.Errorf("make the certificate: %w", err)
	}
	return der, nil
}

// signatureAlgorithm is the one table of what signs certificates: a hash as
// strong as the key.
func signatureAlgorithm(pub crypto.PublicKey) (x509.SignatureAlgorithm, error) {
	switch p := pub.(type) {
	case *rsa.PublicKey:
		return x509.SHA256WithRSA, nil
	case *ecdsa.PublicKey:
		switch p.Curve.Params().BitSize {
		case 256:
			return x509.ECDSAWithSHA256, nil
		case 384:
			return x509.ECDSAWithSHA384, nil
		case 521:
			return x509.ECDSAWithSHA512, nil
		}
	case ed25519.PublicKey:
		return x509.PureEd25519, nil
	}
	return 0, fmt.Errorf("a key of type %T cannot sign certificates", pub)
}

// lastTime is the end of GeneralizedTime (RFC 5280 section 4.1.2.5).
var lastTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// certificate checks the template and fills in everything but the issuer.
func (t Template) certificate(pub crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	notBefore, notAfter, err := t.validity(now)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	keyID, err := subjectKeyID(pub)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               t.subject(),
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           t.EKU,
		BasicConstraintsValid: true,
		SubjectKeyId:          keyID,
		DNSNames:              t.DNSNames,
		IPAddresses:           t.IPs,
		EmailAddresses:        t.Emails,
		URIs:                  t.URIs,
	}
	if t.CA {
		cert.IsCA = true
		cert.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		cert.MaxPathLen = t.PathLen
		cert.MaxPathLenZero = t.PathLen == 0
	}
	return cert, nil
}

// subject is the distinguished name.
func (t Template) subject() pkix.Name {
	name := pkix.Name{CommonName: t.CommonName}
	for _, part := range []struct {
		text string
		to   *[]string
	}{
		{t.Organization, &name.Organization}, {t.OrganizationalUnit, &name.OrganizationalUnit},
		{t.Locality, &name.Locality}, {t.State, &name.Province}, {t.Country, &name.Country},
	} {
		if part.text != "" {
			*part.to = []string{part.text}
		}
	}
	return name
}

// part is one attribute of the subject with its upper bound in characters.
type part struct {
	name, text string
	limit      int
}

// parts are the attributes with the upper bounds of RFC 5280 appendix A.1.
func (t Template) parts() []part {
	return []part{
		{"common name", t.CommonName, 64}, {"organization", t.Organization, 64}, {"organizational unit", t.OrganizationalUnit, 64},
		{"locality", t.Locality, 128}, {"state", t.State, 128}, {"country", t.Country, 2},
	}
}

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

func (t Template) check() error {
	if t.CommonName == "" {
		return errors.New("a certificate needs a common name")
	}
	for _, part := range t.parts() {
		if n := len([]rune(part.text)); n > part.limit {
			return fmt.Errorf("the %s has %d characters; the limit is %d", part.name, n, part.limit)
		}
	}
	switch {
	case t.Country != "" && !isCountry(t.Country):
		return fmt.Errorf("the country %q is not a code of two capital letters (ISO 3166), e.g. AT", t.Country)
	case t.CA && t.PathLen < -1:
		return fmt.Errorf("the path length is %d; it must be -1 (no limit) or more", t.PathLen)
	case !t.CA && t.PathLen != 0:
		return errors.New("only an authority has a path length")
	}
	return nil
}

func (t Template) validity(now time.Time) (notBefore, notAfter time.Time, err error) {
	earliest := now.Add(-Backdate).UTC().Truncate(time.Second)
	notBefore, notAfter = earliest, t.NotAfter.UTC().Truncate(time.Second)
	if !t.NotBefore.IsZero() {
		notBefore = t.NotBefore.UTC().Truncate(time.Second)
	}
	switch {
	case t.NotAfter.IsZero():
		err = errors.New("a certificate needs an end of its validity")
	case notBefore.Before(earliest):
		err = fmt.Errorf("the certificate would begin on %s; it may begin at most one hour in the past", notBefore.Format(time.RFC3339))
	case notAfter.Before(notBefore):
		err = fmt.Errorf("the certificate would end on %s, before it begins on %s", notAfter.Format(time.RFC3339), notBefore.Format(time.RFC3339))
	case notAfter.After(lastTime):
		err = fmt.Errorf("the certificate would end in the year %d; the last one is 9999", notAfter.Year())
	}
	return notBefore, notAfter, err
}

// newSerial is a positive random number of 128 bits. The top bit is set, so
// that every serial number has the same length and none is zero (RFC 5280
// section 4.1.2.2: at most 20 bytes).
func newSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, err
	}
	b[0] |= 0x80
	return new(big.Int).SetBytes(b[:]), nil
}

// subjectKeyID is method 1 of RFC 5280 section 4.2.1.2: the SHA-1 of the
// subjectPublicKey bit string's content. It names keys and secures nothing; tools
// that compute it for themselves (evmctl) know no other method.
func subjectKeyID(pub crypto.PublicKey) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(spki, &info); err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	sum := sha1.Sum(info.Key.Bytes) //nolint:gosec // see above
	return sum[:], nil
}

// mayIssue holds the rules between an issuer and a new certificate (RFC 5280
// sections 4.2.1.3, 4.2.1.9 and 6.1.4).
func mayIssue(issuer *x509.Certificate, key crypto.Signer, cert *x509.Certificate) error {
	name := issuer.Subject.CommonName
	switch {
	case !issuer.BasicConstraintsValid || !issuer.IsCA || issuer.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("the certificate %q is no authority", name)
	case !BelongsTo(issuer, key.Public()):
		return fmt.Errorf("the key does not belong to the issuer's certificate %q", name)
	case cert.NotAfter.After(issuer.NotAfter):
		return fmt.Errorf("the certificate would end on %s, after its issuer %q on %s",
			cert.NotAfter.Format(time.RFC3339), name, issuer.NotAfter.Format(time.RFC3339))
	}
	limited := issuer.MaxPathLen > 0 || issuer.MaxPathLenZero
	if cert.IsCA && limited && (cert.MaxPathLen < 0 || cert.MaxPathLen >= issuer.MaxPathLen) {
		return fmt.Errorf("the issuer %q allows %d authorities below it; the new one's path length must be smaller", name, issuer.MaxPathLen)
	}
	return nil
}
