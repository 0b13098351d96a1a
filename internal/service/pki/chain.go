package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Errors of uploaded chains that a caller decides on.
var (
	// ErrNoCertificate: the bytes hold no certificate in a known form.
	ErrNoCertificate = errors.New("no certificate found: give PEM (one or more), DER or PKCS #7 (.p7b)")
	// ErrOtherKey: no certificate belongs to the key.
	ErrOtherKey = errors.New("none of the certificates belongs to this key")
)

// maxCertificates bounds a chain; real ones have two to five.
const maxCertificates = 32

// pemPKCS7 are the labels of a SignedData in PEM (RFC 7468 sections 8 and 9).
var pemPKCS7 = map[string]bool{"PKCS7": true, "CMS": true}

// ParseCertificates reads one or more certificates: PEM (also with text around
// the blocks), DER (also several, one after the other), or a PKCS #7 / CMS
// SignedData with certificates in DER or PEM (.p7b). A private key in the input
// is refused, so that nobody uploads one by mistake and does not hear of it.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	ders := [][]byte{data}
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		var err error
		if ders, err = pemCertificates(data); err != nil {
			return nil, err
		}
	}
	var certs []*x509.Certificate
	for _, der := range ders {
		more, err := parseDER(der)
		if err != nil {
			return nil, err
		}
		if certs = append(certs, more...); len(certs) > maxCertificates {
			return nil, fmt.Errorf("there are more than %d certificates", maxCertificates)
		}
	}
	if len(certs) == 0 {
		return nil, ErrNoCertificate
	}
	return certs, nil
}

func pemCertificates(data []byte) ([][]byte, error) {
	var ders [][]byte
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE" || block.Type == "X509 CERTIFICATE" || pemPKCS7[block.Type]:
			ders = append(ders, block.Bytes)
		case bytes.Contains([]byte(block.Type), []byte("PRIVATE KEY")):
			clear(block.Bytes)
			return nil, errors.New("the file holds a private key: give the certificates alone, and treat that key as disclosed if the file was meant for others")
		}
	}
	if ders == nil {
		return nil, ErrNoCertificate
	}
	return ders, nil
}

func parseDER(der []byte) ([]*x509.Certificate, error) {
	inner, ok := pkcs7Certificates(der)
	if ok {
		der = inner
	}
	if len(der) == 0 || der[0] != 0x30 {
		return nil, ErrNoCertificate
	}
	certs, err := x509.ParseCertificates(der)
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrNoCertificate, err)
	}
	return certs, nil
}

var oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

// pkcs7Certificates gives the certificates of a SignedData, one after the
// other (RFC 5652 section 5.1). Its signatures, if any, do not matter here.
func pkcs7Certificates(der []byte) (certificates []byte, ok bool) {
	context0 := casn1.Tag(0).ContextSpecific().Constructed()
	input := cryptobyte.String(der)
	var info, content, signed, certs cryptobyte.String
	var contentType asn1.ObjectIdentifier
	var present bool
	ok = input.ReadASN1(&info, casn1.SEQUENCE) && input.Empty() &&
		info.ReadASN1ObjectIdentifier(&contentType) && contentType.Equal(oidSignedData) &&
		info.ReadASN1(&content, context0) &&
		content.ReadASN1(&signed, casn1.SEQUENCE) &&
		signed.SkipASN1(casn1.INTEGER) && // version
		signed.SkipASN1(casn1.SET) && // digestAlgorithms
		signed.SkipASN1(casn1.SEQUENCE) && // encapContentInfo
		signed.ReadOptionalASN1(&certs, &present, context0)
	return certs, ok
}

// BelongsTo tells whether a certificate certifies the public key.
func BelongsTo(cert *x509.Certificate, pub crypto.PublicKey) bool {
	spki, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		return false
	}
	other, err := x509.MarshalPKIXPublicKey(pub)
	return err == nil && bytes.Equal(spki, other)
}

// Order sorts certificates into the one of the key and its issuers: leaf, next
// issuer first, as far as they reach (a partial chain is fine). Every step is
// checked by its signature. It answers ErrOtherKey when no certificate belongs
// to pub, and an error when a certificate has no place in the chain, because
// then the upload is not what its sender believes. Repeated certificates and
// other certificates of an issuer in the chain (cross-signed ones) are left out.
func Order(certs []*x509.Certificate, pub crypto.PublicKey) (leaf *x509.Certificate, chain []*x509.Certificate, err error) {
	for _, c := range certs {
		if BelongsTo(c, pub) && (leaf == nil || c.NotAfter.After(leaf.NotAfter)) {
			leaf = c // after a renewal: the one that lasts longest
		}
	}
	if leaf == nil {
		return nil, nil, ErrOtherKey
	}
	for at := leaf; !selfIssued(at); {
		next := issuerOf(at, certs, chain)
		if next == nil {
			break
		}
		chain = append(chain, next)
		at = next
	}
	for _, c := range certs {
		if !inChain(c, append([]*x509.Certificate{leaf}, chain...)) {
			return nil, nil, fmt.Errorf("the certificate %q has no place in the chain of %q: remove it", c.Subject, leaf.Subject)
		}
	}
	return leaf, chain, nil
}

// Complete appends issuers from known, as far as they reach; every step is
// checked by its signature. whole tells whether the chain ends in a
// self-issued certificate, a root.
func Complete(leaf *x509.Certificate, chain, known []*x509.Certificate) (completed []*x509.Certificate, whole bool) {
	completed = append(completed, chain...)
	at := leaf
	if len(chain) > 0 {
		at = chain[len(chain)-1]
	}
	for !selfIssued(at) && len(completed) < maxCertificates {
		next := issuerOf(at, known, append(completed, leaf))
		if next == nil {
			return completed, false
		}
		completed = append(completed, next)
		at = next
	}
	return completed, selfIssued(at)
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// issuerOf finds who signed c. Of several certificates of the same authority
// the self-signed one wins: it ends the chain.
func issuerOf(c *x509.Certificate, certs, used []*x509.Certificate) *x509.Certificate {
	var found *x509.Certificate
	for _, i := range certs {
		if i.Equal(c) || !bytes.Equal(i.RawSubject, c.RawIssuer) || inChain(i, used) || c.CheckSignatureFrom(i) != nil {
			continue
		}
		if found == nil || selfIssued(i) {
			found = i
		}
	}
	return found
}

// inChain compares subject and key, not the bytes: a cross-signed certificate
// of an authority in the chain counts as that authority.
func inChain(c *x509.Certificate, chain []*x509.Certificate) bool {
	for _, o := range chain {
		if bytes.Equal(o.RawSubject, c.RawSubject) && bytes.Equal(o.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo) {
			return true
		}
	}
	return false
}

// EncodePEM writes certificates in DER as PEM blocks.
func EncodePEM(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}
