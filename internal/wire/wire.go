// Package wire is what both halves of the product say to each other: the
// requests, answers and error documents of SignPath's HTTP API, and the rules
// for reading them strictly.
//
// What enters are bytes from the network, what leaves are Go values whose form
// has been checked (and the other way round). The package decides nothing: no
// permissions, no retries, no keys. Sources: the SignPath documentation of the
// crypto providers' REST API and openapi.yaml beside this file.
package wire

import (
	"crypto"
	_ "crypto/md5"    // registers the hash for crypto.MD5.New
	_ "crypto/sha1"   // likewise
	_ "crypto/sha256" // likewise
	_ "crypto/sha512" // likewise
	"strings"
)

// KeyType is the `keyType` member of a signing policy. Clients compare it
// without regard to case and skip types they do not know.
type KeyType string

// The key types of this version.
const (
	KeyRSA     KeyType = "Rsa"
	KeyECDSA   KeyType = "Ecdsa"
	KeyEd25519 KeyType = "Ed25519" // RFC 8032; ours
)

// CertificateType is the `certificateType` member of a signing policy.
type CertificateType string

// The certificate types.
const (
	CertificateX509 CertificateType = "X509"
	CertificateGPG  CertificateType = "Gpg"
)

// Algorithm is the `SignatureAlgorithm` member of the classic form.
type Algorithm string

// The signature algorithms of the classic form.
const (
	RSAPKCS1 Algorithm = "RsaPkcs1" // EMSA-PKCS1-v1_5, RFC 8017 section 8.2
	RSAPSS   Algorithm = "RsaPss"   // salt length = digest length, MGF1 with the same hash, RFC 8017 section 8.1
	ECDSA    Algorithm = "Ecdsa"    // FIPS 186-5 section 6, leftmost bits of the digest
	EdDSA    Algorithm = "EdDsa"    // pure Ed25519, RFC 8032 section 5.1, over the message itself; ours
)

// KeyType is the type of key that the algorithm needs.
func (a Algorithm) KeyType() KeyType {
	switch a {
	case ECDSA:
		return KeyECDSA
	case EdDSA:
		return KeyEd25519
	}
	return KeyRSA
}

// Scheme is one way of signing: the algorithm and, for RSA, the hash that made
// the digest. ECDSA leaves Hash zero: its wire form names none. EdDSA has none,
// it signs the message itself.
type Scheme struct {
	Algorithm Algorithm
	Hash      Hash
}

// Hash is a digest algorithm of the wire. The zero value is "none".
type Hash uint8

// The digest algorithms of the wire.
const (
	MD5 Hash = iota + 1
	SHA1
	SHA256
	SHA384
	SHA512
)

// hashes is the one table of digest algorithms: OID as in `RsaHashAlgorithm`
// and `hashAlgorithmOid`, name as in `hashAlgorithmName`.
var hashes = [...]struct {
	hash      Hash
	oid, name string
	crypto    crypto.Hash
}{
	{MD5, "1.2.840.113549.2.5", "Md5", crypto.MD5},
	{SHA1, "1.3.14.3.2.26", "Sha1", crypto.SHA1},
	{SHA256, "2.16.840.1.101.3.4.2.1", "Sha256", crypto.SHA256},
	{SHA384, "2.16.840.1.101.3.4.2.2", "Sha384", crypto.SHA384},
	{SHA512, "2.16.840.1.101.3.4.2.3", "Sha512", crypto.SHA512},
}

// Hashes lists every digest algorithm of the wire, weakest first.
func Hashes() []Hash { return []Hash{MD5, SHA1, SHA256, SHA384, SHA512} }

// HashByOID finds a digest algorithm by its dotted object identifier.
func HashByOID(oid string) (Hash, bool) {
	for _, h := range hashes {
		if h.oid == oid {
			return h.hash, true
		}
	}
	return 0, false
}

// HashByName finds a digest algorithm by its wire name, without regard to case.
func HashByName(name string) (Hash, bool) {
	for _, h := range hashes {
		if strings.EqualFold(h.name, name) {
			return h.hash, true
		}
	}
	return 0, false
}

// OID is the dotted object identifier, "" for the zero value.
func (h Hash) OID() string {
	if h == 0 || int(h) > len(hashes) {
		return ""
	}
	return hashes[h-1].oid
}

// String is the wire name, e.g. "Sha256"; "none" for the zero value.
func (h Hash) String() string {
	if h == 0 || int(h) > len(hashes) {
		return "none"
	}
	return hashes[h-1].name
}

// Crypto is the standard library's name of the algorithm (0 for the zero value).
func (h Hash) Crypto() crypto.Hash {
	if h == 0 || int(h) > len(hashes) {
		return 0
	}
	return hashes[h-1].crypto
}

// Size is the digest's length in bytes (0 for the zero value).
func (h Hash) Size() int {
	if h == 0 || int(h) > len(hashes) {
		return 0
	}
	return hashes[h-1].crypto.Size()
}

// ECDSAFormat is the encoding of an ECDSA signature.
type ECDSAFormat string

// The ECDSA signature encodings.
const (
	IEEE ECDSAFormat = "Ieee" // r‖s, each big-endian and padded to the curve's size (IEEE P1363); the default
	ASN1 ECDSAFormat = "Asn1" // DER SEQUENCE { r, s } (RFC 3279 section 2.2.3)
)
