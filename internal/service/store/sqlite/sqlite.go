// Package sqlite is the embedded store: one SQLite database in a data folder.
//
// What enters is a folder, what leaves is a store.Store. The folder holds
// signpath.db with its -wal and -shm files (mode 0600) and signpath.lock. The
// lock keeps every second process out for as long as the store is open. A
// commit is on the disk when Write returns (WAL, synchronous=FULL).
//
// Copying the files of a running service makes no backup; Dump does.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"signpath/internal/service/store"
	"signpath/internal/service/store/internal/sqlstore"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// The files of the data folder.
const (
	databaseFile = "signpath.db"
	lockFile     = "signpath.lock"
)

const (
	readers     = 4                // connections that read at the same time
	busyTimeout = 10 * time.Second // for tools that have the database open, e.g. a backup
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the store in the folder dir; it makes the folder (mode 0700) and
// the database when they are missing. The permissions of a folder that exists
// stay as they are. Errors: store.ErrInUse, store.ErrTooNew, store.ErrFull,
// store.ErrDamaged.
func Open(ctx context.Context, dir string) (store.Store, error) {
	db, err := open(ctx, dir)
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			err = fmt.Errorf("%w (%w)", store.ErrFull, err)
		}
		return nil, fmt.Errorf("opening the data folder: %w", err)
	}
	return db, nil
}

// OpenReader opens an existing database to read from it, also while another
// process has the store open, e.g. for a backup. It takes no lock and changes
// nothing; writing fails. Run as root it leaves the files to their owner.
func OpenReader(ctx context.Context, dir string) (store.Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, databaseFile)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("opening the data folder: %w", err)
	}
	reader, err := sql.Open("sqlite", dsn(path, "_query_only=1"))
	if err != nil {
		return nil, fmt.Errorf("opening the data folder: %w", err)
	}
	db := sqlstore.New(dialect{}, reader, reader, nil)
	if err := db.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the data folder: %w", err), db.Close())
	}
	return db, nil
}

func open(ctx context.Context, dir string) (_ *sqlstore.DB, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	release, err := lock(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, databaseFile)
	writer, reader, err := openPools(path)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	db := sqlstore.New(dialect{}, writer, reader, release)
	if err := migrate(ctx, writer, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func migrate(ctx context.Context, writer *sql.DB, path string) error {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if isForeign(ctx, writer) {
		return fmt.Errorf("the database %s %w", path, store.ErrDamaged)
	}
	return sqlstore.Migrate(ctx, dialect{}, writer, path, steps)
}

// isForeign tells whether the file is the database of another program, which
// must not get tables of ours. What cannot be read at all the next step tells of.
func isForeign(ctx context.Context, writer *sql.DB) bool {
	var all, ours int
	err := writer.QueryRowContext(ctx, "SELECT count(*), count(*) FILTER (WHERE name IN ('schema_version', 'audit_log')) "+
		"FROM sqlite_schema WHERE type = 'table'").Scan(&all, &ours)
	return err == nil && all > 0 && ours != 2
}

func openPools(path string) (writer, reader *sql.DB, err error) {
	// SQLite would make the file with the umask's mode, and gives -wal and -shm
	// the mode of the database.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, err
	}
	err = errors.Join(f.Chmod(0o600), f.Close())
	if err != nil {
		return nil, nil, err
	}
	if writer, err = sql.Open("sqlite", dsn(path, "_txlock=immediate", "_journal_mode=WAL")); err != nil {
		return nil, nil, err
	}
	writer.SetMaxOpenConns(1)
	if reader, err = sql.Open("sqlite", dsn(path, "_query_only=1")); err != nil {
		return nil, nil, errors.Join(err, writer.Close())
	}
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	return writer, reader, nil
}

// dsn is the file's URI with the settings of every connection.
func dsn(path string, more ...string) string {
	settings := append([]string{
		fmt.Sprintf("_busy_timeout=%d", busyTimeout.Milliseconds()),
		"_synchronous=FULL", // in WAL mode the only one that keeps a commit through a power cut
		"_foreign_keys=1",
		"_defensive=1",
		"_dqs=0",
		"_error_rc=1",
		"_pragma=secure_delete(1)",      // the private part of a deleted key is overwritten
		"_pragma=recursive_triggers(1)", // REPLACE would slip past the triggers of the audit log
		"_pragma=trusted_schema(0)",
		"_pragma=journal_size_limit(67108864)",
	}, more...)
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/… on Windows
	}
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + strings.Join(settings, "&")
}
