package capi

import (
	"crypto/md5"  //nolint:gosec // whether it may be used is the signing policy's matter
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	"signpath/internal/wire"
)

// algorithm is a row of what the provider can do.
type algorithm struct {
	id             uint32
	name, longName string // as the providers of Windows call them
	length         uint32 // bits that PP_ENUMALGS tells: of the digest, or of a usual key
	least, most    uint32 // bits
	hash           wire.Hash
	begin          func() hash.Hash // nil: not a hash
}

// Key lengths in bits. The least is what verification accepts.
const (
	usualKey = 2048
	leastKey = 1024
	mostKey  = 16384
)

// algorithms is the table behind CPCreateHash, PP_ENUMALGS and PP_ENUMALGS_EX.
var algorithms = []algorithm{
	{CALG_SHA1, "SHA-1", "Secure Hash Algorithm (SHA-1)", 160, 160, 160, wire.SHA1, sha1.New},
	{CALG_MD5, "MD5", "Message Digest 5 (MD5)", 128, 128, 128, wire.MD5, md5.New},
	{CALG_SHA_256, "SHA-256", "Secure Hash Algorithm (SHA-256)", 256, 256, 256, wire.SHA256, sha256.New},
	{CALG_SHA_384, "SHA-384", "Secure Hash Algorithm (SHA-384)", 384, 384, 384, wire.SHA384, sha512.New384},
	{CALG_SHA_512, "SHA-512", "Secure Hash Algorithm (SHA-512)", 512, 512, 512, wire.SHA512, sha512.New},
	{CALG_RSA_SIGN, "RSA_SIGN", "RSA Signature", usualKey, leastKey, mostKey, 0, nil},
}

// hashAlgorithm finds a hash in the table, nil when there is none.
func hashAlgorithm(id uint32) *algorithm {
	for i := range algorithms {
		if algorithms[i].id == id && algorithms[i].begin != nil {
			return &algorithms[i]
		}
	}
	return nil
}

// enumAlgs is a PROV_ENUMALGS: ALG_ID, bits, length of the name with its NUL, and
// the name in 20 bytes.
func (a *algorithm) enumAlgs() []byte {
	b := append(dword(a.id), dword(a.length)...)
	return append(b, field(a.name, 20)...)
}

// enumAlgsEx is a PROV_ENUMALGS_EX: ALG_ID, usual, least and most bits, protocols, name
// in 20 bytes, long name in 40, each after its length with the NUL.
func (a *algorithm) enumAlgsEx() []byte {
	var b []byte
	for _, v := range []uint32{a.id, a.length, a.least, a.most, CRYPT_FLAG_SIGNING} {
		b = append(b, dword(v)...)
	}
	b = append(b, field(a.name, 20)...)
	return append(b, field(a.longName, 40)...)
}

// field is a name after its length, with NULs up to a size.
func field(name string, size int) []byte {
	b := dword(uint32(len(name) + 1)) //nolint:gosec // our own table
	return append(b, append([]byte(name), make([]byte, size-len(name))...)...)
}
