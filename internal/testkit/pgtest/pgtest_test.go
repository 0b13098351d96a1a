//go:build unix

package pgtest

import (
	"database/sql"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The server keeps its promises about durability and the network, and leaves
// neither a process nor a folder behind.
func TestStart(t *testing.T) {
	var dsn, pid string
	t.Run("inside", func(t *testing.T) {
		dsn = Start(t)
		db, err := sql.Open("pgx", NewDatabase(t, dsn))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for setting, want := range map[string]string{
			"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
			"listen_addresses": "", "server_encoding": "UTF8",
		} {
			var got string
			if err := db.QueryRow("SHOW " + setting).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %q, want %q: %v", setting, got, want, err)
			}
		}
		_, dir, _ := strings.Cut(dsn, "host=")
		text, err := os.ReadFile(dir + "/data/postmaster.pid")
		if err != nil {
			t.Fatal(err)
		}
		pid, _, _ = strings.Cut(string(text), "\n")
	})
	if err := execute(dsn, "SELECT 1"); err == nil {
		t.Error("the server answers after its test")
	}
	_, dir, _ := strings.Cut(dsn, "host=")
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, 0); err != syscall.ESRCH {
		t.Errorf("process %d still runs: %v", n, err)
	}
}

// Without a server there is a sentence that names the package.
func TestProgramsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := find("/does/not/exist/*/bin")
	if err == nil || !strings.Contains(err.Error(), "Debian package postgresql") {
		t.Errorf("got %v", err)
	}
}

// A killed server comes back with what was committed, and with nothing else.
func TestKill(t *testing.T) {
	s := StartServer(t)
	if err := execute(s.DSN, "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	s.Kill(t)
	if err := execute(s.DSN, "SELECT 1"); err == nil {
		t.Fatal("the server answers after its death")
	}
	s.Restart(t)
	if err := execute(s.DSN, "INSERT INTO kept VALUES (1)"); err != nil {
		t.Error(err)
	}
}
