package sqlstore

import (
	"fmt"
	"strings"
	"time"

	"signpath/internal/service/store"
)

// ids gives the IDs that a statement finds in the transaction.
func (t *tx) ids(query string, values ...any) (found []string, err error) {
	err = t.do(func() error {
		rows, err := t.tx.QueryContext(t.ctx, t.db.dialect.Rebind(query), values...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(text[string]{&id}); err != nil {
				return err
			}
			found = append(found, id)
		}
		return rows.Err()
	})
	return found, err
}

// each runs a statement that ends in "id IN" for some IDs, in pieces that every
// engine takes.
func (t *tx) each(ids []string, statement string, before ...any) error {
	const piece = 200
	for len(ids) > 0 {
		n := min(piece, len(ids))
		values := append([]any{}, before...)
		for _, id := range ids[:n] {
			values = append(values, id)
		}
		if _, err := t.exec(statement+" (?"+strings.Repeat(", ?", n-1)+")", values...); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

func (t *tx) RemoveDocuments(organizationID string, before, now time.Time, limit int) ([]string, error) {
	found, err := t.ids("SELECT id FROM signing_requests WHERE organization_id = ? AND finished_ms IS NOT NULL AND documents_removed_ms IS NULL AND finished_ms < ? ORDER BY finished_ms LIMIT ?",
		organizationID, before.UnixMilli(), limit)
	if err != nil {
		return nil, err
	}
	return found, t.each(found, "UPDATE signing_requests SET artifact = NULL, result = NULL, build_settings = NULL, documents_removed_ms = ? WHERE id IN", now.UnixMilli())
}

func (t *tx) DeleteSigningRequests(organizationID string, before time.Time, limit int) ([]string, error) {
	found, err := t.ids("SELECT id FROM signing_requests WHERE organization_id = ? AND finished_ms IS NOT NULL AND finished_ms < ? ORDER BY finished_ms LIMIT ?",
		organizationID, before.UnixMilli(), limit)
	if err != nil {
		return nil, err
	}
	return found, t.each(found, "DELETE FROM signing_requests WHERE id IN")
}

func (t *tx) DeleteWebhookDeliveries(organizationID string, before time.Time, limit int) (int, error) {
	found, err := t.ids("SELECT id FROM webhook_deliveries WHERE organization_id = ? AND finished_ms IS NOT NULL AND finished_ms < ? ORDER BY finished_ms LIMIT ?",
		organizationID, before.UnixMilli(), limit)
	if err != nil {
		return 0, err
	}
	return len(found), t.each(found, "DELETE FROM webhook_deliveries WHERE id IN")
}

// DeleteTrustedBuildSystem removes a trusted build system.
func (t *tx) DeleteTrustedBuildSystem(organizationID, id string) error {
	return t.do(func() error {
		result, err := t.tx.ExecContext(t.ctx, t.db.dialect.Rebind("DELETE FROM trusted_build_systems WHERE organization_id = ? AND id = ?"), organizationID, id)
		if err != nil {
			return fmt.Errorf("deleting the trusted build system: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return fmt.Errorf("deleting the trusted build system: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("the trusted build system %q: %w", id, store.ErrNotFound)
		}
		t.changed = true
		return nil
	})
}
