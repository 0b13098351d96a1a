package remote

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"signpath/internal/provider/settings"
	"signpath/internal/testkit/testkeys"
)

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// clientPKI is an authority, one below it, and a client's certificate.
type clientPKI struct {
	root          *x509.Certificate
	leaf, sub     []byte // PEM
	key, otherKey []byte // PEM, PKCS #8
	signer        crypto.Signer
}

func newClientPKI(t testing.TB, from, to time.Time) clientPKI {
	t.Helper()
	sign := func(name string, serial int64, public crypto.PublicKey, parent *x509.Certificate, by crypto.Signer) *x509.Certificate {
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to, BasicConstraintsValid: true,
			IsCA: serial < 3, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if parent == nil {
			parent = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, public, by)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	pkcs8 := func(k crypto.Signer) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return pemOf("PRIVATE KEY", der)
	}
	rootKey, subKey, leafKey := testkeys.Signer(t, "p384"), testkeys.Signer(t, "p521"), testkeys.Signer(t, "p256")
	root := sign("Clients", 1, rootKey.Public(), nil, rootKey)
	sub := sign("Clients below", 2, subKey.Public(), root, rootKey)
	leaf := sign("build-7", 3, leafKey.Public(), sub, subKey)
	return clientPKI{root, pemOf("CERTIFICATE", leaf.Raw), pemOf("CERTIFICATE", sub.Raw), pkcs8(leafKey), pkcs8(rootKey), leafKey}
}

// demanding is a service that lets nobody in without a certificate of the root.
func demanding(t *testing.T, root *x509.Certificate, version uint16) (*setup, *string) {
	t.Helper()
	seen := new(string)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = r.TLS.PeerCertificates[0].Subject.CommonName
		ok(w, r)
	}))
	srv.Config.ErrorLog = quiet
	pool := x509.NewCertPool()
	pool.AddCert(root)
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MaxVersion: version}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return against(t, srv.URL, pemOf("CERTIFICATE", srv.Certificate().Raw)), seen
}

func put(t *testing.T, name string, mode os.FileMode, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, bytes.Join(parts, nil), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestClientCertificateFromFiles(t *testing.T) {
	hourAgo, later := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	p := newClientPKI(t, hourAgo, later)
	rsaKey := testkeys.RSA(t, 2048)
	both := put(t, "both.pem", 0o600, []byte("Bag Attributes\n"), p.key, p.leaf, p.sub)
	for name, files := range map[string][2]string{
		"two files":  {put(t, "c.pem", 0o644, p.leaf, p.sub), put(t, "k.pem", 0o600, p.key)},
		"one file":   {both, both},
		"key behind": {put(t, "c.pem", 0o644, p.leaf, p.sub), put(t, "k.pem", 0o600, p.leaf, pemOf("EC PARAMETERS", []byte{5, 0}), p.key)},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			s, seen := demanding(t, p.root, version)
			s.clock = nil
			s.settings.TLSClientCertificateFile, s.settings.TLSClientKeyFile = files[0], files[1]
			if _, err := s.client().Policies(context.Background(), Filter{}, Attempt{}); err != nil || *seen != "build-7" {
				t.Errorf("%s, %x: %q %v", name, version, *seen, err)
			}
			if n := s.log.Count("WARNING", ""); n != 0 {
				t.Errorf("%s: %s", name, s.log.Text())
			}
			found, err := ClientCertificate(s.settings)
			if err != nil || len(found) != 2 || found[0].Subject.CommonName != "build-7" {
				t.Errorf("%s: %v %v", name, found, err)
			}
		}
	}
	t.Run("old forms of keys", func(t *testing.T) {
		der, err := x509.MarshalECPrivateKey(testkeys.ECDSA(t, 256))
		if err != nil {
			t.Fatal(err)
		}
		for kind, der := range map[string][]byte{"EC PRIVATE KEY": der, "RSA PRIVATE KEY": x509.MarshalPKCS1PrivateKey(rsaKey)} {
			if _, err := parseClientKey("k.pem", pemOf(kind, der)); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("without", func(t *testing.T) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			s, _ := demanding(t, p.root, version)
			_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
			if e := asError(t, err); e.Class != Other || len(s.clock.delays) != 0 || !strings.Contains(e.Hint, "SIGNPATH_TLS_CLIENT_CERTIFICATE_FILE") {
				t.Errorf("%x: %v", version, err)
			}
		}
	})
	t.Run("warnings", func(t *testing.T) {
		old := newClientPKI(t, hourAgo, time.Now().Add(-time.Minute))
		s, _ := demanding(t, p.root, 0)
		s.clock = nil
		s.settings.TLSClientCertificateFile, s.settings.TLSClientKeyFile = put(t, "c.pem", 0o644, old.leaf), put(t, "k.pem", 0o600, old.key)
		if err := os.Chmod(s.settings.TLSClientKeyFile, 0o644); err != nil {
			t.Fatal(err)
		}
		s.client()
		want := []string{"outside its validity"}
		if runtime.GOOS != "windows" {
			want = append(want, "may read the private key")
		}
		for _, part := range want {
			if !strings.Contains(s.log.Text(), part) {
				t.Errorf("no %q in %s", part, s.log.Text())
			}
		}
	})
}

func TestClientCertificateFilesThatCannotBeUsed(t *testing.T) {
	p := newClientPKI(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	der, err := x509.MarshalECPrivateKey(testkeys.ECDSA(t, 256))
	if err != nil {
		t.Fatal(err)
	}
	cert, key := put(t, "c.pem", 0o644, p.leaf, p.sub), put(t, "k.pem", 0o600, p.key)
	oldEncrypted := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: der})
	damaged := bytes.Clone(der)
	damaged[0] ^= 0xFF
	for name, tt := range map[string]struct{ cert, key, cause string }{
		"no such certificate":    {cert + "x", key, "no such file"},
		"no such key":            {cert, key + "x", "no such file"},
		"a folder":               {t.TempDir(), key, "not a regular file"},
		"only one":               {cert, "", "needs both files"},
		"no certificate in it":   {key, key, "holds no certificate"},
		"no key in it":           {cert, cert, "holds no private key"},
		"empty":                  {put(t, "c.pem", 0o644), key, "holds no certificate"},
		"large":                  {put(t, "c.pem", 0o644, make([]byte, maxClientFile+1)), key, "larger than 1 MiB"},
		"damaged certificate":    {put(t, "c.pem", 0o644, p.leaf, pemOf("CERTIFICATE", []byte("x"))), key, "certificate number 2"},
		"encrypted key":          {cert, put(t, "k.pem", 0o600, pemOf("ENCRYPTED PRIVATE KEY", der)), "is encrypted"},
		"encrypted, old form":    {cert, put(t, "k.pem", 0o600, oldEncrypted), "is encrypted"},
		"damaged key":            {cert, put(t, "k.pem", 0o600, pemOf("EC PRIVATE KEY", damaged)), "damaged"},
		"unknown form":           {cert, put(t, "k.pem", 0o600, pemOf("OPENSSH PRIVATE KEY", der)), "OPENSSH PRIVATE KEY"},
		"two keys":               {cert, put(t, "k.pem", 0o600, p.key, p.otherKey), "more than one"},
		"another key":            {cert, put(t, "k.pem", 0o600, p.otherKey), "does not belong"},
		"leaf is not the first":  {put(t, "c.pem", 0o644, p.sub, p.leaf), key, "number 2"},
		"beside the store's one": {cert, key, "two TLS client certificates"},
	} {
		s := against(t, "https://127.0.0.1:1", nil)
		s.settings.TLSClientCertificateFile, s.settings.TLSClientKeyFile = tt.cert, tt.key
		if name == "beside the store's one" {
			s.settings.TLSClientCertificate = "thumbprint:00"
		}
		_, err := New(s.settings, Options{})
		if e := asError(t, err); e.Class != Other || e.Op != "configuration" || !strings.Contains(e.Err.Error(), tt.cause) || !strings.Contains(e.Hint, "TlsClientKeyFile") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ClientCertificate(s.settings); err == nil {
			t.Errorf("%s: ClientCertificate has no error", name)
		}
	}
	if found, err := ClientCertificate(settings.Settings{}); found != nil || err != nil {
		t.Errorf("%v %v", found, err)
	}
}

func FuzzClientFiles(f *testing.F) {
	p := newClientPKI(f, time.Unix(1700000000, 0), time.Unix(2000000000, 0))
	f.Add(bytes.Join([][]byte{p.leaf, p.sub, p.key}, nil))
	f.Add(pemOf("EC PRIVATE KEY", []byte{0x30, 0}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if chain, err := parseChain("c", data); (err == nil) != (len(chain) > 0) {
			t.Errorf("%d certificates, %v", len(chain), err)
		}
		if key, err := parseClientKey("k", data); (err == nil) != (key != nil) {
			t.Errorf("%T, %v", key, err)
		}
	})
}
