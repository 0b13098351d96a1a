package cng

import (
	"encoding/binary"
	"strings"

	"signpath/internal/provider/winkeys"
	"signpath/internal/wire"
)

// padding is what a host says about the form of a signature.
type padding struct {
	scheme wire.Scheme
	bare   bool // PKCS #1 without a DigestInfo: no hash is named
}

// hashNames is BCRYPT_…_ALGORITHM of the hashes of the wire. CNG compares without
// regard to case.
var hashNames = map[string]wire.Hash{"MD5": wire.MD5, "SHA1": wire.SHA1, "SHA256": wire.SHA256, "SHA384": wire.SHA384, "SHA512": wire.SHA512}

// padding reads pPaddingInfo (argument i) under dwFlags (argument f) for a key.
//
// ECDSA has no padding; whatever is given is not looked at, as signtool /ds gives
// some. RSA needs BCRYPT_PAD_PKCS1 with BCRYPT_PKCS1_PADDING_INFO {pszAlgId} or
// BCRYPT_PAD_PSS with BCRYPT_PSS_PADDING_INFO {pszAlgId, cbSalt}; a structure without
// a flag is taken as the first. The salt has to be as long as the hash: the service
// makes no others.
func (c *call) padding(k *key, i, f int) (padding, Status) {
	if k.alg.group == "ECDSA" {
		return padding{scheme: wire.Scheme{Algorithm: wire.ECDSA}}, winkeys.OK
	}
	kind := c.dword(f) & (flagNoPadding | flagPKCS1 | flagOAEP | flagPSS)
	p := padding{scheme: wire.Scheme{Algorithm: wire.RSAPKCS1}}
	size := c.opts.PointerSize
	switch {
	case kind == flagPSS:
		p.scheme.Algorithm = wire.RSAPSS
		size += 4
	case kind != flagPKCS1 && (kind != 0 || c.a[i] == 0):
		return p, winkeys.NTE_BAD_FLAGS
	}
	info, ok := c.read(c.a[i], size)
	if !ok {
		return p, winkeys.NTE_INVALID_PARAMETER
	}
	at := pointerOf(info[:c.opts.PointerSize])
	if at == 0 {
		if kind == flagPSS {
			return p, winkeys.NTE_INVALID_PARAMETER
		}
		p.bare = true
		return p, winkeys.OK
	}
	name, ok := c.textAt(at)
	c.note("hash", name)
	if !ok {
		return p, winkeys.NTE_INVALID_PARAMETER
	}
	if p.scheme.Hash, ok = hashNames[strings.ToUpper(name)]; !ok {
		return p, winkeys.NTE_NOT_SUPPORTED
	}
	if kind == flagPSS {
		salt := binary.LittleEndian.Uint32(info[c.opts.PointerSize:])
		c.note("salt", salt)
		if uint64(salt) != uint64(p.scheme.Hash.Size()) { //nolint:gosec // never negative
			return p, winkeys.NTE_INVALID_PARAMETER
		}
	}
	return p, winkeys.OK
}
