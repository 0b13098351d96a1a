//go:build unix

package logfile

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPrepare: files for other programs are the user's alone, and what was in them stays.
func TestPrepare(t *testing.T) {
	for _, shared := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "logs")
		if err := prepareShared(dir, shared, "a.log", "b.log"); err != nil {
			t.Fatal(err)
		}
		want := os.FileMode(0o755)
		if shared {
			want = 0o777 | os.ModeSticky
		}
		if info, err := os.Stat(dir); err != nil || info.Mode()&(os.ModePerm|os.ModeSticky) != want {
			t.Errorf("folder: %v %v", info.Mode(), err)
		}
		for _, name := range []string{"a.log", "b.log"} {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", name, info, err)
			}
			if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := Prepare(dir, "a.log"); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(filepath.Join(dir, "a.log")); string(b) != "kept" {
			t.Errorf("a.log now holds %q", b)
		}
	}
}

// TestPrepareRefuses: nothing of another user, no links.
func TestPrepareRefuses(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(target, filepath.Join(dir, "hard.log")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link.log", "hard.log"} {
		if err := Prepare(dir, name); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if err := Prepare(target, "a.log"); err == nil {
		t.Error("a file was taken for the folder")
	}
	if os.Geteuid() != 0 {
		return // the rest needs files of other users
	}
	foreign := filepath.Join(dir, "foreign.log")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(foreign, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(dir, "foreign.log"); err != errForeign { //nolint:errorlint // as it is
		t.Errorf("another user's file: %v", err)
	}
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(dir, "new.log"); err != errOthersFolder { //nolint:errorlint // as it is
		t.Errorf("another user's folder: %v", err)
	}
}
