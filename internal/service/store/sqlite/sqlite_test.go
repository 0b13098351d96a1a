package sqlite_test

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
	"signpath/internal/service/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		// A name that would break a careless URI.
		dir := filepath.Join(t.TempDir(), "data ä_txlock=x#%41&")
		return func() (store.Store, error) { return sqlite.Open(t.Context(), dir) }
	})
}

func open(t *testing.T, dir string) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// appendOne commits one audit entry.
func appendOne(t *testing.T, s store.Store) (seq uint64, err error) {
	err = s.Write(t.Context(), func(tx store.Tx) error {
		h := tx.AuditHead()
		h.Size++
		seq = h.Size
		return tx.AppendAudit([]store.AuditRow{{Seq: seq, Leaf: make([]byte, 500)}}, h)
	})
	return seq, err
}

// raw opens the database beside the store.
func raw(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "signpath.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestSecondOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := sqlite.Open(t.Context(), dir)
	if !errors.Is(err, store.ErrInUse) {
		t.Fatalf("second Open: %v", err)
	}
	for _, part := range []string{dir, fmt.Sprintf("pid %d", os.Getpid())} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not name %s", err, part)
		}
	}
	if _, err := appendOne(t, s); err != nil {
		t.Errorf("the first store after the second Open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

const childDir = "SIGNPATH_TEST_STORE_DIR"

// TestChild is what TestKill runs in a process of its own: it appends until it
// is killed and tells every entry that was committed.
func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		return // not started by TestKill
	}
	s := open(t, dir)
	for {
		seq, err := appendOne(t, s)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("committed", seq)
	}
}

// After kill -9 all that was reported is there, and the folder is free again.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var last uint64
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		number, ok := strings.CutPrefix(lines.Text(), "committed ")
		if !ok {
			continue
		}
		if last, err = strconv.ParseUint(number, 10, 64); err != nil {
			t.Fatal(err)
		}
		if last >= 200 && !killed {
			killed = true
			_, err := sqlite.Open(t.Context(), dir)
			if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", child.Process.Pid)) {
				t.Errorf("Open beside the other process: %v", err)
			}
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	child.Wait()
	if !killed {
		t.Fatalf("the other process ended by itself after entry %d", last)
	}
	s := open(t, dir)
	h, err := s.AuditHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if h.Size < last || h.Size > last+1 {
		t.Errorf("the log has %d entries, entry %d was the last one reported", h.Size, last)
	}
	rows, err := s.AuditRows(t.Context(), 0, 1_000_000, store.AuditFilter{})
	if err != nil || uint64(len(rows)) != h.Size {
		t.Errorf("the log has %d rows, its head says %d: %v", len(rows), h.Size, err)
	}
	if _, err := appendOne(t, s); err != nil {
		t.Error(err)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data")
	s := open(t, dir)
	if _, err := appendOne(t, s); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{
		".": 0o700, "signpath.db": 0o600, "signpath.db-wal": 0o600, "signpath.db-shm": 0o600, "signpath.lock": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has the mode %o, want %o", name, got, want)
		}
	}
	// A database that somebody opened to others is closed again; a folder that
	// exists may serve other purposes too and stays as it is.
	s.Close()
	for name, mode := range map[string]os.FileMode{".": 0o755, "signpath.db": 0o644} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	for name, want := range map[string]os.FileMode{".": 0o755, "signpath.db": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has the mode %o after reopening, want %o", name, got, want)
		}
	}
}

func TestTooNew(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	db := raw(t, dir)
	if _, err := db.Exec("INSERT INTO schema_version VALUES (4711, 0)"); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), dir)
	if !errors.Is(err, store.ErrTooNew) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"4711", "up to 2", dir} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not name %s", err, part)
		}
	}
	// The folder is free for the newer program.
	if _, err := db.Exec("DELETE FROM schema_version WHERE version = 4711"); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// The triggers hold for whoever has the database open.
func TestAuditIsFinal(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := appendOne(t, s); err != nil {
		t.Fatal(err)
	}
	db := raw(t, dir)
	for _, statement := range []string{
		"UPDATE audit_log SET leaf = x'00'",
		"UPDATE audit_log SET time_ms = 1 WHERE seq = 1",
		"DELETE FROM audit_log",
		"DELETE FROM audit_log WHERE seq = 1",
		"PRAGMA recursive_triggers = 1; REPLACE INTO audit_log (seq, leaf, organization_id, type, time_ms, opens) VALUES (1, x'00', '', '', 0, 0)",
	} {
		if _, err := db.Exec(statement); err == nil || !strings.Contains(err.Error(), "audit log cannot be") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestNotAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "signpath.db"), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), dir)
	if err == nil || !strings.Contains(err.Error(), "signpath.db") {
		t.Errorf("got %v", err)
	}
}
