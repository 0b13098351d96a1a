package settings

import (
	"net/url"
	"strings"
	"testing"
)

func TestProxy(t *testing.T) {
	const far, secure, near, near6 = "http://sign.example.com/Api", "https://sign.example.com/Api", "https://127.0.0.1:8443/Api", "https://[::1]:8443/Api"
	type ask map[string]string // address: proxy
	tests := []struct {
		name    string
		file    string
		tool    string
		environ []string
		want    ask
	}{
		{"nothing", "", "", nil, ask{far: "", secure: "", near: ""}},
		{"file: every host", "proxy:3128", "", []string{"no_proxy=*"}, ask{far: "http://proxy:3128", secure: "http://proxy:3128", near: "http://proxy:3128", near6: "http://proxy:3128"}},
		{"file, with credentials", "http://u:p%40x@proxy:3128/", "", nil, ask{secure: "http://u:p%40x@proxy:3128"}},
		{"file, bare credentials", "u:p@proxy:3128", "", nil, ask{secure: "http://u:p@proxy:3128"}},
		{"tool over http_proxy", "", "tool:1", []string{"http_proxy=env:2"}, ask{secure: "http://tool:1", near: "http://tool:1"}},
		{"http_proxy serves https too", "", "", []string{"http_proxy=env:2"}, ask{far: "http://env:2", secure: "http://env:2", near: "", near6: "", "http://localhost/": ""}},
		{"http_proxy over file, which keeps loopback", "file:1", "", []string{"http_proxy=env:2"}, ask{secure: "http://env:2", near: "http://file:1"}},
		{"https_proxy", "", "", []string{"https_proxy=sec:3"}, ask{far: "", secure: "http://sec:3", near: ""}},
		{"HTTPS_PROXY", "", "", []string{"HTTPS_PROXY=http://sec:3/"}, ask{far: "", secure: "http://sec:3"}},
		{"lower case first", "", "", []string{"HTTPS_PROXY=big:3", "https_proxy=small:4"}, ask{secure: "http://small:4"}},
		{"HTTP_PROXY is not read, as curl", "", "", []string{"HTTP_PROXY=x:1"}, ask{far: "", secure: ""}},
		{"both", "", "", []string{"http_proxy=env:2", "https_proxy=sec:3"}, ask{far: "http://env:2", secure: "http://sec:3"}},
		{"file over https_proxy", "file:1", "", []string{"https_proxy=sec:3"}, ask{secure: "http://file:1", near: "http://file:1"}},
		{"no_proxy: domain", "", "", []string{"http_proxy=env:2", "no_proxy=x.org, .example.com"}, ask{secure: "", "https://example.org/": "http://env:2"}},
		{"NO_PROXY: all", "", "", []string{"http_proxy=env:2", "NO_PROXY=*"}, ask{secure: ""}},
		{"no_proxy: network", "", "", []string{"http_proxy=env:2", "no_proxy=10.0.0.0/8"}, ask{"https://10.1.2.3/": "", "https://11.1.2.3/": "http://env:2"}},
		{"URL without a port", "", "", []string{"http_proxy=http://env"}, ask{secure: "http://env:80"}},
		{"socks", "", "", []string{"https_proxy=socks5://env"}, ask{secure: "socks5://env:1080"}},
		{"IPv6", "[::1]:3128", "", nil, ask{secure: "http://[::1]:3128"}},
	}
	for _, tt := range tests {
		file := ""
		if tt.file != "" {
			file = `{"HttpProxy":"` + tt.file + `"}`
		}
		s, err := loadFile(t, file, tt.environ, Explicit{HTTPProxy: tt.tool})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for address, want := range tt.want {
			got := ""
			if s.Proxy != nil {
				u, _ := url.Parse(address)
				p, err := s.Proxy(u)
				if err != nil {
					t.Errorf("%s: %v", tt.name, err)
				}
				if p != nil {
					got = p.String()
				}
			}
			if got != want {
				t.Errorf("%s: %s through %q, want %q", tt.name, address, got, want)
			}
		}
	}
}

func TestProxyPasswords(t *testing.T) {
	s, err := Load([]string{"http_proxy=http://u:hunter22@env:2", "https_proxy=http://u:hunter33@sec:3"}, Explicit{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, x := range s.Secrets() {
		all = append(all, x.Reveal())
	}
	if strings.Join(all, " ") != "hunter22 hunter33" {
		t.Errorf("%q", all)
	}
	_, err = Load([]string{"http_proxy=http://u:hunter22@", "https_proxy=http://u:hunter33@h:x"}, Explicit{})
	if p := problems(t, err); len(p) != 2 || strings.Contains(err.Error(), "hunter") {
		t.Errorf("%v", err)
	}
}
