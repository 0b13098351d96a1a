package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"

	"signpath/internal/service/store"
)

// AuditHead is the end of the audit log.
func (db *DB) AuditHead(ctx context.Context) (store.AuditHead, error) {
	var head store.AuditHead
	err := db.reader.QueryRowContext(ctx, "SELECT audit_size, audit_hash, audit_frontier FROM head").
		Scan(&head.Size, hash32{&head.LastHash}, hashList{&head.Frontier})
	if err != nil {
		return store.AuditHead{}, db.failed(ctx, "the end of the audit log cannot be read", err)
	}
	return head, nil
}

const auditColumns = "a.seq, a.leaf, a.organization_id, a.type, a.time_ms, a.opens, a.closes, a.actor_id, a.policy_id, a.key_id, a.digest"

// AuditRows lists rows with Seq > after in ascending order, at most limit.
func (db *DB) AuditRows(ctx context.Context, after uint64, limit int, filter store.AuditFilter) ([]store.AuditRow, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("a page of %d audit entries cannot be read: the limit must be above 0", limit)
	}
	if after >= math.MaxInt64 {
		return nil, nil
	}
	where, values := auditConditions(after, filter)
	rows, err := db.auditRows(ctx, "SELECT "+auditColumns+" FROM audit_log a WHERE "+
		strings.Join(where, " AND ")+" ORDER BY a.seq LIMIT ?", append(values, limit)...)
	if err != nil {
		return nil, db.failed(ctx, "the audit log cannot be read", err)
	}
	return rows, nil
}

// auditConditions are the conditions of a filter on the table audit_log.
func auditConditions(after uint64, f store.AuditFilter) (where []string, values []any) {
	add := func(set bool, condition string, value ...any) {
		if set {
			where, values = append(where, condition), append(values, value...)
		}
	}
	add(true, "seq > ?", int64(min(after, math.MaxInt64)))
	add(f.Before != 0, "seq < ?", int64(min(f.Before, math.MaxInt64)))
	add(f.OrganizationID != "", "organization_id = ?", f.OrganizationID)
	add(f.Type != "", "type = ?", f.Type)
	add(f.FromMillis != 0, "time_ms >= ?", f.FromMillis)
	add(f.ToMillis != 0, "time_ms < ?", f.ToMillis)
	add(f.Subject.ActorID != "", "actor_id = ?", f.Subject.ActorID)
	add(f.Subject.PolicyID != "", "policy_id = ?", f.Subject.PolicyID)
	add(f.Subject.KeyID != "", "key_id = ?", f.Subject.KeyID)
	add(len(f.Subject.Digest) > 0, "digest = ?", f.Subject.Digest)
	if len(f.TypePrefixes) > 0 {
		var ranges []string
		for _, p := range f.TypePrefixes {
			// Both engines compare types byte by byte; '/' is what follows '.'.
			ranges = append(ranges, "(type >= ? AND type < ?)")
			values = append(values, p, strings.TrimSuffix(p, ".")+"/")
		}
		where = append(where, "("+strings.Join(ranges, " OR ")+")")
	}
	return where, values
}

// OpenIntents lists the rows that were appended with Opens and never closed.
func (db *DB) OpenIntents(ctx context.Context) ([]store.AuditRow, error) {
	rows, err := db.auditRows(ctx, "SELECT "+auditColumns+
		" FROM audit_open o JOIN audit_log a ON a.seq = o.seq ORDER BY o.seq")
	if err != nil {
		return nil, db.failed(ctx, "the open intents of the audit log cannot be read", err)
	}
	return rows, nil
}

func (db *DB) auditRows(ctx context.Context, query string, values ...any) ([]store.AuditRow, error) {
	rows, err := db.reader.QueryContext(ctx, db.dialect.Rebind(query), values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []store.AuditRow
	for rows.Next() {
		var r store.AuditRow
		var closes sql.NullInt64
		var actor, policy, key sql.NullString
		if err := rows.Scan(&r.Seq, &r.Leaf, &r.OrganizationID, &r.Type, &r.TimeMillis, &r.Opens, &closes, &actor, &policy, &key, &r.Subject.Digest); err != nil {
			return nil, err
		}
		r.Closes = uint64(closes.Int64)
		r.Subject.ActorID, r.Subject.PolicyID, r.Subject.KeyID = actor.String, policy.String, key.String
		all = append(all, r)
	}
	return all, rows.Err()
}

// AppendAudit adds rows to the log.
func (t *tx) AppendAudit(rows []store.AuditRow, head store.AuditHead) error {
	return t.do(func() error {
		if err := checkAppend(t.head.Size, rows, head); err != nil {
			return fmt.Errorf("the audit log refuses new entries: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		if err := t.db.dialect.AppendAudit(t.ctx, t.tx, rows); err != nil {
			return fmt.Errorf("appending to the audit log: %w", err)
		}
		t.head = head
		t.head.Frontier = append([][32]byte(nil), head.Frontier...)
		t.appended = true
		return nil
	})
}

// checkAppend tells whether rows and their head continue a log of size entries.
func checkAppend(size uint64, rows []store.AuditRow, head store.AuditHead) error {
	for i := range rows {
		r := &rows[i]
		switch want := size + uint64(i) + 1; {
		case r.Seq != want:
			return fmt.Errorf("entry %d follows entry %d", r.Seq, want-1)
		case want > math.MaxInt64:
			return errors.New("the sequence numbers are used up")
		case len(r.Leaf) == 0:
			return fmt.Errorf("entry %d is empty", r.Seq)
		case r.Closes >= r.Seq:
			return fmt.Errorf("entry %d ends entry %d, which is not before it", r.Seq, r.Closes)
		}
		for _, s := range []string{r.OrganizationID, r.Type, r.Subject.ActorID, r.Subject.PolicyID, r.Subject.KeyID} {
			if err := checkText(s); err != nil {
				return fmt.Errorf("entry %d: %w", r.Seq, err)
			}
		}
	}
	if end := size + uint64(len(rows)); head.Size != end {
		return fmt.Errorf("the new head counts %d entries where the log has %d", head.Size, end)
	}
	return nil
}
