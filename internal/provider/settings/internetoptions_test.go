package settings

import (
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

func parse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func through(t *testing.T, proxy func(*url.URL) (*url.URL, error), address string) string {
	t.Helper()
	if proxy == nil {
		return ""
	}
	p, err := proxy(parse(t, address))
	if err != nil {
		return "error: " + err.Error()
	}
	if p == nil {
		return ""
	}
	return p.String()
}

func TestInternetOptions(t *testing.T) {
	type ask map[string]string
	const secure, plain, near = "https://sign.example.com/Api", "http://sign.example.com/Api", "https://127.0.0.1:8443/Api"
	for _, tt := range []struct {
		name             string
		enable           bool
		server, override string
		want             ask
	}{
		{"off", false, "proxy:3128", "", ask{secure: ""}},
		{"on without a proxy", true, "", "", ask{secure: ""}},
		{"one for all", true, "proxy:3128", "", ask{secure: "http://proxy:3128", plain: "http://proxy:3128", near: "", "https://[::1]/": "", "https://localhost/": "", "https://x.localhost/": ""}},
		{"as a URL", true, "http://proxy:3128/", "", ask{secure: "http://proxy:3128"}},
		{"TLS to the proxy", true, "https://proxy:443", "", ask{secure: "https://proxy:443"}},
		{"without port", true, "proxy", "", ask{secure: "http://proxy:80"}},
		{"by scheme", true, "http=a:1;https=b:2", "", ask{secure: "http://b:2", plain: "http://a:1"}},
		{"by scheme, upper case, spaces", true, "HTTP=a:1 HTTPS=b:2", "", ask{secure: "http://b:2", plain: "http://a:1"}},
		{"by scheme, as URLs", true, "http=http://a:1;https=http://b:2/", "", ask{secure: "http://b:2"}},
		{"only http", true, "http=a:1", "", ask{secure: "", plain: "http://a:1"}},
		{"others do not count", true, "ftp=c:3;socks=d:4", "", ask{secure: ""}},
		{"scheme, then the rest", true, "http=a:1;z:9", "", ask{secure: "http://z:9", plain: "http://a:1"}},
		{"the first of two", true, "https=b:2;https=c:3", "", ask{secure: "http://b:2"}},
		{"IPv6", true, "[fd00::1]:3128", "", ask{secure: "http://[fd00::1]:3128"}},
		{"credentials", true, "u:p@proxy:3128", "", ask{secure: "http://u:p@proxy:3128"}},
		{"no proxy", true, "http://", "", ask{secure: "error: the proxy in the Internet Options of Windows cannot be used; correct it there, or set HttpProxy (http_proxy)"}},
		{"SOCKS by URL", true, "socks5://proxy:1", "", ask{secure: "error: the proxy in the Internet Options of Windows cannot be used; correct it there, or set HttpProxy (http_proxy)"}},
		{"exact name", true, "p:1", "sign.example.com", ask{secure: "", "https://x.sign.example.com/": "http://p:1", "https://SIGN.Example.com/": ""}},
		{"domain", true, "p:1", "*.example.com", ask{secure: "", "https://example.com/": "http://p:1", "https://example.org/": "http://p:1"}},
		{"begin of an address", true, "p:1", "10.*; 192.168.*", ask{"https://10.1.2.3/": "", "https://192.168.0.9/": "", "https://11.1.2.3/": "http://p:1"}},
		{"star within", true, "p:1", "s*n.*.com", ask{secure: "", "https://sign.example.org/": "http://p:1", "https://s.n.com/": "http://p:1"}},
		{"stars overlap", true, "p:1", "ab*ba", ask{"https://aba/": "http://p:1", "https://abba/": ""}},
		{"everything", true, "p:1", "*", ask{secure: ""}},
		{"with scheme", true, "p:1", "http://*.example.com", ask{secure: "http://p:1", plain: ""}},
		{"with port", true, "p:1", "sign.example.com:8443", ask{secure: "http://p:1", "https://sign.example.com:8443/": ""}},
		{"with usual port", true, "p:1", "sign.example.com:443", ask{secure: "", plain: "http://p:1"}},
		{"IPv6 hosts", true, "p:1", "[fd00::1];[fd00::2]:8443;fe80::*", ask{"https://[fd00::1]/": "", "https://[fd00::2]/": "http://p:1", "https://[fd00::2]:8443/": "", "https://[fe80::9]/": ""}},
		{"<local>", true, "p:1", "<local>", ask{secure: "http://p:1", "https://build/": "", "https://10.0.0.1/": "http://p:1", "https://[fd00::1]/": "http://p:1"}},
		{"<LOCAL> among others, white space", true, "p:1", "*.org  <LOCAL>\t*.net", ask{"https://build/": "", "https://a.net/": "", "https://a.org/": "", secure: "http://p:1"}},
		{"<-loopback>", true, "p:1", "<-loopback>", ask{near: "http://p:1", "https://localhost/": "http://p:1", "https://[::1]/": "http://p:1"}},
		{"<-loopback> and <local>", true, "p:1", "<-loopback>;<local>", ask{"https://localhost/": "http://p:1", "https://build/": ""}},
	} {
		o := internetOptions{enable: tt.enable, server: tt.server, override: tt.override}
		for address, want := range tt.want {
			if got := through(t, o.decide(), address); got != want {
				t.Errorf("%s: %s through %q, want %q", tt.name, address, got, want)
			}
		}
	}
}

// The Internet Options stand below everything that a user configured for us.
func TestInternetOptionsAreTheDefault(t *testing.T) {
	const secure, near = "https://sign.example.com/Api", "https://127.0.0.1:8443/Api"
	system := func() internetOptions {
		return internetOptions{place: "there", enable: true, server: "http://u:geheim22@sys:8"}
	}
	read := func(file string) func(string) (*node, *fileError) {
		return func(string) (*node, *fileError) { return parseFile([]byte(file)) }
	}
	for _, tt := range []struct {
		name, file   string
		environ      []string
		far, near    string
		from, inuse  string
		wantsProblem bool
	}{
		{"nothing", `{}`, nil, "http://u:geheim22@sys:8", "", "there", "http://sys:8", false},
		{"file", `{"HttpProxy":"file:1"}`, nil, "http://file:1", "http://file:1", "file c.json, line 1, column 14", "http://file:1", false},
		{"http_proxy", `{}`, []string{"http_proxy=env:2"}, "http://env:2", "", "environment variable http_proxy", "http://env:2", false},
		{"https_proxy", `{}`, []string{"https_proxy=sec:3"}, "http://sec:3", "", "environment variable https_proxy", "http://sec:3", false},
		{"a broken value hides them", `{"HttpProxy":"proxy"}`, nil, "", "", "file c.json, line 1, column 14", "", true},
	} {
		s, err := loadOn(system, append(tt.environ, EnvConfigFile+"=c.json"), Explicit{}, read(tt.file))
		if (err != nil) != tt.wantsProblem {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if far, near := through(t, s.Proxy, secure), through(t, s.Proxy, near); far != tt.far || near != tt.near {
			t.Errorf("%s: %q and %q", tt.name, far, near)
		}
		if s.Source(nameProxy) != tt.from {
			t.Errorf("%s: from %q", tt.name, s.Source(nameProxy))
		}
		for _, v := range s.InForce() {
			if v.JSON == nameProxy && v.Value != tt.inuse {
				t.Errorf("%s: %q is in force", tt.name, v.Value)
			}
		}
	}
}

func TestInternetOptionsShown(t *testing.T) {
	for _, tt := range []struct {
		o    internetOptions
		want string
	}{
		{internetOptions{}, ""},
		{internetOptions{server: "p:1"}, ""},
		{internetOptions{enable: true, server: "p:1", script: "http://u:geheim@h/wpad.dat", detect: true}, "automatic detection, then script http://h/wpad.dat, then p:1"},
		{internetOptions{enable: true, server: "http=u:geheim@a:1;https=http://u:geheim@b:2"}, "http=a:1;https=http://b:2"},
	} {
		if got := tt.o.shown(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// Script and detection come first; without an answer the named proxy counts.
func TestAutomaticProxy(t *testing.T) {
	const secure = "https://sign.example.com:8443/Api?x=geheim"
	for _, tt := range []struct{ name, list, want string }{
		{"direct", "", ""},
		{"DIRECT", "DIRECT", ""},
		{"one", "p:1", "http://p:1"},
		{"the first counts", "p:1;q:2 r:3", "http://p:1"},
		{"with scheme", "https=p:1", "http://p:1"},
		{"no answer", "error", "http://named:9"},
		{"nonsense", "http://", "error: the proxy in the Internet Options of Windows cannot be used; correct it there, or set HttpProxy (http_proxy)"},
	} {
		asked := 0
		o := internetOptions{enable: true, server: "named:9", script: "http://wpad/wpad.dat", detect: true, automatic: func(u *url.URL, script string, detect bool) (string, error) {
			asked++
			if u.String() != "https://sign.example.com:8443/" || script != "http://wpad/wpad.dat" || !detect {
				t.Errorf("%s: asked for %s, %s, %v", tt.name, u, script, detect)
			}
			if tt.list == "error" {
				return "", errors.New("no")
			}
			return tt.list, nil
		}}
		decide := o.decide()
		for range 3 {
			if got := through(t, decide, secure); got != tt.want {
				t.Errorf("%s: through %q, want %q", tt.name, got, tt.want)
			}
		}
		if through(t, decide, "https://127.0.0.1/") != "" || asked != 1 {
			t.Errorf("%s: asked %d times", tt.name, asked)
		}
	}
}

// A script server that never answers costs one wait.
func TestAutomaticProxyHangs(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	var mu sync.Mutex
	asked, now := 0, time.Unix(1, 0)
	a := &answers{wait: time.Millisecond, now: func() time.Time { return now }, ask: func(*url.URL, string, bool) (string, error) {
		mu.Lock()
		asked++
		mu.Unlock()
		<-end
		return "late:1", nil
	}}
	u := parse(t, "https://sign.example.com/")
	for range 3 {
		if list, known := a.get(u, "s", false); known || list != "" {
			t.Errorf("%q, %v", list, known)
		}
	}
	now = now.Add(automaticKeep)
	_, _ = a.get(u, "s", false)
	mu.Lock()
	defer mu.Unlock()
	if asked > 2 {
		t.Errorf("asked %d times", asked)
	}
}

func FuzzInternetOptions(f *testing.F) {
	f.Add("http=a:1;https=b:2", "<local>;*.example.com;[::1]:3", "https://sign.example.com/")
	f.Add("[::1", "[", "https://[::1]/")
	f.Fuzz(func(t *testing.T, server, override, address string) {
		o := internetOptions{enable: true, server: server, override: override}
		_ = o.shown()
		decide := o.decide()
		u, err := url.Parse(address)
		if err != nil || decide == nil {
			return
		}
		if p, err := decide(u); err == nil && p != nil && (p.Hostname() == "" || p.Port() == "" || strings.ContainsAny(p.Host, " ;")) {
			t.Errorf("proxy %q", p)
		}
	})
}
