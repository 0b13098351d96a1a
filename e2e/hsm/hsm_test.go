package hsm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
	"signpath/internal/testkit/softhsm"
)

// The load under which workers are killed.
const loadTools, perTool = 3, 20

// hsmPIN is looked for in every place that a PIN could end up in.
const hsmPIN = "pin-5830164927"

// tokens is a SoftHSM with a token per label; the service and its tools see it.
func tokens(t *testing.T, labels ...string) *softhsm.Home {
	t.Helper()
	home := softhsm.New(t)
	for _, l := range labels {
		home.Init(t, l, hsmPIN)
	}
	t.Setenv("SOFTHSM2_CONF", home.Conf)
	return home
}

// workers are the worker processes of a service.
func workers(t *testing.T, parent int) (pids []int) {
	t.Helper()
	for _, dir := range rig.Must(filepath.Glob("/proc/[0-9]*")) {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		name, rest, ok := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if ok && strings.HasSuffix(name, "(signpath-hsm") && len(fields) > 1 && fields[1] == strconv.Itoa(parent) && fields[0] != "Z" {
			pids = append(pids, rig.Must(strconv.Atoi(filepath.Base(dir))))
		}
	}
	return pids
}

// noPINInProcesses reads what other users of the machine could read.
func noPINInProcesses(t *testing.T, worker int) {
	t.Helper()
	for _, name := range []string{"cmdline", "environ"} {
		for _, file := range rig.Must(filepath.Glob("/proc/[0-9]*/" + name)) {
			data, err := os.ReadFile(file)
			if err == nil && bytes.Contains(data, []byte(hsmPIN)) {
				t.Errorf("the PIN stands in %s: %q", file, data)
			}
		}
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", worker))
	if err == nil && strings.Contains(string(environ), "SIGNPATH_") {
		t.Errorf("the worker's environment: %q", environ)
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", worker))
	if err != nil || len(links) == 0 {
		return // not ours to read
	}
	sockets := 0
	for _, l := range links {
		if to, _ := os.Readlink(l); strings.HasPrefix(to, "socket:") {
			sockets++
		}
	}
	if sockets != 1 {
		t.Errorf("the worker has %d sockets, want the one to the service", sockets)
	}
}

// noPINInFiles reads everything that a service wrote.
func noPINInFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(hsmPIN)) {
			t.Errorf("the PIN stands in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Stock OpenSSL signs through our module with keys that were made on a token,
// also while the worker process is killed again and again.
func TestHSMDevelopmentService(t *testing.T) {
	home := tokens(t, "test")
	pin := home.PINFile(t, "pin", hsmPIN)
	dir := t.TempDir()
	flags := []string{"--hsm-module", softhsm.Module(t), "--hsm-token", "test", "--hsm-pin-file", pin}
	s, err := rig.Start(dir, "rsa2048,p256,gpg-rsa2048", flags...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Stop() }()

	list := home.Run(t, "pkcs11-tool", "--module", softhsm.Module(t), "--token-label", "test", "--login", "--pin", hsmPIN, "--list-objects", "--type", "privkey")
	if strings.Count(list, "Private Key Object") != 2 || strings.Count(list, "sensitive, always sensitive, never extractable, local") != 2 {
		t.Errorf("the token holds not just the two X.509 keys, or keys that could leave it:\n%s", list)
	}
	sign := func(t *testing.T, key string) {
		t.Helper()
		tl := s.Tool(t)
		file, tampered, content := rig.Artifact(t)
		sig := file + ".sig"
		tl.Run(t, "openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sha256", "-sign", "pkcs11:id="+rig.Project+"/"+key+";type=private;pin-value=CONFIG", "-out", sig, file).OK(t)
		pub := s.PublicKey(t, key)
		rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", pub, "-signature", sig, file).OK(t).Says(t, "Verified OK")
		rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", pub, "-signature", sig, tampered).Fails(t)
		s.Audited(t, rig.SHA256Of(content), key)
	}
	for _, key := range []string{"rsa2048", "p256"} {
		t.Run(key, func(t *testing.T) { sign(t, key) })
	}
	t.Run("no PIN in sight", func(t *testing.T) {
		w := workers(t, s.Cmd.Process.Pid)
		if len(w) != 1 {
			t.Fatalf("%d worker processes, want 1", len(w))
		}
		noPINInProcesses(t, w[0])
		noPINInFiles(t, dir)
	})
	t.Run("worker killed under load", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var killer sync.WaitGroup
		killed := 0
		killer.Go(func() {
			for ctx.Err() == nil && killed < 8 {
				for _, pid := range workers(t, s.Cmd.Process.Pid) {
					_ = syscall.Kill(pid, syscall.SIGKILL) // one of ours, which may have ended meanwhile
					killed++
				}
				time.Sleep(150 * time.Millisecond)
			}
		})
		tl := s.Tool(t)
		var tools sync.WaitGroup
		for i := range loadTools {
			tools.Go(func() {
				for j := range perTool {
					key := []string{"rsa2048", "p256"}[(i+j)%2]
					file := rig.Write(t, filepath.Join(t.TempDir(), "file"), fmt.Appendf(nil, "%d %d", i, j))
					r := tl.Run(t, "openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sha256", "-sign", "pkcs11:id="+rig.Project+"/"+key+";type=private;pin-value=CONFIG", "-out", file+".sig", file)
					if r.Code != 0 {
						t.Errorf("a signature was lost:\n%s", r.Output)
					}
				}
			})
		}
		tools.Wait()
		cancel()
		killer.Wait()
		if killed < 3 {
			t.Errorf("only %d workers were killed", killed)
		}
	})
	s.Stop()
	// Every signature was announced, each that a tool holds has its outcome, and
	// nothing is open.
	rig.Run(t, nil, rig.Binary, "audit", "verify", "--data", filepath.Join(dir, "data")).OK(t)
	export := rig.Run(t, nil, rig.Binary, "audit", "export", "--data", filepath.Join(dir, "data")).OK(t).Output
	intents, completed, failed := strings.Count(export, `"HashSigning.Intent"`), strings.Count(export, `"HashSigning.Completed"`), strings.Count(export, `"HashSigning.Failed"`)
	if completed != 2+loadTools*perTool || intents != completed+failed {
		t.Errorf("%d signatures announced, %d completed, %d failed; tools hold %d", intents, completed, failed, 2+loadTools*perTool)
	}

	again, err := rig.Start(dir, "rsa2048,p256,gpg-rsa2048", flags...)
	if err != nil {
		t.Fatal(err)
	}
	s = again
	t.Run("after a restart", func(t *testing.T) { sign(t, "p256") })
	s.Stop()

	for name, f := range map[string]struct {
		flags []string
		says  string
	}{
		"one flag alone": {flags[:2], "belong together"},
		"no such token":  {[]string{"--hsm-module", softhsm.Module(t), "--hsm-token", "nobody", "--hsm-pin-file", pin}, "is not there"},
		"no module":      {[]string{"--hsm-module", "/nonexistent.so", "--hsm-token", "test", "--hsm-pin-file", pin}, "cannot be loaded"},
		"wrong PIN":      {[]string{"--hsm-module", softhsm.Module(t), "--hsm-token", "test", "--hsm-pin-file", home.PINFile(t, "wrong", "wrong-"+hsmPIN)}, "CKR_PIN_INCORRECT"},
	} {
		t.Run(name, func(t *testing.T) {
			r := rig.Run(t, nil, rig.Binary, append([]string{"dev", "--dir", t.TempDir(), "--keys", "p256"}, f.flags...)...).Fails(t).Says(t, f.says)
			if strings.Contains(r.Output, hsmPIN) {
				t.Errorf("the PIN is printed:\n%s", r.Output)
			}
		})
	}
}

// server is a running `signpath server`.
type server struct {
	*testing.T
	cmd  *exec.Cmd
	log  *logFile
	data string
	url  string // of the API
	http *http.Client
}

// logFile is written by a process and read by the test.
type logFile struct{ path string }

func (l *logFile) String() string { b, _ := os.ReadFile(l.path); return string(b) }

func startServer(t *testing.T, data string, flags ...string) *server {
	t.Helper()
	s := &server{T: t, data: data, log: &logFile{filepath.Join(t.TempDir(), "server.log")}}
	out, err := os.Create(s.log.path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s.cmd = exec.Command(rig.Binary, append([]string{"server", "--data", data, "--listen", "127.0.0.1:0"}, flags...)...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	ready := regexp.MustCompile(`msg=ready .*api=(\S+)`)
	for end := time.Now().Add(30 * time.Second); s.url == "" && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if m := ready.FindStringSubmatch(s.log.String()); m != nil {
			s.url = m[1]
		}
	}
	if s.url == "" {
		t.Fatalf("the server is not ready:\n%s", s.log)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(rig.Must(os.ReadFile(filepath.Join(data, "tls-ca.pem"))))
	s.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: time.Minute}
	return s
}

// admin runs an administration command beside the server.
func (s *server) admin(args ...string) *rig.Result {
	s.Helper()
	return rig.Run(s.T, nil, rig.Binary, append([]string{"admin", "--data", s.data}, args...)...)
}

func (s *server) health(route string) int {
	s.Helper()
	r, err := s.http.Get(s.url + "/" + route)
	if err != nil {
		s.Fatal(err)
	}
	defer r.Body.Close()
	return r.StatusCode
}

// eventually waits for a health check.
func (s *server) eventually(route string, want int) {
	s.Helper()
	got := 0
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if got = s.health(route); got == want {
			return
		}
	}
	s.Fatalf("%s stays at %d, want %d\n%s", route, got, want, s.log)
}

// sign asks for a signature over SHA-256 of text.
func (s *server) sign(org, token, policy, text string) (status int, retryAfter string, body []byte) {
	s.Helper()
	digest := sha256.Sum256([]byte(text))
	request, err := json.Marshal(map[string]any{"projectSlug": "app", "signingPolicySlug": policy, "hashSigningData": map[string]any{
		"hash": base64.StdEncoding.EncodeToString(digest[:]), "signatureAlgorithm": "Ecdsa", "ecdsaOptions": map[string]string{"signatureFormat": "Asn1"},
	}})
	if err != nil {
		s.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, s.url+"/v1/"+org+"/SigningRequests/SignHash", bytes.NewReader(request))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := s.http.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Retry-After"), body
}

// A server with one good and one missing token: what an operator does and sees.
func TestHSMServer(t *testing.T) {
	home := tokens(t, "prod")
	home.Run(t, "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", filepath.Join(home.Dir, "ec1.pem"))
	home.Run(t, "openssl", "pkcs8", "-topk8", "-nocrypt", "-in", filepath.Join(home.Dir, "ec1.pem"), "-out", filepath.Join(home.Dir, "ec.pem"))
	home.Run(t, "softhsm2-util", "--import", filepath.Join(home.Dir, "ec.pem"), "--token", "prod", "--label", "old release key", "--id", "0a0b", "--pin", hsmPIN)
	pin := home.PINFile(t, "pin", hsmPIN)
	config, err := json.Marshal([]map[string]any{
		{"name": "main", "module": softhsm.Module(t), "tokenLabel": "prod", "pinFile": pin, "sessions": 2},
		{"name": "spare", "module": softhsm.Module(t), "tokenLabel": "not there", "pinFile": pin},
	})
	if err != nil {
		t.Fatal(err)
	}
	configFile := rig.Write(t, filepath.Join(home.Dir, "hsm.json"), config)
	data := filepath.Join(t.TempDir(), "data")
	begin := time.Now()
	s := startServer(t, data, "--hsm-config", configFile)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the missing token held up the start for %s", took)
	}
	if got := s.health("healthz"); got != 200 {
		t.Errorf("healthz: %d", got)
	}
	if got := s.health("healthzd"); got != 503 {
		t.Errorf("healthzd with a missing token: %d, want 503", got)
	}

	org := strings.TrimSpace(s.admin("organization", "create", "Acme").OK(t).Output)
	s.admin("certificate", "create", "new", "--common-name", "Acme", "--key-type", "p256", "--key-store", "hsm:main").OK(t)
	s.admin("certificate", "create", "old", "--common-name", "Acme old", "--key-store", "hsm:main", "--adopt-key", "old release key").OK(t)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a token that is away":   {[]string{"--key-store", "hsm:spare"}, 5, "is not there"},
		"an unknown store":       {[]string{"--key-store", "hsm:nobody"}, 4, "hsm:main"},
		"an unknown key":         {[]string{"--key-store", "hsm:main", "--adopt-key", "nobody"}, 1, "no private key"},
		"adoption without token": {[]string{"--adopt-key", "old release key"}, 4, "adopt-key"},
	} {
		r := s.admin(append([]string{"certificate", "create", "x", "--common-name", "x", "--key-type", "p256"}, c.args...)...)
		if r.Code != c.code || !strings.Contains(r.Output, c.says) {
			t.Errorf("%s: code %d, want %d:\n%s", name, r.Code, c.code, r.Output)
		}
	}
	var attestation struct {
		Token struct{ Label, SerialNumber string }
		Key   struct{ Local, NeverExtractable bool }
	}
	for slug, made := range map[string]bool{"new": true, "old": false} {
		out := s.admin("certificate", "export", slug, "--format", "attestation").OK(t).Output
		if err := json.Unmarshal([]byte(out), &attestation); err != nil || attestation.Token.Label != "prod" || attestation.Key.Local != made || attestation.Key.NeverExtractable != made {
			t.Errorf("attestation of %s: %v\n%s", slug, err, out)
		}
	}
	// A refused certificate leaves no key behind.
	before := strings.Count(home.Run(t, "pkcs11-tool", "--module", softhsm.Module(t), "--token-label", "prod", "--login", "--pin", hsmPIN, "--list-objects", "--type", "privkey"), "Private Key Object")
	if before != 2 {
		t.Errorf("%d keys on the token, want 2", before)
	}

	s.admin("project", "create", "app").OK(t)
	s.admin("user", "create", "build", "--kind", "ci").OK(t)
	for _, slug := range []string{"new", "old"} {
		s.admin("policy", "create", "app/"+slug, "--certificate", slug, "--submitter", "build").OK(t)
	}
	token := lastLine(s.admin("token", "create", "build").OK(t).Output)

	verify := func(slug, text string, body []byte) {
		t.Helper()
		var answer struct{ HashSigningResult struct{ Signature []byte } }
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		file, sig := rig.Write(t, filepath.Join(dir, "file"), []byte(text)), rig.Write(t, filepath.Join(dir, "sig"), answer.HashSigningResult.Signature)
		s.admin("certificate", "export", slug, "--format", "spki", "--out", filepath.Join(dir, "pub")).OK(t)
		rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", filepath.Join(dir, "pub"), "-signature", sig, file).OK(t)
	}
	for _, slug := range []string{"new", "old"} {
		status, _, body := s.sign(org, token, slug, "first "+slug)
		if status != 200 {
			t.Fatalf("%s: %d %s", slug, status, body)
		}
		verify(slug, "first "+slug, body)
	}

	home.Remove(t)
	var status int
	var retry string
	var body []byte
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if status, retry, body = s.sign(org, token, "new", "while away"); status == 503 {
			break
		}
	}
	if n, err := strconv.Atoi(retry); status != 503 || err != nil || n < 1 {
		t.Errorf("without the token: %d, Retry-After %q, %s", status, retry, body)
	}
	if bytes.Contains(body, []byte("softhsm")) || !bytes.Contains(body, []byte("key store")) {
		t.Errorf("the answer: %s", body)
	}
	home.Return(t)
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if status, _, body = s.sign(org, token, "new", "back again"); status == 200 {
			break
		}
	}
	if status != 200 {
		t.Fatalf("the token came back, but: %d %s\n%s", status, body, s.log)
	}
	verify("new", "back again", body)

	// The spare one is found without a restart.
	home.Init(t, "not there", hsmPIN)
	s.eventually("healthzd", 200)

	w := workers(t, s.cmd.Process.Pid)
	if len(w) != 2 {
		t.Errorf("%d workers, want 2", len(w))
	}
	for _, pid := range w {
		noPINInProcesses(t, pid)
	}
	// Deleting the key deletes it on the token; the adopted one stays there.
	for _, slug := range []string{"new", "old"} {
		s.admin("certificate", "delete-key", slug, "--yes").OK(t)
		if status, _, body := s.sign(org, token, slug, "deleted"); status != 400 {
			t.Errorf("signed with a deleted key: %d %s", status, body)
		}
	}
	left := home.Run(t, "pkcs11-tool", "--module", softhsm.Module(t), "--token-label", "prod", "--login", "--pin", hsmPIN, "--list-objects", "--type", "privkey")
	if strings.Count(left, "Private Key Object") != 1 || !strings.Contains(left, "old release key") {
		t.Errorf("after delete-key:\n%s", left)
	}

	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, s.log)
	}
	for _, pid := range w {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("worker %d outlives the server", pid)
		}
	}
	rig.Run(t, nil, rig.Binary, "audit", "verify", "--data", data).OK(t)
	export := rig.Run(t, nil, rig.Binary, "audit", "export", "--data", data).OK(t).Output
	for _, want := range []string{`"Key.Generated"`, `"Key.Adopted"`, `"backend":"hsm:main"`, `"attestationSha256"`, `"HashSigning.Failed"`, `the key store hsm:main is not available`} {
		if !strings.Contains(export, want) {
			t.Errorf("the audit log does not say %s", want)
		}
	}
	noPINInFiles(t, data)
	if strings.Contains(s.log.String()+export, hsmPIN) {
		t.Error("the PIN stands in the log")
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
