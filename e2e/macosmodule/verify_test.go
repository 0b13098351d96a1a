package macosmodule

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// standins are the programs of macOS that verify.sh calls.
var standins = strings.Fields("sw_vers codesign spctl lipo open pgrep pluginkit security pkgbuild productsign pkgutil killall lsregister")

// TestVerifyScript: packaging/macos/verify.sh with stand-ins for macOS's programs, and
// the real pkcs11-tool, ssh-keygen, Python and OpenSSL on the macOS half of the module.
func TestVerifyScript(t *testing.T) {
	s := rig.TheService(t)
	script := filepath.Join(rig.Root, "packaging", "macos", "verify.sh")
	library := rig.Program(t, "E2E_ASDARWIN")
	lineForm := regexp.MustCompile(`^[a-z0-9-]+\t(PASS|FAIL|ABSENT)\t[^\t]*$`)
	for i, c := range []struct {
		name, broken string
		args         []string
		failing      []string // the checks that fail
	}{
		{name: "all is well", args: []string{"--installer", "Developer ID Installer"}},
		{name: "no certificate for packages"},
		{name: "signing fails", broken: "codesign", failing: []string{"codesign-signs", "codesign-verifies", "codesign-runtime"}},
		{name: "everything is accepted", broken: "signatures", args: []string{"--installer", "Developer ID Installer"}, failing: []string{"codesign-refuses-changed", "productsign-refuses-changed"}},
		{name: "no entitlements", broken: "entitlements", failing: []string{"app-entitlements"}},
		{name: "no token", broken: "tokens", failing: []string{"tokens-listed"}},
		{name: "tokens stay", broken: "quit", failing: []string{"tokens-removed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			bin, app := filepath.Join(dir, "bin"), filepath.Join(dir, "SignPathCryptoTokenKit.app")
			for _, d := range []string{bin, app} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, n := range standins {
				if err := os.Symlink(rig.Must(filepath.Abs("testdata/standin")), filepath.Join(bin, n)); err != nil {
					t.Fatal(err)
				}
			}
			rig.Write(t, filepath.Join(dir, "signed"), []byte(strings.Fields(rig.Run(t, nil, "sha256sum", library).OK(t).Output)[0]+"\n"))
			report := filepath.Join(dir, "report")
			patience := "60"
			if c.broken == "tokens" || c.broken == "quit" { // what it waits for never comes
				patience = "1"
			}
			tl := s.Tool(t, "PATH="+bin+":"+os.Getenv("PATH"), "STATE="+dir, "BREAK="+c.broken, "VERIFY_LSREGISTER="+filepath.Join(bin, "lsregister"), "VERIFY_PATIENCE="+patience, "VERIFY_PAUSE=0")
			with := library
			if i > 0 { // once is enough
				with = filepath.Join(dir, "none")
			}
			r := tl.Run(t, "bash", append([]string{script, "--app", app, "--module", with, "--config", s.File("config.json"), "--report", report}, c.args...)...)
			lines := strings.Split(strings.TrimSpace(string(rig.Must(os.ReadFile(report)))), "\n")
			if lines[0] != "signpath macos verification 1" || !regexp.MustCompile(`^\d+ passed, \d+ failed, \d+ absent$`).MatchString(lines[len(lines)-1]) {
				t.Errorf("head %q, end %q", lines[0], lines[len(lines)-1])
			}
			var failing []string
			for _, l := range lines[1 : len(lines)-1] {
				if !lineForm.MatchString(l) {
					t.Errorf("line %q", l)
				}
				if f := strings.Split(l, "\t"); f[1] == "FAIL" {
					failing = append(failing, f[0])
				}
			}
			if strings.Join(failing, " ") != strings.Join(c.failing, " ") {
				t.Errorf("failing: %q, want %q\n%s", failing, c.failing, strings.Join(lines, "\n"))
			}
			if len(c.failing) > 0 {
				r.Fails(t)
			} else {
				r.OK(t)
				wanted := []string{"tokens-removed\tPASS", "ctkd-survived\tPASS", "codesign-refuses-changed\tPASS"}
				if i == 0 {
					wanted = append(wanted, "module-signs\tPASS", "module-refuses-changed\tPASS", "module-ssh-keygen\tPASS", "module-fork\tPASS", "productsign-refuses-changed\tPASS")
				}
				for _, want := range wanted {
					r.Says(t, want)
				}
			}
			if i == 0 {
				s.Nowhere(t, s.Env["SIGNPATH_API_TOKEN"], tl, r)
			}
		})
	}
}
