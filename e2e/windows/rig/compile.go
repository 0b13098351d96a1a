package winrig

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"signpath/e2e/rig"
)

// compilers are mingw's, by Go's name of the architecture.
var compilers = map[string]string{"amd64": "x86_64-w64-mingw32-gcc", "386": "i686-w64-mingw32-gcc"}

// flags of every C program; the older warnings are about attributes that mingw's own
// headers give to functions that the stand-ins define.
var flags = []string{"-O1", "-g0", "-s", "-static-libgcc", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-cast-function-type", "-D_WIN32_WINNT=0x0A00", "-DUNICODE", "-D_UNICODE"}

// Compile builds a program (NAME.exe) or a library (NAME.dll) from C for amd64 or 386
// and returns its path. The arguments are the compiler's: sources as paths from the
// test's folder, libraries, more flags. What was built from the same sources with the
// same arguments is taken again.
func Compile(t *testing.T, arch, name string, args ...string) string {
	t.Helper()
	p, err := compile(arch, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var compiling sync.Mutex

func compile(arch, name string, args ...string) (string, error) {
	cc, known := compilers[arch]
	if !known {
		return "", fmt.Errorf("no compiler for %s", arch)
	}
	version, err := exec.Command(cc, "-dumpfullversion").Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w (install gcc-mingw-w64)", cc, err)
	}
	line := append([]string{}, flags...)
	if filepath.Ext(name) == ".dll" {
		line = append(line, "-shared", "-Wl,--kill-at") // names on 386 without @ and the bytes of the arguments
	}
	line = append(line, args...)
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %q\n", cc, version, line)
	for _, a := range args {
		// Beside a source may lie its headers: all of the folder count.
		if e := filepath.Ext(a); e != ".c" {
			continue
		}
		for _, pattern := range []string{"*.c", "*.h", "*.def"} {
			found, err := filepath.Glob(filepath.Join(filepath.Dir(a), pattern))
			if err != nil {
				return "", err
			}
			for _, f := range found {
				b, err := os.ReadFile(f)
				if err != nil {
					return "", err
				}
				fmt.Fprintf(h, "%s %d\n%s", filepath.Base(f), len(b), b)
			}
		}
	}
	dir := cache("compiled", hex.EncodeToString(h.Sum(nil))[:24])
	out := filepath.Join(dir, name)
	compiling.Lock()
	defer compiling.Unlock()
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// A name of its own until it is whole: another package may build the same.
	part, err := os.MkdirTemp(dir, "part-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(part) }()
	built := filepath.Join(part, name)
	if text, err := exec.Command(cc, append([]string{"-o", built}, line...)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", cc, strings.Join(line, " "), err, text)
	}
	return out, os.Rename(built, out)
}

// GoProgram builds a Go program for Windows, without cgo, and returns its path. dir is
// a folder below the test's; more are NAME=value pairs for the build's environment.
func GoProgram(t *testing.T, arch, dir string, more ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(dir)+".exe")
	env := append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH="+arch)
	rig.Run(t, append(env, more...), "go", "build", "-C", dir, "-trimpath", "-o", out, ".").OK(t)
	return out
}
