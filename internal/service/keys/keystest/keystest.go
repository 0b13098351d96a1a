// Package keystest is the conformance suite that every key back end passes,
// and what tests of other packages need of keys.
//
// Signatures are verified with crypto/rsa and crypto/ecdsa, not with the code
// under test. The package is for tests only.
package keystest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/secret"
	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

// KEK is a random key-encryption key.
func KEK(tb testing.TB) *keys.KEK {
	tb.Helper()
	raw := make([]byte, keys.KEKSize)
	if _, err := rand.Read(raw); err != nil {
		tb.Fatal(err)
	}
	kek, err := keys.LoadKEK(keys.KEKSource{Value: secret.New(base64.StdEncoding.EncodeToString(raw))})
	if err != nil {
		tb.Fatal(err)
	}
	return kek
}

// Import puts the published test key with that name (see testkeys) into an
// embedded key store, which is much faster than making one.
func Import(tb testing.TB, soft *keys.Soft, name string) (model.Key, []byte) {
	tb.Helper()
	key, sealed, err := soft.Import(tb.Context(), testkeys.Signer(tb, name))
	if err != nil {
		tb.Fatal(err)
	}
	return key, sealed
}

// Signer is an opened test key of a new embedded key store.
func Signer(tb testing.TB, name string) keys.Signer {
	tb.Helper()
	soft := keys.NewSoft(KEK(tb))
	key, sealed := Import(tb, soft, name)
	signer, err := soft.Open(tb.Context(), key, sealed)
	if err != nil {
		tb.Fatal(err)
	}
	return signer
}

// Verify answers an error unless sig is the signature of digest under scheme
// in the form that keys.Signer promises.
func Verify(pub crypto.PublicKey, scheme wire.Scheme, digest, sig []byte) error {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if len(sig) != pub.Size() {
			return fmt.Errorf("the signature has %d bytes, want %d", len(sig), pub.Size())
		}
		if scheme.Algorithm == wire.RSAPSS {
			return rsa.VerifyPSS(pub, scheme.Hash.Crypto(), digest, sig, &rsa.PSSOptions{SaltLength: len(digest)})
		}
		return rsa.VerifyPKCS1v15(pub, scheme.Hash.Crypto(), digest, sig)
	case *ecdsa.PublicKey:
		size := (pub.Params().BitSize + 7) / 8
		if len(sig) != 2*size {
			return fmt.Errorf("the signature has %d bytes, want %d", len(sig), 2*size)
		}
		r, s := new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])
		if !ecdsa.Verify(pub, digest, r, s) {
			return errors.New("crypto/ecdsa refuses the signature")
		}
		return nil
	}
	if pub, ok := pub.(ed25519.PublicKey); ok {
		if !ed25519.Verify(pub, digest, sig) {
			return errors.New("crypto/ed25519 refuses the signature")
		}
		return nil
	}
	return fmt.Errorf("the public key is %T", pub)
}

// kinds are the keys that a back end must make.
var kinds = []struct {
	keyType wire.KeyType
	bits    int
}{
	{wire.KeyRSA, 2048}, {wire.KeyRSA, 3072}, {wire.KeyRSA, 4096},
	{wire.KeyECDSA, 256}, {wire.KeyECDSA, 384}, {wire.KeyECDSA, 521},
	{wire.KeyEd25519, 256},
}

// NoMD5PSS is the one scheme that a back end may refuse, with a
// *keys.SchemeError: PKCS #11 knows no MGF1 with MD5.
var NoMD5PSS = wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.MD5}

// Run checks a back end; open gives a new one for each part. The back end must
// refuse the schemes in without and support all others.
func Run(t *testing.T, open func(t *testing.T) keys.Backend, without ...wire.Scheme) {
	backend := open(t)
	for _, k := range kinds {
		t.Run(fmt.Sprintf("%s%d", k.keyType, k.bits), func(t *testing.T) {
			key, sealed, err := backend.Generate(t.Context(), k.keyType, k.bits)
			if err != nil {
				t.Fatal(err)
			}
			pub := checkRecord(t, key, k.keyType, k.bits)
			signer, err := backend.Open(t.Context(), key, sealed)
			if err != nil {
				t.Fatal(err)
			}
			if p, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(pub) {
				t.Error("the signer's public key is not the record's")
			}
			t.Run("schemes", func(t *testing.T) { checkSchemes(t, signer, k.keyType, pub, without) })
			t.Run("refused", func(t *testing.T) { checkRefused(t, signer, k.keyType) })
			t.Run("concurrent", func(t *testing.T) { checkConcurrent(t, signer, k.keyType, pub, without) })
			t.Run("sealed", func(t *testing.T) { checkSealed(t, backend, key, sealed) })
		})
	}
	t.Run("unsupported", func(t *testing.T) { checkUnsupported(t, open(t)) })
	t.Run("canceled", func(t *testing.T) { checkCanceled(t, open(t)) })
}

func checkRecord(t *testing.T, key model.Key, keyType wire.KeyType, bits int) crypto.PublicKey {
	t.Helper()
	if id, err := uuid.Parse(key.ID); err != nil || id.String() != key.ID {
		t.Errorf("ID = %q, want a lower-case UUID", key.ID)
	}
	if key.Version != 1 || key.Type != keyType || key.Bits != bits || key.Backend == "" || key.Deleted {
		t.Errorf("record = %+v", key)
	}
	if age := time.Since(key.Created); key.Created.Location() != time.UTC || age < -time.Second || age > time.Minute ||
		!key.Created.Equal(key.Created.Truncate(time.Millisecond)) {
		t.Errorf("Created = %v, want now in UTC with milliseconds", key.Created)
	}
	pub, err := x509.ParsePKIXPublicKey(key.Public)
	if err != nil {
		t.Fatalf("Public is no SubjectPublicKeyInfo: %v", err)
	}
	return pub
}

func schemesOf(keyType wire.KeyType) (schemes []wire.Scheme) {
	if keyType == wire.KeyECDSA {
		return []wire.Scheme{{Algorithm: wire.ECDSA}}
	}
	if keyType == wire.KeyEd25519 {
		return []wire.Scheme{{Algorithm: wire.EdDSA}}
	}
	for _, h := range wire.Hashes() {
		schemes = append(schemes, wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: h}, wire.Scheme{Algorithm: wire.RSAPSS, Hash: h})
	}
	return schemes
}

func lengthsOf(s wire.Scheme) []int {
	if s.Algorithm == wire.ECDSA {
		return []int{20, 28, 32, 48, 64}
	}
	if s.Algorithm == wire.EdDSA {
		return []int{1, 64, 1000, wire.MaxMessage}
	}
	return []int{s.Hash.Size()}
}

func digestOf(t *testing.T, n int) []byte {
	t.Helper()
	d := make([]byte, n)
	if _, err := rand.Read(d); err != nil {
		t.Fatal(err)
	}
	return d
}

func checkSchemes(t *testing.T, signer keys.Signer, keyType wire.KeyType, pub crypto.PublicKey, without []wire.Scheme) {
	for _, s := range schemesOf(keyType) {
		for _, n := range lengthsOf(s) {
			digest := digestOf(t, n)
			kept := bytes.Clone(digest)
			sig, err := signer.Sign(t.Context(), s, digest)
			if slices.Contains(without, s) {
				var refused *keys.SchemeError
				if !errors.As(err, &refused) || sig != nil {
					t.Errorf("%s %s: %v, want a *SchemeError", s.Algorithm, s.Hash, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s %s %d bytes: %v", s.Algorithm, s.Hash, n, err)
				continue
			}
			if err := Verify(pub, s, kept, sig); err != nil {
				t.Errorf("%s %s %d bytes: %v", s.Algorithm, s.Hash, n, err)
			}
			kept[0] ^= 1
			if Verify(pub, s, kept, sig) == nil {
				t.Errorf("%s %s %d bytes: another digest verifies too", s.Algorithm, s.Hash, n)
			}
		}
	}
}

func checkRefused(t *testing.T, signer keys.Signer, keyType wire.KeyType) {
	type refused struct {
		name   string
		scheme wire.Scheme
		length int
	}
	cases := []refused{{"unknown algorithm", wire.Scheme{Algorithm: "Dsa"}, 32}, {"no algorithm", wire.Scheme{}, 32}}
	other := wire.KeyECDSA
	if keyType == wire.KeyECDSA {
		other = wire.KeyRSA
	}
	if keyType == wire.KeyRSA {
		cases = append(cases, refused{"PKCS1 without hash", wire.Scheme{Algorithm: wire.RSAPKCS1}, 32},
			refused{"PSS without hash", wire.Scheme{Algorithm: wire.RSAPSS}, 32},
			refused{"unknown hash", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: 200}, 32})
	}
	for _, s := range schemesOf(other) {
		cases = append(cases, refused{"scheme of the other key type", s, lengthsOf(s)[0]})
	}
	if keyType == wire.KeyEd25519 {
		cases = append(cases, refused{"a hash algorithm", wire.Scheme{Algorithm: wire.EdDSA, Hash: wire.SHA512}, 64},
			refused{"empty message", wire.Scheme{Algorithm: wire.EdDSA}, 0}, refused{"huge message", wire.Scheme{Algorithm: wire.EdDSA}, wire.MaxMessage + 1})
	}
	for _, s := range schemesOf(keyType) {
		if s.Algorithm == wire.EdDSA {
			continue
		}
		for _, n := range lengthsOf(s) {
			cases = append(cases, refused{"one byte too few", s, n - 1}, refused{"one byte too many", s, n + 1})
		}
		cases = append(cases, refused{"empty digest", s, 0}, refused{"huge digest", s, 1 << 16})
	}
	for _, c := range cases {
		sig, err := signer.Sign(t.Context(), c.scheme, make([]byte, c.length))
		var typed *keys.SchemeError
		if !errors.As(err, &typed) || sig != nil {
			t.Errorf("%s (%s %s, %d bytes): %d bytes of signature, error %v, want a *SchemeError", c.name, c.scheme.Algorithm, c.scheme.Hash, c.length, len(sig), err)
		} else if typed.Scheme != c.scheme || typed.Reason == "" {
			t.Errorf("%s: the error %+v does not tell its scheme", c.name, typed)
		}
	}
}

func checkConcurrent(t *testing.T, signer keys.Signer, keyType wire.KeyType, pub crypto.PublicKey, without []wire.Scheme) {
	var wg sync.WaitGroup
	schemes := slices.DeleteFunc(schemesOf(keyType), func(s wire.Scheme) bool { return slices.Contains(without, s) })
	for i := range 8 {
		s := schemes[i%len(schemes)]
		digest := digestOf(t, lengthsOf(s)[0])
		wg.Go(func() {
			for range 3 {
				sig, err := signer.Sign(t.Context(), s, digest)
				if err == nil {
					err = Verify(pub, s, digest, sig)
				}
				if err != nil {
					t.Errorf("%s %s: %v", s.Algorithm, s.Hash, err)
				}
			}
		})
	}
	wg.Wait()
}

// checkSealed: what the store holds is useless for any other record and after any change.
func checkSealed(t *testing.T, backend keys.Backend, key model.Key, sealed []byte) {
	another := key
	another.ID = uuid.NewString()
	renewed := key
	renewed.Version++
	for name, k := range map[string]model.Key{"another ID": another, "another version": renewed} {
		if _, err := backend.Open(t.Context(), k, sealed); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("%s: %v, want ErrSealed", name, err)
		}
	}
	// Every byte for short blobs, a sample for long ones: RSA blobs have up to 2.4 kB.
	step := max(1, len(sealed)/200)
	for i := 0; i < len(sealed); i += step {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x40
		if _, err := backend.Open(t.Context(), key, changed); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("byte %d changed: %v, want ErrSealed", i, err)
		}
	}
	for _, n := range []int{1, len(sealed) / 2, len(sealed) - 1} {
		if _, err := backend.Open(t.Context(), key, sealed[:n]); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("cut to %d bytes: %v, want ErrSealed", n, err)
		}
	}
	if _, err := backend.Open(t.Context(), key, append(bytes.Clone(sealed), 0)); !errors.Is(err, keys.ErrSealed) {
		t.Error("a byte more was accepted")
	}
	if _, err := backend.Open(t.Context(), key, nil); !errors.Is(err, keys.ErrKeyDeleted) {
		t.Error("a key without private part was opened")
	}
	deleted := key
	deleted.Deleted = true
	if _, err := backend.Open(t.Context(), deleted, sealed); !errors.Is(err, keys.ErrKeyDeleted) {
		t.Errorf("a deleted key: %v, want ErrKeyDeleted", err)
	}
	for name, change := range map[string]func(*model.Key){
		"another public key": func(k *model.Key) { k.Public = bytes.Clone(k.Public); k.Public[len(k.Public)-1] ^= 1 },
		"another size":       func(k *model.Key) { k.Bits++ },
		"another type":       func(k *model.Key) { k.Type = "Dsa" },
	} {
		k := key
		change(&k)
		if _, err := backend.Open(t.Context(), k, sealed); !errors.Is(err, keys.ErrKeyMismatch) {
			t.Errorf("%s: %v, want ErrKeyMismatch", name, err)
		}
	}
	// The public part would be harmless, but its bytes show that the blob is not encrypted.
	for _, plain := range plaintexts(t, key) {
		if bytes.Contains(sealed, plain) {
			t.Error("the sealed value holds plaintext of the key")
		}
	}
}

// plaintexts are byte strings that every usual encoding of the private key contains.
func plaintexts(t *testing.T, key model.Key) [][]byte {
	t.Helper()
	pub, err := x509.ParsePKIXPublicKey(key.Public)
	if err != nil {
		t.Fatal(err)
	}
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		return [][]byte{pub}
	case *rsa.PublicKey:
		return [][]byte{pub.N.Bytes()[:16], pub.N.Bytes()[pub.Size()-16:]}
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return [][]byte{point[1:17], point[len(point)-16:]}
	}
	t.Fatalf("the public key is %T", pub)
	return nil
}

func checkUnsupported(t *testing.T, backend keys.Backend) {
	for _, k := range []struct {
		keyType wire.KeyType
		bits    int
	}{
		{wire.KeyRSA, 1024}, {wire.KeyRSA, 2047}, {wire.KeyRSA, 0}, {wire.KeyRSA, -1}, {wire.KeyRSA, 1 << 20}, {wire.KeyRSA, 256},
		{wire.KeyECDSA, 224}, {wire.KeyECDSA, 0}, {wire.KeyECDSA, 2048}, {wire.KeyECDSA, 512}, {"", 2048}, {"Ed448", 456}, {wire.KeyEd25519, 255},
	} {
		if _, sealed, err := backend.Generate(t.Context(), k.keyType, k.bits); !errors.Is(err, keys.ErrUnsupportedKey) || sealed != nil {
			t.Errorf("Generate(%q, %d) = %v, want ErrUnsupportedKey", k.keyType, k.bits, err)
		}
	}
}

func checkCanceled(t *testing.T, backend keys.Backend) {
	key, sealed, err := backend.Generate(t.Context(), wire.KeyECDSA, 256)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := backend.Open(t.Context(), key, sealed)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := signer.Sign(ctx, wire.Scheme{Algorithm: wire.ECDSA}, make([]byte, 32)); !errors.Is(err, context.Canceled) {
		t.Errorf("Sign with a canceled context: %v", err)
	}
	if _, _, err := backend.Generate(ctx, wire.KeyECDSA, 256); !errors.Is(err, context.Canceled) {
		t.Errorf("Generate with a canceled context: %v", err)
	}
}
