package ctk

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"signpath/internal/provider/ctkchannel"
	"signpath/internal/provider/keyring"
	"signpath/internal/provider/settings"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

const (
	testOrg   = "11111111-2222-3333-4444-555555555555"
	testToken = "abcdEFGH+/ijklMNOP0123456789qrstUVWX/+zz=="
)

// service is a signing service on loopback with the test keys.
type service struct {
	mu       sync.Mutex
	policies []wire.SigningPolicy
	keys     map[string]crypto.Signer
	status   int // refuses signatures, if not 0
	environ  []string
	settings settings.Settings
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{keys: map[string]crypto.Signer{}, policies: []wire.SigningPolicy{}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.environ = []string{"SIGNPATH_API_URL=" + srv.URL + "/Api", "SIGNPATH_ORGANIZATION_ID=" + testOrg, "SIGNPATH_API_TOKEN=" + testToken,
		"SIGNPATH_TIMEOUTS_RETRY_COUNT=1", "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY=0.01", "SIGNPATH_LOG_FILE_LEVEL=none"}
	var err error
	if s.settings, err = settings.Load(s.environ, settings.Explicit{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// add makes a policy app/NAME of a test key with leaf, intermediate and root.
func (s *service) add(t *testing.T, name string, change ...func(*wire.SigningPolicy)) {
	t.Helper()
	key := testkeys.Signer(t, name)
	p := wire.SigningPolicy{SigningPolicyID: "id-" + name, ProjectSlug: "app", SigningPolicySlug: name, CertificateType: wire.CertificateX509}
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		p.KeyType, p.KeySizeInBits, p.PublicKeyBytes = wire.KeyRSA, pub.N.BitLen(), x509.MarshalPKCS1PublicKey(pub)
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		p.KeyType, p.KeySizeInBits, p.PublicKeyBytes = wire.KeyECDSA, pub.Curve.Params().BitSize, point
	case ed25519.PublicKey:
		p.KeyType, p.KeySizeInBits, p.PublicKeyBytes = wire.KeyEd25519, 256, pub
	}
	ca := testkeys.Signer(t, "p384")
	root := issue(t, "root", nil, ca, ca.Public())
	middle := issue(t, "intermediate", root, ca, ca.Public())
	p.CertificateBytes = issue(t, "Leaf "+name, middle, ca, key.Public()).Raw
	p.CertificateChain = [][]byte{middle.Raw, root.Raw}
	for _, c := range change {
		c(&p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies = append(s.policies, p)
	s.keys["app/"+p.SigningPolicySlug] = key
}

var notAfter = time.Date(2199, 1, 2, 3, 4, 5, 0, time.UTC)

func issue(t *testing.T, name string, issuer *x509.Certificate, signer crypto.Signer, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: notAfter, IsCA: !strings.HasPrefix(name, "Leaf"), BasicConstraintsValid: true}
	if issuer == nil {
		issuer = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(map[string]any{"signingPolicies": s.policies})
		return
	}
	if s.status != 0 {
		w.WriteHeader(s.status)
		return
	}
	_ = r.ParseMultipartForm(1 << 20)
	f, _, err := r.FormFile("Artifact")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var p wire.Payload
	_ = json.NewDecoder(f).Decode(&p)
	digest, _ := base64.StdEncoding.DecodeString(p.Base64EncodedHash)
	key := s.keys[r.FormValue("ProjectSlug")+"/"+r.FormValue("SigningPolicySlug")]
	var signature []byte
	switch k := key.(type) {
	case *rsa.PrivateKey:
		hash := map[int]crypto.Hash{20: crypto.SHA1, 32: crypto.SHA256, 48: crypto.SHA384, 64: crypto.SHA512}[len(digest)]
		var o crypto.SignerOpts = hash
		if p.SignatureAlgorithm == wire.RSAPSS {
			o = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
		signature, _ = k.Sign(rand.Reader, digest, o)
	case *ecdsa.PrivateKey:
		r, s, _ := ecdsa.Sign(rand.Reader, k, digest)
		half := (k.Curve.Params().BitSize + 7) / 8
		signature = append(r.FillBytes(make([]byte, half)), s.FillBytes(make([]byte, half))...)
	}
	p.Signature = base64.StdEncoding.EncodeToString(signature)
	_ = json.NewEncoder(w).Encode(p)
}

func (s *service) ring(t *testing.T) *keyring.Ring {
	t.Helper()
	r, err := keyring.Open(s.settings, keyring.Options{Product: InterfaceName, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func (s *service) snapshot(t *testing.T) *keyring.Snapshot {
	t.Helper()
	k, err := s.ring(t).Keys(t.Context(), keyring.Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// lists are prepared answers of the service, the last one for good.
type lists struct {
	mu     sync.Mutex
	all    []*keyring.Snapshot
	errors []error
	asked  int
	delay  time.Duration
}

func (l *lists) next(ctx context.Context) (*keyring.Snapshot, error) {
	select {
	case <-time.After(l.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := min(l.asked, max(len(l.all), len(l.errors))-1)
	l.asked++
	if i < len(l.errors) && l.errors[i] != nil {
		return nil, l.errors[i]
	}
	return l.all[min(i, len(l.all)-1)], nil
}
func (l *lists) Keys(ctx context.Context, _ keyring.Lookup) (*keyring.Snapshot, error) {
	return l.next(ctx)
}
func (l *lists) Refresh(ctx context.Context) (*keyring.Snapshot, error) { return l.next(ctx) }

// macos is a keychain whose behaviour tests change.
type macos struct {
	mu      sync.Mutex
	tokens  map[string]*Token
	puts    int
	missing int // ErrNoExtension that many times
	seen    Visibility
	pid     int
	hang    bool
	refuse  error // of Put, which changes nothing
	stay    error // of Remove
}

func newMacOS(left ...string) *macos {
	m := &macos{tokens: map[string]*Token{}, seen: InReach, pid: 100}
	for _, l := range left {
		m.tokens[l] = &Token{Instance: l}
	}
	return m
}

func (m *macos) set(f func(*macos)) { m.mu.Lock(); defer m.mu.Unlock(); f(m) }

func (m *macos) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for n := range m.tokens {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

func (m *macos) Registered() ([]string, error) {
	m.mu.Lock()
	if m.hang {
		m.mu.Unlock()
		time.Sleep(time.Hour)
		return nil, errors.New("late")
	}
	if m.missing != 0 {
		m.missing--
		m.mu.Unlock()
		return nil, ErrNoExtension
	}
	m.mu.Unlock()
	return m.names(), nil
}
func (m *macos) Put(t *Token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	if m.refuse == nil {
		m.tokens[t.Instance] = t
	}
	return m.refuse
}
func (m *macos) Remove(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stay == nil {
		delete(m.tokens, id)
	}
	return m.stay
}
func (m *macos) Visibility(id string) (Visibility, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens[id] == nil {
		return Absent, nil
	}
	return m.seen, nil
}
func (m *macos) Daemon() int { m.mu.Lock(); defer m.mu.Unlock(); return m.pid }

// gate is a channel without a port.
type gate struct {
	mu       sync.Mutex
	admitted map[string]int
	expelled []string
}

func (g *gate) Admit(id string, algorithms []byte) ctkchannel.Configuration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.admitted == nil {
		g.admitted = map[string]int{}
	}
	g.admitted[id]++
	return ctkchannel.Configuration{Port: 1, Algorithms: algorithms}
}
func (g *gate) count(id string) int { g.mu.Lock(); defer g.mu.Unlock(); return g.admitted[id] }
func (g *gate) Expel(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expelled = append(g.expelled, id)
}
