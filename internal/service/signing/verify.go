package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"math/big"

	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// mustVerify tells whether a signature is checked before it is answered: all
// but those of RSA keys of the software store, whose implementation checks each
// result itself.
func mustVerify(key *model.Key) bool {
	return key.Backend != keys.SoftBackend || key.Type != wire.KeyRSA
}

// verifySignature checks a signature in the form of keys.Signer.Sign.
func verifySignature(public crypto.PublicKey, scheme wire.Scheme, digest, signature []byte) error {
	errBad := errors.New("the signature does not verify with the public key")
	switch pub := public.(type) {
	case *rsa.PublicKey:
		hash := scheme.Hash.Crypto()
		if scheme.Algorithm == wire.RSAPSS {
			return rsa.VerifyPSS(pub, hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.VerifyPKCS1v15(pub, hash, digest, signature)
	case *ecdsa.PublicKey:
		size := (pub.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return errBad
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		if !ecdsa.Verify(pub, digest, r, s) {
			return errBad
		}
		return nil
	case ed25519.PublicKey:
		if len(signature) != ed25519.SignatureSize || !ed25519.Verify(pub, digest, signature) {
			return errBad
		}
		return nil
	}
	return errors.New("the key is of an unknown type")
}

func samePublicKey(a, b crypto.PublicKey) bool {
	eq, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && eq.Equal(b)
}
