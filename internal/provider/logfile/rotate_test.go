//go:build unix

package logfile

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"signpath/internal/provider/settings"
)

func TestPermissions(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "shared")
	f, err := openFolderShared(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	f.close()
	if info, err := os.Stat(dir); err != nil || info.Mode() != os.ModeDir|os.ModeSticky|0o777 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	l := Open(Options{Interface: "Cryptoki", Log: settings.Log{FileLevel: settings.LevelInfo, FileDirectory: dir}})
	defer l.Close()
	syscall.Umask(0)
	l.Info("x")
	if info, err := os.Stat(filepath.Join(dir, base+".txt")); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	// An existing folder is left as it is.
	plain := t.TempDir()
	if err := os.Chmod(plain, 0o700); err != nil {
		t.Fatal(err)
	}
	if f, err := openFolderShared(plain, true); err != nil {
		t.Error(err)
	} else {
		f.close()
	}
	if info, _ := os.Stat(plain); info.Mode().Perm() != 0o700 {
		t.Error(info.Mode())
	}
}

// What others may have put in the way. Never a write to it, never a wait.
func TestObstacles(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir, file string)
		own     bool // the line goes to the user's own name instead
	}{
		{"symbolic link", func(t *testing.T, _, file string) { must(t, os.Symlink(victim, file)) }, true},
		{"hard link", func(t *testing.T, _, file string) {
			must(t, os.WriteFile(victim, nil, 0o600))
			must(t, os.Link(victim, file))
		}, true},
		{"named pipe", func(t *testing.T, _, file string) { must(t, unix.Mkfifo(file, 0o600)) }, true},
		{"folder in place of the file", func(t *testing.T, _, file string) { must(t, os.Mkdir(file, 0o700)) }, true},
		{"file in place of the folder", func(t *testing.T, dir, _ string) {
			must(t, os.Remove(dir))
			must(t, os.WriteFile(dir, nil, 0o600))
		}, false},
		{"link to nowhere in place of the folder", func(t *testing.T, dir, _ string) {
			must(t, os.Remove(dir))
			must(t, os.Symlink("/nowhere", dir))
		}, false},
		{"both names taken", func(t *testing.T, dir, file string) {
			must(t, os.Mkdir(file, 0o700))
			must(t, os.Mkdir(filepath.Join(dir, base+ownSuffix()+".txt"), 0o700))
		}, false},
	}
	for _, tt := range tests {
		dir := filepath.Join(t.TempDir(), "logs")
		must(t, os.Mkdir(dir, 0o700))
		_ = os.Remove(victim)
		tt.prepare(t, dir, filepath.Join(dir, base+".txt"))
		l := Open(Options{Interface: "Cryptoki", Log: settings.Log{FileLevel: settings.LevelInfo, FileDirectory: dir}})
		begin := time.Now()
		l.Info("line")
		l.Info("line")
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("%s: took %v", tt.name, d)
		}
		l.Close()
		if data, _ := os.ReadFile(victim); len(data) > 0 {
			t.Errorf("%s: the victim was written to", tt.name)
		}
		data, _ := os.ReadFile(filepath.Join(dir, base+ownSuffix()+".txt"))
		if got := strings.Count(string(data), "\n"); tt.own != (got == 2) {
			t.Errorf("%s: %d lines in the user's own file", tt.name, got)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A file of another user is not written to, and its owner cannot be read.
func TestForeignFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can make a file of another user; the rest of the rule is tested by TestObstacles")
		return
	}
	dir := t.TempDir()
	foreign := filepath.Join(dir, base+".txt")
	must(t, os.WriteFile(foreign, nil, 0o666))
	must(t, os.Chown(foreign, 12345, 12345))
	l := Open(Options{Interface: "Cryptoki", Log: settings.Log{FileLevel: settings.LevelInfo, FileDirectory: dir}})
	defer l.Close()
	l.Info("line")
	if data, _ := os.ReadFile(foreign); len(data) != 0 {
		t.Error("a line in another user's file")
	}
	if got := l.Path(); got != filepath.Join(dir, base+".uid0.txt") {
		t.Error(got)
	}
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	if f, err := openFolder(link); err != nil {
		t.Error("a link of one's own must work:", err)
	} else {
		f.close()
	}
	must(t, os.Lchown(link, 12345, 12345))
	if f, err := openFolder(link); err == nil {
		f.close()
		t.Error("another user's link is followed")
	}
}

// Deleted or renamed by others: the next line makes a new file.
func TestFileGoesAway(t *testing.T) {
	l := open(t, settings.LevelInfo)
	l.Info("one")
	must(t, os.Rename(l.Path(), l.Path()+".moved"))
	l.Info("two")
	must(t, os.RemoveAll(l.options.Log.FileDirectory))
	l.Info("three")
	if got := texts(t, content(t, l)); len(got) != 1 || got[0] != "three" {
		t.Errorf("%q", got)
	}
}

// A host that has closed its standard streams must not find them replaced.
func TestDescriptorsAboveTwo(t *testing.T) {
	l := open(t, settings.LevelInfo)
	saved, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 100)
	must(t, err)
	must(t, unix.Close(0))
	l.Info("x")
	_, err = unix.FcntlInt(0, unix.F_GETFD, 0)
	must(t, unix.Dup2(saved, 0))
	_ = unix.Close(saved)
	if err != unix.EBADF {
		t.Error("descriptor 0 was taken")
	}
	if len(texts(t, content(t, l))) != 1 {
		t.Error("no line")
	}
}

// Another process sits on the lock: lines go on in the large file.
func TestLockTaken(t *testing.T) {
	l := open(t, settings.LevelInfo)
	l.file.limit = 100
	l.Info("one")
	lock, err := l.file.dir.lock(base+".lock", 0)
	must(t, err)
	begin := time.Now()
	for range 20 {
		l.Info("more")
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
	if n := len(texts(t, content(t, l))); n != 21 {
		t.Errorf("%d lines", n)
	}
	must(t, lock.Close())
	l.file.noRotate = time.Time{}
	l.Info("again")
	if n := len(texts(t, content(t, l))); n != 1 {
		t.Errorf("%d lines after the lock came back", n)
	}
}

func logConsole(stdout bool) {
	l := Open(Options{Interface: "Cryptoki", Log: settings.Log{ConsoleLevel: settings.LevelInfo, ConsoleStdout: stdout, FileLevel: settings.LevelInfo, FileDirectory: "/dev/null/x"}})
	for i := range 2000 {
		l.Info("console", "number", i, "fill", strings.Repeat("x", 100))
	}
	l.Debug("not this")
	_ = os.WriteFile("/dev/fd/3", []byte("alive"), 0)
}

// runConsole starts a process that logs to a console and tells on descriptor 3
// that it came through.
func runConsole(t *testing.T, stream string, set func(*exec.Cmd)) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	r, w, err := os.Pipe()
	must(t, err)
	c := exec.Command(exe, "log-console", stream)
	c.ExtraFiles = []*os.File{w}
	set(c)
	begin := time.Now()
	err = c.Run()
	_ = w.Close()
	alive, _ := io.ReadAll(r)
	if err != nil || string(alive) != "alive" {
		t.Errorf("%s: %v %q", stream, err, alive)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestConsole(t *testing.T) {
	for _, stream := range []string{"stdout", "stderr"} {
		var out, other bytes.Buffer
		runConsole(t, stream, func(c *exec.Cmd) {
			c.Stdout, c.Stderr = &out, &other
			if stream == "stderr" {
				c.Stdout, c.Stderr = &other, &out
			}
		})
		got := texts(t, out.String())
		if other.Len() != 0 || len(got) != 2001 {
			t.Errorf("%s: %d lines, %q on the other", stream, len(got), other.String())
			continue
		}
		if !strings.HasPrefix(got[0], "there is no log file: ") || !strings.HasSuffix(got[0], "directory=/dev/null/x") {
			t.Errorf("%q", got[0])
		}
	}
}

// Broken, closed and full streams neither end nor hold up the host.
func TestHostileConsoles(t *testing.T) {
	runConsole(t, "stderr", func(c *exec.Cmd) { // broken pipe
		r, w, err := os.Pipe()
		must(t, err)
		must(t, r.Close())
		c.Stderr = w
		t.Cleanup(func() { _ = w.Close() })
	})
	runConsole(t, "stdout", func(c *exec.Cmd) { // nobody reads
		r, w, err := os.Pipe()
		must(t, err)
		c.Stdout = w
		t.Cleanup(func() { _ = w.Close(); _ = r.Close() })
	})
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		defer func() { _ = full.Close() }()
		runConsole(t, "stdout", func(c *exec.Cmd) { c.Stdout = full })
	}
}
