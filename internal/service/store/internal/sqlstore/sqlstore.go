// Package sqlstore is the store over database/sql that both engines share.
//
// What enters is an open database and a Dialect, what leaves is a store.Store.
// Every statement but the audit insert, the schema and the settings of the
// connection stands here once. Objects are kept as rows with one column per
// member; the tables in objects.go are the whole mapping. Audit rows are
// append-only: triggers in the schema refuse to change them, and this package
// has no statement that tries.
//
// It never builds statements from values: every value is a parameter.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// DB is the shared implementation of store.Store.
type DB struct {
	dialect Dialect
	writer  *sql.DB
	reader  *sql.DB
	turn    chan struct{} // holds one element: the right to write
	release func() error  // runs last in Close
}

var _ store.Store = (*DB)(nil)

// New makes a store of a migrated database. writer and reader may be the same
// pool. Close closes both and then runs release.
func New(d Dialect, writer, reader *sql.DB, release func() error) *DB {
	db := &DB{dialect: d, writer: writer, reader: reader, turn: make(chan struct{}, 1), release: release}
	db.turn <- struct{}{}
	return db
}

// Config loads the whole configuration at one version.
func (db *DB) Config(ctx context.Context) (*model.Config, error) {
	var c model.Config
	err := db.snapshot(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT config_version FROM head").Scan(&c.Version); err != nil {
			return err
		}
		var err error
		if c.Organizations, err = load(ctx, tx, organizations); err != nil {
			return err
		}
		if c.Users, err = load(ctx, tx, users); err != nil {
			return err
		}
		if c.UserGroups, err = load(ctx, tx, userGroups); err != nil {
			return err
		}
		if c.Tokens, err = load(ctx, tx, tokens); err != nil {
			return err
		}
		if c.Projects, err = load(ctx, tx, projects); err != nil {
			return err
		}
		if c.ArtifactConfigurations, err = load(ctx, tx, artifactConfigurations); err != nil {
			return err
		}
		if c.SigningPolicies, err = load(ctx, tx, signingPolicies); err != nil {
			return err
		}
		if c.Certificates, err = load(ctx, tx, certificates); err != nil {
			return err
		}
		if c.Keys, err = load(ctx, tx, keys); err != nil {
			return err
		}
		c.TrustedBuildSystems, err = load(ctx, tx, trustedBuildSystems)
		return err
	})
	if err != nil {
		return nil, db.failed(ctx, "the configuration cannot be read", err)
	}
	return &c, nil
}

// snapshot runs fn in a read transaction that sees one state of the database.
func (db *DB) snapshot(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := db.reader.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return fn(tx)
}

// ConfigVersion is the current version of the configuration.
func (db *DB) ConfigVersion(ctx context.Context) (uint64, error) {
	var v uint64
	if err := db.reader.QueryRowContext(ctx, "SELECT config_version FROM head").Scan(&v); err != nil {
		return 0, db.failed(ctx, "the version of the configuration cannot be read", err)
	}
	return v, nil
}

// SealedKey is the encrypted private part of a key; ErrNotFound when the key
// does not exist or its private part was deleted.
func (db *DB) SealedKey(ctx context.Context, keyID string) ([]byte, error) {
	var sealed []byte
	err := db.reader.QueryRowContext(ctx,
		db.dialect.Rebind("SELECT sealed FROM keys WHERE id = ?"), keyID).Scan(&sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && sealed == nil:
		return nil, fmt.Errorf("the private part of the key %q: %w", keyID, store.ErrNotFound)
	case err != nil:
		return nil, db.failed(ctx, "the key cannot be read", err)
	}
	return sealed, nil
}

// Setting is a named value of the installation, nil when absent.
func (db *DB) Setting(ctx context.Context, name string) ([]byte, error) {
	value, err := db.setting(ctx, db.reader, name)
	if err != nil {
		return nil, db.failed(ctx, fmt.Sprintf("the setting %q cannot be read", name), err)
	}
	return value, nil
}

// setting reads with a pool or a transaction.
func (db *DB) setting(ctx context.Context, from interface {
	QueryRowContext(ctx context.Context, query string, values ...any) *sql.Row
}, name string) (value []byte, err error) {
	err = from.QueryRowContext(ctx, db.dialect.Rebind("SELECT value FROM settings WHERE name = ?"), name).Scan(blob{&value})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return value, err
}

// Ping asks the database for a value that only a migrated database has.
func (db *DB) Ping(ctx context.Context) error {
	if _, err := db.ConfigVersion(ctx); err != nil {
		return err
	}
	return nil
}

// Close waits for a running Write and closes the database.
func (db *DB) Close() error {
	<-db.turn
	defer func() { db.turn <- struct{}{} }()
	var errs []error
	if db.reader != db.writer {
		errs = append(errs, db.reader.Close())
	}
	errs = append(errs, db.writer.Close())
	if db.release != nil {
		errs = append(errs, db.release())
		db.release = nil
	}
	return errors.Join(errs...)
}

// failed words an error of the database for the caller.
func (db *DB) failed(ctx context.Context, what string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		// The drivers have words of their own for a statement that was interrupted.
		return fmt.Errorf("%s: %w", what, cause)
	}
	switch db.dialect.Failure(err).Kind {
	case Full:
		return fmt.Errorf("%s: %w; make room, then the service goes on by itself (%w)", what, store.ErrFull, db.dialect.Describe(err))
	case Damaged:
		return fmt.Errorf("%s: it %w (%w)", what, store.ErrDamaged, db.dialect.Describe(err))
	case Dangling:
		return fmt.Errorf("%s: an object refers to another one that does not exist in its organization (%w)", what, db.dialect.Describe(err))
	}
	return fmt.Errorf("%s: %w", what, db.dialect.Describe(err))
}
