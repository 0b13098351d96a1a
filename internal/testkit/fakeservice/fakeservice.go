// Package fakeservice is a service on loopback that lists and uses the test keys,
// and can be told to misbehave. It is for tests of the providers.
//
// What enters are requests of the wire, what leaves are answers of the wire with
// real signatures, and counts of what was asked. It checks the token and nothing
// else. It never leaves loopback and is for tests only.
package fakeservice

import (
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
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

// Organization and Token are the credentials of the one user.
const (
	Organization = "11111111-2222-3333-4444-555555555555"
	Token        = "abcdEFGH+/ijklMNOP0123456789qrstUVWX/+zz=="
)

// Service is the service. Its zero value is of no use; see New.
type Service struct {
	URL  string // of the API
	Logs string // folder for log files

	mu       sync.Mutex
	policies []wire.SigningPolicy
	keys     map[string]crypto.Signer // by project/policy
	refuse   int
	spoil    func([]byte) []byte
	lists    int
	signs    int
	queries  []string
	metadata []string
	hold     chan struct{}
}

// New starts a service without keys, for the time of a test.
func New(tb testing.TB) *Service {
	tb.Helper()
	s := &Service{policies: []wire.SigningPolicy{}, keys: map[string]crypto.Signer{}, Logs: tb.TempDir()}
	srv := httptest.NewServer(s)
	tb.Cleanup(srv.Close)
	s.URL = srv.URL + "/Api"
	return s
}

// Environ is what leads a provider here: two attempts for each call, and a debug
// log in Logs. Lines of more come first and win.
func (s *Service) Environ(more ...string) []string {
	return append(append([]string{}, more...),
		"SIGNPATH_API_URL="+s.URL, "SIGNPATH_ORGANIZATION_ID="+Organization, "SIGNPATH_API_TOKEN="+Token,
		"SIGNPATH_LOG_FILE_DIRECTORY="+s.Logs, "SIGNPATH_LOG_FILE_LEVEL=debug",
		"SIGNPATH_TIMEOUTS_RETRY_COUNT=1", "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY=0.01")
}

// Log is the log of an interface ("KSP"), "" when there is none.
func (s *Service) Log(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(s.Logs, "SignPath.CryptoProviders."+name+".txt"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		tb.Fatal(err)
	}
	return string(b)
}

// Add makes the policy NAME ("project/policy") with a test key ("rsa2048") and a
// self-signed certificate; change may alter it.
func (s *Service) Add(tb testing.TB, name, key string, change ...func(*wire.SigningPolicy)) {
	tb.Helper()
	signer := testkeys.Signer(tb, key)
	project, policy, _ := strings.Cut(name, "/")
	p := wire.SigningPolicy{SigningPolicyID: "id-" + name, ProjectSlug: project, SigningPolicySlug: policy, CertificateType: wire.CertificateX509}
	switch pub := signer.Public().(type) {
	case *rsa.PublicKey:
		p.KeyType, p.KeySizeInBits, p.PublicKeyBytes = wire.KeyRSA, pub.N.BitLen(), x509.MarshalPKCS1PublicKey(pub)
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		p.KeyType, p.KeySizeInBits, p.PublicKeyBytes = wire.KeyECDSA, pub.Curve.Params().BitSize, point
	case ed25519.PublicKey:
		p.KeyType, p.KeySizeInBits, p.PublicKeyBytes = wire.KeyEd25519, 256, pub
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, signer.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	p.CertificateBytes = der
	for _, f := range change {
		f(&p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies = append(s.policies, p)
	s.keys[name] = signer
}

// Remove takes all policies away.
func (s *Service) Remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies, s.keys = []wire.SigningPolicy{}, map[string]crypto.Signer{}
}

// Refuse answers everything with a status from now on; 0 ends it.
func (s *Service) Refuse(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = status
}

// Spoil changes signatures from now on; nil ends it.
func (s *Service) Spoil(how func([]byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = how
}

// Hold keeps signature requests waiting until the function that it gives is called.
func (s *Service) Hold() (release func()) {
	held := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = held
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hold = nil
		close(held)
	})
}

// Counts gives how many lists and signatures were asked for since the last call.
func (s *Service) Counts() (lists, signs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lists, signs = s.lists, s.signs
	s.lists, s.signs = 0, 0
	return lists, signs
}

// Waiting gives how many signatures were asked for, without starting anew.
func (s *Service) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signs
}

// Queries gives the query of each list request so far.
func (s *Service) Queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.queries...)
}

// Metadata gives what came with each signature so far.
func (s *Service) Metadata() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.metadata...)
}

// ServeHTTP answers a request.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var submission *wire.Submission
	var err error
	if r.Method == http.MethodPost {
		submission, err = wire.ReadSubmission(r.Header.Get("Content-Type"), r.Body)
	}
	s.mu.Lock()
	hold := s.hold
	if r.Method == http.MethodPost {
		s.signs++
	}
	s.mu.Unlock()
	if hold != nil && r.Method == http.MethodPost {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		s.lists++
		s.queries = append(s.queries, r.URL.RawQuery)
	}
	switch {
	case s.refuse != 0:
		w.WriteHeader(s.refuse)
	case r.Header.Get("Authorization") != "Bearer "+Token:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(wire.SigningPolicies{SigningPolicies: s.policies})
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	default:
		signature, err := s.sign(submission)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"Signature": base64.StdEncoding.EncodeToString(signature)})
	}
}

func (s *Service) sign(sub *wire.Submission) (signature []byte, err error) {
	h, err := wire.ParsePayload(sub.Artifact)
	if err != nil {
		return nil, err
	}
	s.metadata = append(s.metadata, string(h.Metadata))
	switch key := s.keys[sub.ProjectSlug+"/"+sub.SigningPolicySlug].(type) {
	case *rsa.PrivateKey:
		var o crypto.SignerOpts = h.Scheme.Hash.Crypto()
		if h.Scheme.Algorithm == wire.RSAPSS {
			o = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h.Scheme.Hash.Crypto()}
		}
		signature, err = key.Sign(rand.Reader, h.Digest, o)
	case *ecdsa.PrivateKey:
		var r, x *big.Int
		if r, x, err = ecdsa.Sign(rand.Reader, key, h.Digest); err == nil {
			n := (key.Curve.Params().BitSize + 7) / 8
			signature = append(r.FillBytes(make([]byte, n)), x.FillBytes(make([]byte, n))...)
		}
	default:
		err = errors.New("unknown policy")
	}
	if err == nil && s.spoil != nil {
		signature = s.spoil(signature)
	}
	return signature, err
}
