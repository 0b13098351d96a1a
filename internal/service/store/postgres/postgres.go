// Package postgres is the store in a PostgreSQL database, for installations of
// several replicas.
//
// What enters is a connection string, what leaves is a store.Store. Any number
// of processes may open the same database: each write transaction first locks
// the one row of the table head, so the audit logs of all replicas form one
// chain. Commits are synchronous, whatever the server's default says.
//
// The role needs the right to create tables in its schema at the first start
// and after upgrades; afterwards SELECT, INSERT, UPDATE and DELETE are enough,
// on the table audit_log SELECT and INSERT.
// No error shows the password.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"signpath/internal/service/store"
	"signpath/internal/service/store/internal/sqlstore"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// connections of one process: one writes, the others read.
const connections = 8

// connectTimeout holds for one attempt, unless the connection string has its own.
const connectTimeout = 10 * time.Second

//go:embed migrations/*.sql
var migrations embed.FS

// session are the settings of every connection.
var session = []string{
	// A commit that Write reported must survive the server's crash.
	"SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
	// A replica that hangs in the middle of a change must not hold up the others for ever.
	"SET idle_in_transaction_session_timeout = '60s'",
	"SET client_encoding = 'UTF8'",
}

// Open opens the store in the database that dsn names, as a URL
// (postgres://user:password@host:5432/database?sslmode=verify-full) or as
// key=value pairs; libpq's environment variables and password file fill in
// what is missing. Errors: store.ErrTooNew, store.ErrFull.
func Open(ctx context.Context, dsn string) (store.Store, error) {
	config, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(prepareSession))
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	db := sqlstore.New(dialect{}, pool, pool, nil)
	if err := prepareDatabase(ctx, config, pool); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	for _, statement := range session {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func prepareDatabase(ctx context.Context, config *pgx.ConnConfig, pool *sql.DB) error {
	name := fmt.Sprintf("%q on %s", config.Database, config.Host)
	var encoding string
	if err := pool.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("the PostgreSQL database %s cannot be reached: %w", name, dialect{}.Describe(err))
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the PostgreSQL database %s has the encoding %s; create one with ENCODING 'UTF8' TEMPLATE template0", name, encoding)
	}
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return sqlstore.Migrate(ctx, dialect{}, pool, name, steps)
}
