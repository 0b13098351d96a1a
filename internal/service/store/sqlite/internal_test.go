package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/fstest"

	"signpath/internal/service/store"
	"signpath/internal/service/store/internal/sqlstore"
)

// SQLite answers a limit of its own as it answers a full disk.
func TestFull(t *testing.T) {
	writer, reader, err := openPools(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	db := sqlstore.New(dialect{}, writer, reader, nil)
	defer db.Close()
	if err := migrate(t.Context(), writer, "x.db"); err != nil {
		t.Fatal(err)
	}
	write := func() (uint64, error) {
		var seq uint64
		err := db.Write(t.Context(), func(tx store.Tx) error {
			h := tx.AuditHead()
			h.Size++
			seq = h.Size
			return tx.AppendAudit([]store.AuditRow{{Seq: seq, Leaf: make([]byte, 20_000)}}, h)
		})
		return seq, err
	}
	limit := func(pages int) {
		t.Helper()
		// The writer has one connection, the one that Write uses.
		if err := writer.QueryRow(fmt.Sprintf("PRAGMA max_page_count = %d", pages)).Scan(&pages); err != nil {
			t.Fatal(err)
		}
	}
	limit(100)
	var last uint64
	for {
		seq, err := write()
		if err != nil {
			if !errors.Is(err, store.ErrFull) {
				t.Fatalf("after entry %d: %v", last, err)
			}
			break
		}
		if last = seq; last > 100 {
			t.Fatal("the limit does not hold")
		}
	}
	if h, err := db.AuditHead(t.Context()); err != nil || h.Size != last {
		t.Errorf("head %d after entry %d: %v", h.Size, last, err)
	}
	if _, err := write(); !errors.Is(err, store.ErrFull) {
		t.Errorf("still full: %v", err)
	}
	limit(1_000_000)
	if seq, err := write(); err != nil || seq != last+1 {
		t.Errorf("with space again: entry %d after %d: %v", seq, last, err)
	}
}

// A migration that fails takes the ones before it along.
func TestMigrateFails(t *testing.T) {
	writer, reader, err := openPools(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	defer reader.Close()
	first := &fstest.MapFile{Data: []byte("CREATE TABLE schema_version (version INTEGER, applied_ms INTEGER); CREATE TABLE one (a)")}
	migrate := func(second string) error {
		return sqlstore.Migrate(t.Context(), dialect{}, writer, "x.db", fstest.MapFS{
			"0001_one.sql": first,
			"0002_two.sql": &fstest.MapFile{Data: []byte(second)},
		})
	}
	if err := migrate("CREATE TABLE two (a); INSERT INTO nothing VALUES (1)"); err == nil {
		t.Fatal("a broken migration was applied")
	}
	if n := tables(t, reader); n != 0 {
		t.Errorf("%d tables after a migration that failed", n)
	}
	if err := migrate("CREATE TABLE two (a)"); err != nil {
		t.Fatal(err)
	}
	if n := tables(t, reader); n != 3 {
		t.Errorf("%d tables, want 3", n)
	}
	if err := migrate("not even SQL: applied already"); err != nil {
		t.Error(err)
	}
	if err := sqlstore.Migrate(t.Context(), dialect{}, writer, "x.db", fstest.MapFS{"0001_one.sql": first}); !errors.Is(err, store.ErrTooNew) {
		t.Errorf("an older program: %v", err)
	}
	if err := sqlstore.Migrate(t.Context(), dialect{}, writer, "x.db", fstest.MapFS{"0002_two.sql": first}); err == nil {
		t.Error("a missing number was accepted")
	}
}

func tables(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Every connection of both pools must have the settings that the package
// comment promises.
func TestSettings(t *testing.T) {
	writer, reader, err := openPools(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	defer reader.Close()
	if err := writer.Ping(); err != nil { // turns WAL on
		t.Fatal(err)
	}
	for name, pool := range map[string]*sql.DB{"writer": writer, "reader": reader} {
		for setting, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000",
			"secure_delete": "1", "recursive_triggers": "1", "trusted_schema": "0",
			"query_only": map[string]string{"writer": "0", "reader": "1"}[name],
		} {
			var got string
			if err := pool.QueryRow("PRAGMA " + setting).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s is %q, want %q: %v", name, setting, got, want, err)
			}
		}
	}
}

func TestConstraint(t *testing.T) {
	for text, want := range map[string]string{
		"constraint failed: UNIQUE constraint failed: tokens.hash (2067)":              "tokens_hash",
		"constraint failed: UNIQUE constraint failed: index 'projects_slug' (2067)":    "projects_slug",
		"constraint failed: UNIQUE constraint failed: users.organization_id, users.id": "users_organization_id",
		"something else": "",
	} {
		if got := constraint(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("%d rows", n), func(b *testing.B) {
			db, err := open(b.Context(), b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			leaf := make([]byte, 600)
			for b.Loop() {
				err := db.Write(b.Context(), func(tx store.Tx) error {
					h := tx.AuditHead()
					rows := make([]store.AuditRow, n)
					for i := range rows {
						h.Size++
						rows[i] = store.AuditRow{Seq: h.Size, Leaf: leaf, Opens: i%2 == 0}
						if i%2 == 1 {
							rows[i].Closes = h.Size - 1
						}
					}
					return tx.AppendAudit(rows, h)
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
