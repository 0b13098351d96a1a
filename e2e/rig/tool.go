package rig

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Tool is the environment of one tool's process: clean but for what is given.
type Tool struct {
	Logs      string
	Env       []string
	Interface string // whose log Log reads: "Notation", "KSP" …; "" for "Cryptoki"
}

// Log is what the module wrote.
func (tl *Tool) Log() string {
	b, _ := os.ReadFile(filepath.Join(tl.Logs, "SignPath.CryptoProviders."+cmp.Or(tl.Interface, "Cryptoki")+".txt"))
	return string(b)
}

// Run runs a program with the tool's environment.
func (tl *Tool) Run(t *testing.T, name string, args ...string) *Result {
	t.Helper()
	return Run(t, tl.Env, name, args...)
}

// Result is how a program ended and what it printed, on both streams.
type Result struct {
	line   string
	Code   int
	Output string
	Took   time.Duration
}

// Run runs a program; a nil environment is this process's without SIGNPATH_ variables.
func Run(t *testing.T, env []string, name string, args ...string) *Result {
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
	c.WaitDelay = 5 * time.Second // a daemon that it leaves behind may keep its output open
	begin := time.Now()
	err := c.Run()
	r := &Result{line: name + " " + strings.Join(args, " "), Output: out.String(), Took: time.Since(begin), Code: c.ProcessState.ExitCode()}
	if err != nil && c.ProcessState == nil {
		t.Fatalf("%s: %v", r.line, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s: not finished after two minutes\n%s", r.line, r.Output)
	}
	return r
}

// RunToFile is Run for programs that leave others behind with their output open: what
// they print goes to a file. The program works in the folder dir ("" for the test's).
func RunToFile(t *testing.T, env []string, limit time.Duration, dir, name string, args ...string) *Result {
	t.Helper()
	out := Must(os.CreateTemp(t.TempDir(), "output-*"))
	defer func() { _ = out.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env, c.Dir, c.Stdout, c.Stderr = env, dir, out, out
	begin := time.Now()
	err := c.Run()
	if c.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	r := &Result{line: name + " " + strings.Join(args, " "), Output: string(Must(os.ReadFile(out.Name()))), Took: time.Since(begin), Code: c.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		t.Fatalf("%s: not finished after %v\n%s", r.line, limit, r.Output)
	}
	return r
}

// OK asserts that the program ended with 0.
func (r *Result) OK(t *testing.T) *Result {
	t.Helper()
	if r.Code != 0 {
		t.Fatalf("%s\nended with %d:\n%s", r.line, r.Code, r.Output)
	}
	return r
}

// Fails asserts that it did not.
func (r *Result) Fails(t *testing.T) *Result {
	t.Helper()
	if r.Code == 0 {
		t.Fatalf("%s\nended with 0, which is wrong here:\n%s", r.line, r.Output)
	}
	return r
}

// Says asserts that it printed a text.
func (r *Result) Says(t *testing.T, text string) *Result {
	t.Helper()
	if !strings.Contains(r.Output, text) {
		t.Fatalf("%s\ndoes not say %q:\n%s", r.line, text, r.Output)
	}
	return r
}

// InLog asserts that the module's log has a line that contains every text.
func (tl *Tool) InLog(t *testing.T, texts ...string) {
	t.Helper()
	log := tl.Log()
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
