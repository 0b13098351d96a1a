package capi

import (
	"crypto/rsa"

	"signpath/internal/provider/winkeys"
)

// key is what an HCRYPTKEY stands for: the public half of a container's key, or a
// public key that the host imported. It never changes.
type key struct {
	public      *rsa.PublicKey
	alg         uint32
	certificate []byte // DER; nil when there is none
	imported    bool
}

// algOf is the ALG_ID of each of a container's two key pairs.
var algOf = map[uint32]uint32{AT_SIGNATURE: CALG_RSA_SIGN, AT_KEYEXCHANGE: CALG_RSA_KEYX}

// GetUserKey is CPGetUserKey.
func (p *Provider) GetUserKey(context Handle, spec uint32) (h Handle, st Status) {
	defer p.app.Trace("CPGetUserKey", &st, "context", context, "spec", spec, "key", &h)
	c, st := p.context(context)
	if st != winkeys.OK {
		return 0, st
	}
	alg, known := algOf[spec]
	if !known {
		return 0, winkeys.NTE_BAD_KEY
	}
	if c.key == nil {
		return 0, winkeys.NTE_NO_KEY
	}
	return p.hold(&key{public: c.key.Public().(*rsa.PublicKey), alg: alg, certificate: c.key.Certificate()}, c)
}

// hold gives a key or hash its handle.
func (p *Provider) hold(value any, c *cspContext) (Handle, Status) {
	h := p.objects.add(value, c)
	if h == 0 {
		return 0, winkeys.NTE_BAD_UID // released by another thread
	}
	return h, winkeys.OK
}

// key finds a key of a context.
func (p *Provider) key(context, h Handle) (*cspContext, *key, Status) {
	c, st := p.context(context)
	if st != winkeys.OK {
		return nil, nil, st
	}
	k, ok := find[*key](&p.objects, h, c)
	if !ok {
		return nil, nil, winkeys.NTE_BAD_KEY
	}
	return c, k, winkeys.OK
}

// DestroyKey is CPDestroyKey: it ends the handle.
func (p *Provider) DestroyKey(context, h Handle) (st Status) {
	defer p.app.Trace("CPDestroyKey", &st, "context", context, "key", h)
	if _, _, st := p.key(context, h); st != winkeys.OK {
		return st
	}
	if !p.objects.remove(h) {
		return winkeys.NTE_BAD_KEY
	}
	return winkeys.OK
}

// DuplicateKey is CPDuplicateKey. reserved tells whether pdwReserved was given.
func (p *Provider) DuplicateKey(context, h Handle, reserved bool, flags uint32) (copied Handle, st Status) {
	defer p.app.Trace("CPDuplicateKey", &st, "context", context, "key", h, "duplicate", &copied)
	c, k, st := p.key(context, h)
	switch {
	case st != winkeys.OK:
		return 0, st
	case reserved:
		return 0, winkeys.ERROR_INVALID_PARAMETER
	case flags != 0:
		return 0, winkeys.NTE_BAD_FLAGS
	}
	return p.hold(k, c)
}

// ExportKey is CPExportKey: public keys as PUBLICKEYBLOB. A private key does not
// leave the service, which CryptoAPI knows as NTE_BAD_KEY_STATE, not exportable.
func (p *Provider) ExportKey(context, h, exportKey Handle, kind, flags uint32, out *Output) (st Status) {
	defer p.app.Trace("CPExportKey", &st, "context", context, "key", h, "type", kind, "flags", hexOf(flags))
	_, k, st := p.key(context, h)
	switch {
	case st != winkeys.OK:
		return st
	case kind == PRIVATEKEYBLOB:
		return winkeys.NTE_BAD_KEY_STATE
	case kind != PUBLICKEYBLOB:
		return winkeys.NTE_BAD_TYPE
	case flags != 0:
		return winkeys.NTE_BAD_FLAGS
	case exportKey != 0:
		return winkeys.NTE_BAD_KEY
	}
	return out.give(encodeBlob(k.public, k.alg))
}

// importFlags mean nothing for public keys, but hosts give them.
const importFlags = CRYPT_EXPORTABLE | CRYPT_NO_SALT | CRYPT_OAEP

// ImportKey is CPImportKey: RSA public keys in a PUBLICKEYBLOB, to verify signatures
// with. They live as long as their handle.
func (p *Provider) ImportKey(context Handle, blob []byte, publicKey Handle, flags uint32) (h Handle, st Status) {
	defer p.app.Trace("CPImportKey", &st, "context", context, "bytes", len(blob), "flags", hexOf(flags), "key", &h)
	c, st := p.context(context)
	if st != winkeys.OK {
		return 0, st
	}
	public, alg, st := parseBlob(blob)
	switch {
	case st != winkeys.OK:
		return 0, st
	case flags&^importFlags != 0:
		return 0, winkeys.NTE_BAD_FLAGS
	case publicKey != 0:
		return 0, winkeys.NTE_BAD_KEY
	}
	return p.hold(&key{public: public, alg: alg, imported: true}, c)
}

// keyParams is the table of KP_* parameters. The others of wincrypt.h are those of
// session keys and answer NTE_BAD_TYPE.
var keyParams = map[uint32]func(*key) []byte{
	KP_ALGID:       func(k *key) []byte { return dword(k.alg) },
	KP_KEYLEN:      func(k *key) []byte { return dword(uint32(k.public.N.BitLen())) }, //nolint:gosec // a key's bits
	KP_BLOCKLEN:    func(k *key) []byte { return dword(uint32(k.public.N.BitLen())) }, //nolint:gosec // a key's bits
	KP_PERMISSIONS: func(k *key) []byte { return dword(k.permissions()) },
	KP_CERTIFICATE: func(k *key) []byte { return k.certificate },
}

// permissions: CRYPT_EXPORT would say that the private key can be exported.
func (k *key) permissions() uint32 {
	if k.imported {
		return CRYPT_READ | CRYPT_EXPORT
	}
	return CRYPT_READ
}

// GetKeyParam is CPGetKeyParam. KP_CERTIFICATE is the signing policy's certificate
// in DER.
func (p *Provider) GetKeyParam(context, h Handle, param uint32, out *Output, flags uint32) (st Status) {
	defer p.app.Trace("CPGetKeyParam", &st, "context", context, "key", h, "param", param, "flags", hexOf(flags))
	_, k, st := p.key(context, h)
	if st != winkeys.OK {
		return st
	}
	value, known := keyParams[param]
	switch {
	case !known:
		return winkeys.NTE_BAD_TYPE
	case flags != 0:
		return winkeys.NTE_BAD_FLAGS
	case param == KP_CERTIFICATE && k.certificate == nil:
		return winkeys.NTE_NOT_FOUND
	}
	return out.give(value(k))
}
