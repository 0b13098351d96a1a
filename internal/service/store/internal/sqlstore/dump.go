package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"signpath/internal/service/store"
)

// Tables are all tables that hold content, so that none is read before what its
// rows refer to. schema_version is not among them: it describes the database.
var Tables = []string{
	"head", "settings", "organizations", "users", "user_groups", "tokens", "token_uses", "trusted_build_systems",
	"projects", "artifact_configurations", "keys", "certificates", "signing_policies",
	"signing_requests", "jobs", "webhooks", "webhook_deliveries", "audit_log", "audit_open",
}

// headTable has one row that is there from the start.
const headTable = "head"

// loadBatch is how many rows go into one statement.
const loadBatch = 50

// Dump gives every row of one state of the database.
func (db *DB) Dump(ctx context.Context, begin func(schema int) error, row func(store.Row) error) error {
	var stopped error // the functions' own errors go back as they are
	err := db.snapshot(ctx, func(tx *sql.Tx) error {
		schema, err := schemaVersion(ctx, db.dialect, tx)
		if err != nil {
			return err
		}
		if stopped = begin(schema); stopped != nil {
			return nil
		}
		for _, table := range Tables {
			if stopped, err = dumpTable(ctx, tx, table, row); err != nil || stopped != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return db.failed(ctx, "the database cannot be read", err)
	}
	return stopped
}

func dumpTable(ctx context.Context, tx *sql.Tx, table string, row func(store.Row) error) (stopped, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT * FROM "+table+" ORDER BY 1") // the first column is the primary key
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		for i, v := range values {
			if b, ok := v.([]byte); ok && b == nil {
				values[i] = []byte{} // a driver's empty one; NULL is no []byte
			}
		}
		if stopped := row(store.Row{Table: table, Columns: columns, Values: values}); stopped != nil {
			return stopped, nil
		}
	}
	return nil, rows.Err()
}

// Load fills an empty database in one transaction. Columns that rows do not
// have get their default: rows may come from an older schema.
func (db *DB) Load(ctx context.Context, schema int, next func() (store.Row, error)) error {
	var stopped error
	tx, err := db.writer.BeginTx(ctx, nil)
	if err == nil {
		defer tx.Rollback()
		if stopped, err = db.load(ctx, tx, schema, next); stopped != nil {
			return stopped
		}
		if err == nil {
			err = tx.Commit()
		}
	}
	if err != nil {
		return db.failed(ctx, "the database cannot be filled", err)
	}
	return nil
}

func (db *DB) load(ctx context.Context, tx *sql.Tx, schema int, next func() (store.Row, error)) (stopped, err error) {
	switch own, err := schemaVersion(ctx, db.dialect, tx); {
	case err != nil:
		return nil, err
	case schema > own:
		return fmt.Errorf("the content has schema version %d, this program knows versions up to %d: it %w", schema, own, store.ErrTooNew), nil
	}
	var used int
	if err := tx.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM settings) + (SELECT count(*) FROM organizations) + (SELECT count(*) FROM audit_log)").Scan(&used); err != nil {
		return nil, err
	}
	if used != 0 {
		return store.ErrNotEmpty, nil
	}
	l := &loader{ctx: ctx, tx: tx, dialect: db.dialect}
	for {
		row, err := next()
		if errors.Is(err, store.ErrNoMoreRows) {
			return nil, l.flush()
		}
		if err != nil {
			return err, nil
		}
		if stopped, err := l.add(row); stopped != nil || err != nil {
			return stopped, err
		}
	}
}

// loader collects rows of one shape.
type loader struct {
	ctx     context.Context
	tx      *sql.Tx
	dialect Dialect

	table   string
	columns []string
	known   map[string]bool // columns of the table; true: a truth value
	values  []any
	rows    int
}

func (l *loader) add(row store.Row) (stopped, err error) {
	if row.Table != l.table || !slices.Equal(row.Columns, l.columns) || l.rows == loadBatch {
		if err := l.flush(); err != nil {
			return nil, err
		}
	}
	if row.Table != l.table {
		if !slices.Contains(Tables, row.Table) {
			return fmt.Errorf("there is no table %q", row.Table), nil
		}
		l.table = row.Table
		if l.known, err = l.shape(); err != nil {
			return nil, err
		}
	}
	l.columns = row.Columns
	if len(row.Values) != len(row.Columns) {
		return fmt.Errorf("a row of %q has %d values for %d columns", row.Table, len(row.Values), len(row.Columns)), nil
	}
	for i, value := range row.Values {
		truth, ok := l.known[row.Columns[i]]
		if !ok {
			return fmt.Errorf("the table %q has no column %q", row.Table, row.Columns[i]), nil
		}
		if value, ok = fit(value, truth); !ok {
			return fmt.Errorf("%s.%s cannot have a value of this type", row.Table, row.Columns[i]), nil
		}
		l.values = append(l.values, value)
	}
	l.rows++
	return nil, nil
}

// fit turns truth values into the engine's own form: SQLite has numbers.
func fit(value any, truth bool) (any, bool) {
	switch v := value.(type) {
	case bool:
		if truth {
			return v, true
		}
		if v {
			return int64(1), true
		}
		return int64(0), true
	case int64:
		if truth {
			return v != 0, v == 0 || v == 1
		}
		return v, true
	case nil, string, []byte:
		return value, true
	}
	return nil, false
}

func (l *loader) shape() (map[string]bool, error) {
	rows, err := l.tx.QueryContext(l.ctx, "SELECT * FROM "+l.table+" WHERE 1 = 0")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, t := range types {
		known[t.Name()] = t.DatabaseTypeName() == "BOOL"
	}
	return known, rows.Err()
}

func (l *loader) flush() error {
	if l.rows == 0 {
		return nil
	}
	if l.table == headTable {
		if _, err := l.tx.ExecContext(l.ctx, "DELETE FROM "+headTable); err != nil {
			return err
		}
	}
	one := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(l.columns)), ", ") + ")"
	statement := "INSERT INTO " + l.table + " (" + strings.Join(l.columns, ", ") + ") VALUES " + strings.TrimSuffix(strings.Repeat(one+", ", l.rows), ", ")
	_, err := l.tx.ExecContext(l.ctx, l.dialect.Rebind(statement), l.values...)
	l.values, l.rows = l.values[:0], 0
	return err
}
