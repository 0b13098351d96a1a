//go:build linux

package doctor

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// library builds a shared library of C.
func library(t testing.TB, path, code string) []byte {
	t.Helper()
	source := path + ".c"
	if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-s", "-o", path, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func functions(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "unsigned long C_F%d(void) { return 0; }\n", i)
	}
	return b.String()
}

// product builds a module that carries a core, as scripts/build does.
func product(t testing.TB) (path string, core []byte) {
	t.Helper()
	dir := t.TempDir()
	corePath := filepath.Join(dir, "lib.core.so")
	core = library(t, corePath, "#include <stdlib.h>\nvoid *start(void) { return getenv(\"X\"); }\n")
	path = filepath.Join(dir, "lib.so")
	library(t, path, fmt.Sprintf("__asm__(\".section .rodata\\n.balign 4096\\ncore: .incbin \\\"%s\\\"\\n.previous\\n\");\n", corePath)+functions(68))
	return path, core
}

func TestModule(t *testing.T) {
	path, core := product(t)
	m := lookAtModule(path)
	if m.Problem != "" || m.Exports != 68 || !m.Carries || m.Beside != coreSame || m.NeedsLibc == "" || !newer("99", m.HasLibc) || m.HasLibc == "" || len(m.Absent) != 0 || m.Open != 0 {
		t.Errorf("%+v", m)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(carriedCore(data), core) {
		t.Error("the core was not found as it is")
	}
	beside := strings.TrimSuffix(path, ".so") + ".core.so"
	changed := bytes.Clone(core)
	changed[len(changed)/2] ^= 1
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(beside, changed)
	if m := lookAtModule(path); m.Beside != coreOther {
		t.Errorf("another core: %+v", m)
	}
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	if m := lookAtModule(path); m.Beside != coreAbsent {
		t.Errorf("no core: %+v", m)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if m := lookAtModule(path); m.Open != 0o022 {
		t.Errorf("writable: %+v", m)
	}

	other := filepath.Join(t.TempDir(), "other.so")
	library(t, other, functions(3))
	if m := lookAtModule(other); m.Problem != "" || m.Exports != 3 || m.Carries {
		t.Errorf("another module: %+v", m)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":        {nil, "it is empty"},
		"text":         {[]byte("#!/bin/sh\n"), "no shared library for Linux"},
		"Windows":      {[]byte("MZ\x90\x00"), "for Windows"},
		"macOS":        {[]byte{0xcf, 0xfa, 0xed, 0xfe, 0}, "for macOS"},
		"head only":    {data[:80], "headers cannot be read"},
		"cut":          {data[:len(data)/2], ""},
		"arm":          {machine(data, 40), "this machine is"},
		"object file":  {kind(data, 1), "no shared library"},
		"broken table": {bytes.Replace(data, []byte("C_F67\x00"), []byte("\xff\xff\xff\xff\xff\x00"), 1), "?"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "m.so")
			write(file, c.data)
			m := lookAtModule(file)
			switch {
			case c.want == "?":
				if m.Exports != 67 {
					t.Errorf("%+v", m)
				}
			case m.Problem == "" || m.Cure == "" || !strings.Contains(m.Problem, c.want):
				t.Errorf("%+v", m)
			}
		})
	}
	for _, file := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none.so")} {
		if m := lookAtModule(file); m.Problem == "" || m.Cure == "" {
			t.Errorf("%+v", m)
		}
	}
}

func machine(data []byte, m byte) []byte { d := bytes.Clone(data); d[18] = m; return d }
func kind(data []byte, k byte) []byte    { d := bytes.Clone(data); d[16] = k; return d }

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"2.28", "2.4", true}, {"2.4", "2.28", false}, {"2.3.4", "2.3", true}, {"2.28", "", true}, {"", "2.28", false}, {"PRIVATE", "2.2", false}, {"2.28", "2.28", false},
	} {
		if newer(c.a, c.b) != c.want {
			t.Errorf("%s newer than %s: %v", c.a, c.b, !c.want)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		prepare func(path string) error
		check   func(*Folder) bool
	}{
		"missing":   {func(string) error { return nil }, func(f *Folder) bool { return f.Missing && f.Problem == "" }},
		"mine":      {func(p string) error { return os.Mkdir(p, 0o755) }, func(f *Folder) bool { return *f == Folder{Path: f.Path} }},
		"a file":    {func(p string) error { return os.WriteFile(p, nil, 0o600) }, func(f *Folder) bool { return strings.Contains(f.Problem, "not a folder") }},
		"open":      {func(p string) error { return os.Mkdir(p, 0o700) }, func(f *Folder) bool { return !f.OpenToAll }},
		"wide open": {func(p string) error { return errorsJoin(os.Mkdir(p, 0o700), os.Chmod(p, 0o777)) }, func(f *Folder) bool { return f.OpenToAll }},
		"sticky":    {func(p string) error { return errorsJoin(os.Mkdir(p, 0o700), os.Chmod(p, 0o777|os.ModeSticky)) }, func(f *Folder) bool { return !f.OpenToAll }},
	} {
		path := filepath.Join(dir, name)
		if err := c.prepare(path); err != nil {
			t.Fatal(err)
		}
		if f := lookAtFolder(path); !c.check(f) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := lookAtFolder(filepath.Join(dir, "a file", "log")); f.Problem == "" {
		t.Errorf("%+v", f)
	}
	file := filepath.Join(dir, "a file")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if f := lookAtFile(file); f.Mode != 0o644 || f.Owner != "" || f.Err != nil {
		t.Errorf("%+v", f)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(file, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if f := lookAtFile(file); f.Owner == "" {
			t.Errorf("%+v", f)
		}
	}
}

func errorsJoin(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Foreign files never end the program, whatever their headers say.
func FuzzModule(f *testing.F) {
	path, core := product(f)
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(core)
	f.Add([]byte("MZ"))
	file := filepath.Join(f.TempDir(), "m.so")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m := lookAtModule(file)
		facts := &Facts{Module: m}
		if len(checkModule(facts)) == 0 {
			t.Error("nothing was said")
		}
	})
}
