// Package softhsm gives tests real PKCS #11 tokens of SoftHSM 2, and a module
// before them that crashes, hangs and fails on demand. It needs the programs
// softhsm2-util, for the module Shim also gcc. The package is for tests only.
package softhsm

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Home is a folder with tokens of its own.
type Home struct {
	Dir  string // folder of the tokens and the configuration
	Conf string // value for SOFTHSM2_CONF
}

// New makes an empty home that ends with the test.
func New(tb testing.TB) *Home {
	tb.Helper()
	h := &Home{Dir: tb.TempDir()}
	h.Conf = filepath.Join(h.Dir, "softhsm2.conf")
	if err := os.Mkdir(h.tokens(), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(h.Conf, fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", h.tokens()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return h
}

func (h *Home) tokens() string { return filepath.Join(h.Dir, "tokens") }

// Init makes a token.
func (h *Home) Init(tb testing.TB, label, pin string) {
	tb.Helper()
	h.Run(tb, "softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "so-"+pin)
}

// Run runs a program on the tokens of this home.
func (h *Home) Run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "SOFTHSM2_CONF="+h.Conf)
	out, err := c.CombinedOutput()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// Remove takes all tokens away, as pulling the device does.
func (h *Home) Remove(tb testing.TB) {
	tb.Helper()
	if err := os.Rename(h.tokens(), h.tokens()+".away"); err != nil {
		tb.Fatal(err)
	}
	if err := os.Mkdir(h.tokens(), 0o700); err != nil {
		tb.Fatal(err)
	}
}

// Return brings them back.
func (h *Home) Return(tb testing.TB) {
	tb.Helper()
	if err := os.RemoveAll(h.tokens()); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(h.tokens()+".away", h.tokens()); err != nil {
		tb.Fatal(err)
	}
}

// PINFile writes a PIN as the service wants it.
func (h *Home) PINFile(tb testing.TB, name, pin string) string {
	tb.Helper()
	path := filepath.Join(h.Dir, name)
	if err := os.WriteFile(path, []byte(pin+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Module is SoftHSM's own module.
func Module(tb testing.TB) string {
	tb.Helper()
	for _, p := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	tb.Fatal("SoftHSM's module is missing: install softhsm2")
	return ""
}

//go:embed testdata/shim.c
var shimSource []byte

var shimDir string // once it was built

// Cleanup removes what NewShim built; for TestMain.
func Cleanup() {
	if shimDir != "" {
		_ = os.RemoveAll(shimDir)
	}
}

var shim = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "signpath-shim-")
	if err != nil {
		return "", err
	}
	shimDir = dir
	source, so := filepath.Join(dir, "shim.c"), filepath.Join(dir, "shim.so")
	if err := os.WriteFile(source, shimSource, 0o600); err != nil {
		return "", err
	}
	if out, err := exec.Command("gcc", "-D_GNU_SOURCE", "-O1", "-Wall", "-fPIC", "-shared", "-o", so, source, "-ldl").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return so, nil
})

// Shim is a module before SoftHSM's that misbehaves on demand; see testdata/shim.c.
type Shim struct {
	Module      string
	Dir         string
	Environment map[string]string // for the process that loads it
}

// NewShim builds the module, once, and makes a folder for its demands.
func (h *Home) NewShim(tb testing.TB) *Shim {
	tb.Helper()
	so, err := shim()
	if err != nil {
		tb.Fatal(err)
	}
	s := &Shim{Module: so, Dir: tb.TempDir()}
	s.Environment = map[string]string{"SOFTHSM2_CONF": h.Conf, "SHIM_DIR": s.Dir, "SHIM_MODULE": Module(tb)}
	return s
}

// Demand makes function misbehave: what is hang, abort, sleep, once or fail.
func (s *Shim) Demand(tb testing.TB, function, what, value string) {
	tb.Helper()
	path := filepath.Join(s.Dir, function+"."+what)
	if err := os.WriteFile(path+".new", []byte(value), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		tb.Fatal(err)
	}
}

// Forgive takes a demand back.
func (s *Shim) Forgive(tb testing.TB, function, what string) {
	tb.Helper()
	if err := os.Remove(filepath.Join(s.Dir, function+"."+what)); err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
}

// Calls tells how often function was called.
func (s *Shim) Calls(tb testing.TB, function string) int {
	tb.Helper()
	log, err := os.ReadFile(filepath.Join(s.Dir, "log"))
	if err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
	return strings.Count("\n"+string(log), "\n"+function+"\n")
}
