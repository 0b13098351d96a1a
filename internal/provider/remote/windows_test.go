//go:build windows

package remote

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"software.sslmate.com/src/go-pkcs12"

	"signpath/internal/provider/settings"
)

// personal is a PFX file with the password "pw": the one that SIGNPATH_TEST_PFX names
// (Wine does not read go-pkcs12's), or a new one.
func personal(t *testing.T) []byte {
	t.Helper()
	if name := os.Getenv("SIGNPATH_TEST_PFX"); name != "" {
		pfx, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return pfx
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "build agent"}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pfx, err := pkcs12.Modern.Encode(key, leaf, nil, "pw")
	if err != nil {
		t.Fatal(err)
	}
	return pfx
}

// imported puts a certificate with its key into CurrentUser\My, as the wizard for PFX
// files does.
func imported(t *testing.T) (leaf *x509.Certificate) {
	t.Helper()
	pfx := personal(t)
	_, leaf, err := pkcs12.Decode(pfx, "pw")
	if err != nil {
		t.Fatal(err)
	}
	password, _ := windows.UTF16PtrFromString("pw")
	blob := windows.CryptDataBlob{Size: uint32(len(pfx)), Data: &pfx[0]}
	memory, err := windows.PFXImportCertStore(&blob, password, windows.CRYPT_EXPORTABLE|windows.CRYPT_USER_KEYSET)
	if err != nil {
		t.Fatalf("importing the PFX: %v", err)
	}
	defer func() { _ = windows.CertCloseStore(memory, 0) }()
	name, _ := windows.UTF16PtrFromString("My")
	my, err := windows.CertOpenStore(windows.CERT_STORE_PROV_SYSTEM_W, 0, 0, windows.CERT_SYSTEM_STORE_CURRENT_USER, uintptr(unsafe.Pointer(name)))
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	for c, err := windows.CertEnumCertificatesInStore(memory, nil); err == nil && c != nil; c, err = windows.CertEnumCertificatesInStore(memory, c) {
		if err := windows.CertAddCertificateContextToStore(my, c, windows.CERT_STORE_ADD_REPLACE_EXISTING, nil); err != nil {
			t.Fatalf("adding the certificate: %v", err)
		}
	}
	if err := windows.CertCloseStore(my, 0); err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestStoreCertificate(t *testing.T) {
	leaf := imported(t)
	short, long := fmt.Sprintf("thumbprint:%x", sha1.Sum(leaf.Raw)), fmt.Sprintf("THUMBPRINT:%X", sha256.Sum256(leaf.Raw))
	for _, value := range []string{short, long} {
		cert, err := clientCertificate(value)
		if err != nil {
			t.Fatal(err)
		}
		if !cert.Leaf.Equal(leaf) || len(cert.Certificate) != 1 {
			t.Errorf("%s: another certificate, or %d of them", value, len(cert.Certificate))
		}
		signer, ok := cert.PrivateKey.(crypto.Signer)
		if !ok {
			t.Fatalf("%T", cert.PrivateKey)
		}
		for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			digest := hash.New().Sum(nil)
			signature, err := signer.Sign(rand.Reader, digest, hash)
			if err != nil || rsa.VerifyPKCS1v15(leaf.PublicKey.(*rsa.PublicKey), hash, digest, signature) != nil {
				t.Errorf("%v: %v", hash, err)
			}
		}
	}
	for value, want := range map[string]string{
		"thumbprint:" + strings.Repeat("00", 20): "no certificate with thumbprint",
		"thumbprint:00":                          "not given as thumbprint",
		"name:" + short:                          "not given as thumbprint",
	} {
		if _, err := clientCertificate(value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", value, err)
		}
	}
	t.Run("TLS", func(t *testing.T) {
		var seen atomic.Uint32
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen.Store(uint32(r.TLS.Version)) }))
		pool := x509.NewCertPool()
		pool.AddCert(leaf)
		server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12}
		server.StartTLS()
		defer server.Close()
		d, err := newDialer(settings.Settings{TLSClientCertificate: short})
		if err != nil {
			t.Fatal(err)
		}
		trusted := x509.NewCertPool()
		trusted.AddCert(server.Certificate())
		d.roots.file = trusted
		target, _ := url.Parse(server.URL)
		conn, err := d.connect(context.Background(), target, nil)
		if err != nil {
			t.Fatal(err)
		}
		request, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		_ = request.Write(conn)
		if _, err := io.ReadAll(io.LimitReader(conn, 12)); err != nil || seen.Load() == 0 {
			t.Errorf("nobody came: %v", err)
		}
		_ = conn.Close()
	})
	listed, err := ClientCertificate(settings.Settings{TLSClientCertificate: short})
	if err != nil || len(listed) != 1 || !listed[0].Equal(leaf) {
		t.Errorf("%v, %v", listed, err)
	}
}

func TestSocketErrors(t *testing.T) {
	if rule := errorRule(fmt.Errorf("dial: %w", socketRefused)); rule.class != Transient || !rule.retry {
		t.Errorf("%+v", rule)
	}
	if !isRefused(windows.WSAECONNREFUSED) || !isCut(windows.WSAECONNRESET) || !isCut(windows.WSAECONNABORTED) {
		t.Error("the numbers of Windows Sockets are not known")
	}
}
