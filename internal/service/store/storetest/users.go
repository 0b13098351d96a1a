package storetest

import (
	"testing"
	"time"

	"signpath/internal/service/store"
)

func testUserGroups(t *testing.T, open Opener) {
	s := opened(t, open)
	all := fill()
	write(t, s, func(tx store.Tx) error { return putAll(tx, all) })
	write(t, s, func(tx store.Tx) error { return tx.DeleteUserGroup(id("o1"), id("g1")) })
	equal(t, "groups", config(t, s).UserGroups, all.UserGroups[1:])
	refused(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.DeleteUserGroup(id("o1"), id("g1")) })
	refused(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.DeleteUserGroup(id("o1"), id("g2")) })
}

func testTokenUses(t *testing.T, open Opener) {
	s := opened(t, open)
	uses := func() map[string]time.Time {
		t.Helper()
		m, err := s.TokenUses(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	equal(t, "none", uses(), map[string]time.Time{})
	write(t, s, func(tx store.Tx) error { return putAll(tx, fill()) })
	equal(t, "none yet", uses(), map[string]time.Time{})
	put := func(m map[string]time.Time) func(store.Tx) error {
		return func(tx store.Tx) error { return tx.PutTokenUses(m) }
	}
	first := map[string]time.Time{id("t1"): at(1_700_000_100, 1), id("t2"): at(1_700_000_100, 2)}
	write(t, s, put(first))
	equal(t, "first", uses(), first)
	// Another replica may write an older time later.
	write(t, s, put(map[string]time.Time{id("t1"): at(1_700_000_099, 0), id("t2"): at(1_700_000_101, 0)}))
	equal(t, "newest", uses(), map[string]time.Time{id("t1"): at(1_700_000_100, 1), id("t2"): at(1_700_000_101, 0)})
	refused(t, s, nil, put(map[string]time.Time{id("nobody"): at(1, 0)}))
	s.Close()
	s = opened(t, open)
	equal(t, "after reopening", len(uses()), 2)
}
