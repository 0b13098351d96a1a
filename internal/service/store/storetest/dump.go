package storetest

import (
	"errors"
	"testing"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// testDump copies one database into another one: everything is there, and as it was.
func testDump(t *testing.T, create func(t *testing.T) Opener) {
	from := opened(t, create(t))
	want := fill()
	write(t, from, func(tx store.Tx) error { return putAll(tx, want) })
	write(t, from, func(tx store.Tx) error {
		return errors.Join(tx.PutSetting("name", []byte{0, 255}), tx.PutTokenUses(map[string]time.Time{want.Tokens[0].ID: time.UnixMilli(1234).UTC()}))
	})
	appendEntries(t, from, 3, func(i int, r *store.AuditRow) {
		r.Opens = i != 1
		if i == 1 {
			r.Closes = 1
		}
	})
	var rows []store.Row
	schema := 0
	dump := func(s store.Store) {
		rows = nil
		err := s.Dump(t.Context(), func(n int) error { schema = n; return nil }, func(r store.Row) error { rows = append(rows, r); return nil })
		if err != nil || schema < 2 || len(rows) < 20 {
			t.Fatalf("%v: schema %d, %d rows", err, schema, len(rows))
		}
	}
	dump(from)

	stop := errors.New("stop")
	for _, call := range []func() error{
		func() error {
			return from.Dump(t.Context(), func(int) error { return stop }, func(store.Row) error { return nil })
		},
		func() error {
			return from.Dump(t.Context(), func(int) error { return nil }, func(store.Row) error { return stop })
		},
	} {
		if err := call(); !errors.Is(err, stop) {
			t.Errorf("%v", err)
		}
	}

	open := create(t)
	to := opened(t, open)
	feed := func(rows []store.Row, end error) func() (store.Row, error) {
		return func() (store.Row, error) {
			if len(rows) == 0 {
				return store.Row{}, end
			}
			r := rows[0]
			rows = rows[1:]
			return r, nil
		}
	}
	// What fails changes nothing, so that the last one finds an empty database.
	for what, c := range map[string]struct {
		schema int
		next   func() (store.Row, error)
		want   error
	}{
		"a damaged source": {schema, feed(rows, stop), stop},
		"a newer schema":   {schema + 1, feed(rows, store.ErrNoMoreRows), store.ErrTooNew},
		"a foreign table":  {schema, feed([]store.Row{{Table: "schema_version", Columns: []string{"version"}, Values: []any{int64(9)}}}, store.ErrNoMoreRows), nil},
		"a foreign column": {schema, feed([]store.Row{{Table: "settings", Columns: []string{"name) --"}, Values: []any{"x"}}}, store.ErrNoMoreRows), nil},
		"a short row":      {schema, feed([]store.Row{{Table: "settings", Columns: []string{"name", "value"}, Values: []any{"x"}}}, store.ErrNoMoreRows), nil},
		"a wrong type":     {schema, feed([]store.Row{{Table: "settings", Columns: []string{"name", "value"}, Values: []any{"x", 1.5}}}, store.ErrNoMoreRows), nil},
		"a dangling row":   {schema, feed(rows[len(rows)/2:], store.ErrNoMoreRows), nil},
	} {
		if err := to.Load(t.Context(), c.schema, c.next); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
		if v := version(t, to); v != 0 {
			t.Fatalf("%s left version %d", what, v)
		}
	}
	if err := to.Load(t.Context(), schema, feed(rows, store.ErrNoMoreRows)); err != nil {
		t.Fatal(err)
	}
	want.Version = 1
	equal(t, "configuration", config(t, to), want)
	equal(t, "head", head(t, to), head(t, from))
	equal(t, "audit rows", auditRows(t, to, 0, 100, store.AuditFilter{}), auditRows(t, from, 0, 100, store.AuditFilter{}))
	intents, err := to.OpenIntents(t.Context())
	if err != nil || len(intents) != 1 || intents[0].Seq != 3 {
		t.Errorf("%v %+v", err, intents)
	}
	if v, err := to.Setting(t.Context(), "name"); err != nil || string(v) != "\x00\xff" {
		t.Errorf("%x %v", v, err)
	}
	if u, err := to.TokenUses(t.Context()); err != nil || len(u) != 1 {
		t.Errorf("%v %v", u, err)
	}
	for _, k := range want.Keys {
		a, errA := from.SealedKey(t.Context(), k.ID)
		b, errB := to.SealedKey(t.Context(), k.ID)
		if string(a) != string(b) || (errA == nil) != (errB == nil) {
			t.Errorf("key %s: %x %v, want %x %v", k.ID, b, errB, a, errA)
		}
	}
	first := rows
	dump(to)
	equal(t, "second dump", rows, first)
	if err := to.Load(t.Context(), schema, feed(first, store.ErrNoMoreRows)); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("into a full database: %v", err)
	}
	// It is a database as any other.
	write(t, to, func(tx store.Tx) error {
		return tx.PutOrganization(model.Organization{ID: "later", Name: "Later", Created: time.UnixMilli(1).UTC()})
	})
}
