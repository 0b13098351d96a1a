package cryptoki

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
	"signpath/internal/secret"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/testkit/testlog"
	"signpath/internal/wire"
)

const (
	testOrganization = "00000000-1111-2222-3333-444444444444"
	testToken        = "token:with/any+character=="
	testPIN          = testOrganization + ":" + testToken
)

// signer makes a Key that signs in this process.
func testKey(tb testing.TB, name, key string) Key {
	tb.Helper()
	private := testkeys.Signer(tb, key)
	return Key{Name: name, Public: private.Public(), Sign: func(_ context.Context, s wire.Scheme, digest []byte) ([]byte, error) {
		switch k := private.(type) {
		case *rsa.PrivateKey:
			if s.Algorithm == wire.RSAPSS {
				return rsa.SignPSS(rand.Reader, k, s.Hash.Crypto(), digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			}
			return rsa.SignPKCS1v15(nil, k, s.Hash.Crypto(), digest)
		case *ecdsa.PrivateKey:
			r, v, err := ecdsa.Sign(rand.Reader, k, digest)
			size := (k.Curve.Params().BitSize + 7) / 8
			return append(r.FillBytes(make([]byte, size)), v.FillBytes(make([]byte, size))...), err
		}
		if k, ok := private.(ed25519.PrivateKey); ok && s == (wire.Scheme{Algorithm: wire.EdDSA}) {
			return ed25519.Sign(k, digest), nil
		}
		return nil, fmt.Errorf("no such key")
	}}
}

// withCertificate gives the key a certificate under a root and an intermediate.
func withCertificate(tb testing.TB, k Key) Key {
	tb.Helper()
	make509 := func(name string, serial int64, public crypto.PublicKey, parent *x509.Certificate, signer crypto.Signer) *x509.Certificate {
		t := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(1700000000, 0), NotAfter: time.Unix(2000000000, 0), IsCA: parent == nil || strings.Contains(name, "CA"), BasicConstraintsValid: true}
		if parent == nil {
			parent = t
		}
		der, err := x509.CreateCertificate(rand.Reader, t, parent, public, signer)
		if err != nil {
			tb.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			tb.Fatal(err)
		}
		return c
	}
	chain := testChain.get(func() []*x509.Certificate {
		rootKey, subKey := testkeys.Signer(tb, "p384"), testkeys.Signer(tb, "p521")
		root := make509("Test Root CA", 1, rootKey.Public(), nil, rootKey)
		return []*x509.Certificate{make509("Test Sub CA", 2, subKey.Public(), root, rootKey), root}
	})
	k.Certificate = make509(k.Name, 128, k.Public, chain[0], testkeys.Signer(tb, "p521")).Raw
	k.Chain = [][]byte{chain[0].Raw, chain[1].Raw}
	return k
}

// testChain makes the issuers once in the life of a test program.
var testChain chainCache

type chainCache struct {
	once  sync.Once
	chain []*x509.Certificate
}

func (c *chainCache) get(f func() []*x509.Certificate) []*x509.Certificate {
	c.once.Do(func() { c.chain = f() })
	return c.chain
}

// testRing is a Ring without a network.
type testRing struct {
	mu      sync.Mutex
	listing *Listing
	err     error
	lookups []Lookup
	refresh int
	block   chan struct{} // when set, Keys waits for it or for the context
	deaf    bool          // waits for block only
	next    *Listing      // what Refresh finds
	closed  atomic.Int32
}

func (r *testRing) Keys(ctx context.Context, how Lookup) (*Listing, error) {
	r.mu.Lock()
	r.lookups = append(r.lookups, how)
	block := r.block
	r.mu.Unlock()
	if block != nil && r.deaf {
		<-block
	} else if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, &remote.Error{Class: remote.Canceled, Op: "list", Err: ctx.Err()}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	return r.listing, nil
}

func (r *testRing) Refresh(context.Context) (*Listing, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh++
	if r.err != nil {
		return nil, r.err
	}
	if r.next != nil {
		r.listing = r.next
	}
	return r.listing, nil
}

func (r *testRing) Close() { r.closed.Add(1) }

func (r *testRing) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lookups)
}

// fixture is an initialised module.
type fixture struct {
	*Module
	tb       testing.TB
	log      *testlog.Log
	ring     *testRing // of every user, unless rings says otherwise
	opened   []settings.Settings
	settings settings.Settings
	loadErr  error
	rings    func(settings.Settings) Ring
}

// Sign is Module.Sign for data that stays where it is.
func (f *fixture) Sign(session uint64, data []byte, out Output) ([]byte, uint64, RV) {
	return f.Module.Sign(session, data, out, func() {})
}

func standardKeys(tb testing.TB) []Key {
	gpg := testKey(tb, "hash-signing/gpg", "rsa3072")
	gpg.GPG = true
	return []Key{
		withCertificate(tb, testKey(tb, "hash-signing/rsa", "rsa2048")),
		withCertificate(tb, testKey(tb, "hash-signing/p256", "p256")),
		withCertificate(tb, testKey(tb, "hash-signing/p521", "p521")),
		gpg,
	}
}

// newFixture makes a module with a complete configuration; change settings and
// ring before start.
func newFixture(tb testing.TB, keys ...Key) *fixture {
	tb.Helper()
	if keys == nil {
		keys = standardKeys(tb)
	}
	f := &fixture{tb: tb, log: &testlog.Log{}, ring: &testRing{listing: &Listing{Keys: keys}}}
	f.settings.APIURL, _ = url.Parse("https://app.signpath.io/Api")
	f.settings.OrganizationID = testOrganization
	f.settings.APIToken = secret.New(testToken)
	f.Module = New(Options{
		Version: "1.2.3",
		Load:    func([]string, settings.Explicit) (settings.Settings, error) { return f.settings, f.loadErr },
		OpenLog: func(settings.Settings) (Logger, func()) { return f.log, func() {} },
		OpenRing: func(s settings.Settings, _ Logger) (Ring, error) {
			f.opened = append(f.opened, s)
			if f.rings != nil {
				return f.rings(s), nil
			}
			return f.ring, nil
		},
	})
	return f
}

func (f *fixture) start() *fixture {
	f.tb.Helper()
	f.want("C_Initialize", f.Initialize(nil), CKR_OK)
	return f
}

func (f *fixture) want(what string, got, want RV) {
	f.tb.Helper()
	if got != want {
		f.tb.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func (f *fixture) open() uint64 {
	f.tb.Helper()
	s, rv := f.OpenSession(slotID, CKF_SERIAL_SESSION)
	f.want("C_OpenSession", rv, CKR_OK)
	return s
}

func (f *fixture) loggedIn() uint64 {
	f.tb.Helper()
	s := f.open()
	f.want("C_Login", f.Login(s, CKU_USER, []byte("CONFIG"), false), CKR_OK)
	return s
}

func (f *fixture) find(s uint64, template ...Attribute) []uint64 {
	f.tb.Helper()
	f.want("C_FindObjectsInit", f.FindObjectsInit(s, template), CKR_OK)
	var all []uint64
	for {
		some, rv := f.FindObjects(s, 3)
		f.want("C_FindObjects", rv, CKR_OK)
		if len(some) == 0 {
			break
		}
		all = append(all, some...)
	}
	f.want("C_FindObjectsFinal", f.FindObjectsFinal(s), CKR_OK)
	return all
}

// key finds the one object of a class and name.
func (f *fixture) key(s, class uint64, name string) uint64 {
	f.tb.Helper()
	found := f.find(s, ulongAttribute(CKA_CLASS, class), Attribute{Type: CKA_ID, Value: []byte(name)})
	if len(found) != 1 {
		f.tb.Fatalf("%d objects of class %d named %s", len(found), class, name)
	}
	return found[0]
}

// value reads one attribute.
func (f *fixture) value(s, o, t uint64) []byte {
	f.tb.Helper()
	v, rv := f.AttributeValues(s, o, []uint64{t})
	f.want("C_GetAttributeValue", rv, CKR_OK)
	if v[0].RV != CKR_OK {
		f.tb.Fatalf("%s: %v", attributeName(t), v[0].RV)
	}
	return v[0].Value
}

func ulongAttribute(t, v uint64) Attribute { return Attribute{Type: t, Value: encoding(8).ulong(v)} }

func pss(hashAlg, mgf, salt uint64) []byte {
	return encoding(8).ulongs([]uint64{hashAlg, mgf, salt})
}

var big1K = Output{Len: 1024}

func sum(h wire.Hash, data []byte) []byte {
	x := h.Crypto().New()
	x.Write(data)
	return x.Sum(nil)
}

func digestInfo(h wire.Hash, data []byte) []byte {
	return bytes.Join([][]byte{digestInfoPrefix(h, true), sum(h, data)}, nil)
}
