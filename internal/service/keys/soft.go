package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"runtime"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// SoftBackend is the name of the embedded store in model.Key.Backend.
const SoftBackend = "soft"

// Soft is the embedded key store: keys are made and used in this process, and
// leave it as PKCS #8 sealed with the key-encryption key. It is safe for
// concurrent use.
type Soft struct {
	kek *KEK
	// turns bounds the operations with private keys that run at one time. The
	// Go scheduler does not know that an RSA operation matters less than the
	// network: without a bound, hundreds of them keep every thread busy and
	// requests wait in long tails. Waiting is first come, first served.
	turns *semaphore.Weighted
}

// NewSoft gives the embedded key store. It works with at most as many private
// keys at one time as Go uses processors.
func NewSoft(kek *KEK) *Soft {
	return &Soft{kek: kek, turns: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))}
}

var curves = map[int]elliptic.Curve{256: elliptic.P256(), 384: elliptic.P384(), 521: elliptic.P521()}

// Generate implements Backend. An RSA key of 4096 bits takes seconds.
func (s *Soft) Generate(ctx context.Context, keyType wire.KeyType, bits int) (model.Key, []byte, error) {
	if err := CheckSize(keyType, bits); err != nil {
		return model.Key{}, nil, err
	}
	private, err := s.generate(ctx, keyType, bits)
	if err != nil {
		return model.Key{}, nil, fmt.Errorf("generate %s key with %d bits: %w", keyType, bits, err)
	}
	return s.seal(private)
}

func (s *Soft) generate(ctx context.Context, keyType wire.KeyType, bits int) (crypto.Signer, error) {
	if err := s.turns.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.turns.Release(1)
	switch keyType {
	case wire.KeyRSA:
		return rsa.GenerateKey(rand.Reader, bits)
	case wire.KeyEd25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return ecdsa.GenerateKey(curves[bits], rand.Reader)
}

// Import takes a private key that was made elsewhere (*rsa.PrivateKey,
// *ecdsa.PrivateKey or ed25519.PrivateKey) of a type and size that Generate could have made. The
// result is that of Generate.
func (s *Soft) Import(ctx context.Context, key crypto.Signer) (model.Key, []byte, error) {
	if err := ctx.Err(); err != nil {
		return model.Key{}, nil, err
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k == nil || k.N == nil {
			return model.Key{}, nil, fmt.Errorf("%w: empty", ErrUnsupportedKey)
		}
		if err := k.Validate(); err != nil {
			return model.Key{}, nil, fmt.Errorf("%w: %v", ErrUnsupportedKey, err)
		}
	case *ecdsa.PrivateKey:
		if k == nil || k.Curve == nil || curves[k.Curve.Params().BitSize] != k.Curve {
			return model.Key{}, nil, fmt.Errorf("%w: the curve is not P-256, P-384 or P-521", ErrUnsupportedKey)
		}
	case ed25519.PrivateKey:
		if len(k) != ed25519.PrivateKeySize || !bytes.Equal(k, ed25519.NewKeyFromSeed(k.Seed())) {
			return model.Key{}, nil, fmt.Errorf("%w: an Ed25519 key has 64 bytes, the seed and its public key", ErrUnsupportedKey)
		}
	default:
		return model.Key{}, nil, unsupported(key)
	}
	keyType, bits, err := describe(key.Public())
	if err != nil {
		return model.Key{}, nil, err
	}
	if err := CheckSize(keyType, bits); err != nil {
		return model.Key{}, nil, err
	}
	return s.seal(key)
}

func (s *Soft) seal(private crypto.Signer) (model.Key, []byte, error) {
	keyType, bits, err := describe(private.Public())
	if err != nil {
		return model.Key{}, nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return model.Key{}, nil, fmt.Errorf("encode the public key: %w", err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return model.Key{}, nil, err
	}
	key := model.Key{
		ID:      id.String(),
		Version: 1,
		Type:    keyType,
		Bits:    bits,
		Public:  public,
		Backend: SoftBackend,
		Created: time.Now().UTC().Truncate(time.Millisecond),
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return model.Key{}, nil, fmt.Errorf("encode the private key: %w", err)
	}
	defer clear(pkcs8)
	sealed, err := s.kek.Seal(keyPurpose(key.ID, key.Version), pkcs8)
	if err != nil {
		return model.Key{}, nil, err
	}
	return key, sealed, nil
}

// Open implements Backend. It answers ErrSealed when the private part does not
// belong to this ID and version or was changed, and ErrKeyMismatch when the
// record's public key is another one.
func (s *Soft) Open(_ context.Context, key model.Key, sealed []byte) (Signer, error) {
	if key.Deleted || len(sealed) == 0 {
		return nil, fmt.Errorf("key %s: %w", key.ID, ErrKeyDeleted)
	}
	pkcs8, err := s.kek.Open(keyPurpose(key.ID, key.Version), sealed)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", key.ID, err)
	}
	defer clear(pkcs8)
	private, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w: it is no PKCS #8 key", key.ID, ErrKeyMismatch)
	}
	signer := &softSigner{soft: s}
	switch p := private.(type) {
	case *rsa.PrivateKey:
		signer.rsa, signer.public = p, &p.PublicKey
	case *ecdsa.PrivateKey:
		signer.ecdsa, signer.public = p, &p.PublicKey
	case ed25519.PrivateKey:
		signer.ed25519, signer.public = p, p.Public()
	default:
		return nil, fmt.Errorf("key %s: %w", key.ID, unsupported(private))
	}
	if err := matches(key, signer.public); err != nil {
		return nil, err
	}
	signer.keyType = key.Type
	return signer, nil
}

// matches compares an opened key with its record: what the record says is what
// certificates and policies were made from.
func matches(key model.Key, public crypto.PublicKey) error {
	keyType, bits, err := describe(public)
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("encode the public key: %w", err)
	}
	if keyType != key.Type || bits != key.Bits || !bytes.Equal(spki, key.Public) {
		return fmt.Errorf("key %s: %w", key.ID, ErrKeyMismatch)
	}
	return nil
}

func unsupported(key any) error {
	return fmt.Errorf("%w: %T; the service holds RSA, ECDSA and Ed25519 keys", ErrUnsupportedKey, key)
}

// softSigner is a private key in memory; one of rsa, ecdsa and ed25519 is set.
type softSigner struct {
	soft    *Soft
	keyType wire.KeyType
	public  crypto.PublicKey
	rsa     *rsa.PrivateKey
	ecdsa   *ecdsa.PrivateKey
	ed25519 ed25519.PrivateKey
}

// Public implements Signer.
func (s *softSigner) Public() crypto.PublicKey { return s.public }

// Sign implements Signer.
func (s *softSigner) Sign(ctx context.Context, scheme wire.Scheme, digest []byte) ([]byte, error) {
	if err := CheckScheme(s.keyType, scheme, len(digest)); err != nil {
		return nil, err
	}
	if err := s.soft.turns.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.soft.turns.Release(1)
	switch {
	case s.rsa != nil:
		return signRSA(s.rsa, scheme, digest)
	case s.ed25519 != nil:
		return ed25519.Sign(s.ed25519, digest), nil
	}
	return signECDSA(s.ecdsa, digest)
}
