package signtool

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"signpath/e2e/rig"
)

// counter stands before the service and counts what is asked of it.
type counter struct {
	url, ca string
	mu      sync.Mutex
	asked   []string // "GET …/MySigningPolicies"
}

func count(t *testing.T, s *rig.Service) *counter {
	t.Helper()
	target := rig.Must(url.Parse(s.Env["SIGNPATH_API_URL"]))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(rig.Must(os.ReadFile(s.Env["SIGNPATH_TRUSTED_CA_FILE"])))
	c := &counter{}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.asked = append(c.asked, r.Method+" "+r.URL.RequestURI())
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c.url = server.URL + target.Path
	c.ca = rig.Write(t, filepath.Join(t.TempDir(), "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return c
}

// settings point a provider to the counter.
func (c *counter) settings() []string {
	return []string{"SIGNPATH_API_URL=" + c.url, "SIGNPATH_TRUSTED_CA_FILE=" + c.ca}
}

// wants asserts how many lists and signatures were asked for, and nothing else.
func (c *counter) wants(t *testing.T, lists, signatures int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var gets, posts int
	for _, a := range c.asked {
		if strings.HasPrefix(a, "POST ") {
			posts++
		} else {
			gets++
		}
	}
	if gets != lists || posts != signatures {
		t.Errorf("asked for %d lists and %d signatures, not %d and %d:\n%s", gets, posts, lists, signatures, strings.Join(c.asked, "\n"))
	}
}

// legacyTimestamps is an authority of Authenticode's old form: the request and the
// answer are base64 in HTTP bodies, the answer is a PKCS #7 signature over the
// signature that it counters (Microsoft, "Time Stamping Authenticode Signatures").
func legacyTimestamps(t *testing.T) (address, certificate string) {
	t.Helper()
	dir := t.TempDir()
	key, cert := filepath.Join(dir, "tsa.key"), filepath.Join(dir, "tsa.pem")
	rig.Run(t, nil, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=Old time stamps for a test",
		"-addext", "extendedKeyUsage=critical,timeStamping").OK(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := rig.Must(io.ReadAll(r.Body))
		der, err := base64.StdEncoding.DecodeString(strings.Map(func(c rune) rune {
			if strings.ContainsRune(" \r\n\x00", c) {
				return -1
			}
			return c
		}, string(body)))
		var request struct {
			Kind    asn1.ObjectIdentifier
			Content struct {
				Type asn1.ObjectIdentifier
				Body []byte `asn1:"explicit,tag:0"`
			}
		}
		if err == nil {
			_, err = asn1.Unmarshal(der, &request)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		in, out := rig.Write(t, filepath.Join(dir, "signature"), request.Content.Body), filepath.Join(dir, "answer")
		rig.Run(t, nil, "openssl", "smime", "-sign", "-binary", "-nodetach", "-nosmimecap", "-md", "sha256", "-signer", cert, "-inkey", key, "-in", in, "-outform", "DER", "-out", out).OK(t)
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, base64.StdEncoding.EncodeToString(rig.Must(os.ReadFile(out))))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/", cert
}
