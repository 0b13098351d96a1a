package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// system is where a stock tool runs: this machine, or the root of a newer one
// with newer tools. The temporary folder (TMPDIR) is the same in both.
type system struct {
	name string
	root string // "" for this machine
}

var here = system{name: "here"}

// systems are this machine and, if E2E_DEBIAN13 names a root, Debian 13.
func systems() []system {
	y := []system{here}
	if r := os.Getenv("E2E_DEBIAN13"); r != "" {
		y = append(y, system{"debian13", r})
	}
	return y
}

// run runs a program in the system; files are named by absolute paths.
func (y system) run(t *testing.T, env []string, program string, args ...string) *result {
	t.Helper()
	switch {
	case y.root == "":
		return run(t, env, program, args...)
	case os.Geteuid() == 0:
		return run(t, env, "chroot", append([]string{y.root, program}, args...)...)
	}
	as := fmt.Sprintf("--userspec=%d:%d", os.Getuid(), os.Getgid())
	return run(t, env, "sudo", append([]string{"-E", "chroot", as, y.root, program}, args...)...)
}

var copyModule sync.Once

// module is the built module at a path that the system can see.
func (y system) module(t *testing.T) string {
	t.Helper()
	if y.root == "" {
		return module
	}
	name := theService(t).file(filepath.Base(module))
	copyModule.Do(func() { write(t, name, must(os.ReadFile(module))) })
	return name
}

// glob finds the one file of a system that the pattern names.
func (y system) glob(t *testing.T, pattern string) string {
	t.Helper()
	found := must(filepath.Glob(y.root + pattern))
	if len(found) == 0 {
		t.Fatalf("%s: no %s (run scripts/test, which installs it)", y.name, pattern)
	}
	return found[0][len(y.root):]
}
