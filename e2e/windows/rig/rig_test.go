package winrig_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

func TestProgramsRun(t *testing.T) {
	exe := winrig.Compile(t, "amd64", "probe.exe", "testdata/probe.c", "-municode")
	for name, w := range map[string]*winrig.Prefix{"stock": winrig.Stock(t), "taught": winrig.Taught(t)} {
		t.Run(name, func(t *testing.T) {
			tl := w.Bare(t, "SIGNPATH_LOG_FILE_DIRECTORY=/some/logs", "PLAIN=/not/a/setting")
			tl.Run(t, exe, "env", "SIGNPATH_LOG_FILE_DIRECTORY", "env", "PLAIN").OK(t).Says(t, `Z:\some\logs`+"\n/not/a/setting\n64 bits")
			tl.Run(t, exe, "nonsense").Fails(t)
			tl.Run(t, exe, "load", "bcryptprimitives.dll", "load", "crypt32.dll", "load", "ncrypt.dll").OK(t)
		})
	}
}

func TestRegistry(t *testing.T) {
	w := winrig.Stock(t)
	w.Import(t, "[HKEY_CURRENT_USER\\Software\\Probe]\n\"text\"=\"ä\\\\b\"\n@=\"default\"\n\"number\"=dword:00000018\n")
	key := `HKCU\Software\Probe`
	for name, want := range map[string]string{"number": "0x18", "": "default", "missing": ""} {
		if got := w.Value(t, key, name); got != want {
			t.Errorf("%q is %q, not %q", name, got, want)
		}
	}
	if text := w.Export(t, `HKEY_CURRENT_USER\Software\Probe`); !strings.Contains(text, `"text"="ä\\b"`) {
		t.Errorf("the export is\n%s", text)
	}
}

// TestOwnPrefix shows that a prefix ends with its test, and that what happens in it
// does not reach the others.
func TestOwnPrefix(t *testing.T) {
	var dir string
	t.Run("in use", func(t *testing.T) {
		w := winrig.Own(t, false)
		dir = w.Dir
		w.Import(t, "[HKEY_CURRENT_USER\\Software\\Mine]\n@=\"here\"\n")
		if got := w.Value(t, `HKCU\Software\Mine`, ""); got != "here" {
			t.Errorf("the value is %q", got)
		}
		if got := winrig.Stock(t).Value(t, `HKCU\Software\Mine`, ""); got != "" {
			t.Errorf("the other prefix has %q", got)
		}
		if err := w.Put(rig.Write(t, filepath.Join(t.TempDir(), "x.dll"), []byte("changed")), w.System32("winver.exe")); err != nil {
			t.Fatal(err)
		}
		if b := rig.Must(os.ReadFile(winrig.Stock(t).System32("winver.exe"))); string(b) == "changed" {
			t.Error("a file of the template was changed")
		}
	})
	if _, err := os.Stat(dir); err == nil {
		t.Error("the prefix is still there")
	}
}
