package logfile

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"signpath/internal/provider/settings"
)

const base = "SignPath.CryptoProviders.Cryptoki"

// TestMain lets the test program play other processes that log.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 5 && os.Args[1] == "log-lines": // folder, number of the process, number of lines
		logLines(os.Args[2], os.Args[3], os.Args[4])
	case len(os.Args) == 3 && os.Args[1] == "log-console":
		logConsole(os.Args[2] == "stdout")
	default:
		os.Exit(m.Run())
	}
}

func logLines(dir, process, lines string) {
	n, _ := strconv.Atoi(lines)
	l := Open(Options{Interface: "Cryptoki", Log: settings.Log{FileLevel: settings.LevelInfo, FileDirectory: dir}})
	l.file.limit = processLimit()
	_, _ = io.ReadAll(os.Stdin) // all begin when the test closes this
	for i := range n {
		l.Info("line", "process", process, "number", i, "fill", strings.Repeat("x", 20+i%50), "end", "end")
	}
}

// processLimit is the size of a file, so small that there are several.
func processLimit() int64 {
	if runtime.GOOS == "windows" {
		return 64 << 10 / 5
	}
	return 64 << 10
}

// Eight processes at once: no line is lost or torn, whatever is rotated.
func TestEightProcesses(t *testing.T) {
	const processes = 8
	lines := 300 // 8×300 lines of about 150 bytes: six files of 64 KiB hold them all
	if runtime.GOOS == "windows" {
		lines = 60 // Wine is slow
	}
	dir := tempDir(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var all []*exec.Cmd
	for p := range processes {
		c := exec.Command(exe, "log-lines", dir, strconv.Itoa(p), strconv.Itoa(lines))
		c.Stdin, c.Stderr = r, os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	_ = r.Close()
	_ = w.Close()
	for _, c := range all {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	seen := map[string]int{}
	files, _ := filepath.Glob(filepath.Join(dir, base+"*.txt"))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(data)) > processLimit()*3 { // on a busy machine a rotation may wait for the next second
			t.Errorf("%s has %d bytes", f, len(data))
		}
		for _, text := range texts(t, string(data)) {
			var p, n int
			var fill, end string
			if _, err := fmt.Sscanf(text, "line process=%d number=%d fill=%s end=%s", &p, &n, &fill, &end); err != nil || end != "end" {
				t.Errorf("torn: %q", text)
			}
			seen[fmt.Sprintf("%d/%d", p, n)]++
		}
	}
	if len(files) < 2 {
		t.Errorf("only %d files: nothing was rotated", len(files))
	}
	if len(seen) != processes*lines {
		t.Errorf("%d of %d lines", len(seen), processes*lines)
	}
	for line, n := range seen {
		if n != 1 {
			t.Errorf("line %s is there %d times", line, n)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, base+".lock")); err != nil {
		t.Error(err)
	}
}

func TestRotation(t *testing.T) {
	if maxSize != 10*1024*1024 || maxCopies != 5 {
		t.Error("documented: 10 MB, five old copies")
	}
	dir := tempDir(t)
	l := Open(Options{Interface: "Cryptoki", Log: settings.Log{FileLevel: settings.LevelInfo, FileDirectory: dir}})
	defer l.Close()
	l.file.limit = 1000
	for i := range 100 {
		l.Info("line", "number", i, "fill", strings.Repeat("x", 100))
	}
	var last int
	for copies, name := range []string{base + ".txt", base + ".1.txt", base + ".2.txt", base + ".3.txt", base + ".4.txt", base + ".5.txt"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 1000 || len(data) == 0 {
			t.Errorf("%s: %d bytes", name, len(data))
		}
		var n int
		if _, err := fmt.Sscanf(texts(t, string(data))[0], "line number=%d", &n); err != nil || copies > 0 && n >= last {
			t.Errorf("%s begins with %d, the newer one with %d", name, n, last)
		}
		last = n
	}
	if files, _ := os.ReadDir(dir); len(files) != 7 { // six files and the lock
		t.Errorf("%v", files)
	}
}

// tempDir is a folder of the test. On Windows it is left behind: Wine cannot remove
// folders in the way that the testing package does.
func tempDir(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "windows" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("", "log й ")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
