package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// TestFaultsOfCertificates shows services whose certificate must not be trusted.
// They never get the token, and nobody waits for a certificate to get better.
func TestFaultsOfCertificates(t *testing.T) {
	s := rig.TheService(t)
	for _, c := range []struct {
		name  string
		host  string
		from  time.Duration // validity, from now
		until time.Duration
		other bool // signed by somebody else
		says  string
	}{
		{"untrusted", "127.0.0.1", -time.Hour, time.Hour, true, "SIGNPATH_TRUSTED_CA_FILE"},
		{"expired", "127.0.0.1", -2 * time.Hour, -time.Hour, false, "validity"},
		{"not valid yet", "127.0.0.1", time.Hour, 2 * time.Hour, false, "validity"},
		{"for another host", "signing.example", -time.Hour, time.Hour, false, "another host"},
		{"for another address", "127.0.0.2", -time.Hour, time.Hour, false, "another host"},
	} {
		cert, ca := selfSigned(t, c.host, c.from, c.until)
		if c.other {
			_, ca = selfSigned(t, c.host, c.from, c.until)
		}
		file := rig.Write(t, filepath.Join(t.TempDir(), "ca.pem"), ca)
		for _, fam := range families {
			if fam.daemon || fam.java && !(rig.All || fam.name == "jarsigner" && c.other) {
				continue
			}
			t.Run(fam.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				var connections atomic.Int32
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					t.Errorf("the token was sent to %s", c.name)
					_, _ = io.Copy(w, r.Body)
				}))
				server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
				server.Config.ErrorLog = log.New(io.Discard, "", 0)
				server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
					if state == http.StateNew {
						connections.Add(1)
					}
				}
				server.StartTLS()
				defer server.Close()
				tl, r := fam.sign(t, s, nil, append(scaledDown, "SIGNPATH_API_URL="+server.URL+"/Api", "SIGNPATH_TRUSTED_CA_FILE="+file)...)
				r.Fails(t)
				tl.InLog(t, "C_Login", generalError)
				tl.InLog(t, c.says)
				// Two per login: the narrow set of roots first, then all of the system's.
				if n := connections.Load(); n == 0 || n > 4 {
					t.Errorf("%d connections: an untrusted certificate does not get better by waiting\n%s", n, tl.Log())
				}
				s.Nowhere(t, s.Env["SIGNPATH_API_TOKEN"], tl.Tool, r)
			})
		}
	}
}

func selfSigned(t *testing.T, host string, from, until time.Duration) (tls.Certificate, []byte) {
	t.Helper()
	key := rig.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(until),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	der := rig.Must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
