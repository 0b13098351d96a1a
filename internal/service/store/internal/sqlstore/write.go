package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// commitLimit ends a commit that the database does not answer. Until then a
// commit goes on even when the caller's context has ended, since a commit cut
// in half leaves everybody in doubt.
const commitLimit = 30 * time.Second

var errNoAnswer = errors.New("the database did not answer the commit; whether it took place shows when it answers again")

var errEnded = errors.New("the transaction has ended: a Tx must not be used outside of Write's function")

// Write runs fn in the serialized write transaction; see store.Store.
//
// Within the process a turn is taken, so that writers wait in Go and their
// contexts hold; between processes the lock of the head row (PostgreSQL) or of
// the database (SQLite) does the same.
func (db *DB) Write(ctx context.Context, fn func(store.Tx) error) error {
	select {
	case <-db.turn:
		defer func() { db.turn <- struct{}{} }()
	case <-ctx.Done():
		return db.failed(ctx, "waiting for another change", ctx.Err())
	}
	if err := context.Cause(ctx); err != nil {
		return db.failed(ctx, "nothing was changed", err)
	}
	return db.write(ctx, fn)
}

func (db *DB) write(ctx context.Context, fn func(store.Tx) error) error {
	// inner ends with ctx until the commit begins, see commitLimit.
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	detach := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	defer detach()

	sqlTx, err := db.writer.BeginTx(inner, nil)
	if err != nil {
		return db.failed(ctx, "the database cannot begin a change", err)
	}
	defer sqlTx.Rollback() // also when fn panics; without effect after the commit
	t := &tx{db: db, ctx: inner, tx: sqlTx}
	defer func() { t.ended = true }()

	err = sqlTx.QueryRowContext(inner, "SELECT config_version, audit_size, audit_hash, audit_frontier FROM head"+db.dialect.LockHead()).
		Scan(&t.version, &t.head.Size, hash32{&t.head.LastHash}, hashList{&t.head.Frontier})
	if err != nil {
		return db.failed(ctx, "the head of the database cannot be read", err)
	}
	if err := fn(t); err != nil {
		return err // fn's own, or one of t's, which are worded already
	}
	if t.err != nil {
		return t.err
	}
	if !t.changed && !t.appended && !t.set {
		return nil
	}
	if err := t.putHead(); err != nil {
		return db.failed(ctx, "the change was not stored", err)
	}
	if !detach() {
		return db.failed(ctx, "nothing was changed", context.Cause(ctx))
	}
	defer time.AfterFunc(commitLimit, func() { cancel(errNoAnswer) }).Stop()
	if err := sqlTx.Commit(); err != nil {
		return db.failed(inner, "the change was not stored", err)
	}
	return nil
}

// tx is the write transaction.
type tx struct {
	db      *DB
	ctx     context.Context // of the running Write
	tx      *sql.Tx
	version uint64
	head    store.AuditHead

	changed, appended, set bool // configuration, audit log, settings
	ended                  bool
	err                    error // the first one; nothing is committed after it
}

var _ store.Tx = (*tx)(nil)

// do runs one step. After a step that failed nothing more is done: PostgreSQL
// refuses to go on in such a transaction, and so does every engine here.
func (t *tx) do(step func() error) error {
	if t.ended {
		return errEnded
	}
	if t.err != nil {
		return t.err
	}
	if err := step(); err != nil {
		if !errors.Is(err, store.ErrDuplicate) {
			err = t.db.failed(t.ctx, "the change was not stored", err)
		}
		t.err = err
	}
	return t.err
}

// putHead writes the head row: once per transaction, however many steps there were.
func (t *tx) putHead() error {
	version := t.version
	if t.changed {
		version++
	}
	values := make([]any, 0, 4)
	for _, v := range []field{hash32{&t.head.LastHash}, hashList{&t.head.Frontier}} {
		b, err := v.Value()
		if err != nil {
			return err
		}
		values = append(values, b)
	}
	if !t.changed && !t.appended {
		return nil
	}
	_, err := t.tx.ExecContext(t.ctx, t.db.dialect.Rebind(
		"UPDATE head SET audit_hash = ?, audit_frontier = ?, config_version = ?, audit_size = ?"),
		append(values, int64(version), int64(t.head.Size))...)
	return err
}

func (t *tx) ConfigVersion() uint64 { return t.version }

func (t *tx) AuditHead() store.AuditHead {
	head := t.head
	head.Frontier = slices.Clone(head.Frontier)
	return head
}

func (t *tx) PutOrganization(o model.Organization) error { return put(t, organizations, &o) }
func (t *tx) PutUser(u model.User) error                 { return put(t, users, &u) }
func (t *tx) PutToken(k model.Token) error               { return put(t, tokens, &k) }
func (t *tx) PutProject(p model.Project) error           { return put(t, projects, &p) }
func (t *tx) PutCertificate(c model.Certificate) error   { return put(t, certificates, &c) }
func (t *tx) PutUserGroup(g model.UserGroup) error       { return put(t, userGroups, &g) }
func (t *tx) PutTrustedBuildSystem(b model.TrustedBuildSystem) error {
	return put(t, trustedBuildSystems, &b)
}
func (t *tx) PutSigningPolicy(p model.SigningPolicy) error {
	return put(t, signingPolicies, &p)
}
func (t *tx) PutArtifactConfiguration(a model.ArtifactConfiguration) error {
	return put(t, artifactConfigurations, &a)
}

func (t *tx) PutKey(k model.Key, sealed []byte) error {
	if sealed != nil && len(sealed) == 0 {
		return t.do(func() error { return errors.New("the sealed private part of a key is empty") })
	}
	if k.Deleted && sealed != nil {
		return t.do(func() error { return errors.New("a deleted key cannot have a private part") })
	}
	return put(t, keys, &k, column{"sealed", blob{&sealed}})
}

func (t *tx) Setting(name string) (value []byte, err error) {
	err = t.do(func() error {
		value, err = t.db.setting(t.ctx, t.tx, name)
		return err
	})
	return value, err
}

func (t *tx) PutSetting(name string, value []byte) error {
	return t.do(func() error {
		if err := checkText(name); err != nil {
			return err
		}
		var err error
		if value == nil {
			_, err = t.tx.ExecContext(t.ctx, t.db.dialect.Rebind("DELETE FROM settings WHERE name = ?"), name)
		} else {
			_, err = t.tx.ExecContext(t.ctx, t.db.dialect.Rebind(
				"INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"),
				name, value)
		}
		if err != nil {
			return fmt.Errorf("storing the setting %q: %w", name, err)
		}
		t.set = true
		return nil
	})
}
