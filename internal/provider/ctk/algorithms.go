package ctk

import (
	"encoding/asn1"
	"fmt"
	"math/big"

	"signpath/internal/provider/keyring"
	"signpath/internal/wire"
)

// algorithm is one row of the table of what tokens can be asked for.
type algorithm struct {
	id     byte   // on the channel; never given to another algorithm
	name   string // the SecKeyAlgorithm of Security.framework, without kSecKeyAlgorithm
	scheme wire.Scheme
}

// algorithms lists what the extension says yes to. Security asks for the message
// variants first, then for these and last for RSASignatureRaw; the others are
// made of these by Security itself, and raw RSA is refused, since the service
// signs digests. The EC signatures of codesign and productsign ask for the
// variant without a hash, whose digest has any length that ECDSA knows.
// The extension has the same table in C (extension/algorithms.h); a test compares.
var algorithms = []algorithm{
	{1, "RSASignatureDigestPKCS1v15SHA1", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA1}}, // productsign's XAR signature
	{2, "RSASignatureDigestPKCS1v15SHA256", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}},
	{3, "RSASignatureDigestPKCS1v15SHA384", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA384}},
	{4, "RSASignatureDigestPKCS1v15SHA512", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA512}},
	{5, "RSASignatureDigestPSSSHA1", wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA1}}, // salt as long as the hash, all four
	{6, "RSASignatureDigestPSSSHA256", wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA256}},
	{7, "RSASignatureDigestPSSSHA384", wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA384}},
	{8, "RSASignatureDigestPSSSHA512", wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA512}},
	{9, "ECDSASignatureDigestX962", wire.Scheme{Algorithm: wire.ECDSA}}, // 20, 28, 32, 48 or 64 bytes
	{10, "ECDSASignatureDigestX962SHA1", wire.Scheme{Algorithm: wire.ECDSA, Hash: wire.SHA1}},
	{11, "ECDSASignatureDigestX962SHA256", wire.Scheme{Algorithm: wire.ECDSA, Hash: wire.SHA256}},
	{12, "ECDSASignatureDigestX962SHA384", wire.Scheme{Algorithm: wire.ECDSA, Hash: wire.SHA384}},
	{13, "ECDSASignatureDigestX962SHA512", wire.Scheme{Algorithm: wire.ECDSA, Hash: wire.SHA512}},
	{14, "ECDSASignatureDigestX962SHA224", wire.Scheme{Algorithm: wire.ECDSA}}, // the service knows this hash by its length
}

// sizeSHA224 is the only length that row 14 takes, in bytes.
const sizeSHA224, idSHA224 = 28, 14

func algorithmByID(id byte) (algorithm, bool) {
	for _, a := range algorithms {
		if a.id == id {
			return a, true
		}
	}
	return algorithm{}, false
}

// check tells without the network whether a key can sign a digest. Errors are
// those of keyring.Key.Check.
func (a algorithm) check(k *keyring.Key, length int) error {
	if a.id == idSHA224 && length != sizeSHA224 {
		return fmt.Errorf("%w: %d bytes; a SHA-224 digest has %d", keyring.ErrDigestLength, length, sizeSHA224)
	}
	return k.Check(a.scheme, length)
}

// algorithmsOf gives the numbers of what a key can sign with, in the table's order.
func algorithmsOf(k *keyring.Key) []byte {
	var ids []byte
	for _, a := range algorithms {
		length := a.scheme.Hash.Size()
		switch {
		case a.id == idSHA224:
			length = sizeSHA224
		case length == 0:
			length = wire.SHA256.Size() // any that ECDSA knows
		}
		if a.check(k, length) == nil {
			ids = append(ids, a.id)
		}
	}
	return ids
}

// signatureForSecurity turns the keyring's form into Security's: RSA stays, r‖s
// becomes DER.
func signatureForSecurity(a algorithm, signature []byte) ([]byte, error) {
	if a.scheme.Algorithm != wire.ECDSA {
		return signature, nil
	}
	half := len(signature) / 2
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])})
	if err != nil {
		return nil, fmt.Errorf("the signature cannot be written as DER: %w", err)
	}
	return der, nil
}
