package rig

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Service is a running `signpath dev`.
type Service struct {
	Dir string
	Env map[string]string // the variables of DIR/env
	Cmd *exec.Cmd
	log bytes.Buffer
}

// Said is what the service printed on standard error; call it after Stop.
func (s *Service) Said() string { return s.log.String() }

var (
	sharedOnce sync.Once
	shared     *Service
	sharedErr  error
)

// TheService is started once for all tests that do not break it.
func TheService(t *testing.T) *Service {
	t.Helper()
	sharedOnce.Do(func() {
		dir, err := os.MkdirTemp("", "signpath-e2e-")
		if err != nil {
			sharedErr = err
			return
		}
		shared, sharedErr = Start(dir, strings.Join(append(Keys(), "mail-rsa2048", "gpg-rsa3072"), ","))
	})
	if sharedErr != nil {
		t.Fatal(sharedErr)
	}
	return shared
}

// OwnService starts a service that a test may stop and break.
func OwnService(t *testing.T) *Service {
	t.Helper()
	s, err := Start(t.TempDir(), "rsa2048,p256")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Start starts `signpath dev` in a folder, with these keys; the caller stops it.
func Start(dir, keyList string, more ...string) (*Service, error) {
	s := &Service{Dir: dir, Env: map[string]string{}}
	s.Cmd = exec.Command(Binary, append([]string{"dev", "--dir", dir, "--keys", keyList}, more...)...)
	s.Cmd.Stderr = &s.log
	out, err := s.Cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.Cmd.Start(); err != nil {
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
			s.Stop()
			return nil, fmt.Errorf("signpath dev said %q\n%s", l, s.log.String())
		}
	case <-time.After(2 * time.Minute):
		s.Stop()
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
			s.Env[k] = v
		}
	}
	return s, nil
}

// Stop ends the service and waits for its end.
func (s *Service) Stop() {
	if s.Cmd.Process == nil || s.Cmd.ProcessState != nil {
		return
	}
	_ = s.Cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = s.Cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = s.Cmd.Process.Kill()
		<-done
	}
}

// File is the path of a file below the service's folder.
func (s *Service) File(name ...string) string {
	return filepath.Join(append([]string{s.Dir}, name...)...)
}

// PublicKey extracts the policy's public key from its certificate, with OpenSSL.
func (s *Service) PublicKey(t *testing.T, key string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), key+".pub")
	Run(t, nil, "openssl", "x509", "-in", s.File("certificates", key+".pem"), "-pubkey", "-noout", "-out", out).OK(t)
	return out
}

// Tool prepares a process environment with the service's settings, a log folder
// of its own, and more NAME=value pairs (NAME= alone unsets).
func (s *Service) Tool(t *testing.T, more ...string) *Tool {
	t.Helper()
	logs := filepath.Join(t.TempDir(), "logs")
	vars := map[string]string{"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "LC_ALL": "C.UTF-8", "SIGNPATH_LOG_FILE_DIRECTORY": logs, "PKCS11_MODULE_PATH": Module}
	for k, v := range s.Env {
		vars[k] = v
	}
	for _, m := range more {
		k, v, _ := strings.Cut(m, "=")
		if vars[k] = v; v == "" {
			delete(vars, k)
		}
	}
	tl := &Tool{Logs: logs}
	for k, v := range vars {
		tl.Env = append(tl.Env, k+"="+v)
	}
	return tl
}

// Audited asserts that the log tells of a signature over this digest.
func (s *Service) Audited(t *testing.T, digest []byte, key string) {
	t.Helper()
	want := hex.EncodeToString(digest)
	export := Run(t, nil, Binary, "audit", "export", "--data", s.File("data")).OK(t)
	for _, line := range strings.Split(export.Output, "\n") {
		if strings.Contains(line, want) && strings.Contains(line, `"`+key+`"`) && strings.Contains(line, "HashSigning.Intent") {
			return
		}
	}
	t.Errorf("no audit entry for digest %s with %s", want, key)
}

// Nowhere asserts that a secret stands in none of the places that a tool's run
// writes to: the module's log, the console, the audit log.
func (s *Service) Nowhere(t *testing.T, secret string, tl *Tool, r *Result) {
	t.Helper()
	export := Run(t, nil, Binary, "audit", "export", "--data", s.File("data")).OK(t)
	places := map[string]string{"the module's log": tl.Log(), "the console": r.Output, "the audit log": export.Output}
	for where, text := range places {
		if text == "" {
			t.Errorf("nothing stands in %s", where)
		}
		if strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString([]byte(secret))) {
			t.Errorf("the secret stands in %s", where)
		}
	}
}
