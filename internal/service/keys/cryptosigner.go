package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"

	"signpath/internal/wire"
)

// CryptoSigner gives a key the form that crypto/x509 and OpenPGP want. Unlike
// Signer, an ECDSA answer is the DER SEQUENCE of RFC 3279 section 2.2.3. An Ed25519
// key signs messages and takes no hash. RSA
// options choose the scheme: *rsa.PSSOptions PSS, anything else PKCS1; the salt
// of PSS is as long as the digest, other lengths are refused. ctx is that of
// every later signature.
func CryptoSigner(ctx context.Context, s Signer) crypto.Signer { return &cryptoSigner{ctx, s} }

// cryptoSigner keeps a context because crypto.Signer has no room for one.
type cryptoSigner struct {
	ctx    context.Context
	signer Signer
}

// Public implements crypto.Signer.
func (c *cryptoSigner) Public() crypto.PublicKey { return c.signer.Public() }

// Sign implements crypto.Signer; the randomness is the key store's own.
func (c *cryptoSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil {
		opts = crypto.Hash(0)
	}
	hash := opts.HashFunc()
	if _, ok := c.signer.Public().(ed25519.PublicKey); ok {
		if hash != 0 {
			return nil, schemeError(wire.Scheme{Algorithm: wire.EdDSA}, "Ed25519 signs messages, not digests of %s.", hash)
		}
		return c.signer.Sign(c.ctx, wire.Scheme{Algorithm: wire.EdDSA}, digest)
	}
	if _, ok := c.signer.Public().(*ecdsa.PublicKey); ok {
		if hash != 0 && len(digest) != hash.Size() {
			return nil, schemeError(wire.Scheme{Algorithm: wire.ECDSA}, "The digest has %d bytes, but a %s digest has %d.", len(digest), hash, hash.Size())
		}
		sig, err := c.signer.Sign(c.ctx, wire.Scheme{Algorithm: wire.ECDSA}, digest)
		if err != nil {
			return nil, err
		}
		return ECDSAToASN1(sig)
	}
	scheme := wire.Scheme{Algorithm: wire.RSAPKCS1}
	for _, h := range wire.Hashes() {
		if h.Crypto() == hash {
			scheme.Hash = h
		}
	}
	if scheme.Hash == 0 {
		return nil, schemeError(scheme, "The service does not sign RSA digests of %s.", hashName(hash))
	}
	if pss, ok := opts.(*rsa.PSSOptions); ok {
		scheme.Algorithm = wire.RSAPSS
		if pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != hash.Size() {
			return nil, schemeError(scheme, "The salt of an RSA-PSS signature is as long as the digest; other lengths are not supported.")
		}
	}
	return c.signer.Sign(c.ctx, scheme, digest)
}

func hashName(h crypto.Hash) string {
	if h == 0 {
		return "an unnamed hash"
	}
	return h.String()
}

// ECDSAToASN1 turns r‖s (two halves of equal length, big-endian) into the DER
// SEQUENCE { r INTEGER, s INTEGER } of RFC 3279 section 2.2.3.
func ECDSAToASN1(sig []byte) ([]byte, error) {
	if len(sig) == 0 || len(sig)%2 != 0 {
		return nil, errors.New("an ECDSA signature must be two numbers of equal length")
	}
	half := len(sig) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])})
}
