package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"signpath/internal/service/store"
)

// TokenUses is when each token was used last, as far as that is written.
func (db *DB) TokenUses(ctx context.Context) (map[string]time.Time, error) {
	uses, err := db.tokenUses(ctx)
	if err != nil {
		return nil, db.failed(ctx, "the last uses of API tokens cannot be read", err)
	}
	return uses, nil
}

func (db *DB) tokenUses(ctx context.Context) (map[string]time.Time, error) {
	rows, err := db.reader.QueryContext(ctx, "SELECT token_id, used_ms FROM token_uses")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	uses := map[string]time.Time{}
	for rows.Next() {
		var id string
		var at time.Time
		if err := rows.Scan(text[string]{&id}, millis{&at}); err != nil {
			return nil, err
		}
		uses[id] = at
	}
	return uses, rows.Err()
}

// PutTokenUses keeps when tokens were used last; an earlier time changes nothing.
func (t *tx) PutTokenUses(uses map[string]time.Time) error {
	return t.do(func() error {
		for _, id := range slices.Sorted(maps.Keys(uses)) { // always in the same order: no deadlocks
			at := uses[id]
			_, err := t.tx.ExecContext(t.ctx, t.db.dialect.Rebind(
				"INSERT INTO token_uses (token_id, used_ms) VALUES (?, ?) ON CONFLICT (token_id) DO UPDATE SET used_ms = excluded.used_ms "+
					"WHERE token_uses.used_ms < excluded.used_ms"), id, at.UnixMilli())
			if err != nil {
				return fmt.Errorf("storing the last use of the token %q: %w", id, err)
			}
			t.set = true
		}
		return nil
	})
}

// DeleteUserGroup removes a group of an organization.
func (t *tx) DeleteUserGroup(organizationID, id string) error {
	return t.do(func() error {
		result, err := t.tx.ExecContext(t.ctx, t.db.dialect.Rebind(
			"DELETE FROM user_groups WHERE organization_id = ? AND id = ?"), organizationID, id)
		if err != nil {
			return fmt.Errorf("deleting the user group: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return fmt.Errorf("deleting the user group: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("the user group %q: %w", id, store.ErrNotFound)
		}
		t.changed = true
		return nil
	})
}
