//go:build unix

package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/store/postgres"
	"signpath/internal/service/store/storetest"
	"signpath/internal/testkit/pgtest"
)

// One server serves all tests: starting it takes seconds, a database does not.
func TestPostgreSQL(t *testing.T) {
	server := pgtest.Start(t)
	t.Run("Conformance", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) storetest.Opener {
			dsn := pgtest.NewDatabase(t, server)
			return func() (store.Store, error) { return postgres.Open(t.Context(), dsn) }
		})
	})
	for name, test := range map[string]func(t *testing.T, dsn string){
		"Replicas":     testReplicas,
		"FirstStart":   testFirstStart,
		"TooNew":       testTooNew,
		"AuditIsFinal": testAuditIsFinal,
		"Full":         testFull,
		"Reconnect":    testReconnect,
		"Synchronous":  testSynchronous,
		"RefusedLogin": testRefusedLogin,
	} {
		t.Run(name, func(t *testing.T) { test(t, pgtest.NewDatabase(t, server)) })
	}
}

func open(t *testing.T, dsn string) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func raw(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// change raises the version and appends one entry.
func change(tx store.Tx) error {
	h := tx.AuditHead()
	h.Size++
	return errors.Join(
		tx.PutOrganization(model.Organization{ID: "o", Name: "x"}),
		tx.AppendAudit([]store.AuditRow{{Seq: h.Size, Leaf: []byte("{}"), Opens: true}}, h))
}

// Several replicas write one chain and see each other's changes.
func testReplicas(t *testing.T, dsn string) {
	const replicas, writers, rounds = 3, 2, 20
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	var stores []store.Store
	for range replicas {
		s := open(t, dsn)
		stores = append(stores, s)
		for range writers {
			all.Go(func() {
				for range rounds {
					if err := s.Write(ctx, change); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	const want = replicas * writers * rounds
	for _, s := range stores {
		h, err := s.AuditHead(ctx)
		if err != nil || h.Size != want {
			t.Errorf("head %d, want %d: %v", h.Size, want, err)
		}
		if v, err := s.ConfigVersion(ctx); err != nil || v != want {
			t.Errorf("version %d, want %d: %v", v, want, err)
		}
		rows, err := s.AuditRows(ctx, 0, want+1, store.AuditFilter{})
		if err != nil || len(rows) != want || rows[want-1].Seq != want {
			t.Errorf("%d rows, want %d: %v", len(rows), want, err)
		}
	}
}

// Replicas that start at the same moment make the schema once.
func testFirstStart(t *testing.T, dsn string) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s, err := postgres.Open(t.Context(), dsn)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func testTooNew(t *testing.T, dsn string) {
	open(t, dsn).Close()
	execute(t, raw(t, dsn), "INSERT INTO schema_version VALUES (4711, 0)")
	_, err := postgres.Open(t.Context(), dsn)
	if !errors.Is(err, store.ErrTooNew) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"4711", "up to 2"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not name %s", err, part)
		}
	}
}

func testAuditIsFinal(t *testing.T, dsn string) {
	s := open(t, dsn)
	if err := s.Write(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	db := raw(t, dsn)
	for _, statement := range []string{
		"UPDATE audit_log SET leaf = ''",
		"UPDATE audit_log SET time_ms = 1 WHERE seq = 1",
		"DELETE FROM audit_log",
		"DELETE FROM audit_log WHERE seq = 1",
		"TRUNCATE audit_log",
		"INSERT INTO audit_log SELECT * FROM audit_log ON CONFLICT (seq) DO UPDATE SET leaf = ''",
	} {
		if _, err := db.Exec(statement); err == nil || !strings.Contains(err.Error(), "audit log cannot be") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// The server's own word for a full disk, at a statement and at the commit.
func testFull(t *testing.T, dsn string) {
	s := open(t, dsn)
	db := raw(t, dsn)
	execute(t, db, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$`)
	for _, trigger := range []string{
		"CREATE TRIGGER full_disk BEFORE INSERT ON audit_log EXECUTE FUNCTION full_disk()",
		"CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON audit_log DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION full_disk()",
	} {
		execute(t, db, trigger)
		if err := s.Write(t.Context(), change); !errors.Is(err, store.ErrFull) {
			t.Errorf("got %v", err)
		}
		if h, err := s.AuditHead(t.Context()); err != nil || h.Size != 0 {
			t.Errorf("head %d: %v", h.Size, err)
		}
		execute(t, db, "DROP TRIGGER full_disk ON audit_log")
	}
	if err := s.Write(t.Context(), change); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

// Connections that the server drops are replaced without an error, unless a
// transaction runs on them.
func testReconnect(t *testing.T, dsn string) {
	s := open(t, dsn)
	db := raw(t, dsn)
	drop := func() {
		t.Helper()
		execute(t, db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "+
			"WHERE datname = current_database() AND pid <> pg_backend_pid()")
	}
	if err := s.Write(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	drop()
	time.Sleep(1100 * time.Millisecond) // the driver looks at connections that were idle for a second
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("reading after the connections were dropped: %v", err)
	}
	if err := s.Write(t.Context(), change); err != nil {
		t.Errorf("writing after the connections were dropped: %v", err)
	}
	err := s.Write(t.Context(), func(tx store.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		drop()
		return nil
	})
	if err == nil {
		t.Error("a transaction survived its connection")
	}
	if err := s.Write(t.Context(), change); err != nil {
		t.Error(err)
	}
	if h, err := s.AuditHead(t.Context()); err != nil || h.Size != 3 {
		t.Errorf("head %d, want 3: %v", h.Size, err)
	}
}

// The durability of a commit does not depend on the server's default.
func testSynchronous(t *testing.T, dsn string) {
	db := raw(t, dsn)
	var name string
	if err := db.QueryRow("SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	execute(t, db, `ALTER DATABASE "`+name+`" SET synchronous_commit = off`)
	execute(t, db, `CREATE TABLE seen (setting text)`)
	s := open(t, dsn)
	execute(t, db, `CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$`)
	execute(t, db, "CREATE TRIGGER look AFTER INSERT ON audit_log EXECUTE FUNCTION look()")
	if err := s.Write(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	var setting string
	if err := db.QueryRow("SELECT setting FROM seen").Scan(&setting); err != nil || setting != "on" {
		t.Errorf("synchronous_commit is %q: %v", setting, err)
	}
}

// A server that cannot be reached or refuses says so without the password.
func testRefusedLogin(t *testing.T, dsn string) {
	for _, wrong := range []string{
		strings.Replace(dsn, "test@", "nobody:topsecret@", 1),
		strings.Replace(strings.Replace(dsn, "host=/", "host=/does/not/exist/", 1), "test@", "test:topsecret@", 1),
	} {
		_, err := postgres.Open(t.Context(), wrong)
		if err == nil {
			t.Fatalf("%s was opened", wrong)
		}
		if strings.Contains(err.Error(), "topsecret") || !strings.Contains(err.Error(), "cannot be reached") {
			t.Errorf("got %q", err)
		}
	}
	if _, err := postgres.Open(t.Context(), "postgres://u:topsecret@h:x/db"); err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("got %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := postgres.Open(ended, dsn); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}
