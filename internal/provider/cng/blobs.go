package cng

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"math/big"
	"slices"

	"signpath/internal/provider/winkeys"
)

// blobs is what ExportKey makes, by type and algorithm group. Everything else,
// private key blobs above all, is NTE_NOT_SUPPORTED.
var blobs = map[string]map[string]func(*key) []byte{
	"PUBLICBLOB":     {"RSA": rsaBlob, "ECDSA": eccBlob}, // BCRYPT_PUBLIC_KEY_BLOB: the one of the key's kind
	"RSAPUBLICBLOB":  {"RSA": rsaBlob},                   // BCRYPT_RSAPUBLIC_BLOB
	"ECCPUBLICBLOB":  {"ECDSA": eccBlob},                 // BCRYPT_ECCPUBLIC_BLOB
	"CAPIPUBLICBLOB": {"RSA": capiBlob},                  // LEGACY_RSAPUBLIC_BLOB
}

// rsaBlob is BCRYPT_RSAKEY_BLOB {Magic, BitLength, cbPublicExp, cbModulus, cbPrime1,
// cbPrime2}, little-endian, then exponent and modulus, big-endian.
func rsaBlob(k *key) []byte {
	p := k.Public().(*rsa.PublicKey)
	e, n := big.NewInt(int64(p.E)).Bytes(), p.N.Bytes()
	b := append([]byte(k.alg.magic), dwords(uint32(p.N.BitLen()), uint32(len(e)), uint32(len(n)), 0, 0)...) //nolint:gosec // sizes of a key
	return slices.Concat(b, e, n)
}

// eccBlob is BCRYPT_ECCKEY_BLOB {Magic, cbKey}, little-endian, then X and Y,
// big-endian and padded to the size of the curve.
func eccBlob(k *key) []byte {
	point, err := k.Public().(*ecdsa.PublicKey).Bytes() // 0x04, X, Y
	if err != nil {
		return nil // not reached: the ring has keys on their curve only
	}
	half := (len(point) - 1) / 2
	b := append([]byte(k.alg.magic), dwords(uint32(half))...) //nolint:gosec // 66 at most
	return append(b, point[1:]...)
}

// capiBlob is PUBLICKEYSTRUC {PUBLICKEYBLOB, 2, 0, CALG_RSA_SIGN}, RSAPUBKEY
// {magic, bitlen, pubexp} and the modulus, all little-endian.
func capiBlob(k *key) []byte {
	p := k.Public().(*rsa.PublicKey)
	n := p.N.Bytes()
	slices.Reverse(n)
	b := append([]byte{6, 2, 0, 0}, dwords(0x2400)...)
	b = append(b, k.alg.magic...)
	b = append(b, dwords(uint32(p.N.BitLen()), uint32(p.E))...) //nolint:gosec // an exponent of more than 32 bits has no place in this form
	return append(b, n...)
}

// exportKey answers ExportKey(hProvider, hKey, hExportKey, pszBlobType,
// pParameterList, pbOutput, cbOutput, pcbResult, dwFlags).
func (c *call) exportKey() Status {
	k, ok := c.key(1)
	if !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	kind, ok := c.text(3)
	c.note("blob", kind)
	switch {
	case !ok || c.a[7] == 0:
		return winkeys.NTE_INVALID_PARAMETER
	case !c.flags(8, flagExportLegacy|flagNISTAsGeneric):
		return winkeys.NTE_BAD_FLAGS
	}
	export := blobs[kind][k.alg.group]
	if export == nil || c.a[2] != 0 { // there is nothing that a key could be wrapped for
		return winkeys.NTE_NOT_SUPPORTED
	}
	return c.output(5, export(k))
}
