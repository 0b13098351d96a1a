package rig

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// Timestamps starts a time-stamping authority (RFC 3161) on loopback, made of
// `openssl ts`, and returns its address and its certificate.
func Timestamps(t *testing.T) (url, certificate string) {
	t.Helper()
	dir := t.TempDir()
	key, cert := filepath.Join(dir, "tsa.key"), filepath.Join(dir, "tsa.pem")
	Run(t, nil, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=Time stamps for a test",
		"-addext", "extendedKeyUsage=critical,timeStamping").OK(t)
	return TimestampsBy(t, key, cert, cert), cert
}

// TimestampsBy is the same with a key and a certificate of the caller's, PEM files;
// chain is put into each time stamp.
func TimestampsBy(t *testing.T, key, cert, chain string) (url string) {
	t.Helper()
	dir := t.TempDir()
	Write(t, filepath.Join(dir, "serial"), []byte("01\n"))
	config := Write(t, filepath.Join(dir, "tsa.cnf"), []byte(`[tsa]
default_tsa = here
[here]
serial = `+dir+`/serial
crypto_device = builtin
signer_cert = `+cert+`
certs = `+chain+`
signer_key = `+key+`
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha1, sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
`))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, answer := filepath.Join(dir, "query"), filepath.Join(dir, "answer")
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile(query, body, 0o600)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		Run(t, nil, "openssl", "ts", "-reply", "-config", config, "-queryfile", query, "-out", answer)
		w.Header().Set("Content-Type", "application/timestamp-reply")
		http.ServeFile(w, r, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}
