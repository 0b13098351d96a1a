// Package winrig is the Windows of the end-to-end tests: Wine prefixes in which
// unmodified Windows programs load the built providers. A family of tests is a package
// beside this one whose TestMain is rig.Main of e2e/rig.
//
//	w := winrig.Stock(t)                                  // one prefix and wineserver per test package
//	exe := winrig.Compile(t, "amd64", "probe.exe", "testdata/probe.c", "-lncrypt")
//	tl := w.Tool(t, rig.TheService(t), "KSP")             // settings of the service; whose log InLog reads
//	tl.Run(t, exe, "argument").OK(t).Says(t, "signed")
//
// Stock is Wine as Debian packs it, with one DLL that Go's runtime needs (and Windows
// has). Taught has the stand-ins of the folder dlls as well, through which programs that
// know nothing of Wine reach key storage providers: see README.md. Own is a third one,
// for a test that breaks or changes it. In all of them SignPathKSP and SignPathCSP are
// registered as an installation registers them, if the build has their DLLs.
//
// Environment: E2E_DIST points to …/linux-amd64; the build for Windows is the folder
// windows-amd64 (windows-386) beside it. E2E_I386 names an i386 root of Debian 12 with
// wine32, where 32-bit programs run.
package winrig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// Dist is the folder of the build for Windows: windows-amd64, windows-386.
func Dist(arch string) string { return filepath.Join(filepath.Dir(rig.Dist), "windows-"+arch) }

// DLL is the path of a file of the build; the test fails if it is not there.
func DLL(t *testing.T, arch, name string) string {
	t.Helper()
	p := filepath.Join(Dist(arch), name)
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("%v (run scripts/build windows-%s)", err, arch)
	}
	return p
}

// Path is how a Windows program calls a file of this machine: Z:\home\….
func Path(file string) string {
	return "Z:" + strings.ReplaceAll(file, "/", `\`)
}

// cache is for what the tests of several packages share and can be made again.
func cache(name ...string) string {
	return filepath.Join(append([]string{rig.Root, ".cache", "windows"}, name...)...)
}
