package keyring

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"signpath/internal/provider/remote"
	"signpath/internal/wire"
)

// What Sign refuses without asking the service.
var (
	ErrDigestLength = errors.New("the digest has the wrong length")
	ErrScheme       = errors.New("the key cannot sign with this algorithm")
	ErrKeyTooShort  = errors.New("the key is too short for this digest")
)

// Key is one signing policy seen as a key. It never changes.
type Key struct {
	ring                            *Ring
	name, project, policy, policyID string
	keyType                         wire.KeyType
	bits, size                      int
	public                          crypto.PublicKey
	gpg                             bool
	certificate                     []byte
	chain                           [][]byte
}

// Name is the reference that tools use: "project/policy".
func (k *Key) Name() string { return k.name }

// ProjectSlug is the first half of the name.
func (k *Key) ProjectSlug() string { return k.project }

// PolicySlug is the second half of the name.
func (k *Key) PolicySlug() string { return k.policy }

// PolicyID is the signing policy's UUID.
func (k *Key) PolicyID() string { return k.policyID }

// Type is wire.KeyRSA, wire.KeyECDSA or wire.KeyEd25519.
func (k *Key) Type() wire.KeyType { return k.keyType }

// Bits is the length of the RSA modulus or of the curve.
func (k *Key) Bits() int { return k.bits }

// Public is an *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey; it must not be changed.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Certificate is the leaf in DER, nil when there is none; it must not be changed.
func (k *Key) Certificate() []byte { return k.certificate }

// Chain is the leaf's issuers in DER, next issuer first; it must not be changed.
func (k *Key) Chain() [][]byte { return k.chain }

// IsGPG tells whether this is an OpenPGP key, which has no X.509 certificate.
func (k *Key) IsGPG() bool { return k.gpg }

// SignatureSize is the length in bytes of every signature of a scheme: the
// modulus for RSA, r‖s for ECDSA, R‖S for EdDSA; 0 when the key cannot sign with it.
func (k *Key) SignatureSize(s wire.Scheme) int {
	if s.Algorithm.KeyType() != k.keyType {
		return 0
	}
	return k.size
}

// digestInfoOverhead is the DER around a digest in a PKCS #1 signature
// (RFC 8017 section 9.2, note 1), in bytes.
var digestInfoOverhead = map[wire.Hash]int{wire.MD5: 18, wire.SHA1: 15, wire.SHA256: 19, wire.SHA384: 19, wire.SHA512: 19}

// Check tells without the network whether the key can sign a digest (EdDSA: a
// message) of that many bytes. Errors are ErrScheme, ErrDigestLength or ErrKeyTooShort, wrapped.
func (k *Key) Check(s wire.Scheme, digestLength int) error {
	switch s.Algorithm {
	case wire.RSAPKCS1, wire.RSAPSS, wire.ECDSA, wire.EdDSA:
	default:
		return fmt.Errorf("%w: %q is unknown", ErrScheme, string(s.Algorithm))
	}
	if s.Algorithm.KeyType() != k.keyType {
		return fmt.Errorf("%w: %s needs a key of type %s, %s is of type %s", ErrScheme, s.Algorithm, s.Algorithm.KeyType(), k.name, k.keyType)
	}
	if k.keyType == wire.KeyEd25519 {
		if digestLength < 1 || digestLength > wire.MaxMessage {
			return fmt.Errorf("%w: %d bytes; Ed25519 keys of the service sign messages of 1 to %d", ErrDigestLength, digestLength, wire.MaxMessage)
		}
		return nil
	}
	if k.keyType == wire.KeyECDSA {
		if !wire.IsECDSADigestLength(digestLength) || s.Hash != 0 && digestLength != s.Hash.Size() {
			return fmt.Errorf("%w: %d bytes; ECDSA signs digests of 20, 28, 32, 48 or 64", ErrDigestLength, digestLength)
		}
		return nil
	}
	hash := s.Hash.Size()
	if hash == 0 {
		return fmt.Errorf("%w: RSA needs to know the hash algorithm", ErrScheme)
	}
	if digestLength != hash {
		return fmt.Errorf("%w: %d bytes; a %s digest has %d", ErrDigestLength, digestLength, s.Hash, hash)
	}
	need := 11 + digestInfoOverhead[s.Hash] + hash // RFC 8017 section 9.2
	have := k.size
	if s.Algorithm == wire.RSAPSS {
		need, have = 2*hash+2, (k.bits-1+7)/8 // RFC 8017 section 9.1.1 with salt length = hash length
	}
	if have < need {
		return fmt.Errorf("%w: %d bits are not enough for %s with %s", ErrKeyTooShort, k.bits, s.Algorithm, s.Hash)
	}
	return nil
}

// Sign has the service sign a digest (EdDSA: a message, which travels whole) and
// verifies the answer. The signature is RSA the big-endian block of modulus length,
// ECDSA r‖s, each big-endian and padded to the curve's size, EdDSA R‖S in 64 bytes. Errors are those of Check, or *remote.Error. A
// failure is remembered for a few seconds and then given again at once, because
// tools repeat a signature that failed.
func (k *Key) Sign(ctx context.Context, s wire.Scheme, digest []byte) ([]byte, error) {
	if err := k.Check(s, len(digest)); err != nil {
		return nil, err
	}
	if s.Algorithm == wire.ECDSA || s.Algorithm == wire.EdDSA {
		s.Hash = 0 // the wire names none
	}
	r := k.ring
	id := failureID(k, s, digest)
	if err := r.failures.get(id); err != nil {
		r.log.Debug("the same signature failed a moment ago", "key", k.name)
		return nil, err
	}
	hash := wire.NewHashSigning(s, digest)
	hash.Metadata = r.metadata()
	signature, err := r.client.Sign(ctx, remote.SignRequest{
		ProjectSlug: k.project, SigningPolicySlug: k.policy,
		Hash: hash,
	})
	if err == nil {
		if err = k.verify(s, digest, signature); err != nil {
			err = &remote.Error{Class: remote.Service, Op: "sign", Err: fmt.Errorf("the service's answer for %s is wrong: %w", k.name, err),
				Hint: "If the key of the signing policy has just been changed, start the tool again; else tell the service's administrator."}
		}
	}
	if err != nil {
		r.failures.put(id, err)
		r.doubt(err)
		return nil, err
	}
	return signature, nil
}

// verify checks length and value of a signature with the public key.
func (k *Key) verify(s wire.Scheme, digest, signature []byte) error {
	if len(signature) != k.size {
		return fmt.Errorf("the signature has %d bytes instead of %d", len(signature), k.size)
	}
	return Verify(k.public, s, digest, signature)
}

// Verify checks a signature in the form that Sign gives with a public key, an
// *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey. Every error means that it does not verify.
func Verify(public crypto.PublicKey, s wire.Scheme, digest, signature []byte) error {
	wrong := errors.New("the signature does not verify")
	switch pub := public.(type) {
	case *rsa.PublicKey:
		hash := s.Hash.Crypto()
		var err error
		if s.Algorithm == wire.RSAPSS {
			err = rsa.VerifyPSS(pub, hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
		} else {
			err = rsa.VerifyPKCS1v15(pub, hash, digest, signature)
		}
		if err != nil {
			return wrong
		}
		return nil
	case *ecdsa.PublicKey:
		half := (pub.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*half || !ecdsa.Verify(pub, digest, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])) {
			return wrong
		}
		return nil
	case ed25519.PublicKey:
		if len(signature) != ed25519.SignatureSize || !ed25519.Verify(pub, digest, signature) {
			return wrong
		}
		return nil
	}
	return wrong
}
