package hsm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"signpath/internal/service/keys"
	"signpath/internal/service/keys/hsm/hsmwire"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

var (
	_ keys.Backend   = (*Token)(nil)
	_ keys.Adopter   = (*Token)(nil)
	_ keys.Attester  = (*Token)(nil)
	_ keys.Destroyer = (*Token)(nil)
)

// reference is what the database keeps, sealed, in place of a private key: it
// is no secret, but nobody may exchange it. The token's names are for people:
// which key it is, the public key decides, so that a restored or cloned token
// works on.
type reference struct {
	ID           []byte `json:"id,omitempty"` // CKA_ID
	Label        string `json:"label,omitempty"`
	TokenLabel   string `json:"tokenLabel,omitempty"`
	TokenSerial  string `json:"tokenSerial,omitempty"`
	PublicSHA256 []byte `json:"publicSha256"` // of the SubjectPublicKeyInfo
	Adopted      bool   `json:"adopted,omitempty"`
}

func (r reference) key() hsmwire.KeyRef { return hsmwire.KeyRef{ID: r.ID, Label: r.Label} }

// keyTypes names the types of keys as the worker does.
var keyTypes = map[wire.KeyType]string{wire.KeyRSA: hsmwire.RSA, wire.KeyECDSA: hsmwire.ECDSA, wire.KeyEd25519: hsmwire.Ed25519}

// labelPrefix begins the labels of keys that the service makes, for people who
// look at the token.
const labelPrefix = "signpath-"

// Generate implements keys.Backend. The key is made on the token: sensitive, not
// extractable, for signatures only, with 16 random bytes as CKA_ID.
func (t *Token) Generate(ctx context.Context, keyType wire.KeyType, bits int) (model.Key, []byte, error) {
	if err := keys.CheckSize(keyType, bits); err != nil {
		return model.Key{}, nil, err
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return model.Key{}, nil, err
	}
	request := &hsmwire.Generate{KeyRef: hsmwire.KeyRef{ID: id, Label: labelPrefix + hex.EncodeToString(id[:4])}, Type: keyTypes[keyType], Bits: bits}
	a, err := t.do(ctx, &hsmwire.Request{Op: hsmwire.OpGenerate, Generate: request}, generateFactor*t.config.operationTimeout())
	if err != nil {
		return model.Key{}, nil, fmt.Errorf("generate %s key with %d bits: %w", keyType, bits, err)
	}
	found := orEmpty(a.Key)
	found.KeyRef = request.KeyRef
	key, sealed, err := t.record(found, false)
	if err == nil && (key.Type != keyType || key.Bits != bits) {
		err = fmt.Errorf("key store %s: the token made a %s key with %d bits instead of %s with %d", t.Name(), key.Type, key.Bits, keyType, bits)
	}
	if err != nil {
		return model.Key{}, nil, err
	}
	return key, sealed, nil
}

// idPrefix marks a CKA_ID in hexadecimal in place of a label.
const idPrefix = "id:"

// Adopt implements keys.Adopter: name is a CKA_LABEL, or "id:" and a CKA_ID in
// hexadecimal. That the public key on the token belongs to the private key is
// proved by the caller's first signature.
func (t *Token) Adopt(ctx context.Context, name string) (model.Key, []byte, error) {
	ref := hsmwire.KeyRef{Label: name}
	if text, ok := strings.CutPrefix(name, idPrefix); ok {
		id, err := hex.DecodeString(text)
		if err != nil || len(id) == 0 {
			return model.Key{}, nil, fmt.Errorf("%w: %q is not a CKA_ID in hexadecimal", keys.ErrUnsupportedKey, text)
		}
		ref = hsmwire.KeyRef{ID: id}
	}
	a, err := t.do(ctx, &hsmwire.Request{Op: hsmwire.OpFind, Key: &ref}, t.config.operationTimeout())
	if err != nil {
		return model.Key{}, nil, err
	}
	found := orEmpty(a.Key)
	switch {
	case !found.CanSign:
		return model.Key{}, nil, fmt.Errorf("%w: the token does not let the key sign (CKA_SIGN is false)", keys.ErrUnsupportedKey)
	case found.AlwaysAuthenticate:
		return model.Key{}, nil, fmt.Errorf("%w: the token wants the PIN for each signature of this key (CKA_ALWAYS_AUTHENTICATE)", keys.ErrUnsupportedKey)
	}
	if len(found.ID) == 0 {
		found.Label = ref.Label // a token may pad or cut the one that it shows
	}
	return t.record(found, true)
}

// record makes what the database keeps of a key on the token.
func (t *Token) record(found hsmwire.Key, adopted bool) (model.Key, []byte, error) {
	public, err := x509.ParsePKIXPublicKey(found.Public)
	if err != nil {
		return model.Key{}, nil, fmt.Errorf("key store %s: the token's public key cannot be read: %w", t.Name(), err)
	}
	key, err := keys.NewRecord(public, t.Name())
	if err != nil {
		return model.Key{}, nil, err
	}
	t.mu.Lock()
	info := orEmpty(t.info)
	t.mu.Unlock()
	sum := sha256.Sum256(key.Public)
	plain, err := json.Marshal(reference{ID: found.ID, Label: found.Label, TokenLabel: info.Label, TokenSerial: info.Serial, PublicSHA256: sum[:], Adopted: adopted})
	if err != nil {
		return model.Key{}, nil, err
	}
	sealed, err := t.options.KEK.SealKey(key, plain)
	return key, sealed, err
}

// unseal gives the reference of a key and its public key.
func (t *Token) unseal(key model.Key, sealed []byte) (reference, crypto.PublicKey, error) {
	plain, err := t.options.KEK.OpenKey(key, sealed)
	if err != nil {
		return reference{}, nil, err
	}
	var ref reference
	if err := json.Unmarshal(plain, &ref); err != nil {
		return reference{}, nil, fmt.Errorf("key %s: %w: it is no reference to a key on a token", key.ID, keys.ErrKeyMismatch)
	}
	sum := sha256.Sum256(key.Public)
	if !bytes.Equal(sum[:], ref.PublicSHA256) {
		return reference{}, nil, fmt.Errorf("key %s: %w", key.ID, keys.ErrKeyMismatch)
	}
	public, err := keys.PublicKey(key)
	return ref, public, err
}

// Open implements keys.Backend. It asks nothing of the token, which may be away.
func (t *Token) Open(_ context.Context, key model.Key, sealed []byte) (keys.Signer, error) {
	ref, public, err := t.unseal(key, sealed)
	if err != nil {
		return nil, err
	}
	return &signer{token: t, ref: ref.key(), keyType: key.Type, public: public}, nil
}

// Attestation implements keys.Attester. The document is hsmwire.Attestation.
func (t *Token) Attestation(ctx context.Context, key model.Key, sealed []byte) ([]byte, error) {
	ref, _, err := t.unseal(key, sealed)
	if err != nil {
		return nil, err
	}
	k := ref.key()
	a, err := t.do(ctx, &hsmwire.Request{Op: hsmwire.OpAttestation, Key: &k}, t.config.operationTimeout())
	if err != nil {
		return nil, err
	}
	if a.Attestation == nil || !bytes.Equal(a.Attestation.Key.Public, key.Public) {
		return nil, fmt.Errorf("key %s: %w: the token has another key in its place", key.ID, keys.ErrKeyMismatch)
	}
	a.Attestation.Token.Sessions = 0
	return json.Marshal(a.Attestation)
}

// Destroy implements keys.Destroyer.
func (t *Token) Destroy(ctx context.Context, key model.Key, sealed []byte) error {
	ref, _, err := t.unseal(key, sealed)
	if err != nil || ref.Adopted {
		return err
	}
	k := ref.key()
	// Only the key that the record describes.
	a, err := t.do(ctx, &hsmwire.Request{Op: hsmwire.OpFind, Key: &k}, t.config.operationTimeout())
	if err != nil {
		return err
	}
	if !bytes.Equal(orEmpty(a.Key).Public, key.Public) {
		return fmt.Errorf("key %s: %w: the token has another key in its place", key.ID, keys.ErrKeyMismatch)
	}
	_, err = t.do(ctx, &hsmwire.Request{Op: hsmwire.OpDestroy, Key: &k}, t.config.operationTimeout())
	return err
}

// signer is a key on a token.
type signer struct {
	token   *Token
	ref     hsmwire.KeyRef
	keyType wire.KeyType
	public  crypto.PublicKey
}

// Public implements keys.Signer.
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign implements keys.Signer. That the token used the right key is for the
// caller to verify; it does so with every signature.
func (s *signer) Sign(ctx context.Context, scheme wire.Scheme, digest []byte) ([]byte, error) {
	if err := keys.CheckScheme(s.keyType, scheme, len(digest)); err != nil {
		return nil, err
	}
	request := &hsmwire.Sign{Key: s.ref}
	var size int
	switch pub := s.public.(type) {
	case *rsa.PublicKey:
		size = pub.Size()
		if err := rsaRequest(request, scheme, digest); err != nil {
			return nil, err
		}
	case *ecdsa.PublicKey:
		n := (pub.Curve.Params().BitSize + 7) / 8
		size = 2 * n
		// Tokens disagree about longer digests; only the leftmost bits count (FIPS 186-5 section 6.4.1).
		request.Mechanism, request.Data = hsmwire.MechanismECDSA, digest[:min(len(digest), n)]
	case ed25519.PublicKey:
		size = ed25519.SignatureSize
		request.Mechanism, request.Data = hsmwire.MechanismEdDSA, digest
	default:
		return nil, fmt.Errorf("%w: %T", keys.ErrUnsupportedKey, s.public)
	}
	a, err := s.token.do(ctx, &hsmwire.Request{Op: hsmwire.OpSign, Sign: request}, s.token.config.operationTimeout())
	if err != nil {
		return nil, err
	}
	if len(a.Signature) != size {
		return nil, fmt.Errorf("key store %s: the token answered a signature of %d bytes; the key makes %d", s.token.Name(), len(a.Signature), size)
	}
	return a.Signature, nil
}

// pssHashes names hashes as the worker does. Tokens have no MGF1 with MD5.
var pssHashes = map[wire.Hash]string{wire.SHA1: "SHA-1", wire.SHA256: "SHA-256", wire.SHA384: "SHA-384", wire.SHA512: "SHA-512"}

func rsaRequest(r *hsmwire.Sign, scheme wire.Scheme, digest []byte) (err error) {
	if scheme.Algorithm == wire.RSAPSS {
		hash, ok := pssHashes[scheme.Hash]
		if !ok {
			return &keys.SchemeError{Scheme: scheme, Reason: fmt.Sprintf("Keys on a PKCS #11 token do not sign RSA-PSS with %s.", scheme.Hash)}
		}
		r.Mechanism, r.Hash, r.Data = hsmwire.MechanismPSS, hash, digest
		return nil
	}
	r.Mechanism = hsmwire.MechanismPKCS1
	r.Data, err = digestInfo(scheme.Hash, digest)
	return err
}

// digestInfo is the DER of RFC 8017 section 9.2, note 1.
func digestInfo(hash wire.Hash, digest []byte) ([]byte, error) {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(hash.OID(), ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, errors.New("the hash algorithm has no object identifier")
		}
		oid = append(oid, n)
	}
	return asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}{pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.NullRawValue}, digest})
}
