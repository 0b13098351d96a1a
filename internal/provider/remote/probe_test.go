package remote

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"signpath/internal/provider/settings"
)

func systemInfo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		http.Error(w, "a token was sent", http.StatusTeapot)
		return
	}
	_, _ = io.WriteString(w, `{"version":"4.5.6"}`)
}

func examine(s settings.Settings) *Path {
	return Examine(context.Background(), s, Options{Product: "Doctor", Version: "1.0.0"}, 5*time.Second)
}

func TestExamine(t *testing.T) {
	s := serve(t, systemInfo).settings
	s.OrganizationID = "" // not needed
	p := examine(s)
	for _, step := range []Step{p.Setup, p.Names, p.Reach, p.TLS, p.Info} {
		if !step.OK() {
			t.Fatalf("%+v", p)
		}
	}
	if p.Tunnel.Done || p.Version != "4.5.6" || p.Status != 200 || !p.FromFile || !p.HasSkew || p.Skew.Abs() > 3*time.Second || p.TLSVersion != "TLS 1.3" || len(p.Chain) == 0 || len(p.Addresses) != 1 {
		t.Errorf("%+v", p)
	}
}

// The way ends at the leg that is broken; its error says what to do.
func TestExamineFailures(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(systemInfo))
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(srv.Close)
	good := against(t, srv.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})).settings
	to := func(address string) settings.Settings {
		s := good
		s.APIURL, _ = url.Parse(address)
		return s
	}
	clear := httptest.NewServer(http.HandlerFunc(systemInfo))
	t.Cleanup(clear.Close)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	t.Cleanup(refusing.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	answers := func(status int) settings.Settings {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example.com/x")
			w.WriteHeader(status)
		})
		return s.settings
	}
	untrusted := good
	untrusted.TrustedCAFile = ""
	noFile := good
	noFile.TrustedCAFile = "/nowhere/ca.pem"
	proxied := func(address string) settings.Settings {
		s := good
		u, _ := url.Parse(address)
		s.Proxy = func(*url.URL) (*url.URL, error) { return u, nil }
		return s
	}
	for name, c := range map[string]struct {
		settings settings.Settings
		leg      func(*Path) Step
		class    Class
		text     string
	}{
		"CA file":           {noFile, func(p *Path) Step { return p.Setup }, Other, "no such file"},
		"kind of proxy":     {proxied("socks5://127.0.0.1:1"), func(p *Path) Step { return p.Setup }, Other, "socks5"},
		"unknown host":      {to("https://nobody.invalid/Api"), func(p *Path) Step { return p.Names }, Transient, "cannot be resolved"},
		"nothing listens":   {to("https://" + closed.Addr().String()), func(p *Path) Step { return p.Reach }, Transient, "Nothing listens"},
		"no TLS there":      {to("https://" + clear.Listener.Addr().String()), func(p *Path) Step { return p.TLS }, Other, "does not speak TLS"},
		"http to TLS":       {to("http://" + srv.Listener.Addr().String()), func(p *Path) Step { return p.Info }, User, "write https://"},
		"silence":           {to("https://" + silent.Addr().String()), func(p *Path) Step { return p.TLS }, Transient, "no complete answer within"},
		"untrusted":         {untrusted, func(p *Path) Step { return p.TLS }, Other, "TrustedCaFile"},
		"wrong name":        {to("https://localhost:" + good.APIURL.Port()), func(p *Path) Step { return p.TLS }, Other, "another host"},
		"service down":      {answers(503), func(p *Path) Step { return p.Info }, Transient, "503"},
		"redirect":          {answers(302), func(p *Path) Step { return p.Info }, Service, "redirect to elsewhere.example.com"},
		"proxy refused":     {proxied("http://" + closed.Addr().String()), func(p *Path) Step { return p.Reach }, Transient, "Check the proxy"},
		"proxy no tunnel":   {proxied("http://me:geheim@" + refusing.Listener.Addr().String()), func(p *Path) Step { return p.Tunnel }, User, "Check the proxy"},
		"proxy is a server": {proxied("http://" + silent.Addr().String()), func(p *Path) Step { return p.Tunnel }, Transient, "no complete answer"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			limit := 20 * time.Second // a busy machine is no fault
			if strings.Contains(c.text, "no complete answer") {
				limit = 300 * time.Millisecond
			}
			p := Examine(ctx, c.settings, Options{Product: "Doctor"}, limit)
			step := c.leg(p)
			var e *Error
			if !errors.As(step.Err, &e) || !strings.Contains(e.Error(), c.text) {
				t.Fatalf("%v; %+v", step.Err, p)
			}
			if e.Class != c.class {
				t.Errorf("class %s, want %s: %v", e.Class, c.class, e)
			}
			if strings.Contains(e.Error(), "geheim") || strings.Contains(e.Error(), good.APIToken.Reveal()) {
				t.Errorf("a secret in %v", e)
			}
			if name == "untrusted" && (p.Certificate == nil || len(p.Chain) > 0) {
				t.Error("the certificate that was refused is not told")
			}
		})
	}
	// What other services answer there is no failure.
	for _, status := range []int{401, 403, 404} {
		if p := examine(answers(status)); !p.Info.OK() || p.Status != status || p.Version != "" || !p.HasSkew {
			t.Errorf("%d: %+v", status, p)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := Examine(ctx, good, Options{}, time.Second)
	var e *Error
	if !errors.As(errors.Join(p.Names.Err, p.Reach.Err), &e) || e.Class != Canceled {
		t.Errorf("%+v", p)
	}
}

// Through a proxy every leg is walked.
func TestExamineTunnel(t *testing.T) {
	s := serve(t, systemInfo).settings
	var tunnels atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "", http.StatusMethodNotAllowed)
			return
		}
		tunnels.Add(1)
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, "", http.StatusBadGateway)
			return
		}
		here, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		// A length has no meaning here; some proxies send one all the same.
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	}))
	t.Cleanup(proxy.Close)
	u, _ := url.Parse(proxy.URL)
	s.Proxy = func(*url.URL) (*url.URL, error) { return u, nil }
	p := examine(s)
	if !p.Tunnel.OK() || !p.TLS.OK() || !p.Info.OK() || p.Proxy != u.Host || p.Version != "4.5.6" || tunnels.Load() != 1 {
		t.Errorf("%+v", p)
	}
}

// A skewed clock shows in the Date.
func TestExamineSkew(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-3*time.Hour).UTC().Format(http.TimeFormat))
	}).settings
	if p := examine(s); !p.HasSkew || (p.Skew+3*time.Hour).Abs() > 3*time.Second {
		t.Errorf("%+v", p)
	}
}

func TestMe(t *testing.T) {
	for name, c := range map[string]struct {
		ci, person int
		want       string
		fails      bool
	}{
		"CI user":        {200, 500, "builder", false},
		"person":         {403, 200, "builder", false},
		"not told":       {404, 404, "", false},
		"a wrong token":  {401, 401, "", true},
		"the wrong kind": {404, 403, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				status := c.ci
				if strings.HasSuffix(r.URL.Path, "/InteractiveUsers/Me") {
					status = c.person
				}
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"name":"builder"}`)
			})
			got, err := s.client().Me(context.Background(), Attempt{Once: true})
			if got != c.want || (err != nil) != c.fails {
				t.Errorf("%q %v", got, err)
			}
		})
	}
}
