package msi

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// choice is a set of features and what it puts on the machine.
type choice struct {
	features string   // ADDLOCAL, "" for none
	files    []string // besides signpath.exe and LICENSE.txt, which come with each choice
	ksp      bool     // SignPathKSP is registered
	csp, w32 bool     // SignPathCSP is, for 64-bit and for 32-bit programs
	config   bool     // SIGNPATH_CONFIG_FILE is set
	path     bool     // signpath.exe is on the PATH
}

const (
	ksp64, ksp32, csp64, csp32 = `C:\windows\system32\SignPath.Ksp.dll`, `C:\windows\syswow64\SignPath.Ksp.dll`, `C:\windows\system32\SignPath.Csp.dll`, `C:\windows\syswow64\SignPath.Csp.dll`
	cryptoki, config           = programs + "SignPath.Cryptoki.dll", programs + "CryptoProvidersConfig.json"
)

var everything = []string{ksp64, ksp32, csp64, csp32, cryptoki, config}

var choices = []choice{
	{"", everything, true, true, true, true, false},
	{"KSP", []string{ksp64}, true, false, false, false, false},
	{"KSP,SignPathConfigAndEnv", []string{ksp64, config}, true, false, false, true, false},
	{"CSP", []string{csp64}, false, true, false, false, false},
	{"KSP32", []string{ksp64, ksp32}, true, false, false, false, false}, // brings the feature above it
	{"CSP,CSP32", []string{csp64, csp32}, false, true, true, false, false},
	{"Cryptoki", []string{cryptoki}, false, false, false, false, false},
	{"SignPathConfigAndEnv", []string{config}, false, false, false, true, false},
	{"KSP,CSP,Cryptoki,SignPathConfigAndEnv", []string{ksp64, csp64, cryptoki, config}, true, true, false, true, false},
	{"ALL", everything, true, true, true, true, true},
}

// holds asserts that the machine has what the choice says, of this version, and no more.
func (m *machine) holds(t *testing.T, c choice, version string) {
	t.Helper()
	want := append([]string{programs + "signpath.exe", programs + "LICENSE.txt"}, c.files...)
	for path, arch := range known {
		b, err := os.ReadFile(m.at(path))
		switch {
		case (err == nil) != slices.Contains(want, path):
			t.Errorf("%s is there: %v; wanted: %v", path, err == nil, slices.Contains(want, path))
		case err == nil && arch != "" && !strings.Contains(string(b), fmt.Sprintf("%s %s %s", filepath.Base(m.at(path)), arch, version)):
			t.Errorf("%s is not that of version %s for %s", path, version, arch)
		}
	}
	keys := m.registry(t)
	values := []struct {
		wanted           bool
		key, name, value string
	}{
		{c.ksp, kspKey + `\UM`, "Image", "SignPath.Ksp.dll"},
		{c.ksp, kspKey + `\UM\00010001`, "Flags", "dword:00000001"},
		{c.ksp, kspKey + `\UM\00010001`, "Functions", "KEY_STORAGE"},
		{c.csp, cspKey, "Image Path", csp64},
		{c.csp, cspKey, "Type", "dword:00000018"},
		{c.w32, csp32Key, "Image Path", csp32},
		{c.w32, csp32Key, "Type", "dword:00000018"},
		{c.config, envKey, "SIGNPATH_CONFIG_FILE", config},
		{true, `HKLM\SOFTWARE\SignPath\CryptoProviders`, "InstallDir", programs},
	}
	for _, v := range values {
		want := v.value
		if !v.wanted {
			want = ""
		}
		if got := keys.value(v.key, v.name); !strings.EqualFold(got, want) {
			t.Errorf("%s, %s is %q, not %q", v.key, v.name, got, want)
		}
	}
	list := slices.Clone(microsoft)
	if c.ksp {
		list = append(list, "SignPathKSP")
	}
	if got := strings.Split(keys.value(listKey, "Providers"), "|"); !slices.Equal(got, list) {
		t.Errorf("the list of key storage providers is %q, not %q", got, list)
	}
	if got := strings.Contains(keys.value(envKey, "PATH"), `SignPath\CryptoProviders`); got != c.path {
		t.Errorf("signpath.exe is on the PATH: %v", got)
	}
}

// TestInstaller is what a user does with a package, on one machine: each step leaves it
// as it was. The full matrix has every choice of features.
func TestInstaller(t *testing.T) {
	m := newMachine(t)
	before := m.snapshot(t)
	step := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			f(t)
			m.snapshot(t).same(t, before)
		})
	}
	for i, c := range choices {
		if rig.All || i == 0 {
			step("ADDLOCAL="+c.features, func(t *testing.T) { m.choice(t, c) })
		}
	}
	step("later", m.later)
	step("upgrade", m.upgrade)
	if rig.All {
		step("elsewhere", m.elsewhere)
	}
	step("wrong machine", m.wrongMachine)
}

// choice: a choice of features installs what it says and nothing else.
func (m *machine) choice(t *testing.T, c choice) {
	file := build(t, "0.1.0")
	var args []string
	if c.features != "" {
		args = []string{"ADDLOCAL=" + c.features}
	}
	m.msiexec(t, "/i", file, args...).OK(t)
	m.holds(t, c, "0.1.0")
	if strings.Contains(c.features, "Path") || c.path {
		defer func() { // Wine leaves the semicolon
			path := strings.TrimRight(m.registry(t).value(envKey, "PATH"), ";")
			m.tl.Run(t, "reg", "add", envKey, "/v", "PATH", "/t", "REG_EXPAND_SZ", "/d", path, "/f").OK(t)
		}()
	}
	m.msiexec(t, "/x", file).OK(t)
}

// later: a feature is added and another removed, nothing else changes; the variable is
// there for programs; a repair brings back what was lost.
func (m *machine) later(t *testing.T) {
	file := build(t, "0.1.0")
	m.msiexec(t, "/i", file, "ADDLOCAL=KSP,SignPathConfigAndEnv").OK(t)
	m.holds(t, choice{"", []string{ksp64, config}, true, false, false, true, false}, "0.1.0")
	m.msiexec(t, "/i", file, "ADDLOCAL=CSP").OK(t)
	m.tl.Run(t, "cmd", "/c", "echo [%SIGNPATH_CONFIG_FILE%]").OK(t).Says(t, "["+config+"]")
	for _, path := range []string{ksp64, csp64} {
		if err := os.Remove(m.at(path)); err != nil {
			t.Fatal(err)
		}
	}
	m.tl.Run(t, "reg", "delete", kspKey, "/f").OK(t)
	m.list(t, microsoft...)
	m.msiexec(t, "/i", file, "REINSTALL=ALL", "REINSTALLMODE=amus").OK(t)
	m.holds(t, choice{"", []string{ksp64, csp64, config}, true, true, false, true, false}, "0.1.0")
	m.msiexec(t, "/i", file, "REMOVE=KSP").OK(t)
	m.holds(t, choice{"", []string{csp64, config}, false, true, false, true, false}, "0.1.0")
	m.msiexec(t, "/x", file).OK(t)
}

// upgrade: a newer version takes the place of the older one and keeps an edited
// configuration; an older one is refused; so does the other line of packages take the
// place; a removal leaves the edited configuration and nothing else. (Wine does not carry
// the features over, as Windows does; so they are named.)
func (m *machine) upgrade(t *testing.T) {
	const features = "ADDLOCAL=KSP,SignPathConfigAndEnv"
	old, newer, ksp := build(t, "0.1.0"), build(t, "0.2.0"), build(t, "0.2.0", "-line", "ksp")
	m.msiexec(t, "/i", old, features).OK(t)
	edited := `{"OrganizationId": "7f3c2d10-5c3e-4b7a-9d52-0e6f1a2b3c4d"}`
	keeps := func() {
		t.Helper()
		if b, err := os.ReadFile(m.at(config)); err != nil || string(b) != edited {
			t.Errorf("the edited configuration is not kept: %v %s", err, b)
		}
	}
	m.msiexec(t, "/i", newer, features).OK(t)
	same := choice{"", []string{ksp64, config}, true, false, false, true, false} // the configuration is there, untouched
	m.holds(t, same, "0.2.0")
	rig.Write(t, m.at(config), []byte(edited))
	if n := m.registry(t).count("DisplayName", "SignPath Crypto Providers"); n != 1 {
		t.Errorf("%d of our packages are in the list of programs", n)
	}
	m.msiexec(t, "/i", old, features).Fails(t)
	m.refused(t)
	m.holds(t, same, "0.2.0")
	m.msiexec(t, "/i", ksp, features).OK(t)
	m.holds(t, same, "0.2.0")
	keeps()
	m.msiexec(t, "/x", ksp).OK(t)
	keeps()
	if err := os.RemoveAll(filepath.Dir(filepath.Dir(m.at(config)))); err != nil {
		t.Fatal(err)
	}
}

// refused asserts that the launch conditions ended the last call; Wine keeps the
// sentence to itself when it runs silently, TestTables has it.
func (m *machine) refused(t *testing.T) {
	t.Helper()
	if !strings.Contains(m.log, "LaunchConditions. Return value 0") || strings.Contains(m.log, "InstallValidate") {
		t.Errorf("the installation was not refused by its conditions:\n%s", tail(m.log))
	}
}

// elsewhere: another folder, which a later version finds again.
func (m *machine) elsewhere(t *testing.T) {
	const features = "ADDLOCAL=Cryptoki,SignPathConfigAndEnv"
	m.msiexec(t, "/i", build(t, "0.1.0"), features, `INSTALLDIR=C:\Tools\Sign Path\`).OK(t)
	m.msiexec(t, "/i", build(t, "0.2.0"), features).OK(t)
	for _, name := range []string{"SignPath.Cryptoki.dll", "CryptoProvidersConfig.json", "signpath.exe"} {
		if _, err := os.Stat(m.C("Tools", "Sign Path", name)); err != nil {
			t.Error(err)
		}
	}
	if got := m.registry(t).value(envKey, "SIGNPATH_CONFIG_FILE"); got != `C:\Tools\Sign Path\CryptoProvidersConfig.json` {
		t.Errorf("SIGNPATH_CONFIG_FILE is %q", got)
	}
	if _, err := os.Stat(m.at(programs + "signpath.exe")); err == nil {
		t.Error("the default folder has files, too")
	}
	m.msiexec(t, "/x", build(t, "0.2.0")).OK(t)
	_ = os.Remove(m.C("Tools")) // was not there before, and is not ours to remove
}

// wrongMachine: a package for another kind of Windows changes nothing.
func (m *machine) wrongMachine(t *testing.T) {
	m.msiexec(t, "/i", build(t, "0.1.0", "-arch", "386")).Fails(t)
	m.refused(t)
	set := func(processor string) {
		m.tl.Run(t, "reg", "add", envKey, "/v", "PROCESSOR_ARCHITECTURE", "/t", "REG_SZ", "/d", processor, "/f").OK(t)
	}
	set("ARM64")
	m.msiexec(t, "/i", build(t, "0.1.0")).Fails(t)
	m.refused(t)
	set("AMD64")
}

// snapshot is what a machine holds: files of drive C: with their length, and the
// registry's lines, each with its key.
type snapshot map[string]bool

// noise are places that Wine and its installer write to by themselves.
var noise = regexp.MustCompile(`(?i)^(file (users|windows[/\\](temp|Installer)|home)\b|registry \[[^\]]*(\\Installer|\\Control\\Video|\\Enum|\\Control\\Class|\\Services|\\Winmgmt|\\DeviceClasses|CurrentVersion\\Prefetcher)\b)`)

func (m *machine) snapshot(t *testing.T) snapshot {
	t.Helper()
	s := snapshot{}
	root := m.C()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := rig.Must(filepath.Rel(root, path))
		line := "file " + rel
		if !d.IsDir() {
			line += fmt.Sprintf(" %d", rig.Must(d.Info()).Size())
		}
		if !noise.MatchString(line) {
			s[line] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"HKEY_LOCAL_MACHINE", "HKEY_CURRENT_USER"} {
		for key, values := range parse(m.Export(t, root)) {
			lines := []string{"registry [" + key + "]"}
			for name, value := range values {
				lines = append(lines, "registry ["+key+"] "+name+"="+value)
			}
			for _, l := range lines {
				if !noise.MatchString(l) {
					s[l] = true
				}
			}
		}
	}
	return s
}

// keys is a part of the registry: key in capitals -> name in capitals -> value. Texts
// stand as they are, parts of a list are divided by |, the rest as in .reg files.
type keys map[string]map[string]string

func (m *machine) registry(t *testing.T) keys {
	t.Helper()
	return parse(m.Export(t, "HKEY_LOCAL_MACHINE"))
}

func (k keys) value(key, name string) string {
	return k[strings.ToUpper(strings.Replace(key, `HKLM\`, `HKEY_LOCAL_MACHINE\`, 1))][strings.ToUpper(name)]
}

// count counts the programs that are installed by a value.
func (k keys) count(name, value string) (n int) {
	for key, values := range k {
		if strings.Contains(key, `\CURRENTVERSION\UNINSTALL\`) && !strings.Contains(key, "WOW6432NODE") && values[strings.ToUpper(name)] == value {
			n++
		}
	}
	return n
}

var valueLine = regexp.MustCompile(`^("(?:[^"\\]|\\.)*"|@)=(.*)$`)

// parse reads the format of .reg files.
func parse(text string) keys {
	out := keys{}
	key := ""
	for _, l := range strings.Split(strings.ReplaceAll(text, "\\\n  ", ""), "\n") {
		if strings.HasPrefix(l, "[") {
			key = strings.ToUpper(strings.Trim(l, "[]"))
			out[key] = map[string]string{}
			continue
		}
		if p := valueLine.FindStringSubmatch(l); p != nil {
			out[key][strings.ToUpper(unquote(p[1]))] = decode(p[2])
		}
	}
	return out
}

func unquote(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(strings.Trim(s, `"`))
}

func decode(v string) string {
	if strings.HasPrefix(v, `"`) {
		return unquote(v)
	}
	kind, digits, _ := strings.Cut(v, ":")
	if kind != "hex(7)" && kind != "hex(2)" {
		return v
	}
	b, err := hex.DecodeString(strings.ReplaceAll(digits, ",", ""))
	if err != nil {
		return v
	}
	var parts []string
	for i := 0; i+1 < len(b); i += 2 {
		parts = append(parts, string(rune(int(b[i])|int(b[i+1])<<8)))
	}
	return strings.ReplaceAll(strings.Trim(strings.Join(parts, ""), "\x00"), "\x00", "|")
}

// same asserts that nothing came and nothing went.
func (s snapshot) same(t *testing.T, before snapshot) {
	t.Helper()
	var diff []string
	for l := range s {
		if !before[l] {
			diff = append(diff, "+ "+l)
		}
	}
	for l := range before {
		if !s[l] {
			diff = append(diff, "- "+l)
		}
	}
	slices.Sort(diff)
	if len(diff) > 0 {
		t.Errorf("the machine is not as it was:\n%s", strings.Join(diff[:min(len(diff), 40)], "\n"))
	}
}
