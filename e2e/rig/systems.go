package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// System is where a stock tool runs: this machine, or the root of a newer one
// with newer tools. The temporary folder (TMPDIR) is the same in both.
type System struct {
	Name string
	Root string // "" for this machine
}

var Here = System{Name: "here"}

// Systems are this machine and, if E2E_DEBIAN13 names a root, Debian 13.
func Systems() []System {
	y := []System{Here}
	if r := os.Getenv("E2E_DEBIAN13"); r != "" {
		y = append(y, System{"debian13", r})
	}
	return y
}

// Run runs a program in the system; files are named by absolute paths.
func (y System) Run(t *testing.T, env []string, program string, args ...string) *Result {
	t.Helper()
	switch {
	case y.Root == "":
		return Run(t, env, program, args...)
	case os.Geteuid() == 0:
		return Run(t, env, "chroot", append([]string{y.Root, program}, args...)...)
	}
	as := fmt.Sprintf("--userspec=%d:%d", os.Getuid(), os.Getgid())
	return Run(t, env, "sudo", append([]string{"-E", "chroot", as, y.Root, program}, args...)...)
}

var copyModule sync.Once

// Module is the built module at a path that the system can see.
func (y System) Module(t *testing.T) string {
	t.Helper()
	if y.Root == "" {
		return Module
	}
	name := TheService(t).File(filepath.Base(Module))
	copyModule.Do(func() { Write(t, name, Must(os.ReadFile(Module))) })
	return name
}

// Glob finds the one file of a system that the pattern names.
func (y System) Glob(t *testing.T, pattern string) string {
	t.Helper()
	found := Must(filepath.Glob(y.Root + pattern))
	if len(found) == 0 {
		t.Fatalf("%s: no %s (run scripts/test, which installs it)", y.Name, pattern)
	}
	return found[0][len(y.Root):]
}
