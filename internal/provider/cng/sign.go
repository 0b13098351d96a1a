package cng

import (
	"crypto"
	"crypto/rsa"

	"signpath/internal/provider/keyring"
	"signpath/internal/provider/winkeys"
	"signpath/internal/wire"
)

// maxDigest bounds the hash that is read, in bytes; the longest has 64.
const maxDigest = 1024

// signatureSize is the length of every signature of the key, in bytes.
func (k *key) signatureSize() int {
	if k.alg.group == "ECDSA" {
		return k.SignatureSize(wire.Scheme{Algorithm: wire.ECDSA})
	}
	return k.SignatureSize(wire.Scheme{Algorithm: wire.RSAPKCS1})
}

const paddingFlags = flagNoPadding | flagPKCS1 | flagOAEP | flagPSS

// signHash answers SignHash(hProvider, hKey, pPaddingInfo, pbHashValue, cbHashValue,
// pbSignature, cbSignature, pcbResult, dwFlags). With a NULL or short buffer it
// answers from the key's size. It is the only function that has the service sign.
func (c *call) signHash() Status {
	k, ok := c.key(1)
	if !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	c.note("name", k.Name(), "hashLen", c.dword(4))
	switch {
	case c.a[7] == 0:
		return winkeys.NTE_INVALID_PARAMETER
	case !c.flags(8, paddingFlags):
		return winkeys.NTE_BAD_FLAGS
	}
	if asked, st := c.wantsSize(5, k.signatureSize()); asked || st != winkeys.OK {
		return st
	}
	p, st := c.padding(k, 2, 8)
	if st != winkeys.OK {
		return c.refusePadding(k, st)
	}
	if p.bare {
		c.app.Log().Error("SignHash failed: the tool asks for a PKCS #1 signature without the name of a hash algorithm, as old versions of TLS do; the service makes none. Use a tool that names the algorithm",
			"key", k.Name(), "hashLen", c.dword(4), "status", winkeys.NTE_NOT_SUPPORTED.String())
		return winkeys.NTE_NOT_SUPPORTED
	}
	digest, ok := c.digest(3)
	if !ok {
		return winkeys.NTE_INVALID_PARAMETER
	}
	signature, st := k.Sign(c.name, p.scheme, digest)
	if st != winkeys.OK {
		return st
	}
	if !c.write(c.a[5], signature) {
		return winkeys.NTE_INVALID_PARAMETER
	}
	return winkeys.OK
}

// refusePadding tells why a signature's form is refused: tools do not.
func (c *call) refusePadding(k *key, st Status) Status {
	c.app.Log().Error(c.name+" failed: the tool asks for a form of signature that does not exist here. RSA keys sign PKCS #1 or PSS with MD5, SHA1, SHA256, SHA384 or SHA512, PSS with a salt as long as the hash",
		append([]any{"key", k.Name(), "status", st.String()}, c.log...)...)
	return st
}

// digest is the hash that argument i points to, with its length behind it.
func (c *call) digest(i int) ([]byte, bool) {
	n := c.dword(i + 1)
	if n == 0 || n > maxDigest {
		return nil, false
	}
	return c.read(c.a[i], int(n))
}

// verifySignature answers VerifySignature(hProvider, hKey, pPaddingInfo, pbHashValue,
// cbHashValue, pbSignature, cbSignature, dwFlags) with the public key, here.
func (c *call) verifySignature() Status {
	k, ok := c.key(1)
	if !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	c.note("name", k.Name(), "hashLen", c.dword(4), "signatureLen", c.dword(6))
	if !c.flags(7, paddingFlags) {
		return winkeys.NTE_BAD_FLAGS
	}
	p, st := c.padding(k, 2, 7)
	if st != winkeys.OK {
		return st
	}
	digest, ok := c.digest(3)
	if !ok || c.a[5] == 0 {
		return winkeys.NTE_INVALID_PARAMETER
	}
	if int64(c.dword(6)) != int64(k.signatureSize()) {
		return winkeys.NTE_BAD_SIGNATURE
	}
	signature, ok := c.read(c.a[5], k.signatureSize())
	if !ok {
		return winkeys.NTE_INVALID_PARAMETER
	}
	if p.bare { // what the service would not sign can still be checked
		if rsa.VerifyPKCS1v15(k.Public().(*rsa.PublicKey), crypto.Hash(0), digest, signature) != nil {
			return winkeys.NTE_BAD_SIGNATURE
		}
		return winkeys.OK
	}
	if st := winkeys.StatusOf(k.Check(p.scheme, len(digest))); st != winkeys.OK {
		return st
	}
	if keyring.Verify(k.Public(), p.scheme, digest, signature) != nil {
		return winkeys.NTE_BAD_SIGNATURE
	}
	return winkeys.OK
}
