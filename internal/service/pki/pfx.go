package pki

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"software.sslmate.com/src/go-pkcs12"

	"signpath/internal/secret"
)

// Errors of PKCS #12 files that a caller decides on.
var (
	// ErrPFXPassword: the password does not open the file.
	ErrPFXPassword = errors.New("the password does not open the PKCS #12 file")
	// ErrPFXContent: the file is readable but is not one RSA key with its certificate.
	ErrPFXContent = errors.New("the PKCS #12 file cannot be imported")
)

// maxPFXIterations bounds the work that a file may ask for before its password
// is known to be right. OpenSSL writes 2048, Java 10,000.
const maxPFXIterations = 2_000_000

// PFX is the content of a PKCS #12 file.
type PFX struct {
	Key   *rsa.PrivateKey
	Leaf  *x509.Certificate   // of the key
	Chain []*x509.Certificate // next issuer first, as far as the file reaches
}

// ParsePFX opens a PKCS #12 file (.pfx, .p12; RFC 7292) in DER that holds one
// RSA key with its certificate and, in any order, its issuers. Old encryption
// (3DES, RC2, MAC with SHA-1) and new one (PBES2 with AES, MAC with SHA-2,
// PBMAC1) are read. Errors are ErrPFXPassword, ErrPFXContent with a sentence
// that says what is wrong, or those of Order.
func ParsePFX(data []byte, password secret.Secret) (*PFX, error) {
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(data, &outer); err != nil || len(rest) > 0 || outer.Tag != asn1.TagSequence {
		return nil, fmt.Errorf("%w: it is not a PKCS #12 file in DER", ErrPFXContent)
	}
	if n := iterations(outer.Bytes, 0); n > maxPFXIterations {
		return nil, fmt.Errorf("%w: it asks for %d iterations of its key derivation; %d are allowed", ErrPFXContent, n, maxPFXIterations)
	}
	key, first, more, err := pkcs12.DecodeChain(data, password.Reveal())
	if err != nil {
		return nil, pfxError(err)
	}
	private, ok := key.(*rsa.PrivateKey)
	switch key.(type) {
	case *rsa.PrivateKey:
	case *ecdsa.PrivateKey:
		return nil, fmt.Errorf("%w: its key is an EC key; only RSA keys can be imported. Make an EC key here with a certificate request instead", ErrPFXContent)
	}
	if !ok {
		return nil, fmt.Errorf("%w: its key is no RSA key", ErrPFXContent)
	}
	leaf, chain, err := Order(append([]*x509.Certificate{first}, more...), private.Public())
	if errors.Is(err, ErrOtherKey) {
		return nil, fmt.Errorf("%w: none of its certificates belongs to its key", ErrPFXContent)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPFXContent, err)
	}
	return &PFX{Key: private, Leaf: leaf, Chain: chain}, nil
}

// pfxSentences turns what the library says into what a person can do; the first
// text that fits counts.
var pfxSentences = []struct{ contains, sentence string }{
	{"private key missing", "it holds no private key; export it together with the key"},
	{"certificate missing", "it holds no certificate; export the key together with its certificate"},
	{"exactly one key bag", "it holds several private keys; export the one that is meant alone"},
	{"no MAC in data", "it has no integrity check; export it with a password"},
	{"only password-protected PFX", "it is protected with a certificate in place of a password; export it with a password"},
	{"indefinite length", "it is encoded in BER; write it anew, e.g. with openssl pkcs12"},
}

func pfxError(err error) error {
	text := err.Error()
	for _, s := range pfxSentences {
		if strings.Contains(text, s.contains) {
			return fmt.Errorf("%w: %s", ErrPFXContent, s.sentence)
		}
	}
	// A wrong password that the MAC does not catch shows as wrong padding.
	if errors.Is(err, pkcs12.ErrIncorrectPassword) || errors.Is(err, pkcs12.ErrDecryption) || strings.Contains(text, pkcs12.ErrDecryption.Error()) {
		return ErrPFXPassword
	}
	return fmt.Errorf("%w: %s", ErrPFXContent, strings.TrimPrefix(text, "pkcs12: "))
}

// iterations is the largest iteration count in the readable part of a file: an
// INTEGER that follows a salt, which is an OCTET STRING (RFC 7292 appendix A,
// RFC 8018 appendix A.2). Negative and huge ones count as too many.
func iterations(der []byte, depth int) int {
	const deepest = 24
	if depth > deepest {
		return 0
	}
	largest := 0
	afterSalt := false
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return largest
		}
		der = rest
		universal := v.Class == asn1.ClassUniversal
		if universal && v.Tag == asn1.TagInteger && afterSalt {
			var n int
			if _, err := asn1.Unmarshal(v.FullBytes, &n); err != nil || n < 0 {
				n = maxPFXIterations + 1
			}
			largest = max(largest, n)
		}
		afterSalt = universal && v.Tag == asn1.TagOctetString
		if v.IsCompound || afterSalt {
			largest = max(largest, iterations(v.Bytes, depth+1))
		}
	}
	return largest
}
