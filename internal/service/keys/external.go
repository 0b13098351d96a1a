package keys

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/model"
)

// What key stores outside of this process need: records, sealed references and
// the errors of a store that cannot be reached now.

// ErrUnavailable is what every *UnavailableError matches.
var ErrUnavailable = errors.New("the key store is not available")

// UnavailableError says that a key store cannot work now but may later: its
// process crashed or hangs, its token is away, its queue is full.
type UnavailableError struct {
	Store      string        // name of the key store, e.g. "hsm:main"
	Reason     string        // a sentence for the operator; never a secret
	RetryAfter time.Duration // when to try again; zero: nobody knows
	Operator   bool          // it stays so until a person does something
	Cause      error         // may be nil
}

// Error implements error.
func (e *UnavailableError) Error() string {
	text := "the key store " + e.Store + " is not available: " + e.Reason
	if e.Cause != nil {
		text += " (" + e.Cause.Error() + ")"
	}
	return text
}

// Is makes errors.Is(err, ErrUnavailable) true.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Unwrap gives the cause.
func (e *UnavailableError) Unwrap() error { return e.Cause }

// Adopter is a Backend that can take over keys which exist in its store already.
type Adopter interface {
	// Adopt finds a private key by the name that the store's own tools show, or by
	// "id:" and its identifier in hexadecimal. The result is that of Generate.
	Adopt(ctx context.Context, name string) (key model.Key, sealed []byte, err error)
}

// Attester is a Backend whose store can say how a key was made and is kept.
type Attester interface {
	// Attestation is a JSON document; nil when the store says nothing.
	Attestation(ctx context.Context, key model.Key, sealed []byte) ([]byte, error)
}

// Destroyer is a Backend whose private keys do not lie in the sealed value, so
// that forgetting that value does not delete them.
type Destroyer interface {
	// Destroy deletes a key that Generate made. An adopted key stays where it is.
	Destroy(ctx context.Context, key model.Key, sealed []byte) error
}

// NewRecord is the record of a new key of a back end.
func NewRecord(public crypto.PublicKey, backend string) (model.Key, error) {
	keyType, bits, err := describe(public)
	if err != nil {
		return model.Key{}, err
	}
	if err := CheckSize(keyType, bits); err != nil {
		return model.Key{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return model.Key{}, fmt.Errorf("encode the public key: %w", err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return model.Key{}, err
	}
	return model.Key{
		ID: id.String(), Version: 1, Type: keyType, Bits: bits, Public: spki, Backend: backend,
		Created: time.Now().UTC().Truncate(time.Millisecond),
	}, nil
}

// SealKey seals what a back end keeps of a key; it opens for this key and version only.
func (k *KEK) SealKey(key model.Key, plain []byte) ([]byte, error) {
	return k.Seal(keyPurpose(key.ID, key.Version), plain)
}

// OpenKey gives back what SealKey sealed. It answers ErrKeyDeleted for a key
// whose sealed value is gone, and ErrSealed as Open does.
func (k *KEK) OpenKey(key model.Key, sealed []byte) ([]byte, error) {
	if key.Deleted || len(sealed) == 0 {
		return nil, fmt.Errorf("key %s: %w", key.ID, ErrKeyDeleted)
	}
	plain, err := k.Open(keyPurpose(key.ID, key.Version), sealed)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", key.ID, err)
	}
	return plain, nil
}

// PublicKey parses the public key of a record. It answers ErrKeyMismatch when
// type and size are not those of the record.
func PublicKey(key model.Key) (crypto.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(key.Public)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w (%v)", key.ID, ErrKeyMismatch, err)
	}
	if err := matches(key, public); err != nil {
		return nil, err
	}
	return public, nil
}

// Adopt takes over a key of the named back end; see Adopter.
func (r *Ring) Adopt(ctx context.Context, backend, name string) (model.Key, []byte, error) {
	b, err := r.backend(backend)
	if err != nil {
		return model.Key{}, nil, err
	}
	a, ok := b.(Adopter)
	if !ok {
		return model.Key{}, nil, fmt.Errorf("the key store %q has no keys that could be adopted", backend)
	}
	return a.Adopt(ctx, name)
}

// Attestation asks the key's back end; see Attester.
func (r *Ring) Attestation(ctx context.Context, key model.Key, sealed []byte) ([]byte, error) {
	b, err := r.backend(key.Backend)
	if err != nil {
		return nil, err
	}
	if a, ok := b.(Attester); ok {
		return a.Attestation(ctx, key, sealed)
	}
	return nil, nil
}

// Open gives the signer of a key whose sealed value the store does not have yet.
func (r *Ring) Open(ctx context.Context, key model.Key, sealed []byte) (Signer, error) {
	b, err := r.backend(key.Backend)
	if err != nil {
		return nil, err
	}
	return b.Open(ctx, key, sealed)
}

// Destroy deletes a private key for good where the sealed value is not all of
// it; see Destroyer.
func (r *Ring) Destroy(ctx context.Context, key model.Key, sealed []byte) error {
	r.Forget(key.ID)
	b, err := r.backend(key.Backend)
	if err != nil {
		return err
	}
	if d, ok := b.(Destroyer); ok {
		return d.Destroy(ctx, key, sealed)
	}
	return nil
}

// Has tells whether a back end with this name is configured.
func (r *Ring) Has(backend string) bool {
	_, ok := r.backends[backend]
	return ok
}
