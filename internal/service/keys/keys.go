// Package keys holds private keys and signs digests with them.
//
// What enters is a digest with its scheme, what leaves is a signature; the
// private key itself leaves only as ciphertext for the store. Who may sign is
// decided elsewhere: only service/signing, service/pki and the wiring in
// cmd/signpath may import this package. Every back end passes the conformance
// suite in keystest.
package keys

import (
	"context"
	"crypto"

	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// Signer is one private key, ready for use. It is safe for concurrent use.
type Signer interface {
	// Public is *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey.
	Public() crypto.PublicKey
	// Sign signs a digest (EdDSA: a message, see wire.HashSigning.Input). RSA: the modulus-length big-endian block (PKCS1: DigestInfo
	// of scheme.Hash is added here; PSS: salt length = digest length, MGF1 with the
	// same hash). ECDSA: r‖s, each big-endian and padded to the curve's size. EdDSA:
	// R‖S, 64 bytes (RFC 8032 section 5.1.6).
	Sign(ctx context.Context, scheme wire.Scheme, input []byte) ([]byte, error)
}

// Backend makes and opens keys of one kind.
type Backend interface {
	// Generate makes a new key. The result has ID, Version 1, Type, Bits, Public,
	// Backend and Created set; sealed is what the store keeps.
	Generate(ctx context.Context, keyType wire.KeyType, bits int) (key model.Key, sealed []byte, err error)
	// Open gives the signer of a key; sealed is what Generate returned.
	Open(ctx context.Context, key model.Key, sealed []byte) (Signer, error)
}
