package keys

import (
	"errors"
	"fmt"
	"strings"

	"signpath/internal/wire"
)

// Errors that callers decide on; the functions of this package wrap them.
var (
	// ErrNoKEK: no source of the key-encryption key was named.
	ErrNoKEK = errors.New("no key-encryption key: give a file, the systemd credential " + CredentialName + " or an environment value")
	// ErrWrongKEK: the key-encryption key is not the one that sealed this database.
	ErrWrongKEK = errors.New("the key-encryption key does not fit this database: start the service with the key that it was set up with " +
		"(its file, systemd credential or environment value, or a backup of it); without that key the private keys in the database cannot be used")
	// ErrSealed: a sealed value does not open: wrong key-encryption key, wrong
	// purpose, or changed bytes.
	ErrSealed = errors.New("the sealed value does not open: it was changed, belongs to something else, or was sealed with another key-encryption key")
	// ErrKeyDeleted: the private part is gone for good.
	ErrKeyDeleted = errors.New("the private key was deleted")
	// ErrUnsupportedKey: no back end makes or takes such a key.
	ErrUnsupportedKey = errors.New("unsupported key")
	// ErrKeyMismatch: the opened private key is not the one that the key's record describes.
	ErrKeyMismatch = errors.New("the private key does not fit its record")
)

// SchemeError refuses a signature that the key cannot make: an RSA scheme with
// an EC key, an unknown algorithm, a digest of the wrong length. It is the
// caller's mistake; repeating does not help.
type SchemeError struct {
	Scheme wire.Scheme
	Reason string // a sentence
}

// Error implements error.
func (e *SchemeError) Error() string { return e.Reason }

func schemeError(s wire.Scheme, format string, args ...any) error {
	return &SchemeError{Scheme: s, Reason: fmt.Sprintf(format, args...)}
}

// keySizes is the one table of keys that the service holds.
var keySizes = map[wire.KeyType][]int{
	wire.KeyRSA:     {2048, 3072, 4096},
	wire.KeyECDSA:   {256, 384, 521},
	wire.KeyEd25519: {ed25519Bits},
}

// ed25519Bits is the size of an Ed25519 key (RFC 8032 section 5.1: b = 256).
const ed25519Bits = 256

// CheckSize answers ErrUnsupportedKey, with a sentence that lists what there
// is, unless the service holds keys of that type and size (RSA modulus or curve
// size in bits).
func CheckSize(keyType wire.KeyType, bits int) error {
	sizes, ok := keySizes[keyType]
	if !ok {
		return fmt.Errorf("%w: type %q; there are %s, %s and %s", ErrUnsupportedKey, keyType, wire.KeyRSA, wire.KeyECDSA, wire.KeyEd25519)
	}
	names := make([]string, len(sizes))
	for i, s := range sizes {
		if s == bits {
			return nil
		}
		names[i] = fmt.Sprint(s)
	}
	return fmt.Errorf("%w: %s with %d bits; the sizes are %s", ErrUnsupportedKey, keyType, bits, strings.Join(names, ", "))
}
