package egress

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestAllowed(t *testing.T) {
	strict := New(Config{})
	office := New(Config{AllowPrivate: prefixes("10.1.0.0/16", "fd00:1::/32")})
	loop := New(Config{InsecureLoopback: true})
	for _, c := range []struct {
		address              string
		strict, office, loop bool
	}{
		{"93.184.215.14", true, true, true},
		{"2606:2800:21f:cb07:6820:80da:af6b:8b2c", true, true, true},
		{"127.0.0.1", false, false, true},
		{"::1", false, false, true},
		{"::ffff:127.0.0.1", false, false, true},
		{"::ffff:10.0.0.1", false, false, false},
		{"10.1.2.3", false, true, false},
		{"10.2.2.3", false, false, false},
		{"172.16.0.1", false, false, false},
		{"192.168.1.1", false, false, false},
		{"169.254.169.254", false, false, false}, // metadata of clouds
		{"100.64.0.1", false, false, false},
		{"0.0.0.0", false, false, false},
		{"255.255.255.255", false, false, false},
		{"224.0.0.1", false, false, false},
		{"192.0.2.1", false, false, false},
		{"198.18.0.1", false, false, false},
		{"::", false, false, false},
		{"fe80::1", false, false, false},
		{"fd00::1", false, false, false},
		{"fd00:1::1", false, true, false},
		{"ff02::1", false, false, false},
		{"64:ff9b::a00:1", false, false, false}, // NAT64 to 10.0.0.1
		{"2002:a00:1::1", false, false, false},  // 6to4, likewise
		{"2001:db8::1", false, false, false},
	} {
		a := netip.MustParseAddr(c.address)
		for name, got := range map[string][2]bool{"strict": {strict.allowed(a), c.strict}, "office": {office.allowed(a), c.office}, "loopback": {loop.allowed(a), c.loop}} {
			if got[0] != got[1] {
				t.Errorf("%s %s: %v", name, c.address, got[0])
			}
		}
	}
}

func TestCheckURL(t *testing.T) {
	strict, loop := New(Config{}), New(Config{InsecureLoopback: true})
	for _, c := range []struct {
		url          string
		strict, loop bool
	}{
		{"https://example.com/x?y#z", true, true},
		{"http://example.com/", false, false},
		{"https://u:p@example.com/", false, false},
		{"https:///x", false, false},
		{"https://127.0.0.1/", false, true},
		{"http://127.0.0.1:8080/", false, true},
		{"http://localhost/", false, true},
		{"http://localhost.example.com/", false, false},
		{"https://[::1]/", false, true},
		{"https://10.0.0.1/", false, false},
		{"ftp://example.com/", false, false},
		{"file:///etc/passwd", false, false},
		{"https:example.com", false, false},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := strict.CheckURL(u) == nil; got != c.strict {
			t.Errorf("strict %s: %v", c.url, got)
		}
		if got := loop.CheckURL(u) == nil; got != c.loop {
			t.Errorf("loopback %s: %v", c.url, got)
		}
	}
	if strict.CheckURL(nil) == nil {
		t.Error("no address")
	}
}

// A name that resolves to this machine is found out when the connection is made.
func TestNamesAreCheckedAtTheConnection(t *testing.T) {
	hit := false
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit = true }))
	defer s.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "https://"), ":")
	c := New(Config{})
	r, err := http.NewRequest(http.MethodGet, "https://LOCALHOST:"+port+"/", nil) // not spelled as CheckURL knows it
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(t.Context(), r, 10)
	if !errors.Is(err, ErrAddress) || hit {
		t.Errorf("%v, reached: %v", err, hit)
	}
}

func TestLimitAndRedirect(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
	}))
	defer s.Close()
	c := New(Config{InsecureLoopback: true})
	for _, k := range []struct {
		path   string
		limit  int64
		status int
		size   int
		cut    bool
	}{{"/", 10, 200, 10, true}, {"/", 100, 200, 100, false}, {"/redirect", 10, 307, 10, true}} {
		r, err := http.NewRequest(http.MethodGet, s.URL+k.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Do(t.Context(), r, k.limit)
		if err != nil || a.Status != k.status || len(a.Body) != k.size || a.Truncated != k.cut {
			t.Errorf("%s %d: %+v %v", k.path, k.limit, a, err)
		}
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://example.com", "https://127.0.0.1", "https://[::ffff:7f00:1]/", "http://x"} {
		f.Add(s)
	}
	c := New(Config{})
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || c.CheckURL(u) != nil {
			return
		}
		if u.Scheme != "https" || u.User != nil {
			t.Errorf("%q was let through", s)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && !c.allowed(a) {
			t.Errorf("%q was let through", s)
		}
	})
}
