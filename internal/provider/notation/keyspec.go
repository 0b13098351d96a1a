package notation

import (
	"signpath/internal/provider/keyring"
	"signpath/internal/wire"
)

// keySpec is one row of the table of keys that notation knows.
type keySpec struct {
	name      string // keySpec
	keyType   wire.KeyType
	bits      int
	hash      string // hashAlgorithm, the only one for this key
	algorithm string // signingAlgorithm
	scheme    wire.Scheme
	digester  wire.Hash
}

// keySpecs is the table ("Signature Specification, Signature Algorithm
// Requirements"): the key alone decides on hash and padding.
var keySpecs = []keySpec{
	{"RSA-2048", wire.KeyRSA, 2048, "SHA-256", "RSASSA-PSS-SHA-256", wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA256}, wire.SHA256},
	{"RSA-3072", wire.KeyRSA, 3072, "SHA-384", "RSASSA-PSS-SHA-384", wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA384}, wire.SHA384},
	{"RSA-4096", wire.KeyRSA, 4096, "SHA-512", "RSASSA-PSS-SHA-512", wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA512}, wire.SHA512},
	{"EC-256", wire.KeyECDSA, 256, "SHA-256", "ECDSA-SHA-256", wire.Scheme{Algorithm: wire.ECDSA}, wire.SHA256},
	{"EC-384", wire.KeyECDSA, 384, "SHA-384", "ECDSA-SHA-384", wire.Scheme{Algorithm: wire.ECDSA}, wire.SHA384},
	{"EC-521", wire.KeyECDSA, 521, "SHA-512", "ECDSA-SHA-512", wire.Scheme{Algorithm: wire.ECDSA}, wire.SHA512},
}

// specOf finds the row of a key.
func specOf(k *keyring.Key) (*keySpec, error) {
	if k.IsGPG() {
		return nil, newError(CodeValidation, "%s is an OpenPGP key; notation needs a key with an X.509 certificate", k.Name())
	}
	for i := range keySpecs {
		if s := &keySpecs[i]; s.keyType == k.Type() && s.bits == k.Bits() {
			return s, nil
		}
	}
	return nil, newError(CodeValidation, "%s is a key of type %s with %d bits; notation works with RSA of 2048, 3072 and 4096 bits and with the curves P-256, P-384 and P-521", k.Name(), k.Type(), k.Bits())
}

// fits refuses a request for another key or hash than that of the table.
func (s *keySpec) fits(r signRequest) error {
	if r.KeySpec != s.name {
		return newError(CodeValidation, "the request is for a key of the kind %s, but %s is of the kind %s now; start notation again", clip(r.KeySpec), clip(r.KeyID), s.name)
	}
	if r.HashAlgorithm != s.hash {
		return newError(CodeValidation, "the hash algorithm %s does not go with %s, whose signatures use %s", clip(r.HashAlgorithm), s.name, s.hash)
	}
	return nil
}

func (s *keySpec) digest(payload []byte) []byte {
	h := s.digester.Crypto().New()
	_, _ = h.Write(payload) // never fails
	return h.Sum(nil)
}
