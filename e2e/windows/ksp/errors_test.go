package ksp

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
	"signpath/internal/testkit/faultproxy"
)

// impatient makes a provider try twice.
var impatient = []string{"SIGNPATH_TIMEOUTS_RETRY_COUNT=1", "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY=0.05"}

// front is a service in front of the real one that a test can spoil.
type front struct {
	env    []string
	server *httptest.Server
	posts  atomic.Int32 // signatures that were asked for
	lists  atomic.Int32
	answer atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // false: the real one answers
}

func newFront(t *testing.T, s *rig.Service) *front {
	t.Helper()
	target := rig.Must(url.Parse(s.Env["SIGNPATH_API_URL"]))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(rig.Must(os.ReadFile(s.Env["SIGNPATH_TRUSTED_CA_FILE"])))
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
	}
	f := &front{}
	f.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			f.posts.Add(1)
		} else {
			f.lists.Add(1)
		}
		if a := f.answer.Load(); a == nil || !(*a)(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(f.server.Close)
	ca := rig.Write(t, filepath.Join(t.TempDir(), "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw}))
	f.env = append([]string{"SIGNPATH_API_URL=" + f.server.URL + target.Path, "SIGNPATH_TRUSTED_CA_FILE=" + ca}, impatient...)
	return f
}

func (f *front) spoil(answer func(http.ResponseWriter, *http.Request) bool) { f.answer.Store(&answer) }

// TestStatuses: each way to fail as the program sees it, and the line of the log from
// which a person learns cause and cure.
func TestStatuses(t *testing.T) {
	s := rig.TheService(t)
	other := strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token")))))
	everywhere(t, func(t *testing.T, h *host) {
		key := container(ecKey)
		open := []string{step("open", "p0"), step("key", "k0", "p0", key, 2, 0), step("key", "k0", "p0", key, 1, 0x20)}
		for _, c := range []struct {
			what   string
			env    []string
			status string
			log    []string
		}{
			{"wrong token", []string{"SIGNPATH_API_TOKEN=wrong-wrong-wrong-wrong-wrong-wrong-wrong-wr"}, "0x80040191", []string{"OpenKey", "401", "ApiToken"}},
			{"policy of somebody else", []string{"SIGNPATH_API_TOKEN=" + other}, badKeyset, []string{"OpenKey", "Submitter", key}},
			{"no token", []string{"SIGNPATH_API_TOKEN="}, failed, []string{"SIGNPATH_API_TOKEN", "NTE_FAIL"}},
			{"wrong address", append([]string{"SIGNPATH_API_URL=https://127.0.0.1:1/Api"}, impatient...), notReady, []string{"OpenKey", "ApiUrl", "NTE_DEVICE_NOT_READY"}},
			{"untrusted service", []string{"SIGNPATH_TRUSTED_CA_FILE="}, failed, []string{"OpenKey", "TrustedCaFile", "NTE_FAIL"}},
			{"wrong setting", []string{"SIGNPATH_API_URL=ftp://example.com/"}, failed, []string{"ApiUrl", "SIGNPATH_API_URL"}},
		} {
			t.Run(c.what, func(t *testing.T) {
				tl := h.tool(t, s, c.env...)
				r := h.probe(t, tl, append(open, step("keys", "p0", 0))...)
				if got := strings.Count(r.Output, "key k0: "+c.status+"\n"); got != 2 {
					t.Errorf("not %s twice:\n%s", c.status, r.Output)
				}
				tl.InLog(t, c.log...)
				for _, v := range c.env {
					if token, found := strings.CutPrefix(v, "SIGNPATH_API_TOKEN="); found && token != "" {
						s.Nowhere(t, token, tl.Tool, r)
					}
				}
			})
		}
	})
}

// TestSignatureFails: what the service answers to a signature; it is asked once more
// only when that may help, and a repeated call within seconds does not ask again.
func TestSignatureFails(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		key := container(ecKey)
		for _, c := range []struct {
			http     int
			status   string
			requests int32
		}{{400, "0x80040190", 1}, {403, "0x80040193", 1}, {500, "0x800401f4", 2}, {503, "0x800401f7", 2}} {
			t.Run(fmt.Sprint(c.http), func(t *testing.T) {
				f := newFront(t, s)
				f.spoil(func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodPost {
						_, _ = io.Copy(io.Discard, r.Body)
						http.Error(w, "not today", c.http)
					}
					return r.Method == http.MethodPost
				})
				tl := h.tool(t, s, f.env...)
				sign := step("sign", "k0", "none", "", 0, winrig.Path(quick(t)), 0, 512, "")
				r := h.probe(t, tl, step("open", "p0"), step("key", "k0", "p0", key, 0, 0), sign, sign)
				if got := strings.Count(r.Output, "sign k0: "+c.status+" "); got != 2 {
					t.Errorf("not %s twice:\n%s", c.status, r.Output)
				}
				if got := f.posts.Load(); got != c.requests {
					t.Errorf("%d requests, not %d", got, c.requests)
				}
				tl.InLog(t, "SignHash", fmt.Sprint(c.http), c.status[2:4])
			})
		}
	})
}

// TestServiceStops in mid-signature: the request is with the service when it dies.
func TestServiceStops(t *testing.T) {
	everywhere(t, func(t *testing.T, h *host) {
		s := rig.OwnService(t)
		f := newFront(t, s)
		f.spoil(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			s.Stop()
			_ = f.server.Listener.Close()
			if release, err := faultproxy.Hold(f.server.Listener.Addr().String()); err != nil { // nobody else may listen there when the provider tries again
				t.Error(err)
			} else {
				t.Cleanup(release)
			}
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_ = c.Close()
			}
			return true
		})
		tl := h.tool(t, s, f.env...)
		r := h.probe(t, tl, step("open", "p0"), step("key", "k0", "p0", container("rsa2048"), 0, 0), step("sign", "k0", "pkcs1", "SHA256", 0, winrig.Path(quick(t)), 2, 512, ""),
			step("prop", "k0", "Length", 0), step("freekey", "k0", "p0"))
		r.Says(t, "sign k0: "+notReady+" 256\n").Says(t, "prop k0: "+ok+" Length "+ok+" 4 00080000\n").Says(t, "freekey k0: "+ok+"\n")
		tl.InLog(t, "SignHash", "NTE_DEVICE_NOT_READY", container("rsa2048"))
	})
}

// TestCorrected: a program that lives on finds the key once the variable is right.
func TestCorrected(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		key := container(ecKey)
		r := h.probe(t, h.tool(t, s, "SIGNPATH_API_TOKEN=wrong-wrong-wrong-wrong-wrong-wrong-wrong-wr"),
			step("open", "p0"), step("key", "k0", "p0", key, 0, 0), step("env", "SIGNPATH_API_TOKEN", s.Env["SIGNPATH_API_TOKEN"]), step("key", "k0", "p0", key, 0, 0))
		r.Says(t, "key k0: 0x80040191\nenv\nkey k0: "+ok+"\n")
	})
}
