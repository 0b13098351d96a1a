package capi

import (
	"crypto/rsa"
	"encoding/binary"
	"math/big"
	"slices"

	"signpath/internal/provider/winkeys"
)

// A PUBLICKEYBLOB of an RSA key (wincrypt.h: BLOBHEADER, RSAPUBKEY) is
// little-endian throughout:
//
//	0  BYTE  6, PUBLICKEYBLOB       8  DWORD "RSA1"
//	1  BYTE  2, the version        12  DWORD bits of the modulus
//	2  WORD  0                     16  DWORD public exponent
//	4  DWORD ALG_ID of the key     20  the modulus, bits / 8 bytes
const blobHeader = 20

var rsa1 = [4]byte{'R', 'S', 'A', '1'}

// encodeBlob makes the blob of a key. A modulus whose bits are no multiple of 8
// stands in the next whole byte.
func encodeBlob(public *rsa.PublicKey, alg uint32) []byte {
	b := append([]byte{byte(PUBLICKEYBLOB), 2, 0, 0}, dword(alg)...)
	b = append(b, rsa1[:]...)
	b = append(b, dword(uint32(public.N.BitLen()))...) //nolint:gosec // a key's bits
	b = append(b, dword(uint32(public.E))...)          //nolint:gosec // Go's exponents have 31 bits
	n := public.N.FillBytes(make([]byte, public.Size()))
	slices.Reverse(n)
	return append(b, n...)
}

// parseBlob reads a blob that a host gave. Bytes behind the modulus are ignored, as
// the providers of Windows do.
func parseBlob(b []byte) (public *rsa.PublicKey, alg uint32, st Status) {
	switch {
	case len(b) < 8:
		return nil, 0, winkeys.NTE_BAD_DATA
	case uint32(b[0]) != PUBLICKEYBLOB:
		return nil, 0, winkeys.NTE_BAD_TYPE
	case b[1] != 2:
		return nil, 0, winkeys.NTE_BAD_VER
	}
	alg = binary.LittleEndian.Uint32(b[4:])
	if alg != CALG_RSA_SIGN && alg != CALG_RSA_KEYX {
		return nil, 0, winkeys.NTE_BAD_ALGID
	}
	if len(b) < blobHeader || [4]byte(b[8:12]) != rsa1 {
		return nil, 0, winkeys.NTE_BAD_DATA
	}
	bits, e := binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint32(b[16:])
	if bits < leastKey || bits > mostKey {
		return nil, 0, winkeys.NTE_BAD_LEN
	}
	size := (int(bits) + 7) / 8
	if len(b) < blobHeader+size || e < 3 || e&1 == 0 || e > 1<<31-1 {
		return nil, 0, winkeys.NTE_BAD_DATA
	}
	modulus := slices.Clone(b[blobHeader : blobHeader+size])
	slices.Reverse(modulus)
	n := new(big.Int).SetBytes(modulus)
	if n.BitLen() != int(bits) || n.Bit(0) == 0 {
		return nil, 0, winkeys.NTE_BAD_DATA
	}
	return &rsa.PublicKey{N: n, E: int(e)}, alg, winkeys.OK
}
