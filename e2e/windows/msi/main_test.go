// Package msi proves the packages for Windows Installer under Wine: what each choice of
// features installs, what an upgrade keeps, what a removal leaves, that signatures are
// there and break, and that the same files in give the same package out.
//
// Most tests install stand-ins for the built DLLs, made here with a version of their
// own; TestPackage makes and installs the real ones. It needs scripts/build linux-amd64
// windows-amd64.
package msi

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

const (
	programs = `C:\Program Files\SignPath\CryptoProviders\`
	system   = `SYSTEM\CurrentControlSet\Control\Cryptography\`
	kspKey   = `HKLM\` + system + `Providers\SignPathKSP`
	listKey  = `HKLM\` + system + `Configuration\Local\Default\00010001\KEY_STORAGE`
	cspKey   = `HKLM\SOFTWARE\Microsoft\Cryptography\Defaults\Provider\SignPathCSP`
	csp32Key = `HKLM\SOFTWARE\Wow6432Node\Microsoft\Cryptography\Defaults\Provider\SignPathCSP`
	envKey   = `HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment`
)

// microsoft is what stands in the list of key storage providers on a Windows machine.
var microsoft = []string{"Microsoft Software Key Storage Provider", "Microsoft Smart Card Key Storage Provider"}

// tools are the program that makes packages and the installer's actions, built once.
var tools = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "signpath-msi-tools-")
	if err != nil {
		return "", err
	}
	rig.AtEnd(func() { _ = os.RemoveAll(dir) })
	for _, line := range [][]string{
		{"go", "build", "-o", filepath.Join(dir, "msi"), "./packaging/windows/msi"},
		{"packaging/windows/action/build", "amd64", filepath.Join(dir, "action-amd64.dll")},
		{"packaging/windows/action/build", "386", filepath.Join(dir, "action-386.dll")},
	} {
		c := exec.Command(line[0], line[1:]...)
		c.Dir = rig.Root
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(line, " "), err, out)
		}
	}
	return dir, nil
})

var compilers = map[string]string{"amd64": "x86_64-w64-mingw32-gcc-win32", "386": "i686-w64-mingw32-gcc-win32"}

// dists are folders with stand-ins by version.
var dists sync.Map

// standIns makes windows-amd64 and windows-386 with small files that say which version
// and architecture they are of.
func standIns(t *testing.T, version string) string {
	t.Helper()
	make := sync.OnceValue(func() string {
		dir := rig.Must(os.MkdirTemp("", "signpath-msi-dist-"))
		rig.AtEnd(func() { _ = os.RemoveAll(dir) })
		for _, arch := range []string{"amd64", "386"} {
			for _, name := range []string{"SignPath.Ksp.dll", "SignPath.Csp.dll", "SignPath.Cryptoki.dll", "signpath.exe"} {
				object := filepath.Join(dir, arch+name+".o")
				rig.Run(t, nil, "python3", filepath.Join(rig.Root, "scripts", "platforms", "pe.py"), "resource", arch, version, name, "stand-in", object).OK(t)
				to := filepath.Join(dir, "windows-"+arch, name)
				_ = os.MkdirAll(filepath.Dir(to), 0o755)
				args := []string{"-Os", "-s", "-Wl,--no-insert-timestamp", fmt.Sprintf(`-DANSWER="%s %s %s"`, name, arch, version), "-o", to, filepath.Join("testdata", "standin.c"), object}
				if filepath.Ext(name) == ".dll" {
					args = append(args, "-shared")
				}
				rig.Run(t, nil, compilers[arch], args...).OK(t)
			}
		}
		return dir
	})
	f, _ := dists.LoadOrStore(version, make)
	return f.(func() string)()
}

// build makes a package of stand-ins and returns its path.
func build(t *testing.T, version string, more ...string) string {
	t.Helper()
	return buildFrom(t, standIns(t, version), append([]string{"-version", version}, more...)...)
}

func buildFrom(t *testing.T, dist string, more ...string) string {
	t.Helper()
	dir, err := tools()
	if err != nil {
		t.Fatal(err)
	}
	action := filepath.Join(dir, "action-amd64.dll")
	if strings.Contains(strings.Join(more, " "), "386") {
		action = filepath.Join(dir, "action-386.dll")
	}
	r := rig.Run(t, nil, filepath.Join(dir, "msi"), append([]string{"-source", rig.Root, "-out", t.TempDir(), "-dist", dist, "-action", action, "-epoch", "1700000000"}, more...)...).OK(t)
	return strings.TrimSpace(r.Output)
}

// machine is an empty Wine with Microsoft's entries in the list of providers.
type machine struct {
	*winrig.Prefix
	tl  *winrig.Tool
	log string // the installer's log of the last call
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	p := winrig.Empty(t)
	m := &machine{Prefix: p, tl: p.Bare(t)}
	m.list(t, microsoft...)
	// A 64-bit Windows has DLLs of 32 bits there; an empty folder would go with ours.
	rig.Write(t, m.C("windows", "syswow64", "kernel32.dll"), []byte("of Windows"))
	return m
}

// msiexec runs Windows Installer silently, as the documentation tells.
func (m *machine) msiexec(t *testing.T, what, file string, more ...string) *rig.Result {
	t.Helper()
	log := filepath.Join(t.TempDir(), "msi.log")
	r := m.tl.Run(t, "msiexec", append([]string{what, winrig.Path(file), "/qn", "/l*v", winrig.Path(log)}, more...)...)
	m.log = text(t, log)
	if r.Code != 0 {
		r.Output += tail(m.log)
	}
	return r
}

func tail(s string) string { return s[max(0, len(s)-6000):] }

// text reads a file that Wine may have written in UTF-16.
func text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("\x00", "", "\r\n", "\n", "\xff\xfe", "").Replace(string(b))
}

// list writes the list of key storage providers.
func (m *machine) list(t *testing.T, names ...string) {
	t.Helper()
	m.tl.Run(t, "reg", "add", listKey, "/v", "Providers", "/t", "REG_MULTI_SZ", "/d", strings.Join(names, `\0`), "/f").OK(t)
}

// known are all files that our packages install, and of which architecture.
var known = map[string]string{
	`C:\windows\system32\SignPath.Ksp.dll`: "amd64", `C:\windows\syswow64\SignPath.Ksp.dll`: "386",
	`C:\windows\system32\SignPath.Csp.dll`: "amd64", `C:\windows\syswow64\SignPath.Csp.dll`: "386",
	programs + "SignPath.Cryptoki.dll": "amd64", programs + "signpath.exe": "amd64",
	programs + "LICENSE.txt": "", programs + "CryptoProvidersConfig.json": "",
}

// at is where a Windows path of drive C: lies on this machine.
func (m *machine) at(path string) string {
	return m.C(strings.Split(strings.TrimPrefix(path, `C:\`), `\`)...)
}
