package sqlstore

import (
	"context"
	"database/sql"

	"signpath/internal/service/store"
)

// Dialect is where the engines differ.
type Dialect interface {
	// Rebind turns the placeholders ? into the engine's own.
	Rebind(query string) string
	// LockHead ends the query of the head row so that other writers wait, e.g. " FOR UPDATE".
	LockHead() string
	// LockSchema is a statement that keeps other processes from migrating until
	// the transaction ends; "" if beginning the transaction does so already.
	LockSchema() string
	// HasTable is a query for the number of tables with the name ?.
	HasTable() string
	// AppendAudit inserts rows and their open intents, and closes what they close.
	AppendAudit(ctx context.Context, tx *sql.Tx, rows []store.AuditRow) error
	// Failure classifies an error of the driver.
	Failure(err error) Failure
	// Describe turns an error into one that tells a person what to do and hides
	// what must not be shown. It keeps the error's identity where it can.
	Describe(err error) error
}

// Kind is what a caller has to know about a database error.
type Kind int

// The kinds of failure.
const (
	Other     Kind = iota
	Duplicate      // a unique constraint
	Dangling       // a foreign key
	Full           // no space left
	Damaged        // the database cannot be read, or is something else
)

// Failure is a classified error.
type Failure struct {
	Kind       Kind
	Constraint string // name of the violated index, Duplicate only
}
