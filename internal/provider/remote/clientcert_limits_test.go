package remote

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"signpath/internal/provider/settings"
)

// oldKey signs as a key of CAPI or a smart card does: PKCS #1 v1.5 only.
type oldKey struct {
	*rsa.PrivateKey
	known bool // it says so before the first signature
	seen  atomic.Bool
}

func (k *oldKey) PKCS1Only() bool { return k.known || k.seen.Load() }

func (k *oldKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, pss := opts.(*rsa.PSSOptions); pss {
		k.seen.Store(true)
		return nil, errors.New("no PSS here")
	}
	return k.PrivateKey.Sign(r, digest, opts)
}

func TestPKCS1OnlyClientKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "build"}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	for _, tt := range []struct {
		name    string
		known   bool
		least   uint16 // that the service speaks
		version uint16 // 0: no connection
	}{
		{"known before", true, tls.VersionTLS12, tls.VersionTLS12},
		{"found out", false, tls.VersionTLS12, tls.VersionTLS12},
		{"known before, TLS 1.3 wanted", true, tls.VersionTLS13, 0},
		{"found out, TLS 1.3 wanted", false, tls.VersionTLS13, 0},
	} {
		var got atomic.Uint32
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) == 1 && r.TLS.PeerCertificates[0].Equal(leaf) {
				got.Store(uint32(r.TLS.Version))
			}
		}))
		server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tt.least}
		server.StartTLS()
		pool := x509.NewCertPool()
		pool.AddCert(server.Certificate())
		r, err := readRoots("")
		if err != nil {
			t.Fatal(err)
		}
		r.file = pool
		cert := &tls.Certificate{Certificate: [][]byte{der}, Leaf: leaf, PrivateKey: &oldKey{PrivateKey: key, known: tt.known}}
		d, err := newDialer(settings.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		d.roots, d.client = r, cert
		d.tls.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		target, _ := url.Parse(server.URL)
		conn, err := d.connect(context.Background(), target, nil)
		if err == nil {
			request, _ := http.NewRequest(http.MethodGet, server.URL, nil)
			_ = request.Write(conn)
			_, err = io.ReadAll(io.LimitReader(conn, 12))
			_ = conn.Close()
		}
		server.Close()
		if got.Load() != uint32(tt.version) || (err == nil) != (tt.version != 0) {
			t.Errorf("%s: TLS version %#x, %v", tt.name, got.Load(), err)
		}
	}
}
