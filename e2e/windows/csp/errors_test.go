package csp

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
	"signpath/internal/testkit/faultproxy"
)

// manyLimit is what 10,000 signatures may take on two busy cores.
const manyLimit = 30 * time.Minute

// scaledDown are settings under which failures do not take minutes.
var scaledDown = []string{"SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=3", "SIGNPATH_HTTP_REQUEST_TIMEOUT_IN_SECONDS=2"}

// faulty puts a fault proxy in front of the service, and gives the settings that lead to it.
func faulty(t *testing.T, s *rig.Service) (*faultproxy.Proxy, []string) {
	t.Helper()
	target := rig.Must(url.Parse(s.Env["SIGNPATH_API_URL"]))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(rig.Must(os.ReadFile(s.Env["SIGNPATH_TRUSTED_CA_FILE"])))
	p, err := faultproxy.HTTP(target, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	ca := rig.Write(t, filepath.Join(t.TempDir(), "proxy-ca.pem"), p.CA())
	return p, append([]string{"SIGNPATH_API_URL=" + p.URL(target.Path).String(), "SIGNPATH_TRUSTED_CA_FILE=" + ca}, scaledDown...)
}

func status(code int) faultproxy.Fault {
	return faultproxy.Fault{Kind: faultproxy.Status, Status: code, Body: http.StatusText(code)}
}

// said are the codes that GetLastError gave.
var said = regexp.MustCompile(`(?m)^(?:acquire|sign): (?:TRUE|FALSE) (0x[0-9A-F]{8})$`)

// codes asserts what both of two calls said.
func codes(t *testing.T, r *rig.Result, want string) {
	t.Helper()
	r.OK(t)
	got := said.FindAllStringSubmatch(r.Output, -1)
	if len(got) != 2 || got[0][1] != want || got[1][1] != want {
		t.Fatalf("not %s twice:\n%s", want, r.Output)
	}
}

// TestErrors: each code of the table, and a line of the log that helps.
func TestErrors(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		key := container + rsaKey()
		t.Run("a container that does not exist", func(t *testing.T) {
			tl := h.tool(t, s)
			codes(t, tl.Run(t, h.exe, "acquire", container+"nobody", "0"), "0x80090016")
			tl.InLog(t, "there is no such key", container+"nobody", "Submitter")
		})
		t.Run("no container name", func(t *testing.T) {
			tl := h.tool(t, s)
			codes(t, tl.Run(t, h.exe, "acquire", "nonsense", "0"), "0x80090016")
			tl.InLog(t, "PROJECT/POLICY")
			codes(t, tl.Run(t, h.exe, "acquire", "-", "0"), "0x80090016")
			tl.InLog(t, "no key container was named")
		})
		t.Run("the one key in sight", func(t *testing.T) {
			tl := h.tool(t, s, "SIGNPATH_PROJECT_SLUG="+rig.Project, "SIGNPATH_SIGNING_POLICY_SLUG="+rsaKey())
			codes(t, tl.Run(t, h.exe, "acquire", "-", "0"), "0x00000000")
		})
		t.Run("not an RSA key", func(t *testing.T) {
			tl := h.tool(t, s)
			codes(t, tl.Run(t, h.exe, "acquire", container+"p256", "0"), "0x80090016")
			tl.InLog(t, "not an RSA key", "SignPathKSP")
		})
		t.Run("containers are not created and not deleted", func(t *testing.T) {
			tl := h.tool(t, s)
			codes(t, tl.Run(t, h.exe, "acquire", key, "0x8"), "0x8009000F")             // CRYPT_NEWKEYSET: NTE_EXISTS
			codes(t, tl.Run(t, h.exe, "acquire", container+"new", "0x8"), "0x80090010") // NTE_PERM
			codes(t, tl.Run(t, h.exe, "acquire", key, "0x10"), "0x80090010")            // CRYPT_DELETEKEYSET
			codes(t, tl.Run(t, h.exe, "acquire", container+"new", "0x10"), "0x80090016")
			tl.InLog(t, "created and deleted at the service")
			codes(t, tl.Run(t, h.exe, "acquire", key, "0x18"), "0x80090009") // both: NTE_BAD_FLAGS
			codes(t, tl.Run(t, h.exe, "acquire", key, "0x10000000"), "0x80090009")
		})
		t.Run("a wrong token", func(t *testing.T) {
			tl := h.tool(t, s, "SIGNPATH_API_TOKEN="+strings.Repeat("A", 43)+"=")
			codes(t, tl.Run(t, h.exe, "acquire", key, "0"), "0x80040191")
			tl.InLog(t, "401", "token")
		})
		t.Run("no token", func(t *testing.T) {
			tl := h.tool(t, s, "SIGNPATH_API_TOKEN=")
			codes(t, tl.Run(t, h.exe, "acquire", key, "0"), "0x80090020")
			tl.InLog(t, "SIGNPATH_API_TOKEN")
		})
		t.Run("a certificate that is not trusted", func(t *testing.T) {
			tl := h.tool(t, s, "SIGNPATH_TRUSTED_CA_FILE=")
			codes(t, tl.Run(t, h.exe, "acquire", key, "0"), "0x80090020")
			tl.InLog(t, "certificate")
		})
		t.Run("a service that is not there", func(t *testing.T) {
			tl := h.tool(t, s, append([]string{"SIGNPATH_API_URL=https://127.0.0.1:1/Api"}, scaledDown...)...)
			codes(t, tl.Run(t, h.exe, "acquire", key, "0"), "0x80090030")
			tl.InLog(t, "ERROR", "0x80090030")
		})
		for _, c := range []struct {
			status int
			code   string
		}{
			{400, "0x80040190"}, {401, "0x80040191"}, {403, "0x80040193"}, {404, "0x80040194"}, {429, "0x800401AD"},
			{500, "0x800401F4"}, {502, "0x800401F6"}, {503, "0x800401F7"}, {504, "0x800401F8"},
		} {
			if !rig.All && c.status != 403 && c.status != 500 && c.status != 503 {
				continue
			}
			t.Run("HTTP "+strconv.Itoa(c.status), func(t *testing.T) {
				p, settings := faulty(t, s)
				p.Next(1, faultproxy.Fault{}) // the list
				if err := p.Set(status(c.status)); err != nil {
					t.Fatal(err)
				}
				tl := h.tool(t, s, settings...)
				codes(t, tl.Run(t, h.exe, "trysign", key), c.code)
				tl.InLog(t, "CPSignHash failed", c.code)
			})
		}
		t.Run("MD5", func(t *testing.T) { // the service decides
			tl := h.tool(t, s)
			codes(t, tl.Run(t, h.exe, "trysign", key, "0x8003"), "0x80040190")
			tl.InLog(t, "CPSignHash failed", "does not allow Md5")
		})
		t.Run("an answer that is not one", func(t *testing.T) {
			p, settings := faulty(t, s)
			p.Next(1, faultproxy.Fault{})
			if err := p.Set(faultproxy.Fault{Kind: faultproxy.Status, Status: 200, Body: "hello"}); err != nil {
				t.Fatal(err)
			}
			tl := h.tool(t, s, settings...)
			codes(t, tl.Run(t, h.exe, "trysign", key), "0x800401F4")
		})
		t.Run("the service goes in mid-signature", func(t *testing.T) {
			p, settings := faulty(t, s)
			p.Next(1, faultproxy.Fault{})
			if err := p.Set(faultproxy.Fault{Kind: faultproxy.Stall}); err != nil {
				t.Fatal(err)
			}
			gone := make(chan func(), 1)
			go func() {
				for p.Requests() < 2 {
					time.Sleep(10 * time.Millisecond)
				}
				_ = p.Close()
				release, err := faultproxy.Hold(p.Addr()) // nobody else may listen there when the provider tries again
				if err != nil {
					t.Error(err)
					release = func() {}
				}
				gone <- release
			}()
			tl := h.tool(t, s, settings...)
			codes(t, tl.Run(t, h.exe, "trysign", key), "0x80090030")
			(<-gone)()
			tl.InLog(t, "CPSignHash failed", "NTE_DEVICE_NOT_READY")
		})
	})
}

// TestSecrets: the token stands nowhere, at the most talkative level.
func TestSecrets(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		tl := h.tool(t, s, "SIGNPATH_LOG_FILE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_LEVEL=verbose")
		r := tl.Run(t, h.exe, "trysign", container+rsaKey()).OK(t).Says(t, "CPSignHash")
		s.Nowhere(t, s.Env["SIGNPATH_API_TOKEN"], tl.Tool, r)
	})
}
