package syslog

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// identity is an authority with one certificate for 127.0.0.1 below it, as files.
type identity struct {
	ca, cert, key string
	pair          tls.Certificate
	pool          *x509.CertPool
}

func newIdentity(t *testing.T, name string) identity {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(file, kind string, der []byte) string {
		path := filepath.Join(dir, file)
		must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	template.Subject.CommonName = name
	caDER, err := x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey)
	must(err)
	ca, err := x509.ParseCertificate(caDER)
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: template.NotBefore, NotAfter: template.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	out := identity{ca: write("ca.pem", "CERTIFICATE", caDER), cert: write("cert.pem", "CERTIFICATE", der), key: write("key.pem", "PRIVATE KEY", keyDER), pool: x509.NewCertPool()}
	out.pool.AddCert(ca)
	out.pair, err = tls.LoadX509KeyPair(out.cert, out.key)
	must(err)
	return out
}

// logged is a stream's log that a test reads.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), part)
}

func (w *world) startTo(t *testing.T, to Target) (log *logged, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	log = &logged{}
	s := &Stream{Store: w.st, Target: to, Logger: slog.New(slog.NewTextHandler(log, nil))}
	go func() { s.Run(ctx); close(done) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return log, stop
}

// A receiver behind TLS gets the log when both sides know each other, and not
// one byte of it otherwise.
func TestTLS(t *testing.T) {
	server, client, stranger := newIdentity(t, "server"), newIdentity(t, "client"), newIdentity(t, "stranger")
	config := &tls.Config{Certificates: []tls.Certificate{server.pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: client.pool}
	target := func(address string, files TLS) Target {
		t.Helper()
		to, err := ParseTarget("tls://" + address)
		if err == nil {
			to, err = to.WithTLS(files)
		}
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	for _, c := range []struct {
		what  string
		files TLS
		works bool
		log   string
	}{
		{"both known", TLS{server.ca, client.cert, client.key}, true, ""},
		{"a receiver of another authority", TLS{stranger.ca, client.cert, client.key}, false, "certificate signed by unknown authority"},
		{"no client certificate", TLS{CAFile: server.ca}, false, "certificate required"},
		{"a client certificate of another authority", TLS{server.ca, stranger.cert, stranger.key}, false, "does not reach syslog"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t)
			w.record(t, 5, "")
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			r := serve(t, tls.NewListener(l, config))
			log, stop := w.startTo(t, target(r.addr, c.files))
			if !c.works {
				eventually(t, "nothing was said", func() bool { return log.has(c.log) })
				stop()
				if got := r.sequences(t); len(got) > 0 {
					t.Errorf("the receiver got %v", got)
				}
				return
			}
			eventually(t, "the entries did not come", func() bool { return len(r.sequences(t)) == 5 })
			w.record(t, 300, "")
			eventually(t, "the new entries did not come", func() bool { return len(r.sequences(t)) == 305 })
			stop()
			if got := r.sequences(t); !slices.Equal(got, upTo(305)) {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestTLSFiles(t *testing.T) {
	id := newIdentity(t, "x")
	to, err := ParseTarget("tls://log")
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := ParseTarget("tcp://log")
	for what, c := range map[string]struct {
		to    Target
		files TLS
	}{
		"no encryption":                 {plain, TLS{CAFile: id.ca}},
		"certificate without key":       {to, TLS{CertFile: id.cert}},
		"key without certificate":       {to, TLS{KeyFile: id.key}},
		"no such file":                  {to, TLS{CAFile: id.ca + "x"}},
		"no certificate in it":          {to, TLS{CAFile: id.key}},
		"key and certificate exchanged": {to, TLS{CertFile: id.key, KeyFile: id.cert}},
	} {
		if _, err := c.to.WithTLS(c.files); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	if _, err := plain.WithTLS(TLS{}); err != nil {
		t.Error(err)
	}
}

// A receiver whose machine takes what it never reads: what went there comes
// again over the next connection.
func TestReceiverDiesWithoutReading(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	taken := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			taken <- c
		}
	}()
	w.record(t, 10, "")
	_, stop := w.startTo(t, Target{network: "tcp", address: address})
	c := <-taken
	time.Sleep(300 * time.Millisecond) // its kernel has acknowledged everything
	_ = l.Close()
	_ = c.Close()
	r := tcpReceiver(t, address)
	w.record(t, 1, "")
	eventually(t, "what nobody has read did not come again", func() bool {
		return slices.Equal(slices.Compact(r.sequences(t)), upTo(11))
	})
	stop()
}
