package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"

	"signpath/internal/wire"
)

// CheckScheme answers a *SchemeError unless a key of the given type can sign a
// digest (EdDSA: a message) of that length under scheme. Every back end asks it first.
func CheckScheme(keyType wire.KeyType, scheme wire.Scheme, digestLen int) error {
	switch scheme.Algorithm {
	case wire.RSAPKCS1, wire.RSAPSS, wire.ECDSA, wire.EdDSA:
	default:
		return schemeError(scheme, "The signature algorithm %q is unknown; there are %s, %s, %s and %s.", scheme.Algorithm, wire.RSAPKCS1, wire.RSAPSS, wire.ECDSA, wire.EdDSA)
	}
	if want := scheme.Algorithm.KeyType(); want != keyType {
		return schemeError(scheme, "%s needs a key of type %s; this key has type %s.", scheme.Algorithm, want, keyType)
	}
	if keyType == wire.KeyEd25519 {
		if scheme.Hash != 0 || digestLen == 0 || digestLen > wire.MaxMessage {
			return schemeError(scheme, "%s signs messages of 1 to %d bytes, without a hash algorithm; these are %d.", wire.EdDSA, wire.MaxMessage, digestLen)
		}
		return nil
	}
	if size := scheme.Hash.Size(); size != 0 {
		if digestLen != size {
			return schemeError(scheme, "The digest has %d bytes, but a %s digest has %d.", digestLen, scheme.Hash, size)
		}
		if keyType == wire.KeyECDSA && !wire.IsECDSADigestLength(digestLen) {
			return schemeError(scheme, "ECDSA does not sign %s digests.", scheme.Hash)
		}
		return nil
	}
	if keyType == wire.KeyRSA {
		return schemeError(scheme, "%s needs the hash algorithm that made the digest.", scheme.Algorithm)
	}
	if !wire.IsECDSADigestLength(digestLen) {
		return schemeError(scheme, "The digest has %d bytes; an ECDSA digest has 20, 28, 32, 48 or 64.", digestLen)
	}
	return nil
}

// signRSA gives the modulus-length big-endian block. crypto/rsa checks each
// result of the Chinese remainder theorem with the public exponent, so a fault
// of the machine does not leave as a signature that betrays the key.
func signRSA(key *rsa.PrivateKey, scheme wire.Scheme, digest []byte) ([]byte, error) {
	hash := scheme.Hash.Crypto()
	if scheme.Algorithm == wire.RSAPKCS1 {
		return rsa.SignPKCS1v15(nil, key, hash, digest)
	}
	sig, err := rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if errors.Is(err, rsa.ErrMessageTooLong) {
		return nil, schemeError(scheme, "The RSA key is too short for PSS with %s.", scheme.Hash)
	}
	return sig, err
}

// signECDSA gives r‖s. Of a digest longer than the curve's order the leftmost
// bits are used (FIPS 186-5 section 6.4.1).
func signECDSA(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	sig := make([]byte, 2*size)
	r.FillBytes(sig[:size])
	s.FillBytes(sig[size:])
	return sig, nil
}

// describe gives type and size of a public key.
func describe(pub crypto.PublicKey) (wire.KeyType, int, error) {
	switch p := pub.(type) {
	case *rsa.PublicKey:
		return wire.KeyRSA, p.N.BitLen(), nil
	case *ecdsa.PublicKey:
		return wire.KeyECDSA, p.Curve.Params().BitSize, nil
	case ed25519.PublicKey:
		return wire.KeyEd25519, ed25519Bits, nil
	}
	return "", 0, unsupported(pub)
}
