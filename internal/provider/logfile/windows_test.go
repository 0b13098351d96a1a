//go:build windows

package logfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"

	"signpath/internal/provider/settings"
)

// logConsole is for tests of Unix.
func logConsole(bool) {}

// Folders as people have them, and as administrators name them.
func TestFolders(t *testing.T) {
	dir := tempDir(t)
	long := filepath.Join(dir, strings.Repeat("long ", 20)+"x", strings.Repeat("länger ", 20)+"x", "end")
	unc := `\\localhost\` + strings.Replace(filepath.Join(dir, "share"), ":", "$", 1)
	if unc = strings.ReplaceAll(unc, "/", `\`); len(dir) > 1 && dir[0] != '\\' {
		if _, err := os.Stat(`\\localhost\` + dir[:1] + `$\`); err != nil {
			unc = `\\?\` + filepath.Join(dir, "share") // no shares here (Wine): at least a path with two backslashes
		}
	}
	for _, folder := range []string{filepath.Join(dir, "with spaces"), filepath.Join(dir, "größer 日本 й"), long, unc} {
		l := Open(Options{Interface: "KSP", Log: settings.Log{FileLevel: settings.LevelInfo, FileDirectory: folder}})
		l.Info("hello")
		l.Close()
		name := filepath.Join(folder, "SignPath.CryptoProviders.KSP.txt")
		data, err := os.ReadFile(name)
		if err != nil || !strings.HasSuffix(string(data), "hello\n") {
			t.Errorf("%s: %q, %v", folder, data, err)
		}
	}
}

// A process that has an old copy open does not keep others from rotating.
func TestRotationBesideReaders(t *testing.T) {
	dir := tempDir(t)
	l := Open(Options{Interface: "KSP", Log: settings.Log{FileLevel: settings.LevelInfo, FileDirectory: dir}})
	defer l.Close()
	l.file.limit = 200
	f := &folder{name: dir}
	for i := range 20 {
		l.Info("line", "number", i, "fill", strings.Repeat("x", 100))
		other, err := f.open("SignPath.CryptoProviders.KSP.txt")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.txt"))
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() > 400 {
			t.Errorf("%s: %v, %v", name, info.Size(), err)
		}
	}
	if len(files) != 1+maxCopies {
		t.Errorf("%d files", len(files))
	}
}

func TestOwnSuffix(t *testing.T) {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	if ownSuffix() != "."+u.User.Sid.String() || !strings.HasPrefix(ownSuffix(), ".S-1-") {
		t.Errorf("%q", ownSuffix())
	}
}

func TestLongPath(t *testing.T) {
	long := strings.Repeat("x", maxPlainPath)
	for path, want := range map[string]string{
		`C:\short`: `C:\short`, `C:\` + long: `\\?\C:\` + long, `\\host\share\` + long: `\\?\UNC\host\share\` + long, `\\?\C:\` + long: `\\?\C:\` + long, long: long,
	} {
		if got := longPath(path); got != want {
			t.Errorf("%s becomes %s", path, got)
		}
	}
}
