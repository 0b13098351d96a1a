// Package macos tries SignPathCryptoTokenKit.app. Its Objective-C files run
// unchanged on GNUstep against a fake CryptoTokenKit (testdata/gnustep), where app
// and extension are processes of their own as on macOS, and sign for real; the
// bundle that scripts/build makes is looked at without running it. What only a Mac
// can show is not shown here: docs/macos.md lists it.
//
// Environment: E2E_GNUSTEP is the folder that testdata/gnustep/build wrote,
// E2E_MACOS that of dist/macos-universal.
package macos

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // most of the time they wait
		panic(err)
	}
	rig.Main(m)
}

const classID = "io.signpath.apps.SignPathCryptoTokenKit.ctk"

// patience is for states that come by themselves, on a busy machine.
const patience = 90 * time.Second

func folder(t *testing.T, variable, otherwise string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		dir = filepath.Join(rig.Root, otherwise)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("%v; run scripts/test macos", err)
	}
	return dir
}

// mac is a machine with a ctkd, a keychain and one user.
type mac struct {
	*rig.Tool
	programs, variant string
	ctk, home         string
}

func newMac(t *testing.T, s *rig.Service, more ...string) *mac {
	t.Helper()
	m := &mac{programs: folder(t, "E2E_GNUSTEP", "build/gnustep"), ctk: t.TempDir(), home: t.TempDir()}
	m.Tool = s.Tool(t, append([]string{"FAKE_CTK=" + m.ctk, "HOME=" + m.home}, more...)...)
	m.Interface = "CTK"
	m.touch(t, "registered", "")
	m.touch(t, "ctkd.pid", "4711")
	return m
}

func (m *mac) touch(t *testing.T, name, text string) {
	t.Helper()
	rig.Write(t, filepath.Join(m.ctk, name), []byte(text))
}

func (m *mac) program(name string) string { return filepath.Join(m.programs, name+m.variant) }

// app is the running app.
type app struct {
	cmd  *exec.Cmd
	out  string // file
	done chan error
}

// start starts the app and leaves it running until the test's end.
func (m *mac) start(t *testing.T, args ...string) *app {
	t.Helper()
	a := &app{out: filepath.Join(t.TempDir(), "out.txt"), done: make(chan error, 1)}
	out := rig.Must(os.Create(a.out))
	a.cmd = exec.Command(m.program("app"), args...)
	a.cmd.Env, a.cmd.Stdout, a.cmd.Stderr = m.Env, out, out
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	go func() { a.done <- a.cmd.Wait() }()
	t.Cleanup(func() { _ = a.cmd.Process.Kill() })
	return a
}

func (a *app) output() string {
	b, _ := os.ReadFile(a.out)
	return string(b)
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool, detail func() string) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s\n%s", what, patience, detail())
		}
	}
}

// says waits until the app has printed a text n times.
func (a *app) says(t *testing.T, text string, n int) *app {
	t.Helper()
	until(t, text, func() bool { return strings.Count(a.output(), text) >= n }, a.output)
	return a
}

// ends waits for the app's end.
func (a *app) ends(t *testing.T, code int) *app {
	t.Helper()
	select {
	case <-a.done:
		a.done <- nil
	case <-time.After(patience):
		t.Fatalf("the app does not end\n%s", a.output())
	}
	if got := a.cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("the app ended with %d, not %d\n%s", got, code, a.output())
	}
	return a
}

// tokens are the instance IDs that ctkd has.
func (m *mac) tokens(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(m.ctk, "tokens", "*.plist"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range names {
		instance, ok := strings.CutPrefix(strings.TrimSuffix(filepath.Base(n), ".plist"), classID+":")
		if !ok {
			t.Errorf("a token of another class: %s", n)
		}
		all = append(all, instance)
	}
	return all
}

// item is what the extension put into the keychain.
type item struct {
	instance, kind, object, label, rights string
	der                                   []byte
}

func (m *mac) items(t *testing.T) []item {
	t.Helper()
	var all []item
	instance := ""
	for _, l := range strings.Split(m.Run(t, m.program("extension"), "list").OK(t).Output, "\n") {
		if name, ok := strings.CutPrefix(l, "token "); ok {
			instance = name
			continue
		}
		if f := strings.Split(l, "\t"); len(f) == 5 {
			all = append(all, item{instance, f[0], f[1], f[2], f[3], unhex(t, f[4])})
		}
	}
	return all
}

// token finds the instance of a key.
func (m *mac) token(t *testing.T, key string) string {
	t.Helper()
	all := m.items(t)
	i := slices.IndexFunc(all, func(i item) bool { return i.object == rig.Project+"/"+key })
	if i < 0 {
		t.Fatalf("no token of %s in %v", key, all)
	}
	return all[i].instance
}

func (m *mac) signal(t *testing.T, a *app, s syscall.Signal) {
	t.Helper()
	if err := a.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
