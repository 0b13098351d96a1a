package settings

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

const key = "rsa3072"

// dryRun asks the service whether a file may be signed.
func dryRun(t *testing.T, tl *winrig.Tool) *rig.Result {
	t.Helper()
	return dryRunWith(t, tl, key)
}

func dryRunWith(t *testing.T, tl *winrig.Tool, key string) *rig.Result {
	t.Helper()
	file := rig.Write(t, filepath.Join(t.TempDir(), "file"), []byte("content"))
	return tl.Run(t, signpath(t), "sign", "--policy", rig.Project+"/"+key, "--dry-run", winrig.Path(file))
}

// A token that one process protects is read by the next; a cut one is refused.
func TestProtectedToken(t *testing.T) {
	s := rig.TheService(t)
	w := winrig.Stock(t)
	token := s.Env["SIGNPATH_API_TOKEN"]
	file := rig.Write(t, filepath.Join(t.TempDir(), "token ä.txt"), []byte(token+"\r\n"))
	exe := signpath(t)
	bare := w.Bare(t)
	for _, c := range []struct {
		name   string
		args   []string
		prefix string
	}{
		{"user", []string{winrig.Path(file)}, "encrypted:"},
		{"machine", []string{"--user", "machine", winrig.Path(file)}, "encrypted:"},
		{"registry", []string{"--registry", `HKEY_CURRENT_USER\SOFTWARE\SignPath\ci ä`, winrig.Path(file)}, `registry:HKEY_CURRENT_USER\SOFTWARE\SignPath\ci ä`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := bare.Run(t, exe, append([]string{"token", "protect"}, c.args...)...).OK(t)
			setting := strings.TrimSpace(r.Output)
			if !strings.HasPrefix(setting, c.prefix) || strings.Contains(setting, token) {
				t.Fatalf("the setting is %q", setting)
			}
			config := map[string]string{"ApiToken": setting}
			path := rig.Write(t, filepath.Join(t.TempDir(), "config.json"), rig.Must(json.Marshal(config)))
			tl := w.Tool(t, s, "Cli", "SIGNPATH_API_TOKEN=", "SIGNPATH_LOG_FILE_LEVEL=debug", "SIGNPATH_CONFIG_FILE="+path)
			dryRun(t, tl).OK(t).Says(t, "the token is accepted")
			s.Nowhere(t, token, tl.Tool, r)
			if c.prefix == "encrypted:" {
				cut := w.Tool(t, s, "Cli", "SIGNPATH_API_TOKEN="+setting[:len(c.prefix)+(len(setting)-len(c.prefix))/8*4])
				dryRun(t, cut).Fails(t).Says(t, "Windows cannot decrypt the token").Says(t, "encrypt it again as the user who signs")
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		bare.Run(t, exe, "token", "protect", "--registry", `HKEY_LOCAL_MACHINE\SOFTWARE\SignPath\ci`, winrig.Path(file)).Fails(t).Says(t, "not of the form")
		bare.Run(t, exe, "token", "protect", winrig.Path(rig.Write(t, filepath.Join(t.TempDir(), "x"), []byte("two words\n")))).Fails(t).Says(t, "the token holds spaces")
		bare.Run(t, exe, "token", "protect", `C:\missing.txt`).Fails(t)
		missing := w.Tool(t, s, "Cli", `SIGNPATH_API_TOKEN=registry:HKEY_CURRENT_USER\SOFTWARE\SignPath\none`)
		dryRun(t, missing).Fails(t).Says(t, "the registry value none")
	})
}

// tunnels is a proxy on loopback that remembers where it led.
type tunnels struct {
	*httptest.Server
	mu    sync.Mutex
	hosts []string
}

func proxy(t *testing.T) *tunnels {
	t.Helper()
	p := &tunnels{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.hosts = append(p.hosts, r.Method+" "+r.Host)
		p.mu.Unlock()
		there, err := net.Dial("tcp", r.Host)
		if r.Method != http.MethodConnect || err != nil {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		defer func() { _ = there.Close() }()
		w.WriteHeader(http.StatusOK)
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = here.Close() }()
		go func() { _, _ = io.Copy(there, here) }()
		_, _ = io.Copy(here, there)
	}))
	t.Cleanup(p.CloseClientConnections)
	t.Cleanup(p.Close)
	return p
}

func (p *tunnels) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.hosts
	p.hosts = nil
	return all
}

func (p *tunnels) address() string { return strings.TrimPrefix(p.URL, "http://") }

const internetOptions = `[HKEY_CURRENT_USER\Software\Microsoft\Windows\CurrentVersion\Internet Settings]` + "\n"

// The proxy of the Internet Options leads to the service; HttpProxy is stronger.
func TestInternetOptions(t *testing.T) {
	s := rig.TheService(t)
	w := winrig.Own(t, false)
	theirs, own := proxy(t), proxy(t)
	service := strings.Split(s.Env["SIGNPATH_API_URL"], "/")[2]
	w.Import(t, internetOptions+"\"ProxyEnable\"=dword:00000001\n\"ProxyServer\"=\"http=wrong:1;https="+theirs.address()+"\"\n\"ProxyOverride\"=\"<-loopback>\"\n")
	for _, c := range []struct {
		name        string
		more        []string
		theirs, own bool
	}{
		{"default", nil, true, false},
		{"file", []string{"SIGNPATH_CONFIG_FILE=" + rig.Write(t, filepath.Join(t.TempDir(), "c.json"), []byte(`{"HttpProxy":"`+own.address()+`"}`))}, false, true},
		{"environment, which leaves loopback alone", []string{"http_proxy=" + own.URL}, false, false},
	} {
		dryRun(t, w.Tool(t, s, "Cli", c.more...)).OK(t)
		for name, p := range map[string]struct {
			*tunnels
			want bool
		}{"theirs": {theirs, c.theirs}, "own": {own, c.own}} {
			hosts := p.seen()
			if (len(hosts) > 0) != p.want {
				t.Errorf("%s: the proxy %s led to %q", c.name, name, hosts)
			}
			for _, h := range hosts {
				if h != "CONNECT "+service {
					t.Errorf("%s: the proxy %s was asked for %q", c.name, name, h)
				}
			}
		}
	}
	w.Tool(t, s, "Cli").Run(t, signpath(t), "doctor").Says(t, "leads to "+service+" (Internet Options of Windows (this user))")
	theirs.seen()
	w.Import(t, internetOptions+"\"ProxyOverride\"=\"*.example.com;127.0.0.1;<-loopback>\"\n")
	dryRun(t, w.Tool(t, s, "Cli")).OK(t)
	if hosts := theirs.seen(); len(hosts) > 0 {
		t.Errorf("in spite of ProxyOverride: %q", hosts)
	}
	// a proxy that is away is named
	w.Import(t, internetOptions+"\"ProxyServer\"=\"127.0.0.1:"+rig.FreePort(t)+"\"\n\"ProxyOverride\"=\"<-loopback>\"\n")
	dryRun(t, w.Tool(t, s, "Cli", "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=1")).Fails(t).Says(t, "proxy")
}

// domainUser is DOMAIN\user in the audit log's JSON, where a backslash is written twice.
var domainUser = regexp.MustCompile(`[uU]ser":"[^"\\:]+\\\\[^"\\]+"`)

// Without a folder of its own the log lies in the user's temporary folder; command line
// and user are in the audit log.
func TestLogAndMetadata(t *testing.T) {
	s := rig.TheService(t)
	w := winrig.Own(t, false)
	tl := w.Tool(t, s, "Cli", "SIGNPATH_LOG_FILE_DIRECTORY=")
	dir := filepath.Join(t.TempDir(), "größer als")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	content := []byte("content of " + dir)
	file := rig.Write(t, filepath.Join(dir, "file ä.txt"), content)
	tl.Run(t, signpath(t), "sign", "--policy", rig.Project+"/"+key, winrig.Path(file)).OK(t)
	rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", s.PublicKey(t, key), "-signature", file+".sig", file).OK(t)
	s.Audited(t, rig.SHA256Of(content), key)
	logs, _ := filepath.Glob(w.C("users", "*", "Temp", "SignPathLogs", "SignPath.CryptoProviders.Cli.txt"))
	if more, _ := filepath.Glob(w.C("users", "*", "AppData", "Local", "Temp", "SignPathLogs", "SignPath.CryptoProviders.Cli.txt")); more != nil {
		logs = append(logs, more...)
	}
	if len(logs) != 1 || !strings.Contains(string(rig.Must(os.ReadFile(logs[0]))), "signed key="+rig.Project+"/"+key) {
		t.Errorf("the logs are %q", logs)
	}
	text := rig.Run(t, nil, rig.Binary, "audit", "export", "--data", s.File("data")).OK(t).Output
	var found bool
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, `file ä.txt`) && strings.Contains(line, "signpath.exe") {
			found = true
			if !domainUser.MatchString(line) {
				t.Errorf("no DOMAIN\\user in %s", line)
			}
		}
	}
	if !found {
		t.Error("the audit log does not tell of the command line")
	}
}

// What doctor says of providers, and of a configuration file's rights.
func TestDoctor(t *testing.T) {
	s := rig.TheService(t)
	w := winrig.Own(t, false)
	tl := w.Tool(t, s, "Cli")
	exe := signpath(t)
	r := tl.Run(t, exe, "doctor", "--policy", rig.Project+"/"+key).OK(t)
	r.Says(t, `SignPathKSP for 64-bit programs: C:\windows\System32\SignPath.Ksp.dll`).Says(t, `SignPathCSP for 64-bit programs: C:\windows\System32\SignPath.Csp.dll`).Says(t, "signpath certificates register")
	// a DLL of the other width, then none at all
	x86 := rig.Must(os.ReadFile(winrig.Compile(t, "386", "other.dll", "testdata/empty.c")))
	if err := w.Put(rig.Write(t, filepath.Join(t.TempDir(), "other.dll"), x86), w.System32("SignPath.Ksp.dll")); err != nil {
		t.Fatal(err)
	}
	tl.Run(t, exe, "doctor").Fails(t).Says(t, "is for 386, these programs need amd64")
	if err := os.Remove(w.System32("SignPath.Csp.dll")); err != nil {
		t.Fatal(err)
	}
	tl.Run(t, exe, "doctor").Fails(t).Says(t, `SignPath.Csp.dll: `)
	w.Import(t, "[-HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\Cryptography\\Providers\\SignPathKSP]\n")
	tl.Run(t, exe, "doctor").Fails(t).Says(t, "SignPathKSP is not registered")
	// the token in a file that all may read
	config := rig.Write(t, filepath.Join(t.TempDir(), "c.json"), []byte(`{"ApiToken":"`+s.Env["SIGNPATH_API_TOKEN"]+`"}`))
	if err := os.Chmod(config, 0o644); err != nil {
		t.Fatal(err)
	}
	w.Tool(t, s, "Cli", "SIGNPATH_API_TOKEN=", "SIGNPATH_CONFIG_FILE="+config).Run(t, exe, "doctor").Says(t, "holds the token in plain text, and others may read it").Says(t, "signpath token protect")
}
