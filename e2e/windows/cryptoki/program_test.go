package cryptoki

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

func program(t *testing.T) string {
	t.Helper()
	return seen(t, winrig.DLL(t, arch(), "signpath.exe"))
}

// TestVersion: both programs say what they are.
func TestVersion(t *testing.T) {
	t.Parallel()
	tl := prefix(t).Bare(t)
	version := strings.TrimSpace(string(rig.Must(os.ReadFile(filepath.Join(rig.Root, "VERSION")))))
	tl.Run(t, program(t), "version").OK(t).Says(t, "signpath "+version+" ").Says(t, "windows/"+arch())
	tl.Run(t, seen(t, winrig.DLL(t, arch(), "notation-signpath.exe")), "get-plugin-metadata").OK(t).Says(t, `"name":"signpath"`)
}

// TestDoctor: another process loads the module and begins it; what is broken is told.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	tl := tool(t, s)
	type check struct {
		Check, Status string
		Text          string `json:"finding"`
	}
	examine := func(t *testing.T, module string) (found check) {
		t.Helper()
		r := tl.Run(t, program(t), "doctor", "--json", "--module", module)
		var document struct{ Checks []check }
		at := strings.Index(r.Output, "{")
		if at < 0 {
			t.Fatalf("no document:\n%s", r.Output)
		}
		if err := json.NewDecoder(strings.NewReader(r.Output[at:])).Decode(&document); err != nil {
			t.Fatalf("%v:\n%s", err, r.Output)
		}
		for _, c := range document.Checks {
			if c.Check == "module" {
				found = c
			}
		}
		return found
	}
	dll := rig.Must(os.ReadFile(winrig.DLL(t, arch(), "SignPath.Cryptoki.dll")))
	another := winrig.Compile(t, arch(), "another.dll", "testdata/another.c")
	dying := winrig.Compile(t, arch(), "dying.dll", "-DDYING", "testdata/another.c")
	for name, c := range map[string]struct {
		file   []byte
		status string
		text   string
	}{
		"the module":    {dll, "ok", "Another process loaded and began it (SignPath Cryptoki)"},
		"another one":   {rig.Must(os.ReadFile(another)), "note", "it is not the module of this product. Another process loaded it"},
		"one that dies": {rig.Must(os.ReadFile(dying)), "failed", "it ended the process that loaded it"},
		"a cut one":     {dll[:len(dll)/2], "failed", "its end is missing"},
		"for Linux":     {[]byte("\x7fELF\x02\x01\x01"), "failed", "it is a library for Linux"},
	} {
		t.Run(name, func(t *testing.T) {
			file := rig.Write(t, filepath.Join(t.TempDir(), "module.dll"), c.file)
			if got := examine(t, winrig.Path(file)); got.Status != c.status || !strings.Contains(got.Text, c.text) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestProgramSigns: signpath.exe signs and verifies, and says what was tampered with.
func TestProgramSigns(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	tl := tool(t, s)
	file, tampered, content := rig.Artifact(t)
	sig := filepath.Join(t.TempDir(), "f.sig")
	tl.Run(t, program(t), "sign", "--policy", id("rsa3072"), "--out", winrig.Path(sig), winrig.Path(file)).OK(t)
	rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", s.PublicKey(t, "rsa3072"), "-signature", sig, file).OK(t)
	rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", s.PublicKey(t, "rsa3072"), "-signature", sig, tampered).Fails(t)
	s.Audited(t, rig.SHA256Of(content), "rsa3072")
}

// TestDev: a whole service for development on Windows; a host there signs with it.
func TestDev(t *testing.T) {
	t.Parallel()
	w := prefix(t)
	dir := filepath.Join(t.TempDir(), "service")
	dev := w.Bare(t).Start(t, program(t), "dev", "--dir", winrig.Path(dir), "--keys", "p256")
	for begun := time.Now(); !strings.Contains(dev.Output(), "ready https://"); time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > 2*time.Minute {
			t.Fatalf("signpath.exe dev is not ready within two minutes\n%s", dev.Output())
		}
	}
	tl := w.Bare(t, "SIGNPATH_CONFIG_FILE="+filepath.Join(dir, "config.json"), "SIGNPATH_LOG_FILE_DIRECTORY="+t.TempDir())
	file, tampered, _ := rig.Artifact(t)
	sig := filepath.Join(t.TempDir(), "f.sig")
	tl.Run(t, host(t), module(t), "sign", pin, id("p256"), "ecdsa", winrig.Path(file), winrig.Path(sig)).OK(t)
	certificate := winrig.Path(filepath.Join(dir, "certificates", "p256.pem"))
	tl.Run(t, program(t), "verify", "--signature", winrig.Path(sig), "--certificate", certificate, winrig.Path(file)).OK(t).Says(t, "good")
	tl.Run(t, program(t), "verify", "--signature", winrig.Path(sig), "--certificate", certificate, winrig.Path(tampered)).Fails(t)
}
