// Package e2e lets stock tools sign through the built module against `signpath
// dev` and lets verifiers that are not ours judge the result. Nothing here looks
// into the product: it runs dist/ as a user would. Run scripts/test, which
// builds dist/ and installs the tools.
//
// Environment: E2E_ALL=1 runs every key and every tool variant instead of one
// RSA and one EC key; E2E_DEBIAN11 names a Debian 11 root for the host tests,
// E2E_DEBIAN13 a Debian 13 root with newer tools, E2E_JSIGN Jsign's jar.
package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	root   = must(filepath.Abs(".."))
	dist   = filepath.Join(root, "dist", runtime.GOOS+"-"+runtime.GOARCH)
	module = filepath.Join(dist, "libSignPath.Cryptoki.so")
	binary = filepath.Join(dist, "signpath")
	all    = os.Getenv("E2E_ALL") == "1"
)

const project = "hash-signing"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// keys picks the keys of a run: one RSA and one EC key, or all.
func keys() []string {
	if all {
		return []string{"rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521"}
	}
	return []string{"rsa3072", "p256"}
}

func isRSA(key string) bool { return strings.Contains(key, "rsa") }

// service is a running `signpath dev`.
type service struct {
	dir string
	env map[string]string // the variables of DIR/env
	cmd *exec.Cmd
}

var (
	sharedOnce sync.Once
	shared     *service
	sharedErr  error
)

// theService is started once for all tests that do not break it.
func theService(t *testing.T) *service {
	t.Helper()
	sharedOnce.Do(func() {
		dir, err := os.MkdirTemp("", "signpath-e2e-")
		if err != nil {
			sharedErr = err
			return
		}
		shared, sharedErr = start(dir, strings.Join(append(keys(), "mail-rsa2048", "gpg-rsa3072"), ","))
	})
	if sharedErr != nil {
		t.Fatal(sharedErr)
	}
	return shared
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.stop()
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// ownService starts a service that a test may stop and break.
func ownService(t *testing.T) *service {
	t.Helper()
	s, err := start(t.TempDir(), "rsa2048,p256")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

func start(dir, keyList string, more ...string) (*service, error) {
	s := &service{dir: dir, env: map[string]string{}}
	s.cmd = exec.Command(binary, append([]string{"dev", "--dir", dir, "--keys", keyList}, more...)...)
	var log bytes.Buffer
	s.cmd.Stderr = &log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (run scripts/build first)", err)
	}
	line := make(chan string, 1)
	go func() {
		b := make([]byte, 4096)
		n, _ := out.Read(b)
		line <- string(b[:n])
	}()
	select {
	case l := <-line:
		if !strings.HasPrefix(l, "ready https://") {
			s.stop()
			return nil, fmt.Errorf("signpath dev said %q\n%s", l, log.String())
		}
	case <-time.After(2 * time.Minute):
		s.stop()
		return nil, errors.New("signpath dev was not ready within two minutes")
	}
	text, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		return nil, err
	}
	// The file is shell: let a shell read it.
	shell := exec.Command("sh", "-c", ". "+filepath.Join(dir, "env")+"; env")
	shell.Env = []string{"PATH=" + os.Getenv("PATH")}
	vars, err := shell.Output()
	if err != nil {
		return nil, fmt.Errorf("DIR/env cannot be sourced: %w\n%s", err, text)
	}
	for _, l := range strings.Split(string(vars), "\n") {
		if k, v, ok := strings.Cut(l, "="); ok && strings.HasPrefix(k, "SIGNPATH_") {
			s.env[k] = v
		}
	}
	return s, nil
}

func (s *service) stop() {
	if s.cmd.Process == nil || s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = s.cmd.Process.Kill()
		<-done
	}
}

func (s *service) file(name ...string) string {
	return filepath.Join(append([]string{s.dir}, name...)...)
}

// publicKey extracts the policy's public key from its certificate, with OpenSSL.
func (s *service) publicKey(t *testing.T, key string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), key+".pub")
	run(t, nil, "openssl", "x509", "-in", s.file("certificates", key+".pem"), "-pubkey", "-noout", "-out", out).ok(t)
	return out
}

// tool is the environment of one tool's process: clean but for what is given.
type tool struct {
	logs string
	env  []string
}

// tool prepares a process environment with the service's settings, a log folder
// of its own, and more NAME=value pairs (NAME= alone unsets).
func (s *service) tool(t *testing.T, more ...string) *tool {
	t.Helper()
	logs := filepath.Join(t.TempDir(), "logs")
	vars := map[string]string{"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "LC_ALL": "C.UTF-8", "SIGNPATH_LOG_FILE_DIRECTORY": logs, "PKCS11_MODULE_PATH": module}
	for k, v := range s.env {
		vars[k] = v
	}
	for _, m := range more {
		k, v, _ := strings.Cut(m, "=")
		if vars[k] = v; v == "" {
			delete(vars, k)
		}
	}
	tl := &tool{logs: logs}
	for k, v := range vars {
		tl.env = append(tl.env, k+"="+v)
	}
	return tl
}

// log is what the module wrote.
func (tl *tool) log() string {
	b, _ := os.ReadFile(filepath.Join(tl.logs, "SignPath.CryptoProviders.Cryptoki.txt"))
	return string(b)
}

func (tl *tool) run(t *testing.T, name string, args ...string) *result {
	t.Helper()
	return run(t, tl.env, name, args...)
}

type result struct {
	line   string
	code   int
	output string
	took   time.Duration
}

// run runs a program; a nil environment is this process's without SIGNPATH_ variables.
func run(t *testing.T, env []string, name string, args ...string) *result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = env
	if env == nil {
		for _, v := range os.Environ() {
			if !strings.HasPrefix(v, "SIGNPATH_") {
				c.Env = append(c.Env, v)
			}
		}
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	begin := time.Now()
	err := c.Run()
	r := &result{line: name + " " + strings.Join(args, " "), output: out.String(), took: time.Since(begin), code: c.ProcessState.ExitCode()}
	if err != nil && c.ProcessState == nil {
		t.Fatalf("%s: %v", r.line, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s: not finished after two minutes\n%s", r.line, r.output)
	}
	return r
}

func (r *result) ok(t *testing.T) *result {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("%s\nended with %d:\n%s", r.line, r.code, r.output)
	}
	return r
}

func (r *result) fails(t *testing.T) *result {
	t.Helper()
	if r.code == 0 {
		t.Fatalf("%s\nended with 0, which is wrong here:\n%s", r.line, r.output)
	}
	return r
}

func (r *result) says(t *testing.T, text string) *result {
	t.Helper()
	if !strings.Contains(r.output, text) {
		t.Fatalf("%s\ndoes not say %q:\n%s", r.line, text, r.output)
	}
	return r
}

// artifact writes a file that no other test has, so that its digest is found in
// the audit log once, and a copy with one changed bit.
func artifact(t *testing.T) (file, tampered string, content []byte) {
	t.Helper()
	content = []byte(strings.Repeat("an artifact of "+t.Name()+"\n", 100))
	dir := t.TempDir()
	file, tampered = filepath.Join(dir, "artifact.bin"), filepath.Join(dir, "tampered.bin")
	write(t, file, content)
	broken := bytes.Clone(content)
	broken[len(broken)/2] ^= 1
	write(t, tampered, broken)
	return file, tampered, content
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// audited asserts that the log tells of a signature over this digest.
func (s *service) audited(t *testing.T, digest []byte, key string) {
	t.Helper()
	want := hex.EncodeToString(digest)
	export := run(t, nil, binary, "audit", "export", "--data", s.file("data")).ok(t)
	for _, line := range strings.Split(export.output, "\n") {
		if strings.Contains(line, want) && strings.Contains(line, `"`+key+`"`) && strings.Contains(line, "HashSigning.Intent") {
			return
		}
	}
	t.Errorf("no audit entry for digest %s with %s", want, key)
}

func sha256Of(b []byte) []byte { h := sha256.Sum256(b); return h[:] }

// inLog asserts that the module's log has a line that contains every text.
func (tl *tool) inLog(t *testing.T, texts ...string) {
	t.Helper()
	log := tl.log()
line:
	for _, l := range strings.Split(log, "\n") {
		for _, x := range texts {
			if !strings.Contains(l, x) {
				continue line
			}
		}
		return
	}
	t.Errorf("no line of the log has all of %q:\n%s", texts, log)
}

// nowhere asserts that a secret stands in none of the places that a tool's run
// writes to: the module's log, the console, the audit log.
func (s *service) nowhere(t *testing.T, secret string, tl *tool, r *result) {
	t.Helper()
	export := run(t, nil, binary, "audit", "export", "--data", s.file("data")).ok(t)
	places := map[string]string{"the module's log": tl.log(), "the console": r.output, "the audit log": export.output}
	for where, text := range places {
		if text == "" {
			t.Errorf("nothing stands in %s", where)
		}
		if strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString([]byte(secret))) {
			t.Errorf("the secret stands in %s", where)
		}
	}
}
