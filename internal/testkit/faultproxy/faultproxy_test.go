package faultproxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

const text = "The quick brown fox jumps over the lazy dog."

func service(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Path", r.URL.RequestURI())
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return s
}

func overHTTP(t *testing.T) (*Proxy, *http.Client) {
	t.Helper()
	s := service(t)
	target, _ := url.Parse(s.URL)
	p, err := HTTP(target, s.Client().Transport.(*http.Transport))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.CA())
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 300 * time.Millisecond}
	t.Cleanup(c.CloseIdleConnections)
	return p, c
}

func overTCP(t *testing.T) (*Proxy, *http.Client) {
	t.Helper()
	s := service(t)
	p, err := TCP(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	tr := s.Client().Transport.(*http.Transport).Clone()
	tr.DisableKeepAlives = true
	return p, &http.Client{Transport: tr, Timeout: 300 * time.Millisecond}
}

func get(c *http.Client, p *Proxy) (int, string, error) {
	resp, err := c.Get(p.URL("/a/b").String() + "?q=1")
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestHTTPFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		fault Fault
		want  func(status int, body string, err error) bool
	}{
		"none":                {Fault{}, func(s int, b string, err error) bool { return s == 200 && b == text && err == nil }},
		"status":              {Fault{Kind: Status, Status: 502, Body: "bad"}, func(s int, b string, err error) bool { return s == 502 && b == "bad" }},
		"half answer":         {Fault{Kind: Close, After: 150}, func(_ int, _ string, err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"reset":               {Fault{Kind: Reset, After: 5}, func(_ int, _ string, err error) bool { return err != nil && !isTimeout(err) }},
		"stall":               {Fault{Kind: Stall, After: 150}, func(_ int, _ string, err error) bool { return isTimeout(err) }},
		"slow":                {Fault{Kind: Slow, Chunk: 20, Pause: time.Millisecond}, func(_ int, b string, err error) bool { return b == text && err == nil }},
		"too slow":            {Fault{Kind: Slow, Pause: 50 * time.Millisecond}, func(_ int, _ string, err error) bool { return isTimeout(err) }},
		"garbage":             {Fault{Kind: Garbage}, func(_ int, _ string, err error) bool { return err != nil && strings.Contains(err.Error(), "malformed") }},
		"lost answer":         {Fault{Kind: LostAnswer}, func(_ int, _ string, err error) bool { return errors.Is(err, io.EOF) }},
		"close after request": {Fault{Kind: CloseAfterRequest}, func(_ int, _ string, err error) bool { return errors.Is(err, io.EOF) }},
		"length too long":     {Fault{Kind: WrongLength, Delta: 3}, func(_ int, _ string, err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"length too short":    {Fault{Kind: WrongLength, Delta: -3}, func(_ int, b string, err error) bool { return b == text[:len(text)-3] }},
	} {
		t.Run(name, func(t *testing.T) {
			p, c := overHTTP(t)
			p.Next(1, tc.fault)
			status, body, err := get(c, p)
			if !tc.want(status, body, err) {
				t.Errorf("got %d %q %v", status, body, err)
			}
			c.CloseIdleConnections()
			if status, body, err := get(c, p); status != 200 || body != text || err != nil {
				t.Errorf("after the fault: %d %q %v", status, body, err)
			}
			if p.Requests() != 2 {
				t.Errorf("%d requests counted", p.Requests())
			}
		})
	}
}

func TestTCPFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		fault Fault
		want  func(err error) bool
	}{
		"none":          {Fault{}, func(err error) bool { return err == nil }},
		"reset":         {Fault{Kind: Reset}, func(err error) bool { return err != nil && !isTimeout(err) }},
		"handshake cut": {Fault{Kind: Close, After: 200}, func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }},
		"stall":         {Fault{Kind: Stall, After: 100}, isTimeout},
		"slow":          {Fault{Kind: Slow, Chunk: 500, Pause: time.Millisecond}, func(err error) bool { return err == nil }},
		"garbage":       {Fault{Kind: Garbage}, func(err error) bool { var r tls.RecordHeaderError; return errors.As(err, &r) }},
	} {
		t.Run(name, func(t *testing.T) {
			p, c := overTCP(t)
			p.Next(1, tc.fault)
			if _, _, err := get(c, p); !tc.want(err) {
				t.Errorf("got %v", err)
			}
			if _, body, err := get(c, p); err != nil || body != text {
				t.Errorf("after the fault: %v", err)
			}
			if p.Connections() != 2 {
				t.Errorf("%d connections counted", p.Connections())
			}
		})
	}
}

func TestRefuseAndComeBack(t *testing.T) {
	p, c := overTCP(t)
	if err := p.Set(Fault{Kind: Refuse}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(c, p); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("got %v", err)
	}
	if err := p.Set(Fault{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(c, p); err != nil {
		t.Fatal(err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	p, c := overHTTP(t)
	p.Next(1, Fault{Kind: Stall})
	go func() { _, _, _ = get(c, p) }()
	for p.Requests() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := p.Close(); err != nil || p.Open() != 0 {
		t.Errorf("%v, %d open", err, p.Open())
	}
}
