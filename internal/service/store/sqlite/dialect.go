package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"syscall"

	"signpath/internal/service/store"
	"signpath/internal/service/store/internal/sqlstore"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// dialect is SQLite's part of sqlstore.
type dialect struct{}

func (dialect) Rebind(query string) string { return query }

// Every write transaction begins with BEGIN IMMEDIATE, which takes the lock of
// the whole database.
func (dialect) LockHead() string   { return "" }
func (dialect) LockSchema() string { return "" }

func (dialect) HasTable() string {
	return "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?"
}

func (dialect) AppendAudit(ctx context.Context, tx *sql.Tx, rows []store.AuditRow) error {
	insert := prepared{ctx: ctx, tx: tx, query: "INSERT INTO audit_log " +
		"(seq, leaf, organization_id, type, time_ms, opens, closes, actor_id, policy_id, key_id, digest) " +
		"VALUES (?, ?, ?, ?, ?, ?, NULLIF(?, 0), NULLIF(?, ''), NULLIF(?, ''), NULLIF(?, ''), NULLIF(?, x''))"}
	open := prepared{ctx: ctx, tx: tx, query: "INSERT INTO audit_open (seq) VALUES (?)"}
	end := prepared{ctx: ctx, tx: tx, query: "DELETE FROM audit_open WHERE seq = ?"}
	defer insert.close()
	defer open.close()
	defer end.close()
	for i := range rows {
		r := &rows[i]
		if err := insert.exec(int64(r.Seq), r.Leaf, r.OrganizationID, r.Type, r.TimeMillis, r.Opens, int64(r.Closes),
			r.Subject.ActorID, r.Subject.PolicyID, r.Subject.KeyID, r.Subject.Digest); err != nil {
			return err
		}
		if r.Opens {
			if err := open.exec(int64(r.Seq)); err != nil {
				return err
			}
		}
		if r.Closes != 0 {
			if err := end.exec(int64(r.Closes)); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepared is a statement that is compiled when it is needed first, and once.
type prepared struct {
	ctx       context.Context
	tx        *sql.Tx
	query     string
	statement *sql.Stmt
}

func (p *prepared) exec(values ...any) error {
	if p.statement == nil {
		statement, err := p.tx.PrepareContext(p.ctx, p.query)
		if err != nil {
			return err
		}
		p.statement = statement
	}
	_, err := p.statement.ExecContext(p.ctx, values...)
	return err
}

func (p *prepared) close() {
	if p.statement != nil {
		p.statement.Close()
	}
}

func (dialect) Failure(err error) sqlstore.Failure {
	if errors.Is(err, syscall.ENOSPC) {
		return sqlstore.Failure{Kind: sqlstore.Full}
	}
	var e *driver.Error
	if !errors.As(err, &e) {
		return sqlstore.Failure{}
	}
	if e.Code()&0xff == codes.SQLITE_CORRUPT { // it has extended codes
		return sqlstore.Failure{Kind: sqlstore.Damaged}
	}
	switch e.Code() {
	// SQLite answers the second one when the shared memory file cannot grow.
	case codes.SQLITE_FULL, codes.SQLITE_IOERR_SHMSIZE:
		return sqlstore.Failure{Kind: sqlstore.Full}
	case codes.SQLITE_NOTADB:
		return sqlstore.Failure{Kind: sqlstore.Damaged}
	case codes.SQLITE_CONSTRAINT_FOREIGNKEY:
		return sqlstore.Failure{Kind: sqlstore.Dangling}
	case codes.SQLITE_CONSTRAINT_UNIQUE, codes.SQLITE_CONSTRAINT_PRIMARYKEY:
		return sqlstore.Failure{Kind: sqlstore.Duplicate, Constraint: constraint(e.Error())}
	}
	return sqlstore.Failure{}
}

// constraint is the name of the index in an error text of SQLite, which names
// an index over an expression ("… failed: index 'projects_slug' (2067)"), but
// of other ones the columns ("… failed: tokens.hash (2067)"); the indexes over
// one column are named after it.
func constraint(text string) string {
	_, what, _ := strings.Cut(text, "UNIQUE constraint failed: ")
	if _, quoted, ok := strings.Cut(what, "index '"); ok {
		name, _, _ := strings.Cut(quoted, "'")
		return name
	}
	name, _, _ := strings.Cut(what, " ")
	return strings.ReplaceAll(strings.TrimSuffix(name, ","), ".", "_")
}

func (dialect) Describe(err error) error { return err }
