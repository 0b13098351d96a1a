//go:build windows

package rights

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/windows"
)

// The access list is closed to inheritance and names three accounts.
func TestList(t *testing.T) {
	list, err := ownList()
	if err != nil {
		t.Fatal(err)
	}
	sd, err := windows.NewSecurityDescriptor()
	if err != nil {
		t.Fatal(err)
	}
	if err := sd.SetDACL(list, true, false); err != nil {
		t.Fatal(err)
	}
	self, err := user()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := entriesOf(list)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{self.String(): true, "S-1-5-18": true, "S-1-5-32-544": true}
	if len(entries) != len(want) {
		t.Errorf("%+v", entries)
	}
	for _, e := range entries {
		if !want[e.sid] || e.mask != allAccess || e.inheritOnly {
			t.Errorf("%+v", e)
		}
	}
}

// Wine keeps a mode only, so what others may is for TestList; here the user must not
// be locked out.
func TestKeep(t *testing.T) {
	dir, err := os.MkdirTemp("", "rights ä ")
	if err != nil {
		t.Fatal(err)
	}
	file, folder := filepath.Join(dir, "geheim.txt"), filepath.Join(dir, "folder")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, folder} {
		if err := Keep(path); err != nil {
			t.Fatal(err)
		}
		if o, err := Look(path); err != nil || len(o.Write) > 0 || o.Owner != "" {
			t.Errorf("%s: %+v, %v", path, o, err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "later"), []byte("x"), 0o600); err != nil {
		t.Errorf("the user is out too: %v", err)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := Look(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing file has rights")
	}
	if err := Keep(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing file can be kept")
	}
}
