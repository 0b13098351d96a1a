// Package forks puts the module into servers that fork their workers after they have
// loaded it: NGINX, Apache and Python. Each worker signs by a core of its own, lives
// through reloads and restarts, and dies without harm to the others. Systems: this
// machine, and roots of older and newer ones (E2E_DEBIAN11, E2E_DEBIAN13).
package forks

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// systems are this machine and the roots that are there.
func systems(t *testing.T) []rig.System {
	t.Helper()
	y := rig.Systems()
	r := os.Getenv("E2E_DEBIAN11")
	if r == "" || len(y) < 2 {
		t.Fatal("E2E_DEBIAN11 or E2E_DEBIAN13 is missing (run scripts/test, which makes the roots)")
	}
	return append(y, rig.System{Name: "debian11", Root: r})
}

var serverKeys = []string{"tls-rsa2048", "tls-p256"}

// site is a folder that unprivileged workers can read, with settings for the module.
type site struct {
	s      *rig.Service
	y      rig.System
	dir    string
	module string
	logs   string
	port   string
	wait   int // ServiceUnavailableTimeoutInSeconds
}

func newSite(t *testing.T, s *rig.Service, y rig.System) *site {
	t.Helper()
	if d := os.TempDir(); d != "/tmp" {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w := &site{s: s, y: y, dir: rig.Must(os.MkdirTemp("", "site-")), port: rig.FreePort(t), wait: 5}
	t.Cleanup(func() { _ = os.RemoveAll(w.dir) })
	w.logs = filepath.Join(w.dir, "logs")
	for dir, mode := range map[string]os.FileMode{w.dir: 0o755, w.logs: 0o777, filepath.Join(w.dir, "tmp"): 0o777, filepath.Join(w.dir, "docs"): 0o755} {
		_ = os.Mkdir(dir, mode)
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	w.module = w.file(t, "libSignPath.Cryptoki.so", rig.Must(os.ReadFile(rig.Module)))
	w.file(t, "docs/index.txt", []byte("hello of the workers\n"))
	for _, chain := range rig.Must(filepath.Glob(s.File("certificates", "tls-*.chain.pem"))) {
		w.file(t, strings.Replace(filepath.Base(chain), ".chain", "", 1), rig.Must(os.ReadFile(chain)))
	}
	w.settings(t, s.Env["SIGNPATH_API_TOKEN"])
	return w
}

// settings writes the module's settings, readable for the workers.
func (w *site) settings(t *testing.T, token string) {
	t.Helper()
	ca := w.file(t, "tls-ca.pem", rig.Must(os.ReadFile(w.s.Env["SIGNPATH_TRUSTED_CA_FILE"])))
	w.file(t, "signpath.json", rig.Must(json.Marshal(map[string]any{
		"OrganizationId": w.s.Env["SIGNPATH_ORGANIZATION_ID"], "ApiToken": token, "ApiUrl": w.s.Env["SIGNPATH_API_URL"], "TrustedCaFile": ca,
		"ServiceUnavailableTimeoutInSeconds": w.wait,
	})))
}

func (w *site) file(t *testing.T, name string, content []byte) string {
	t.Helper()
	name = filepath.Join(w.dir, name)
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// env is what the server's process gets.
func (w *site) env(more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "SIGNPATH_CONFIG_FILE=" + filepath.Join(w.dir, "signpath.json"), "SIGNPATH_LOG_FILE_DIRECTORY=" + w.logs, "PKCS11_MODULE_PATH=" + w.module}, more...)
}

// engine configures libp11's engine for servers: with init = 1 it is ready before a
// key is asked for.
func (w *site) engine(t *testing.T) string {
	t.Helper()
	return w.file(t, "engine.cnf", fmt.Appendf(nil, `openssl_conf = openssl_init
[openssl_init]
engines = engine_section
[engine_section]
pkcs11 = pkcs11_section
[pkcs11_section]
engine_id = pkcs11
dynamic_path = %s
MODULE_PATH = %s
PIN = CONFIG
init = 1
`, w.y.Glob(t, "/usr/lib/*/engines-*/pkcs11.so"), w.module))
}

// provider configures OpenSSL's provider.
func (w *site) provider(t *testing.T) string {
	t.Helper()
	return w.file(t, "provider.cnf", fmt.Appendf(nil, `openssl_conf = openssl_init
[openssl_init]
providers = provider_section
[provider_section]
default = default_section
pkcs11 = pkcs11_section
[default_section]
activate = 1
[pkcs11_section]
module = %s
pkcs11-module-path = %s
pkcs11-module-token-pin = CONFIG
activate = 1
`, w.y.Glob(t, "/usr/lib/*/ossl-modules/pkcs11.so"), w.module))
}

// log is what all processes of the server wrote.
func (w *site) log() string {
	var all strings.Builder
	for _, f := range rig.Must(filepath.Glob(filepath.Join(w.logs, "*.txt"))) {
		all.Write(rig.Must(os.ReadFile(f)))
	}
	return all.String()
}

var signedLine = regexp.MustCompile(`INFO \[(\d+)\] \[[^]]*\] signed key=` + rig.Project + `/(\S+)`)

// signers are the processes that signed, and how often each key did.
func (w *site) signers() (processes, keys map[string]int) {
	processes, keys = map[string]int{}, map[string]int{}
	for _, m := range signedLine.FindAllStringSubmatch(w.log(), -1) {
		processes[m[1]]++
		keys[m[2]]++
	}
	return processes, keys
}

// intents counts the audit entries of a key.
func (w *site) intents(t *testing.T, key string) int {
	t.Helper()
	n := 0
	for _, line := range strings.Split(rig.Run(t, nil, rig.Binary, "audit", "export", "--data", w.s.File("data")).OK(t).Output, "\n") {
		if strings.Contains(line, "HashSigning.Intent") && strings.Contains(line, `"`+key+`"`) {
			n++
		}
	}
	return n
}

// visit makes n handshakes, eight at a time, in turns with RSA and EC keys and TLS
// 1.2 and 1.3, and returns how many failed, with one of the errors.
func (w *site) visit(t *testing.T, n int) (failed int, last error) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	turns := make(chan int)
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range turns {
				version, suites, key := uint16(tls.VersionTLS13), []uint16(nil), ""
				switch i % 3 {
				case 0:
					version, suites, key = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, "tls-rsa2048"
				case 1:
					version, suites, key = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, "tls-p256"
				}
				c, text, err := w.s.Handshake(t, w.port, version, suites, "GET /index.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
				if err == nil && (!strings.Contains(c.Subject.CommonName, key) || !strings.HasSuffix(text, "hello of the workers\n")) {
					err = fmt.Errorf("%s said %q", c.Subject.CommonName, text)
				}
				if err != nil {
					mu.Lock()
					failed, last = failed+1, err
					mu.Unlock()
				}
			}
		}()
	}
	for i := range n {
		turns <- i
	}
	close(turns)
	wg.Wait()
	return failed, last
}
