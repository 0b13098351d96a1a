package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The service's own certificate renews itself while it runs, below the authority
// that clients have, until that ends.
func TestOwnTLS(t *testing.T) {
	folder, log := t.TempDir(), &bytes.Buffer{}
	clock := time.Now()
	now := func() time.Time { return clock }
	open := func(want made) *ownTLS {
		t.Helper()
		o, what, err := openOwnTLS(folder, []string{"localhost"}, slog.New(slog.NewTextHandler(log, nil)), now)
		if err != nil || what != want {
			t.Fatalf("made %d, want %d: %v", what, want, err)
		}
		return o
	}
	client := func() []byte {
		t.Helper()
		ca, err := os.ReadFile(filepath.Join(folder, tlsCAName))
		if err != nil {
			t.Fatal(err)
		}
		return ca
	}
	serves := func(o *ownTLS, ca []byte) *tls.Certificate {
		t.Helper()
		cert, err := o.certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: roots, CurrentTime: clock}); err != nil {
			t.Errorf("a client refuses: %v", err)
		}
		return cert
	}

	o := open(madeAuthority)
	ca := client()
	first := serves(o, ca)
	if info, err := os.Stat(filepath.Join(folder, tlsCAKeyName)); err != nil || info.Mode().Perm() != secretFile {
		t.Errorf("the authority's key: %v, %v", info, err)
	}
	if again := open(madeNothing); !again.cert.Leaf.Equal(first.Leaf) {
		t.Error("a second start has another certificate")
	}

	// A renewal that fails leaves the certificate, and is not tried at every connection.
	clock = first.Leaf.NotAfter.Add(-tlsRenewal + time.Hour)
	o.folder = filepath.Join(folder, "gone")
	for range 3 {
		if serves(o, ca) != first {
			t.Error("another certificate without a place to keep it")
		}
	}
	if n := strings.Count(log.String(), "could not be renewed"); n != 1 {
		t.Errorf("told %d times: %s", n, log)
	}
	o.folder = folder
	clock = clock.Add(2 * tlsRetry)
	second := serves(o, ca)
	if second.Leaf.Equal(first.Leaf) || !bytes.Equal(client(), ca) {
		t.Error("no new certificate, or a new authority")
	}
	open(madeNothing)

	// The same at a start.
	clock = second.Leaf.NotAfter.Add(-time.Hour)
	serves(open(madeCertificate), ca)

	// No certificate outlives the authority; its end is near: a new one.
	for clock.Before(time.Now().Add(tlsCAValidity - tlsRenewal - 48*time.Hour)) {
		clock = serves(o, ca).Leaf.NotAfter.Add(-tlsRenewal)
	}
	log.Reset()
	clock = clock.Add(48 * time.Hour)
	if _, err := o.certificate(nil); err != nil { // which makes them
		t.Fatal(err)
	}
	if bytes.Equal(client(), ca) || !strings.Contains(log.String(), "clients need the new file") {
		t.Errorf("no new authority at the end of the old one: %s", log)
	}
	serves(o, client())
}

func TestOwnTLSDamaged(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "other text": "x", "no key": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, tlsCAKeyName), []byte(text), secretFile); err != nil {
			t.Fatal(err)
		}
		_, _, err := openOwnTLS(folder, []string{"localhost"}, slog.New(slog.DiscardHandler), time.Now)
		if code, hint := classify(err); err == nil || code != exitInput || hint == "" {
			t.Errorf("%s: exit code %d, hint %q: %v", name, code, hint, err)
		}
	}
}
