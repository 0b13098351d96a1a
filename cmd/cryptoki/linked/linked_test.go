//go:build linux && cgo

package linked

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"

	"signpath/internal/provider/cryptoki"
	"signpath/internal/provider/settings"
	"signpath/internal/secret"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

// number of a function by its name.
var number = func() map[string]int {
	m := map[string]int{}
	for fn := range int(Functions) {
		m[Name(fn)] = fn
	}
	return m
}()

func call(function string, args ...uint64) cryptoki.RV { return Call(number[function], args...) }

// ring holds keys in this process.
type ring struct{ listing *cryptoki.Listing }

func (r ring) Keys(context.Context, cryptoki.Lookup) (*cryptoki.Listing, error) {
	return r.listing, nil
}
func (r ring) Refresh(context.Context) (*cryptoki.Listing, error) { return r.listing, nil }
func (r ring) Close()                                             {}

type silence struct{}

func (silence) Debug(string, ...any)        {}
func (silence) Info(string, ...any)         {}
func (silence) Warning(string, ...any)      {}
func (silence) Error(string, ...any)        {}
func (silence) Call(string, string, ...any) {}
func (silence) AddSecret(secret.Secret)     {}

// The names of the keys and the bytes of their signatures.
const (
	rsaName, rsaSize = "project/rsa", 256
	ecName, ecSize   = "project/ec", 64
	edName           = "project/ed25519" // signatures as long as the EC key's
)

func signer(name string, k crypto.Signer) cryptoki.Key {
	return cryptoki.Key{Name: name, Public: k.Public(), Sign: func(_ context.Context, s wire.Scheme, digest []byte) ([]byte, error) {
		switch k := k.(type) {
		case *ecdsa.PrivateKey:
			r, v, err := ecdsa.Sign(rand.Reader, k, digest)
			if err != nil {
				return nil, err
			}
			return append(r.FillBytes(make([]byte, ecSize/2)), v.FillBytes(make([]byte, ecSize/2))...), nil
		case ed25519.PrivateKey:
			return ed25519.Sign(k, digest), nil // the message itself
		case *rsa.PrivateKey:
			if s.Algorithm == wire.RSAPSS {
				return rsa.SignPSS(rand.Reader, k, s.Hash.Crypto(), digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			}
			return rsa.SignPKCS1v15(nil, k, s.Hash.Crypto(), digest)
		}
		return nil, fmt.Errorf("no such key")
	}}
}

// initialized calls C_Initialize with keys of this process behind it, and C_Finalize
// at the end.
func initialized(tb testing.TB) {
	tb.Helper()
	keys := &cryptoki.Listing{Keys: []cryptoki.Key{signer(rsaName, testkeys.Signer(tb, "rsa2048")), signer(ecName, testkeys.Signer(tb, "p256")), signer(edName, testkeys.Signer(tb, "ed25519"))}}
	Options = cryptoki.Options{
		Version: "0.0.0",
		Load: func([]string, settings.Explicit) (settings.Settings, error) {
			s := settings.Settings{OrganizationID: "00000000-1111-2222-3333-444444444444", APIToken: secret.New("token"), DoNotFailOnReadWriteSessions: true}
			s.APIURL, _ = url.Parse("https://service.invalid/Api")
			return s, nil
		},
		OpenLog:  func(settings.Settings) (cryptoki.Logger, func()) { return silence{}, func() {} },
		OpenRing: func(settings.Settings, cryptoki.Logger) (cryptoki.Ring, error) { return ring{keys}, nil },
	}
	if rv := call("C_Initialize"); rv != cryptoki.CKR_OK {
		tb.Fatalf("C_Initialize: %v", rv)
	}
	tb.Cleanup(func() {
		if rv := call("C_Finalize"); rv != cryptoki.CKR_OK {
			tb.Errorf("C_Finalize: %v", rv)
		}
	})
}

func long(v ...uint64) []byte {
	var b []byte
	for _, n := range v {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

// arena hands out C memory that ends with the test.
type arena struct {
	mu  sync.Mutex
	all []Memory
}

func newArena(tb testing.TB) *arena {
	a := &arena{}
	tb.Cleanup(func() {
		for _, m := range a.all {
			m.Free()
		}
	})
	return a
}

func (a *arena) bytes(b []byte) Memory {
	m := Malloc(len(b))
	copy(m.Bytes(), b)
	a.mu.Lock()
	a.all = append(a.all, m)
	a.mu.Unlock()
	return m
}

func (a *arena) longs(v ...uint64) Memory { return a.bytes(long(v...)) }

func value(m Memory) uint64 { return binary.LittleEndian.Uint64(m.Bytes()) }

// host is what one thread of a host does; every answer is checked.
type host struct {
	tb testing.TB
	*arena
}

func (h host) ok(function string, args ...uint64) {
	h.tb.Helper()
	if rv := call(function, args...); rv != cryptoki.CKR_OK {
		h.tb.Errorf("%s: %v", function, rv)
	}
}

func (h host) open() uint64 {
	place := h.longs(0)
	h.ok("C_OpenSession", 1, 4, 0, 0, place.Address())
	return value(place)
}

func (h host) login(s uint64) {
	pin := h.bytes([]byte("CONFIG"))
	if rv := call("C_Login", s, 1, pin.Address(), 6); rv != cryptoki.CKR_OK && rv != cryptoki.CKR_USER_ALREADY_LOGGED_IN {
		h.tb.Errorf("C_Login: %v", rv)
	}
}

func (h host) key(s, class uint64, name string) uint64 {
	h.tb.Helper()
	id, c, found, n := h.bytes([]byte(name)), h.longs(class), h.longs(0), h.longs(0)
	t := h.longs(0, c.Address(), 8, 0x102, id.Address(), uint64(len(name)))
	h.ok("C_FindObjectsInit", s, t.Address(), 2)
	h.ok("C_FindObjects", s, found.Address(), 1, n.Address())
	h.ok("C_FindObjectsFinal", s)
	if value(n) != 1 {
		h.tb.Errorf("%d keys named %s", value(n), name)
	}
	return value(found)
}

// round signs in one step and in parts, reads attributes, and verifies.
func (h host) round(s, i uint64) {
	const sha256RSA, ecdsaSHA256 = 0x40, 0x1044
	mechanism, name, size := uint64(sha256RSA), rsaName, rsaSize
	if i%2 == 1 {
		mechanism, name, size = ecdsaSHA256, ecName, ecSize
	}
	key, public := h.key(s, 3, name), h.key(s, 2, name)
	m, data := h.longs(mechanism, 0, 0), h.bytes(bytes.Repeat([]byte{byte(i)}, 40<<10)) // large enough for a goroutine of its own
	n, sig := h.longs(0), h.bytes(make([]byte, size))
	attribute := h.longs(0x102, sig.Address(), uint64(size))
	h.ok("C_GetAttributeValue", s, key, attribute.Address(), 1)
	h.ok("C_SignInit", s, m.Address(), key)
	h.ok("C_Sign", s, data.Address(), uint64(data.size), 0, n.Address())
	h.ok("C_Sign", s, data.Address(), uint64(data.size), sig.Address(), n.Address())
	h.ok("C_VerifyInit", s, m.Address(), public)
	h.ok("C_VerifyUpdate", s, data.Address(), uint64(data.size))
	h.ok("C_VerifyFinal", s, sig.Address(), value(n))
	h.ok("C_SignInit", s, m.Address(), key)
	h.ok("C_SignUpdate", s, data.Address(), uint64(data.size))
	h.ok("C_SignFinal", s, sig.Address(), n.Address())
	h.ok("C_VerifyInit", s, m.Address(), public)
	h.ok("C_Verify", s, data.Address(), uint64(data.size), sig.Address(), value(n))
}

const threads = 16

func each(do func(i uint64)) {
	var group sync.WaitGroup
	for i := range uint64(threads) {
		group.Go(func() { do(i) })
	}
	group.Wait()
}

// TestThreads: 16 threads in sessions of their own; 16 in one session that take
// turns, as the standard asks of a host; 16 in one session without turns, where codes
// may be odd and memory may not. Worth its time under -race and -asan.
func TestThreads(t *testing.T) {
	initialized(t)
	h := host{t, newArena(t)}
	shared := h.open()
	h.login(shared)
	rounds := uint64(6)
	if os.Getenv("STANDARD_ALL") != "" {
		rounds = 60
	}
	each(func(i uint64) {
		s := h.open()
		h.login(s)
		for j := range rounds {
			h.round(s, i+j)
		}
		h.ok("C_CloseSession", s)
	})
	var turn sync.Mutex
	each(func(i uint64) {
		for j := range rounds {
			turn.Lock()
			h.round(shared, i+j)
			turn.Unlock()
		}
	})
	key := h.key(shared, 3, rsaName)
	each(func(i uint64) {
		m, data, sig, n := h.longs(0x40, 0, 0), h.bytes(make([]byte, 100)), h.bytes(make([]byte, rsaSize)), h.longs(rsaSize)
		for range rounds * 10 {
			for _, rv := range []cryptoki.RV{
				call("C_SignInit", shared, m.Address(), key),
				call("C_SignUpdate", shared, data.Address(), 100),
				call("C_Sign", shared, data.Address(), 100, sig.Address(), n.Address()),
				call("C_SignFinal", shared, sig.Address(), n.Address()),
				call("C_SessionCancel", shared, 0x800),
				call("C_FindObjectsInit", shared, 0, 0),
				call("C_FindObjects", shared, n.Address(), 1, sig.Address()),
				call("C_FindObjectsFinal", shared),
			} {
				switch rv {
				case cryptoki.CKR_OK, cryptoki.CKR_OPERATION_ACTIVE, cryptoki.CKR_OPERATION_NOT_INITIALIZED, cryptoki.CKR_OPERATION_CANCEL_FAILED, cryptoki.CKR_BUFFER_TOO_SMALL:
				default:
					t.Errorf("thread %d: %v", i, rv)
				}
			}
			copy(n.Bytes(), long(rsaSize))
		}
	})
	// logins that end while others search and sign
	each(func(i uint64) {
		s := h.open()
		for range rounds {
			if i%4 == 0 {
				h.login(s)
				call("C_Logout", s)
				continue
			}
			found, n, label := h.longs(0), h.longs(0), h.bytes(make([]byte, 100))
			call("C_FindObjectsInit", s, 0, 0)
			call("C_FindObjects", s, found.Address(), 1, n.Address())
			call("C_FindObjectsFinal", s)
			call("C_GetAttributeValue", s, value(found), h.longs(3, label.Address(), 100).Address(), 1)
			call("C_SignInit", s, h.longs(0x40, 0, 0).Address(), key)
			call("C_SignFinal", s, 0, n.Address())
			call("C_SessionCancel", s, ^uint64(0))
		}
	})
	// sessions that end while others work in them
	each(func(uint64) {
		for range rounds {
			s := h.open()
			var other sync.WaitGroup
			other.Go(func() {
				call("C_SignInit", s, h.longs(0x40, 0, 0).Address(), key)
				call("C_SignUpdate", s, h.bytes([]byte("x")).Address(), 1)
			})
			call("C_CloseSession", s)
			other.Wait()
		}
	})
}
