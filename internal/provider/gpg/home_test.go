package gpg

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func newHome(dir string) *Home {
	return &Home{Dir: dir, Module: "/opt/sign path/libSignPath.Cryptoki.so", Program: "/opt/sign path/signpath",
		AgentLog: "/tmp/SignPathLogs/gpg-agent.log", DaemonLog: "/tmp/SignPathLogs/gnupg-pkcs11-scd.log", Key: strings.Repeat("AB", 20)}
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "home")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestHomeWrite: a folder that is missing, empty or ours is written; all in it belongs
// to the user alone.
func TestHomeWrite(t *testing.T) {
	dir := filepath.Join(shortDir(t), "new")
	h := newHome(dir)
	for round := range 2 {
		if err := h.Write(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		h.Verbose = true
	}
	for name, want := range map[string]os.FileMode{"": 0o700, agentFile: 0o600, daemonFile: 0o600, gpgFile: 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v %v", name, info, err)
		}
	}
	for _, name := range []string{PinentryName, DaemonName} {
		if to, err := os.Readlink(filepath.Join(dir, name)); err != nil || to != h.Program {
			t.Errorf("%q %v", to, err)
		}
	}
	for name, lines := range map[string][]string{
		agentFile:  {"scdaemon-program " + dir + "/scdaemon-signpath", "pinentry-program " + dir + "/pinentry-signpath", "log-file /tmp/SignPathLogs/gpg-agent.log", "verbose"},
		daemonFile: {"providers signpath", "provider-signpath-library /opt/sign path/libSignPath.Cryptoki.so", "provider-signpath-allow-protected-auth", "log-file /tmp/SignPathLogs/gnupg-pkcs11-scd.log", "verbose"},
		gpgFile:    {"default-key " + h.Key, "personal-digest-preferences SHA512 SHA384 SHA256"},
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if !strings.Contains(string(b), "\n"+l+"\n") {
				t.Errorf("%s has no line %q:\n%s", name, l, b)
			}
		}
	}
	if !Ours(dir) || Ours(filepath.Dir(dir)) {
		t.Error("Ours is wrong")
	}
}

func TestHomeRefused(t *testing.T) {
	foreign := shortDir(t)
	if err := os.WriteFile(filepath.Join(foreign, agentFile), []byte("pinentry-program /usr/bin/pinentry\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newHome(foreign).Write(); !errors.Is(err, ErrForeignHome) {
		t.Errorf("somebody's home: %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(foreign, agentFile)); string(b) != "pinentry-program /usr/bin/pinentry\n" {
		t.Errorf("it was changed to %q", b)
	}
	for name, change := range map[string]func(*Home){
		"long path":       func(h *Home) { h.Dir = filepath.Join(h.Dir, strings.Repeat("x", maxHome)) },
		"relative module": func(h *Home) { h.Module = "libSignPath.Cryptoki.so" },
		"line in module":  func(h *Home) { h.Module = "/a\nscdaemon-program /bin/sh" },
		"blank at end":    func(h *Home) { h.DaemonLog = "/a " },
		"empty":           func(h *Home) { h.Program = "" },
	} {
		h := newHome(filepath.Join(shortDir(t), "h"))
		change(h)
		if err := h.Write(); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	file := filepath.Join(shortDir(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newHome(file).Write(); err == nil {
		t.Error("a file: written")
	}
}

func TestDaemonEnvironment(t *testing.T) {
	got := DaemonEnvironment([]string{"PATH=/bin", "SIGNPATH_LOG_CONSOLE_OUTPUT_STREAM=stdout", "SIGNPATH_API_TOKEN=x", "SIGNPATH_CRYPTOKI_PROTECTED_AUTHENTICATION_PATH=false", "SIGNPATH=1"})
	slices.Sort(got)
	want := []string{"PATH=/bin", "SIGNPATH=1", "SIGNPATH_API_TOKEN=x", "SIGNPATH_CRYPTOKI_PROTECTED_AUTHENTICATION_PATH=true",
		"SIGNPATH_INCLUDE_DUMMY_X509CERTIFICATE_FOR_GPG_KEYS=true", "SIGNPATH_LOG_CONSOLE_OUTPUT_STREAM=stderr"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
