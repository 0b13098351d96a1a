package remote

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signpath/internal/testkit/faultproxy"
)

// throughHTTP puts a fault proxy that ends TLS in front of a service.
func throughHTTP(t *testing.T, h http.HandlerFunc) (*setup, *faultproxy.Proxy) {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	target, _ := url.Parse(srv.URL)
	p, err := faultproxy.HTTP(target, srv.Client().Transport.(*http.Transport))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return against(t, "https://"+p.Addr(), p.CA()), p
}

// throughTCP puts a fault proxy that sees only TLS in front of a service.
func throughTCP(t *testing.T, h http.HandlerFunc) (*setup, *faultproxy.Proxy) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(srv.Close)
	p, err := faultproxy.TCP(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return against(t, "https://"+p.Addr(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})), p
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, emptyList) }

// long is a time-out that a sound answer keeps on a busy machine, too.
const long = 1500 * time.Millisecond

// Each fault happens twice; then the service is well.
func TestFaultsThatPass(t *testing.T) {
	for name, f := range map[string]faultproxy.Fault{
		"half answer":          {Kind: faultproxy.Close, After: 60},
		"half body":            {Kind: faultproxy.Close, After: 125},
		"reset":                {Kind: faultproxy.Reset, After: 30},
		"reset before":         {Kind: faultproxy.Reset},
		"stalled header":       {Kind: faultproxy.Stall},
		"stalled body":         {Kind: faultproxy.Stall, After: 125},
		"too slow":             {Kind: faultproxy.Slow, Pause: 100 * time.Millisecond},
		"close after request":  {Kind: faultproxy.CloseAfterRequest},
		"lost answer":          {Kind: faultproxy.LostAnswer},
		"longer than it is":    {Kind: faultproxy.WrongLength, Delta: 5},
		"500":                  {Kind: faultproxy.Status, Status: 500, Body: "oops"},
		"502 with a web page":  {Kind: faultproxy.Status, Status: 502, Body: "<html><h1>Bad gateway</h1></html>"},
		"503 with Retry-After": {Kind: faultproxy.Status, Status: 503, Header: http.Header{"Retry-After": {"7"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := throughHTTP(t, ok)
			if f.Kind == faultproxy.Stall || f.Kind == faultproxy.Slow { // the others end by themselves
				s.settings.Timeouts.Request = long
			}
			p.Next(2, f)
			if _, err := s.client().Policies(context.Background(), Filter{}, Attempt{}); err != nil {
				t.Fatal(err)
			}
			if p.Requests() != 3 || len(s.clock.delays) != 2 || s.log.Count("WARNING", "") != 2 {
				t.Errorf("%d requests, delays %v\n%s", p.Requests(), s.clock.delays, s.log.Text())
			}
		})
	}
	for name, f := range map[string]faultproxy.Fault{
		"reset":             {Kind: faultproxy.Reset},
		"handshake cut":     {Kind: faultproxy.Close, After: 100},
		"closed at once":    {Kind: faultproxy.Close},
		"handshake stalled": {Kind: faultproxy.Stall, After: 100},
	} {
		t.Run("TCP "+name, func(t *testing.T) {
			s, p := throughTCP(t, ok)
			if f.Kind == faultproxy.Stall {
				s.settings.Timeouts.Request = long
			}
			p.Next(2, f)
			if _, err := s.client().Policies(context.Background(), Filter{}, Attempt{}); err != nil {
				t.Fatal(err)
			}
			if p.Connections() != 3 || len(s.clock.delays) != 2 {
				t.Errorf("%d connections, delays %v\n%s", p.Connections(), s.clock.delays, s.log.Text())
			}
		})
	}
}

func TestFaultsThatStay(t *testing.T) {
	for name, tc := range map[string]struct {
		fault faultproxy.Fault
		class Class
		retry bool
		hint  string
	}{
		"refused":            {faultproxy.Fault{Kind: faultproxy.Refuse}, Transient, true, "Nothing listens"},
		"reset":              {faultproxy.Fault{Kind: faultproxy.Reset}, Transient, true, "broke"},
		"stalled":            {faultproxy.Fault{Kind: faultproxy.Stall}, Transient, true, "HttpRequestTimeoutInSeconds"},
		"garbage":            {faultproxy.Fault{Kind: faultproxy.Garbage}, Service, false, "not that of a signing service"},
		"long garbage line":  {faultproxy.Fault{Kind: faultproxy.Garbage, Body: strings.Repeat("g", 300<<10)}, Service, false, "not that of a signing service"},
		"header too long":    {faultproxy.Fault{Kind: faultproxy.Garbage, Body: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("g", 300<<10)}, Service, false, "not that of a signing service"},
		"bad chunks":         {faultproxy.Fault{Kind: faultproxy.Garbage, Body: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"}, Service, false, "not that of a signing service"},
		"bad gzip":           {faultproxy.Fault{Kind: faultproxy.Garbage, Body: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\nnot gzip at "}, Service, false, "not that of a signing service"},
		"shorter than it is": {faultproxy.Fault{Kind: faultproxy.WrongLength, Delta: -5}, Service, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := throughHTTP(t, ok)
			s.settings.Timeouts.Request = 20 * time.Second // a busy machine is no fault
			if tc.fault.Kind == faultproxy.Stall {
				s.settings.Timeouts.Request = 200 * time.Millisecond
			}
			s.settings.Timeouts.RetryCount = 2
			if err := p.Set(tc.fault); err != nil {
				t.Fatal(err)
			}
			_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
			e := asError(t, err)
			retries := 0
			if tc.retry {
				retries = 2
			}
			if e.Class != tc.class || len(s.clock.delays) != retries || !strings.Contains(e.Hint, tc.hint) || len(e.Error()) > 2000 {
				t.Errorf("%v, %d retries: %v", e.Class, len(s.clock.delays), err)
			}
		})
	}
}

// A service that answers something when the client hangs up must not have that
// taken for its answer: the time-out is what happened.
func TestAnswerToTheHangUp(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.settings.Timeouts.Request = 20 * time.Millisecond
	c := s.client()
	for range 50 {
		_, err := c.Policies(context.Background(), Filter{}, Attempt{Once: true})
		if e := asError(t, err); e.Class != Transient {
			t.Fatal(err)
		}
	}
}

func leaf(t *testing.T, name string, until time.Time) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true}
	if ip := net.ParseIP(name); ip != nil {
		c.DNSNames, c.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestCertificatesAndTLS(t *testing.T) {
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	_, foreign := leaf(t, "other", soon)
	for name, tc := range map[string]struct {
		host    string
		until   time.Time
		foreign bool
		change  func(*tls.Config)
		hint    string
	}{
		"good":                        {"127.0.0.1", soon, false, nil, "-"},
		"untrusted":                   {"127.0.0.1", soon, true, nil, "SIGNPATH_TRUSTED_CA_FILE"},
		"wrong host":                  {"signing.example", soon, false, nil, "another host"},
		"expired":                     {"127.0.0.1", past, false, nil, "validity"},
		"TLS 1.1":                     {"127.0.0.1", soon, false, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "TLS"},
		"wants a certificate":         {"127.0.0.1", soon, false, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, "TlsClientCertificate"},
		"TLS 1.2 wants a certificate": {"127.0.0.1", soon, false, func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }, "TlsClientCertificate"},
	} {
		t.Run(name, func(t *testing.T) {
			var hits atomic.Int32
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hits.Add(1); ok(w, r) }))
			cert, ca := leaf(t, tc.host, tc.until)
			srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			if tc.change != nil {
				tc.change(srv.TLS)
			}
			srv.Config.ErrorLog = quiet
			srv.StartTLS()
			defer srv.Close()
			if tc.foreign {
				ca = foreign
			}
			s := against(t, srv.URL, ca)
			_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
			if tc.hint == "-" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if e := asError(t, err); e.Class != Other || len(s.clock.delays) != 0 || !strings.Contains(e.Hint, tc.hint) || hits.Load() != 0 {
				t.Errorf("%v %v, %d retries, %d requests came through", e.Class, err, len(s.clock.delays), hits.Load())
			}
		})
	}
}

func TestPlainHTTPOnTheTLSPort(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(ok))
	defer srv.Close()
	s := against(t, strings.Replace(srv.URL, "http:", "https:", 1), nil)
	_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
	if e := asError(t, err); e.Class != Other || len(s.clock.delays) != 0 || !strings.Contains(e.Hint, "does not speak TLS") {
		t.Errorf("%v", err)
	}
}

func TestUnknownHost(t *testing.T) {
	s := against(t, "https://no-such-host.invalid", nil)
	s.settings.Timeouts.RetryCount = 1
	_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
	if e := asError(t, err); e.Class != Transient || len(s.clock.delays) != 1 {
		t.Errorf("%v", err)
	}
}

// forward is a small HTTP proxy that wants a password.
type forward struct {
	srv     *httptest.Server
	mu      sync.Mutex
	status  int // answers this when not 0
	methods []string
}

func newForward(t *testing.T) *forward {
	f := &forward{}
	f.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.methods = append(f.methods, r.Method)
		status := f.status
		f.mu.Unlock()
		if status == 0 && r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("user:proxy-password")) {
			status = 407
		}
		if status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "no, "+r.Header.Get("Proxy-Authorization"))
			return
		}
		if r.Method != http.MethodConnect {
			r.RequestURI = ""
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				w.WriteHeader(502)
				return
			}
			defer resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(w, resp.Body)
			return
		}
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(502)
			return
		}
		down, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(up, down); _ = up.Close() }()
		go func() { _, _ = io.Copy(down, up); _ = down.Close() }()
	}))
	t.Cleanup(f.srv.Close)
	return f
}

func (f *forward) proxy(user *url.Userinfo) func(*url.URL) (*url.URL, error) {
	u, _ := url.Parse(f.srv.URL)
	u.User = user
	return func(*url.URL) (*url.URL, error) { return u, nil }
}

func TestProxy(t *testing.T) {
	good, wrong := url.UserPassword("user", "proxy-password"), url.UserPassword("user", "wrong-password")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for name, tc := range map[string]struct {
		user   *url.Userinfo
		status int
		proxy  func(*url.URL) (*url.URL, error)
		class  Class // 0: success
		code   int
		retry  bool
	}{
		"tunnel":         {user: good},
		"wrong password": {user: wrong, class: User, code: 407},
		"no password":    {class: User, code: 407},
		"forbidden":      {user: good, status: 403, class: User, code: 403},
		"bad gateway":    {user: good, status: 502, class: Transient, code: 502, retry: true},
		"redirect":       {user: good, status: 302, class: Other, code: 302},
		"refused": {proxy: func(*url.URL) (*url.URL, error) {
			return &url.URL{Scheme: "http", Host: closed.Addr().String(), User: good}, nil
		}, class: Transient, retry: true},
		"unknown scheme": {proxy: func(*url.URL) (*url.URL, error) {
			return &url.URL{Scheme: "gopher", Host: "x", User: good}, nil
		}, class: Other},
		"bad URL": {proxy: func(*url.URL) (*url.URL, error) { return nil, errors.New("cannot be read") }, class: Other},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, ok)
			f := newForward(t)
			f.status = tc.status
			s.settings.Proxy, s.settings.Timeouts.RetryCount = f.proxy(tc.user), 1
			if tc.proxy != nil {
				s.settings.Proxy = tc.proxy
			}
			c := s.client()
			_, err := c.Policies(context.Background(), Filter{}, Attempt{})
			if tc.class == 0 {
				if err != nil || len(f.methods) != 1 || f.methods[0] != "CONNECT" {
					t.Errorf("%v %v", err, f.methods)
				}
				return
			}
			e := asError(t, err)
			if e.Class != tc.class || e.Status != tc.code || (len(s.clock.delays) == 1) != tc.retry || !strings.Contains(e.Hint, "proxy") {
				t.Errorf("%v, status %d, %d retries: %v", e.Class, e.Status, len(s.clock.delays), err)
			}
			if text := err.Error() + s.log.Text(); strings.Contains(text, "password") && !strings.Contains(text, "with user and password in its URL") || strings.Contains(text, "proxy-password") || strings.Contains(text, "wrong-password") {
				t.Errorf("the password shows: %s", text)
			}
		})
	}
	t.Run("plain HTTP", func(t *testing.T) {
		srv := httptest.NewServer(http.HandlerFunc(ok))
		defer srv.Close()
		s := against(t, srv.URL, nil)
		f := newForward(t)
		s.settings.Proxy = f.proxy(good)
		c := s.client()
		if _, err := c.Policies(context.Background(), Filter{}, Attempt{}); err != nil || len(f.methods) != 1 || f.methods[0] != "GET" {
			t.Errorf("%v %v", err, f.methods)
		}
	})
}

func TestConnections(t *testing.T) {
	t.Run("one per thread", func(t *testing.T) {
		s, p := throughTCP(t, func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Millisecond); ok(w, r) })
		c := s.client()
		const threads = 6
		var wg sync.WaitGroup
		for range threads {
			wg.Go(func() {
				for range 25 {
					if _, err := c.Policies(context.Background(), Filter{}, Attempt{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := p.Connections(); n > threads {
			t.Errorf("%d connections for %d threads", n, threads)
		}
		c.Close()
		for i := 0; p.Open() > 0; i++ {
			if i > 200 {
				t.Fatalf("%d connections are open after Close", p.Open())
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	// A firewall or the service dropped the idle connection: no retry with its delay is spent on that.
	t.Run("stale", func(t *testing.T) {
		s, p := throughHTTP(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{"Signature":"AAAA"}`) })
		c := s.client()
		p.Next(1, faultproxy.Fault{Kind: faultproxy.CloseAnswered})
		for range 2 {
			if _, err := signOnce(c); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.clock.delays) != 0 || p.Connections() != 2 {
			t.Errorf("%v, %d connections\n%s", s.clock.delays, p.Connections(), s.log.Text())
		}
	})
	t.Run("time-outs leave none behind", func(t *testing.T) {
		s, p := throughTCP(t, ok)
		s.settings.Timeouts.Request = 100 * time.Millisecond
		s.settings.Timeouts.RetryCount = 3
		if err := p.Set(faultproxy.Fault{Kind: faultproxy.Stall}); err != nil {
			t.Fatal(err)
		}
		_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
		if e := asError(t, err); e.Class != Transient || p.Connections() != 4 {
			t.Errorf("%v, %d connections", err, p.Connections())
		}
		for i := 0; p.Open() > 0; i++ {
			if i > 100 {
				t.Fatalf("%d connections are open", p.Open())
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}
