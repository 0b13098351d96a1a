package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"signpath/internal/service/store"
)

// Migrate brings a database to the newest version of the schema, in one
// transaction. steps holds files named NNNN_what.sql, numbered from 0001
// without a gap; the number of the last one is the version. A database of a
// newer version is not touched: ErrTooNew. name is what a person calls the
// database.
func Migrate(ctx context.Context, d Dialect, db *sql.DB, name string, steps fs.FS) error {
	if err := migrate(ctx, d, db, name, steps); err != nil {
		return (&DB{dialect: d}).failed(ctx, "the database "+name+" cannot be opened", err)
	}
	return nil
}

func migrate(ctx context.Context, d Dialect, db *sql.DB, name string, steps fs.FS) error {
	files, err := migrationFiles(steps)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if lock := d.LockSchema(); lock != "" {
		if _, err := tx.ExecContext(ctx, lock); err != nil {
			return err
		}
	}
	version, err := schemaVersion(ctx, d, tx)
	if err != nil {
		return err
	}
	if version > len(files) {
		return fmt.Errorf("it has schema version %d, this program knows versions up to %d: it %w; "+
			"use that version, or a backup from before the upgrade", version, len(files), store.ErrTooNew)
	}
	if version == len(files) {
		return nil
	}
	for i, file := range files[version:] {
		statements, err := fs.ReadFile(steps, file)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(statements)); err != nil {
			return fmt.Errorf("migration %s: %w", file, err)
		}
		if _, err := tx.ExecContext(ctx, d.Rebind("INSERT INTO schema_version (version, applied_ms) VALUES (?, ?)"),
			version+i+1, time.Now().UnixMilli()); err != nil {
			return fmt.Errorf("migration %s: %w", file, err)
		}
	}
	return tx.Commit()
}

// schemaVersion is 0 for an empty database.
func schemaVersion(ctx context.Context, d Dialect, tx *sql.Tx) (int, error) {
	var tables, version int
	if err := tx.QueryRowContext(ctx, d.Rebind(d.HasTable()), "schema_version").Scan(&tables); err != nil {
		return 0, err
	}
	if tables == 0 {
		return 0, nil
	}
	err := tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM schema_version").Scan(&version)
	return version, err
}

// migrationFiles lists the files in order and checks their numbers.
func migrationFiles(steps fs.FS) ([]string, error) {
	files, err := fs.Glob(steps, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for i, file := range files {
		number, _, _ := strings.Cut(file, "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s does not have the number %d", file, i+1)
		}
	}
	return files, nil
}
