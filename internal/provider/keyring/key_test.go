package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"testing"
	"time"

	"signpath/internal/provider/remote"
	"signpath/internal/wire"
)

func scheme(a wire.Algorithm, h wire.Hash) wire.Scheme { return wire.Scheme{Algorithm: a, Hash: h} }

func TestSignEveryScheme(t *testing.T) {
	s := newService(t)
	for _, n := range []string{"rsa2048", "rsa3072", "p256", "p384", "p521"} {
		s.add(t, "p/"+n, testKeys(t, n))
	}
	snap := keysOf(t, s.ring(t))
	ctx := context.Background()
	for _, k := range snap.Keys() {
		if k.Type() == wire.KeyECDSA {
			for n := range 70 {
				if !wire.IsECDSADigestLength(n) {
					if err := k.Check(scheme(wire.ECDSA, 0), n); !errors.Is(err, ErrDigestLength) {
						t.Errorf("%s, %d bytes: %v", k.Name(), n, err)
					}
					continue
				}
				sig, err := k.Sign(ctx, scheme(wire.ECDSA, 0), bytes.Repeat([]byte{0xa5}, n))
				if err != nil || len(sig) != k.SignatureSize(scheme(wire.ECDSA, 0)) {
					t.Errorf("%s, %d bytes: %v", k.Name(), n, err)
				}
			}
			continue
		}
		for _, h := range wire.Hashes() {
			for _, a := range []wire.Algorithm{wire.RSAPKCS1, wire.RSAPSS} {
				sig, err := k.Sign(ctx, scheme(a, h), bytes.Repeat([]byte{0x5a}, h.Size()))
				if err != nil || len(sig) != k.Bits()/8 {
					t.Errorf("%s, %s with %s: %v", k.Name(), a, h, err)
				}
			}
		}
	}
}

func TestCheckedBeforeTheNetwork(t *testing.T) {
	s := newService(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	odd, err := rsa.GenerateKey(rand.Reader, 1041) // the encoded PSS message is one byte shorter than the modulus
	if err != nil {
		t.Fatal(err)
	}
	s.add(t, "p/rsa1024", short)
	s.add(t, "p/rsa1041", odd)
	s.add(t, "p/ec", testKeys(t, "p256"))
	snap := keysOf(t, s.ring(t))
	for _, tc := range []struct {
		key    string
		scheme wire.Scheme
		length int
		want   error
	}{
		{"p/rsa1024", scheme(wire.RSAPKCS1, wire.SHA256), 31, ErrDigestLength},
		{"p/rsa1024", scheme(wire.RSAPKCS1, wire.SHA256), 51, ErrDigestLength}, // a DigestInfo
		{"p/rsa1024", scheme(wire.RSAPKCS1, wire.SHA256), 0, ErrDigestLength},
		{"p/rsa1024", scheme(wire.RSAPKCS1, 0), 32, ErrScheme},
		{"p/rsa1024", scheme(wire.RSAPKCS1, 99), 32, ErrScheme},
		{"p/rsa1024", scheme(wire.ECDSA, 0), 32, ErrScheme},
		{"p/rsa1024", scheme("EdDsa", 0), 32, ErrScheme},
		{"p/rsa1024", scheme("", 0), 32, ErrScheme},
		{"p/rsa1024", scheme(wire.RSAPSS, wire.SHA512), 64, ErrKeyTooShort},
		{"p/rsa1041", scheme(wire.RSAPSS, wire.SHA512), 64, nil},
		{"p/rsa1024", scheme(wire.RSAPKCS1, wire.SHA512), 64, nil},
		{"p/rsa1024", scheme(wire.RSAPSS, wire.SHA384), 48, nil},
		{"p/ec", scheme(wire.RSAPSS, wire.SHA256), 32, ErrScheme},
		{"p/ec", scheme(wire.ECDSA, 0), 33, ErrDigestLength},
		{"p/ec", scheme(wire.ECDSA, 0), 16, ErrDigestLength},
		{"p/ec", scheme(wire.ECDSA, wire.SHA256), 48, ErrDigestLength},
		{"p/ec", scheme(wire.ECDSA, wire.SHA384), 48, nil},
	} {
		before := s.signs
		_, err := snap.ByName(tc.key).Sign(context.Background(), tc.scheme, make([]byte, tc.length))
		if !errors.Is(err, tc.want) || (tc.want == nil) != (err == nil) {
			t.Errorf("%s %v %d: %v, want %v", tc.key, tc.scheme, tc.length, err, tc.want)
		}
		if asked := s.signs != before; asked != (tc.want == nil) {
			t.Errorf("%s %v %d: asked the service: %v", tc.key, tc.scheme, tc.length, asked)
		}
	}
}

func TestWrongSignaturesAreCaught(t *testing.T) {
	for _, name := range []string{"rsa2048", "p256"} {
		for fault, spoil := range map[string]func([]byte) []byte{
			"bit":   func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
			"short": func(b []byte) []byte { return b[1:] },
			"long":  func(b []byte) []byte { return append([]byte{0}, b...) },
			"zero":  func(b []byte) []byte { return make([]byte, len(b)) },
			"ones":  func(b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) },
			"padded halves": func(b []byte) []byte { // the same numbers, but not the size that tools expect
				h := len(b) / 2
				return append(append(append([]byte{0}, b[:h]...), 0), b[h:]...)
			},
			"one byte":    func([]byte) []byte { return []byte{1} },
			"another key": nil,
		} {
			t.Run(name+" "+fault, func(t *testing.T) {
				s := newService(t)
				s.add(t, "p/k", testKeys(t, name))
				s.spoil = spoil
				snap := keysOf(t, s.ring(t))
				if spoil == nil {
					s.set(func(s *service) {
						s.keys["p/k"] = testKeys(t, map[string]string{"rsa2048": "rsa3072", "p256": "p384"}[name])
					})
				}
				sc := scheme(wire.ECDSA, 0)
				if name == "rsa2048" {
					sc = scheme(wire.RSAPSS, wire.SHA256)
				}
				if _, err := snap.At(0).Sign(context.Background(), sc, make([]byte, 32)); classOf(err) != remote.Service {
					t.Errorf("%v", err)
				}
			})
		}
	}
	// A PSS signature with another salt length verifies in general, but is not what was asked for.
	t.Run("salt", func(t *testing.T) {
		s := newService(t)
		key := testKeys(t, "rsa2048").(*rsa.PrivateKey)
		s.add(t, "p/k", key)
		s.spoil = func([]byte) []byte {
			sig, err := rsa.SignPSS(rand.Reader, key, wire.SHA256.Crypto(), make([]byte, 32), &rsa.PSSOptions{SaltLength: 20})
			if err != nil {
				t.Error(err)
			}
			return sig
		}
		if _, err := keysOf(t, s.ring(t)).At(0).Sign(context.Background(), scheme(wire.RSAPSS, wire.SHA256), make([]byte, 32)); classOf(err) != remote.Service {
			t.Errorf("%v", err)
		}
	})
}

func TestFailuresAreRemembered(t *testing.T) {
	s := newService(t)
	s.add(t, "p/a", testKeys(t, "p256"))
	s.add(t, "p/b", testKeys(t, "p256"))
	r := s.ring(t)
	snap := keysOf(t, r)
	a, b := snap.At(0), snap.At(1)
	ctx, digest := context.Background(), make([]byte, 32)
	s.set(func(s *service) { s.status = 502 })
	_, first := a.Sign(ctx, scheme(wire.ECDSA, 0), digest)
	if classOf(first) != remote.Transient || s.signs != 3 {
		t.Fatalf("%v after %d requests", first, s.signs)
	}
	if _, err := a.Sign(ctx, scheme(wire.ECDSA, wire.SHA256), digest); err != first || s.signs != 3 {
		t.Errorf("the repeated signature asked again: %v", err)
	}
	s.set(func(s *service) { s.status = 0 })
	if _, err := b.Sign(ctx, scheme(wire.ECDSA, 0), digest); err != nil {
		t.Errorf("another key: %v", err)
	}
	if _, err := a.Sign(ctx, scheme(wire.ECDSA, 0), bytes.Repeat([]byte{1}, 32)); err != nil {
		t.Errorf("another digest: %v", err)
	}
	r.failures.mu.Lock()
	for id, f := range r.failures.m {
		f.until = time.Now()
		r.failures.m[id] = f
	}
	r.failures.mu.Unlock()
	if _, err := a.Sign(ctx, scheme(wire.ECDSA, 0), digest); err != nil {
		t.Errorf("later: %v", err)
	}
	// What the host ended itself may be tried again at once.
	s.set(func(s *service) { s.delay = 5 * time.Second })
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := a.Sign(ctx, scheme(wire.ECDSA, 0), digest); classOf(err) != remote.Canceled {
		t.Errorf("%v", err)
	}
	s.set(func(s *service) { s.delay = 0 })
	if _, err := a.Sign(context.Background(), scheme(wire.ECDSA, 0), digest); err != nil {
		t.Errorf("after a cancelled one: %v", err)
	}
	for i := range 3 * maxFailures {
		r.failures.put(failureID(&Key{name: fmt.Sprint(i)}, wire.Scheme{}, nil), first)
	}
	if n := len(r.failures.m); n > maxFailures {
		t.Errorf("%d failures are kept", n)
	}
}
