//go:build windows

package settings

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/sys/windows/registry"

	"signpath/internal/secret"
)

// put sets values of the Internet Options and takes them back afterwards.
func put(t *testing.T, root registry.Key, path string, values map[string]any) {
	t.Helper()
	k, _, err := registry.CreateKey(root, path, registry.ALL_ACCESS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for name := range values {
			_ = k.DeleteValue(name)
		}
		_ = k.Close()
	})
	for name, v := range values {
		switch v := v.(type) {
		case string:
			err = k.SetStringValue(name, v)
		case int:
			err = k.SetDWordValue(name, uint32(v))
		case []byte:
			err = k.SetBinaryValue(name, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func loaded(t *testing.T, environ ...string) Settings {
	t.Helper()
	s, err := Load(environ, Explicit{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestInternetOptionsOfTheRegistry(t *testing.T) {
	const address = "https://sign.example.com/Api"
	if got := through(t, loaded(t).Proxy, address); got != "" {
		t.Fatalf("before: %q", got)
	}
	t.Run("user", func(t *testing.T) {
		put(t, registry.CURRENT_USER, internetSettings, map[string]any{"ProxyEnable": 1, "ProxyServer": "http=a:1;https=b:2", "ProxyOverride": "*.example.org;<local>"})
		s := loaded(t)
		for a, want := range map[string]string{address: "http://b:2", "https://x.example.org/": "", "https://build/": "", "https://127.0.0.1/": ""} {
			if got := through(t, s.Proxy, a); got != want {
				t.Errorf("%s through %q, want %q", a, got, want)
			}
		}
		if s.Source(nameProxy) != "Internet Options of Windows (this user)" {
			t.Errorf("from %q", s.Source(nameProxy))
		}
		if got := through(t, loaded(t, "http_proxy=env:9").Proxy, address); got != "http://env:9" {
			t.Errorf("with http_proxy: %q", got)
		}
		if s, _ := Load(nil, Explicit{HTTPProxy: "tool:9"}); through(t, s.Proxy, address) != "http://tool:9" {
			t.Error("HttpProxy does not win")
		}
	})
	t.Run("off", func(t *testing.T) {
		put(t, registry.CURRENT_USER, internetSettings, map[string]any{"ProxyEnable": 0, "ProxyServer": "b:2"})
		if got := through(t, loaded(t).Proxy, address); got != "" {
			t.Errorf("through %q", got)
		}
	})
	t.Run("machine by policy", func(t *testing.T) {
		put(t, registry.CURRENT_USER, internetSettings, map[string]any{"ProxyEnable": 1, "ProxyServer": "b:2"})
		put(t, registry.LOCAL_MACHINE, internetSettings, map[string]any{"ProxyEnable": 1, "ProxyServer": "machine:3"})
		if got := through(t, loaded(t).Proxy, address); got != "http://b:2" {
			t.Errorf("without policy through %q", got)
		}
		put(t, registry.LOCAL_MACHINE, internetPolicies, map[string]any{"ProxySettingsPerUser": 0})
		if got := through(t, loaded(t).Proxy, address); got != "http://machine:3" {
			t.Errorf("with policy through %q", got)
		}
	})
	t.Run("detection", func(t *testing.T) {
		flags := append(make([]byte, 8), 9, 0, 0, 0) // direct, and detection
		put(t, registry.CURRENT_USER, internetSettings+`\Connections`, map[string]any{"DefaultConnectionSettings": flags})
		if o := systemProxy(); !o.detect {
			t.Errorf("%+v", o)
		}
	})
}

// A script says which proxy an address has; one that cannot be had says nothing.
func TestProxyScript(t *testing.T) {
	script := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ns-proxy-autoconfig")
		_, _ = fmt.Fprint(w, `function FindProxyForURL(url, host) { return host == "sign.example.com" ? "PROXY script:4; DIRECT" : "DIRECT"; }`)
	}))
	defer script.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for _, tt := range []struct{ name, script, address, want string }{
		{"proxy", script.URL + "/proxy.pac", "https://sign.example.com/", "http://script:4"},
		{"direct", script.URL + "/proxy.pac", "https://other.example.com/", ""},
		{"this machine", script.URL + "/proxy.pac", "https://127.0.0.1/", ""},
		{"no script there", "http://" + closed.Addr().String() + "/proxy.pac", "https://sign.example.com/", "http://named:5"},
	} {
		put(t, registry.CURRENT_USER, internetSettings, map[string]any{"AutoConfigURL": tt.script, "ProxyEnable": 1, "ProxyServer": "named:5"})
		if got := through(t, loaded(t).Proxy, tt.address); got != tt.want {
			t.Errorf("%s: through %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestProtectedTokens(t *testing.T) {
	const token = "AAqi7zXv-token-of-44-characters_0123456789ab"
	for _, scope := range []Scope{ForUser, ForMachine} {
		protected, err := ProtectToken(secret.New(token), scope)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(protected, token) {
			t.Error("nothing is encrypted")
		}
		if s := loaded(t, "SIGNPATH_API_TOKEN=encrypted:"+protected); s.APIToken.Reveal() != token || s.PlainToken() {
			t.Errorf("%v: another token", scope)
		}
	}
	protected, err := ProtectToken(secret.New(token), ForUser)
	if err != nil {
		t.Fatal(err)
	}
	setting, err := WriteRegistryToken(`HKCU\\SOFTWARE\\SignPath Test\\ci ä`, protected)
	if err != nil || setting != `registry:HKEY_CURRENT_USER\SOFTWARE\SignPath Test\ci ä` {
		t.Fatalf("%q, %v", setting, err)
	}
	t.Cleanup(func() { _ = registry.DeleteKey(registry.CURRENT_USER, `SOFTWARE\SignPath Test`) })
	for _, s := range []string{setting, `registry:hkcu\\software\\SignPath Test\\ci ä`} {
		if got := loaded(t, "SIGNPATH_API_TOKEN="+s); got.APIToken.Reveal() != token {
			t.Errorf("%s: another token", s)
		}
	}
	for _, tt := range []struct{ name, setting, want string }{
		{"cut", "encrypted:" + protected[:len(protected)/8*4], "Windows cannot decrypt the token"},
		{"no such value", `registry:HKCU\SOFTWARE\SignPath Test\other`, "cannot be read"},
		{"no such key", `registry:HKCU\SOFTWARE\SignPath None\ci`, "cannot be opened"},
		{"of the machine", `registry:HKLM\SOFTWARE\SignPath\ci`, "not of the form"},
	} {
		_, err := Load([]string{"SIGNPATH_API_TOKEN=" + tt.setting}, Explicit{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), protected[:20]) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
