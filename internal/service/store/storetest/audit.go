package storetest

import (
	"errors"
	"math"
	"slices"
	"testing"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

func testAuditAppend(t *testing.T, open Opener) {
	s := opened(t, open)
	var want []store.AuditRow
	var last store.AuditHead
	for _, n := range []int{1, 0, 2, 500, 1} {
		write(t, s, func(tx store.Tx) error {
			equal(t, "head before", tx.AuditHead(), last)
			rows, h := entries(tx.AuditHead(), n, nil)
			if err := tx.AppendAudit(rows, h); err != nil {
				return err
			}
			want, last = append(want, rows...), h
			got := tx.AuditHead()
			equal(t, "own head", got, h)
			if len(got.Frontier) > 0 {
				got.Frontier[0][0]++ // must be a copy
			}
			return nil
		})
		equal(t, "head", head(t, s), last)
	}
	write(t, s, func(tx store.Tx) error { // twice in one transaction
		for range 2 {
			rows, h := entries(tx.AuditHead(), 2, nil)
			if err := tx.AppendAudit(rows, h); err != nil {
				return err
			}
			want, last = append(want, rows...), h
		}
		return nil
	})
	equal(t, "rows", auditRows(t, s, 0, 10_000, store.AuditFilter{}), want)
	s.Close()
	s = opened(t, open)
	equal(t, "rows after reopening", auditRows(t, s, 0, 10_000, store.AuditFilter{}), want)
	equal(t, "head after reopening", head(t, s), last)
}

func testAuditGaps(t *testing.T, open Opener) {
	s := opened(t, open)
	appendEntries(t, s, 3, nil)
	before := head(t, s)
	for _, c := range []struct {
		what   string
		change func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow
	}{
		{"an entry left out", func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow { return rows[1:] }},
		{"an entry in the middle left out", func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow {
			return slices.Delete(rows, 1, 2)
		}},
		{"an entry twice", func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow {
			rows[1].Seq = rows[0].Seq
			return rows
		}},
		{"an old entry again", func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow {
			for i := range rows {
				rows[i].Seq -= 3
			}
			h.Size -= 3
			return rows
		}},
		{"a head that counts too few", func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow { h.Size--; return rows }},
		{"a head that counts too many", func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow { h.Size++; return rows }},
		{"a head without entries", func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow { return nil }},
		{"an empty entry", func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow { rows[2].Leaf = nil; return rows }},
		{"an outcome of itself", func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow {
			rows[1].Closes = rows[1].Seq
			return rows
		}},
		{"a number beyond all", func(rows []store.AuditRow, h *store.AuditHead) []store.AuditRow {
			rows[0].Seq = math.MaxUint64
			return rows[:1]
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			refused(t, s, nil, func(tx store.Tx) error {
				rows, h := entries(tx.AuditHead(), 3, nil)
				rows = c.change(rows, &h)
				return tx.AppendAudit(rows, h)
			})
			equal(t, "head", head(t, s), before)
		})
	}
	equal(t, "rows", len(auditRows(t, s, 0, 100, store.AuditFilter{})), 3)
}

func testAuditPaging(t *testing.T, open Opener) {
	s := opened(t, open)
	want := appendEntries(t, s, 25, nil)
	var got []store.AuditRow
	for {
		var after uint64
		if len(got) > 0 {
			after = got[len(got)-1].Seq
		}
		page := auditRows(t, s, after, 10, store.AuditFilter{})
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	equal(t, "rows", got, want)
	equal(t, "one row", auditRows(t, s, 24, 1, store.AuditFilter{}), want[24:])
	equal(t, "after the end", len(auditRows(t, s, 25, 10, store.AuditFilter{})), 0)
	equal(t, "after all numbers", len(auditRows(t, s, math.MaxUint64, 10, store.AuditFilter{})), 0)
	for _, limit := range []int{0, -1} {
		if _, err := s.AuditRows(t.Context(), 0, limit, store.AuditFilter{}); err == nil {
			t.Errorf("limit %d was accepted", limit)
		}
	}
}

func testAuditFilters(t *testing.T, open Opener) {
	s := opened(t, open)
	appendEntries(t, s, 12, func(i int, r *store.AuditRow) {
		r.OrganizationID = []string{"", id("o1"), id("o2")}[i%3]
		r.Type = []string{"A.Made", "B.Made"}[i%2]
		r.TimeMillis = int64(i * 100)
	})
	for _, c := range []struct {
		what   string
		after  uint64
		filter store.AuditFilter
		want   []uint64
	}{
		{"organization", 0, store.AuditFilter{OrganizationID: id("o1")}, []uint64{2, 5, 8, 11}},
		{"organization, next page", 5, store.AuditFilter{OrganizationID: id("o1")}, []uint64{8, 11}},
		{"unknown organization", 0, store.AuditFilter{OrganizationID: id("o3")}, nil},
		{"type", 0, store.AuditFilter{Type: "B.Made"}, []uint64{2, 4, 6, 8, 10, 12}},
		{"part of a type", 0, store.AuditFilter{Type: "B"}, nil},
		{"from", 0, store.AuditFilter{FromMillis: 900}, []uint64{10, 11, 12}},
		{"to", 0, store.AuditFilter{ToMillis: 200}, []uint64{1, 2}},
		{"from, to", 0, store.AuditFilter{FromMillis: 200, ToMillis: 400}, []uint64{3, 4}},
		{"all", 0, store.AuditFilter{OrganizationID: id("o1"), Type: "A.Made", FromMillis: 300, ToMillis: 1000}, []uint64{5}},
	} {
		var got []uint64
		for _, r := range auditRows(t, s, c.after, 100, c.filter) {
			got = append(got, r.Seq)
		}
		equal(t, c.what, got, c.want)
	}
}

func testOpenIntents(t *testing.T, open Opener) {
	s := opened(t, open)
	rows := appendEntries(t, s, 6, func(i int, r *store.AuditRow) { r.Opens = i%2 == 0 }) // 1, 3, 5
	check := func(s store.Store, want ...store.AuditRow) {
		t.Helper()
		got, err := s.OpenIntents(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "open intents", got, want)
	}
	check(s, rows[0], rows[2], rows[4])
	outcome := appendEntries(t, s, 1, func(_ int, r *store.AuditRow) { r.Closes = 3 })
	check(s, rows[0], rows[4])
	equal(t, "outcome", auditRows(t, s, 6, 1, store.AuditFilter{}), outcome)
	// An intent and its outcome in one group; an outcome that comes a second
	// time (another replica had given the intent up); one that no intent waits for.
	appendEntries(t, s, 4, func(i int, r *store.AuditRow) {
		r.Opens = i == 0
		r.Closes = []uint64{0, 8, 3, 2}[i]
	})
	check(s, rows[0], rows[4])
	s.Close()
	check(opened(t, open), rows[0], rows[4])
}

// A configuration change and its audit entry stand or fall together.
func testTogether(t *testing.T, open Opener) {
	s := opened(t, open)
	both := func(tx store.Tx) error {
		return errors.Join(
			tx.PutOrganization(model.Organization{ID: id("o1"), Name: "x"}),
			tx.AppendAudit(entries(tx.AuditHead(), 1, nil)))
	}
	write(t, s, both)
	equal(t, "organizations", len(config(t, s).Organizations), 1)
	equal(t, "head", head(t, s).Size, uint64(1))
	refused(t, s, nil, func(tx store.Tx) error {
		return errors.Join(both(tx), tx.AppendAudit([]store.AuditRow{{Seq: 9, Leaf: []byte("x")}}, store.AuditHead{Size: 9}))
	})
	equal(t, "version", version(t, s), uint64(1))
	equal(t, "head", head(t, s).Size, uint64(1))
}
