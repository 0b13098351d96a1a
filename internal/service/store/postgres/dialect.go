package postgres

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"

	"signpath/internal/service/store"
	"signpath/internal/service/store/internal/sqlstore"

	"github.com/jackc/pgx/v5/pgconn"
)

// dialect is PostgreSQL's part of sqlstore.
type dialect struct{}

// Rebind numbers the placeholders. No statement of sqlstore has a ? in a text.
func (dialect) Rebind(query string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}

func (dialect) LockHead() string { return " FOR UPDATE" }

// The number is arbitrary, but the same in all versions of the program.
func (dialect) LockSchema() string { return "SELECT pg_advisory_xact_lock(7310868734416215137)" }

func (dialect) HasTable() string {
	return "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = ?"
}

// AppendAudit sends all rows in one statement, column by column.
func (dialect) AppendAudit(ctx context.Context, tx *sql.Tx, rows []store.AuditRow) error {
	var (
		seqs          = make([]int64, len(rows))
		leaves        = make([][]byte, len(rows))
		organizations = make([]string, len(rows))
		types         = make([]string, len(rows))
		times         = make([]int64, len(rows))
		opens         = make([]bool, len(rows))
		closes        = make([]int64, len(rows))
		actors        = make([]string, len(rows))
		policies      = make([]string, len(rows))
		keys          = make([]string, len(rows))
		digests       = make([][]byte, len(rows))
		opened        []int64
		closed        []int64
	)
	for i := range rows {
		r := &rows[i]
		seqs[i], leaves[i], organizations[i], types[i] = int64(r.Seq), r.Leaf, r.OrganizationID, r.Type
		times[i], opens[i], closes[i] = r.TimeMillis, r.Opens, int64(r.Closes)
		actors[i], policies[i], keys[i], digests[i] = r.Subject.ActorID, r.Subject.PolicyID, r.Subject.KeyID, r.Subject.Digest
		if r.Opens {
			opened = append(opened, seqs[i])
		}
		if r.Closes != 0 {
			closed = append(closed, closes[i])
		}
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO audit_log (seq, leaf, organization_id, type, time_ms, opens, closes, actor_id, policy_id, key_id, digest)
		SELECT seq, leaf, organization_id, type, time_ms, opens, NULLIF(closes, 0), NULLIF(actor_id, ''), NULLIF(policy_id, ''), NULLIF(key_id, ''), NULLIF(digest, '')
		FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::bigint[], $6::boolean[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::bytea[])
			AS r (seq, leaf, organization_id, type, time_ms, opens, closes, actor_id, policy_id, key_id, digest)`,
		seqs, leaves, organizations, types, times, opens, closes, actors, policies, keys, digests)
	if err != nil {
		return err
	}
	if len(opened) > 0 {
		if _, err := tx.ExecContext(ctx, "INSERT INTO audit_open (seq) SELECT unnest($1::bigint[])", opened); err != nil {
			return err
		}
	}
	if len(closed) > 0 {
		_, err = tx.ExecContext(ctx, "DELETE FROM audit_open WHERE seq = ANY ($1::bigint[])", closed)
	}
	return err
}

// failures maps SQLSTATE codes (PostgreSQL documentation, appendix A).
var failures = map[string]sqlstore.Kind{
	"23505": sqlstore.Duplicate, // unique_violation
	"23503": sqlstore.Dangling,  // foreign_key_violation
	"53100": sqlstore.Full,      // disk_full
}

func (dialect) Failure(err error) sqlstore.Failure {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return sqlstore.Failure{}
	}
	return sqlstore.Failure{Kind: failures[e.Code], Constraint: e.ConstraintName}
}

// Describe drops the driver's connection error, which holds the whole
// configuration, and keeps its text, which names host, user and database only.
func (dialect) Describe(err error) error {
	var e *pgconn.ConnectError
	if !errors.As(err, &e) {
		return err
	}
	// A line for each attempt (every address, with TLS and without): often they
	// all failed for the same reason.
	var lines []string
	for line := range strings.Lines(e.Error()) {
		if line = strings.Join(strings.Fields(line), " "); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	text := strings.Join(lines, " ")
	if e.Config != nil && e.Config.Password != "" {
		text = strings.ReplaceAll(text, e.Config.Password, "[redacted]")
	}
	return errors.New(text)
}
