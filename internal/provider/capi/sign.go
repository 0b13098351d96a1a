package capi

import (
	"bytes"
	"crypto/rsa"
	"slices"

	"signpath/internal/provider/winkeys"
	"signpath/internal/wire"
)

// SignHash is CPSignHash: an RSA PKCS #1 v1.5 signature (RFC 8017 section 8.2) over
// the hash, as many bytes as the modulus, little-endian. It finishes the hash. A
// question for the length, and a buffer that is too short, never reach the service;
// a hash that has been signed is not signed again.
//
// described tells whether the host gave a description to be hashed too, which
// wincrypt.h says no longer to do. CRYPT_NOHASHOID, a signature without the name of the
// hash (for old TLS), is not among what the service signs.
func (p *Provider) SignHash(context, h Handle, spec uint32, described bool, flags uint32, out *Output) (st Status) {
	defer p.app.Trace("CPSignHash", &st, "context", context, "hash", h, "spec", spec, "flags", hexOf(flags))
	c, d, st := p.hashOf(context, h)
	if st != winkeys.OK {
		return st
	}
	switch {
	case algOf[spec] == 0, c.key == nil, c.verify:
		return winkeys.NTE_NO_KEY
	case flags&^CRYPT_NOHASHOID != 0:
		return winkeys.NTE_BAD_FLAGS
	case flags != 0:
		c.session.Log().Error("CPSignHash failed: the service signs digests together with the name of their hash only; do not set CRYPT_NOHASHOID",
			"key", c.container(), "status", winkeys.NTE_NOT_SUPPORTED.String())
		return winkeys.NTE_NOT_SUPPORTED
	case described:
		return winkeys.ERROR_INVALID_PARAMETER
	}
	scheme := wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: d.alg.hash}
	if st, done := out.needs(c.key.SignatureSize(scheme)); done {
		return st
	}
	signature, st := d.sign(c.key, scheme)
	if st != winkeys.OK {
		return st
	}
	slices.Reverse(signature)
	return out.give(signature)
}

// sign gives the signature of the hash, from the service or from a call before;
// the slice is the caller's own.
func (d *digest) sign(k *winkeys.Key, scheme wire.Scheme) ([]byte, Status) {
	d.signing.Lock()
	defer d.signing.Unlock()
	sum := d.finish()
	d.mu.Lock()
	signature := d.signature
	d.mu.Unlock()
	if signature == nil {
		var st Status
		if signature, st = k.Sign("CPSignHash", scheme, sum); st != winkeys.OK {
			return nil, st
		}
		d.mu.Lock()
		if bytes.Equal(d.sum, sum) { // nobody has set another value meanwhile
			d.signature = signature
		}
		d.mu.Unlock()
	}
	return slices.Clone(signature), winkeys.OK
}

// VerifySignature is CPVerifySignature: does a signature in the form of SignHash
// belong to the hash and the key? It never uses the network. The key may be of any
// context of this provider. With CRYPT_NOHASHOID the signature is one without the
// name of the hash.
func (p *Provider) VerifySignature(context, h Handle, signature []byte, publicKey Handle, described bool, flags uint32) (st Status) {
	defer p.app.Trace("CPVerifySignature", &st, "context", context, "hash", h, "key", publicKey, "bytes", len(signature), "flags", hexOf(flags))
	_, d, st := p.hashOf(context, h)
	if st != winkeys.OK {
		return st
	}
	k, ok := find[*key](&p.objects, publicKey, nil)
	switch {
	case !ok:
		return winkeys.NTE_BAD_KEY
	case flags&^CRYPT_NOHASHOID != 0:
		return winkeys.NTE_BAD_FLAGS
	case described:
		return winkeys.ERROR_INVALID_PARAMETER
	}
	hash := d.alg.hash.Crypto()
	if flags&CRYPT_NOHASHOID != 0 {
		hash = 0
	}
	big := slices.Clone(signature)
	slices.Reverse(big)
	if rsa.VerifyPKCS1v15(k.public, hash, d.finish(), big) != nil {
		return winkeys.NTE_BAD_SIGNATURE
	}
	return winkeys.OK
}
