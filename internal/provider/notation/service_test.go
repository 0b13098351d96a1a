package notation

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

const (
	testOrg   = "11111111-2222-3333-4444-555555555555"
	testToken = "abcdEFGH+/ijklMNOP0123456789qrstUVWX/+zz=="
)

// fake is a service on loopback that signs with the test keys.
type fake struct {
	mu       sync.Mutex
	policies []wire.SigningPolicy
	keys     map[string]crypto.Signer // by project/policy
	status   int                      // refuses signatures, if not 0
	refuse   int                      // refuses everything, if not 0
	requests []string                 // method and query
	metadata []string

	environ []string // what reaches it
	logs    string
}

func newFake(t *testing.T, more ...string) *fake {
	t.Helper()
	f := &fake{keys: map[string]crypto.Signer{}, logs: t.TempDir()}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.environ = append([]string{
		"SIGNPATH_API_URL=" + srv.URL + "/Api", "SIGNPATH_ORGANIZATION_ID=" + testOrg, "SIGNPATH_API_TOKEN=" + testToken,
		"SIGNPATH_LOG_FILE_DIRECTORY=" + f.logs, "SIGNPATH_TIMEOUTS_RETRY_COUNT=1", "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY=0.01",
	}, more...)
	return f
}

// plugin is the plug-in with the environment that leads to the service; pairs
// given here come first and win.
func (f *fake) plugin(first ...string) *Plugin {
	return &Plugin{Version: "1.2.3", Environ: append(append([]string{}, first...), f.environ...)}
}

func (f *fake) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.logs, "SignPath.CryptoProviders.Notation.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// add makes a policy app/NAME for a test key; change may alter it.
func (f *fake) add(t *testing.T, name string, change ...func(*wire.SigningPolicy)) crypto.Signer {
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
	}
	leaf, issuers := chainFor(t, key.Public())
	p.CertificateBytes, p.CertificateChain = leaf, issuers
	for _, c := range change {
		c(&p)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.policies = append(f.policies, p)
	f.keys["app/"+p.SigningPolicySlug] = key
	return key
}

// authority is a CA of a test.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

func issue(t *testing.T, name string, ca bool, public crypto.PublicKey, by *authority, own ed25519.PrivateKey) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: ca}
	if ca {
		c.KeyUsage = x509.KeyUsageCertSign
	}
	parent, key := c, own
	if by != nil {
		parent, key = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func newAuthority(t *testing.T, name string, by *authority) *authority {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{issue(t, name, true, public, by, private), private}
}

// chainFor issues root, intermediate and leaf.
func chainFor(t *testing.T, public crypto.PublicKey) (leaf []byte, issuers [][]byte) {
	t.Helper()
	root := newAuthority(t, "root", nil)
	middle := newAuthority(t, "middle", root)
	return issue(t, "leaf", false, public, middle, nil).Raw, [][]byte{middle.cert.Raw, root.cert.Raw}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r.Method+" "+r.URL.RawQuery)
	if r.Header.Get("Authorization") != "Bearer "+testToken {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if f.refuse != 0 {
		w.WriteHeader(f.refuse)
		return
	}
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(wire.SigningPolicies{SigningPolicies: f.policies})
		return
	}
	sub, err := wire.ReadSubmission(r.Header.Get("Content-Type"), r.Body)
	if err != nil || f.status != 0 {
		w.WriteHeader(max(f.status, http.StatusBadRequest))
		return
	}
	h, err := wire.ParsePayload(sub.Artifact)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.metadata = append(f.metadata, string(h.Metadata))
	var signature []byte
	switch key := f.keys[sub.ProjectSlug+"/"+sub.SigningPolicySlug].(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPSS(rand.Reader, key, h.Scheme.Hash.Crypto(), h.Digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case *ecdsa.PrivateKey:
		var rr, ss *big.Int
		rr, ss, err = ecdsa.Sign(rand.Reader, key, h.Digest)
		half := (key.Params().BitSize + 7) / 8
		signature = append(rr.FillBytes(make([]byte, half)), ss.FillBytes(make([]byte, half))...)
	}
	if err != nil || signature == nil || h.Scheme.Algorithm == wire.RSAPKCS1 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"Signature": base64.StdEncoding.EncodeToString(signature)})
}

func (f *fake) count(method string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if strings.HasPrefix(r, method) {
			n++
		}
	}
	return n
}
