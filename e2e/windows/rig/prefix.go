package winrig

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"signpath/e2e/rig"
)

// Prefix is a Windows: a Wine prefix with a wineserver of its own, which stays warm
// between the programs that run in it.
type Prefix struct {
	Dir    string     // holds drive_c
	Arch   string     // amd64 or 386
	System rig.System // whose Wine it is
	extra  []string   // variables for its programs
	lock   *os.File   // held as long as the prefix is in use
}

type shared struct {
	once   sync.Once
	prefix *Prefix
	err    error
}

var stock, taught, i386 shared

func (s *shared) get(t *testing.T, make func() (*Prefix, error)) *Prefix {
	t.Helper()
	s.once.Do(func() {
		if s.prefix, s.err = make(); s.err == nil {
			rig.AtEnd(s.prefix.remove)
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.prefix
}

// Stock is this machine's Wine with the providers, one for all tests of the package.
func Stock(t *testing.T) *Prefix {
	t.Helper()
	return stock.get(t, func() (*Prefix, error) { return create(rig.Here, "amd64", false) })
}

// Taught is Wine with the stand-ins too, one for all tests of the package.
func Taught(t *testing.T) *Prefix {
	t.Helper()
	return taught.get(t, func() (*Prefix, error) { return create(rig.Here, "amd64", true) })
}

// I386 is the Wine of the i386 root that E2E_I386 names, with the 32-bit providers.
func I386(t *testing.T) *Prefix {
	t.Helper()
	root := rig.Program(t, "E2E_I386")
	return i386.get(t, func() (*Prefix, error) { return create(rig.System{Name: "i386", Root: root}, "386", false) })
}

// Own is a prefix of the test's own, removed with the test; taught says whether it has
// the stand-ins.
func Own(t *testing.T, taught bool) *Prefix {
	t.Helper()
	p, err := create(rig.Here, "amd64", taught)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.remove)
	return p
}

// Empty is a prefix of the test's own without the providers, for tests that install them.
func Empty(t *testing.T) *Prefix {
	t.Helper()
	p, err := prepare(rig.Here, "amd64", (*Prefix).serve)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.remove)
	return p
}

// System32 is the path of a file in the folder of Windows' DLLs.
func (p *Prefix) System32(name string) string {
	return p.C("windows", "system32", name)
}

// C is the path of a file on drive C:.
func (p *Prefix) C(name ...string) string {
	return filepath.Join(append([]string{p.Dir, "drive_c"}, name...)...)
}

// Put copies a file into the prefix. What is there is removed first: the prefix shares
// its files with the template.
func (p *Prefix) Put(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

func (p *Prefix) home() string { return filepath.Join(p.Dir, "home") }

func (p *Prefix) wineArch() string {
	if p.Arch == "386" {
		return "win32"
	}
	return "win64"
}

// programs of Debian's packages wine64 and wine32, without the scripts that look for
// the other one.
func (p *Prefix) loader() string {
	if p.Arch == "386" {
		return "/usr/lib/wine/wine"
	}
	return "/usr/lib/wine/wine64"
}

// line is the command that runs a Windows program.
func (p *Prefix) line(program string, args []string) (string, []string) {
	return p.here(p.loader(), append([]string{program}, args...)...)
}

// here is the command that runs a program of the prefix's system.
func (p *Prefix) here(program string, args ...string) (string, []string) {
	switch {
	case p.System.Root == "":
		return program, args
	case os.Geteuid() == 0:
		return "chroot", append([]string{p.System.Root, program}, args...)
	}
	as := fmt.Sprintf("--userspec=%d:%d", os.Getuid(), os.Getgid())
	return "sudo", append([]string{"-E", "chroot", as, p.System.Root, program}, args...)
}

// do runs a program of the system with the prefix's variables; its output goes to a
// file, which Wine's services may keep open.
func (p *Prefix) do(program string, args ...string) error {
	name, rest := p.here(program, args...)
	out, err := os.CreateTemp(filepath.Dir(p.Dir), "output-")
	if err != nil {
		return err
	}
	defer func() { _ = out.Close(); _ = os.Remove(out.Name()) }()
	c := exec.Command(name, rest...)
	c.Env, c.Stdout, c.Stderr = p.variables(), out, out
	if err := c.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s %s: %w\n%s(is Debian's package wine64 installed?)", program, strings.Join(args, " "), err, text)
	}
	return nil
}

// wine runs a Windows program for the rig itself.
func (p *Prefix) wine(program string, args ...string) error {
	return p.do(p.loader(), append([]string{program}, args...)...)
}

// create makes a prefix: a copy of the template with the providers and, if taught, the
// stand-ins. Its wineserver runs when it returns.
func create(y rig.System, arch string, taught bool) (*Prefix, error) {
	return prepare(y, arch, func(p *Prefix) error { return p.fill(taught) })
}

func prepare(y rig.System, arch string, fill func(p *Prefix) error) (*Prefix, error) {
	base := cache("prefix")
	if y.Root != "" {
		base = filepath.Join(os.TempDir(), "signpath-windows-"+y.Name) // what both see
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	// One at a time makes the template, and clears what runs that were killed left.
	guard, err := locked(filepath.Join(base, "lock"), syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer func() { _ = guard.Close() }()
	clear(base)
	template, err := template(base, y, arch)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(base, "run-")
	if err != nil {
		return nil, err
	}
	lock, err := locked(dir+".lock", syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	p := &Prefix{Dir: dir, Arch: arch, System: y, lock: lock}
	err = p.copyOf(template)
	_ = guard.Close() // the next one need not wait for this one's Wine
	if err == nil {
		err = fill(p)
	}
	if err != nil {
		p.remove()
		return nil, err
	}
	return p, nil
}

// copyOf makes the prefix a copy of the template.
func (p *Prefix) copyOf(template string) error {
	if err := copyTree(template, p.Dir); err != nil {
		return err
	}
	return os.MkdirAll(p.home(), 0o700)
}

// fill installs what the template has not.
func (p *Prefix) fill(taught bool) error {
	var registry string
	if taught {
		text, err := p.teach()
		if err != nil {
			return err
		}
		registry += text
	}
	text, err := p.providers()
	if err != nil {
		return err
	}
	if err := p.serve(); err != nil {
		return err
	}
	return p.importText(registry + text)
}

// serve starts the wineserver. A minute without programs ends it, should this process
// be killed.
func (p *Prefix) serve() error { return p.do("/usr/lib/wine/wineserver", "-p60") }

// remove ends the prefix's programs and its wineserver, and removes it.
func (p *Prefix) remove() {
	_ = p.do("/usr/lib/wine/wineserver", "-k")
	_ = p.do("/usr/lib/wine/wineserver", "-w")
	_ = os.RemoveAll(p.Dir)
	_ = os.Remove(p.lock.Name())
	_ = p.lock.Close()
}

// template makes the prefix that all others are copies of, once for a version of Wine:
// about 13 s and 700 MB.
func template(base string, y rig.System, arch string) (string, error) {
	t := &Prefix{Arch: arch, System: y}
	name, args := t.here(t.loader(), "--version")
	version, err := exec.Command(name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w (install Debian's package wine64)", name, err)
	}
	prng, err := compile(arch, "bcryptprimitives.dll", source("bcryptprimitives.c"), "-ladvapi32")
	if err != nil {
		return "", err
	}
	key := strings.Map(func(r rune) rune {
		if strings.ContainsRune("/ ()\n", r) {
			return '_'
		}
		return r
	}, strings.TrimSpace(string(version)))
	text, err := os.ReadFile(source("bcryptprimitives.c"))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	done := filepath.Join(base, fmt.Sprintf("template-%s-%s-%x", arch, key, sum[:6]))
	if _, err := os.Stat(done); err == nil {
		return done, nil
	}
	old, _ := filepath.Glob(filepath.Join(base, "template-"+arch+"-*"))
	for _, o := range old {
		_ = os.RemoveAll(o)
	}
	t.Dir = filepath.Join(base, "making-"+arch)
	if err := os.RemoveAll(t.Dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(t.Dir, 0o755); err != nil {
		return "", err
	}
	// No home folder: Wine would link Documents, Desktop and the like to it.
	if err := t.wine("wineboot", "--init"); err != nil {
		return "", err
	}
	if err := t.do("/usr/lib/wine/wineserver", "-w"); err != nil { // the registry is on disk after it
		return "", err
	}
	if err := t.Put(prng, t.System32("bcryptprimitives.dll")); err != nil {
		return "", err
	}
	return done, os.Rename(t.Dir, done)
}

// locked opens a file with a lock that ends with the process.
func locked(name string, how int) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// clear removes prefixes that nobody uses any more.
func clear(base string) {
	locks, _ := filepath.Glob(filepath.Join(base, "run-*.lock"))
	for _, l := range locks {
		f, err := locked(l, syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue // in use
		}
		_ = os.RemoveAll(strings.TrimSuffix(l, ".lock"))
		_ = os.Remove(l)
		_ = f.Close()
	}
}

// copyTree copies a prefix. Windows' own files become hard links, for nobody writes to
// them in place; the registry and the users' folders are copied.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type()&os.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case strings.HasPrefix(rel, "drive_c/windows/"):
			return os.Link(path, target)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o644)
	})
}
