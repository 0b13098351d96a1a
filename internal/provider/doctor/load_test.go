//go:build linux

package doctor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// helper is a stand-in for signpath-hsm: it answers what the test says.
func helper(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "helper")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil { //nolint:gosec // it is to run
		t.Fatal(err)
	}
	return path
}

// What another process says about loading the module is what the check says.
func TestTryModule(t *testing.T) {
	path, _ := product(t)
	for _, c := range []struct {
		what, script string
		refused      string // part; "" for a module that loads
		with         string
		library      string
	}{
		{"loaded", `echo noise; echo '{"library":"SignPath"}'`, "", "signpath-hsm", "SignPath"},
		{"refused by the loader", `echo '{"step":"begin"}'; echo '{"step":"load","error":"libx.so: cannot open shared object file"}'; exit 3`, "libx.so: cannot open shared object file", "signpath-hsm", ""},
		{"refused by itself", `echo '{"step":"initialize","error":"CKR_GENERAL_ERROR"}'; exit 3`, "C_Initialize: CKR_GENERAL_ERROR", "signpath-hsm", ""},
		{"crashed", `echo '{"step":"begin"}'; echo SIGSEGV: bad >&2; exit 2`, "SIGSEGV: bad", "signpath-hsm", ""},
		{"another version of the helper", `echo unknown flag >&2; exit 2`, "", "the dynamic loader", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := lookAtModule(path)
			m.try(t.Context(), helper(t, c.script), os.Environ())
			if m.TriedWith != c.with || m.Library != c.library || (m.Refused == "") != (c.refused == "") || !strings.Contains(m.Refused, c.refused) {
				t.Errorf("%+v", m)
			}
			findings := checkModule(&Facts{Module: m})
			if (findings[0].Status == Failed) != (c.refused != "") || !strings.Contains(findings[0].Text, c.refused) {
				t.Errorf("%+v", findings)
			}
		})
	}
}

// Without the helper the dynamic loader finds what is missing, symbols too.
func TestTryModuleWithLoader(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lib.so")
	library(t, path, "extern int nowhere(void);\nint C_Foo(void) { return nowhere(); }\n"+functions(68))
	m := lookAtModule(path)
	m.try(t.Context(), "", os.Environ())
	if m.TriedWith != "the dynamic loader" || !strings.Contains(m.Refused, "nowhere") {
		t.Errorf("%+v", m)
	}
}

// The process that loads a module gets no token and writes no log.
func TestTryEnvironment(t *testing.T) {
	got := strings.Join(tryEnvironment([]string{"A=b", "SIGNPATH_API_TOKEN=s3cret", "SIGNPATH_LOG_FILE_LEVEL=debug", "LD_LIBRARY_PATH=/x"}), "\n")
	if strings.Contains(got, "s3cret") || strings.Contains(got, "debug") || !strings.Contains(got, "A=b") || !strings.Contains(got, "LD_LIBRARY_PATH=/x") || !strings.Contains(got, "SIGNPATH_LOG_FILE_LEVEL=none") {
		t.Errorf("%s", got)
	}
}

// The real helper loads a real module, and says what the loader says of a broken one.
func TestTryModuleForReal(t *testing.T) {
	worker := filepath.Join(t.TempDir(), "signpath-hsm")
	if out, err := exec.Command("go", "build", "-o", worker, "signpath/cmd/signpath-hsm").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	good := filepath.Join(t.TempDir(), "good.so")
	library(t, good, "static unsigned long list[100];\nunsigned long C_GetFunctionList(void **p) { *p = list; return 0; }\n")
	m := lookAtModule(good)
	m.try(t.Context(), worker, os.Environ())
	if m.TriedWith != "signpath-hsm" || m.Refused != "" {
		t.Errorf("%+v", m)
	}
	for what, code := range map[string]string{
		"undefined symbol: nowhere":   "extern int nowhere(void);\nint C_Foo(void) { return nowhere(); }\n",
		"it has no C_GetFunctionList": "int C_Foo(void) { return 0; }\n",
		"it ended the process":        "#include <stdlib.h>\n__attribute__((constructor)) static void die(void) { abort(); }\nint C_Foo(void) { return 0; }\n",
	} {
		bad := filepath.Join(t.TempDir(), "bad.so")
		library(t, bad, code)
		m := lookAtModule(bad)
		m.try(t.Context(), worker, os.Environ())
		if m.TriedWith != "signpath-hsm" || !strings.Contains(m.Refused, what) {
			t.Errorf("%s: %+v", what, m)
		}
	}
}
