package rig

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// Failing is a service in front of the real one whose signatures all end with 503.
func Failing(t *testing.T, s *Service) (apiURL, ca string, signatures *atomic.Int32) {
	t.Helper()
	target := Must(url.Parse(s.Env["SIGNPATH_API_URL"]))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(Must(os.ReadFile(s.Env["SIGNPATH_TRUSTED_CA_FILE"])))
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
	}
	signatures = new(atomic.Int32)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			signatures.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			http.Error(w, "no HSM today", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	ca = Write(t, filepath.Join(t.TempDir(), "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return server.URL + target.Path, ca, signatures
}
