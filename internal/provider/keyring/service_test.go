package keyring

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	testOrg   = "11111111-2222-3333-4444-555555555555"
	testToken = "abcdEFGH+/ijklMNOP0123456789qrstUVWX/+zz=="
)

// service signs with real keys and can be told to misbehave.
type service struct {
	mu       sync.Mutex
	policies []wire.SigningPolicy
	keys     map[string]crypto.Signer // by name
	spoil    func([]byte) []byte      // of signatures
	delay    time.Duration
	status   int    // refuses everything, if not 0
	tag      string // of the list; "": none
	lists    int
	same     int // lists answered with 304
	signs    int
	queries  []string
	metadata []string

	settings settings.Settings
	log      *testlog.Log
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{keys: map[string]crypto.Signer{}, log: &testlog.Log{}}
	srv := httptest.NewTLSServer(s)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL + "/Api")
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.settings = settings.Settings{OrganizationID: testOrg, APIToken: secret.New(testToken), APIURL: u, TrustedCAFile: ca,
		Timeouts: settings.Timeouts{Request: 5 * time.Second, Total: 20 * time.Second, FirstRetryDelay: 20 * time.Millisecond, RetryCount: 2}}
	return s
}

func (s *service) set(f func(*service)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// add makes a policy for a key.
func (s *service) add(t *testing.T, name string, key crypto.Signer, change ...func(*wire.SigningPolicy)) {
	t.Helper()
	project, policy, _ := strings.Cut(name, "/")
	p := wire.SigningPolicy{SigningPolicyID: "id-" + name, ProjectSlug: project, SigningPolicySlug: policy, CertificateType: wire.CertificateX509}
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		p.KeyType, p.KeySizeInBits, p.PublicKeyBytes = wire.KeyRSA, pub.N.BitLen(), x509.MarshalPKCS1PublicKey(pub)
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		p.KeyType, p.KeySizeInBits, p.PublicKeyBytes = wire.KeyECDSA, pub.Curve.Params().BitSize, point
	}
	p.CertificateBytes = certificate(t, key)
	for _, f := range change {
		f(&p)
	}
	s.set(func(s *service) {
		s.policies = append(s.policies, p)
		s.keys[name] = key
	})
}

func certificate(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	delay := s.delay
	list := r.Method == http.MethodGet
	if list {
		s.lists++
		s.queries = append(s.queries, r.URL.RawQuery)
	} else {
		s.signs++
	}
	s.mu.Unlock()
	_, body, _ := readForm(r)
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status != 0 {
		w.WriteHeader(s.status)
		return
	}
	if list {
		if s.tag != "" {
			w.Header().Set("ETag", s.tag)
			if r.Header.Get("If-None-Match") == s.tag {
				s.same++
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		_ = json.NewEncoder(w).Encode(wire.SigningPolicies{SigningPolicies: s.policies})
		return
	}
	signature, err := s.sign(body)
	if err != nil {
		w.WriteHeader(400)
		_, _ = io.WriteString(w, err.Error())
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"Signature": base64.StdEncoding.EncodeToString(signature)})
}

func readForm(r *http.Request) (string, *wire.Submission, error) {
	if r.Method == http.MethodGet {
		return "", nil, nil
	}
	s, err := wire.ReadSubmission(r.Header.Get("Content-Type"), r.Body)
	return "", s, err
}

func (s *service) sign(sub *wire.Submission) ([]byte, error) {
	if sub == nil {
		return nil, errors.New("no form")
	}
	h, err := wire.ParsePayload(sub.Artifact)
	if err != nil {
		return nil, err
	}
	s.metadata = append(s.metadata, string(h.Metadata))
	var signature []byte
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

func (s *service) ring(t *testing.T) *Ring {
	t.Helper()
	r, err := Open(s.settings, Options{Product: "Cryptoki", Version: "1.0.0", Log: s.log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func keysOf(t *testing.T, r *Ring) *Snapshot {
	t.Helper()
	s, err := r.Keys(context.Background(), Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func classOf(err error) remote.Class {
	var e *remote.Error
	if errors.As(err, &e) {
		return e.Class
	}
	return 0
}

var testKeys = testkeys.Signer
