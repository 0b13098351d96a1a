package storetest

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"signpath/internal/service/store"
)

// Entries are found by what they are about, and only within what else is asked for.
func testAuditSubjects(t *testing.T, open Opener) {
	s := opened(t, open)
	one, two := sha256.Sum256([]byte("one")), bytes.Repeat([]byte{0}, 20)
	all := appendEntries(t, s, 12, func(i int, r *store.AuditRow) {
		r.OrganizationID = []string{id("o1"), id("o2")}[i%2]
		r.Type = []string{"Signing.Intent", "Signing.Done", "Signing2.Done", "Signin.Done", "Signing", "Other.Done"}[i%6]
		switch i % 3 {
		case 0:
			r.Subject = store.AuditSubject{ActorID: id("u1"), PolicyID: id("s1"), KeyID: id("k1"), Digest: one[:]}
		case 1:
			r.Subject = store.AuditSubject{ActorID: id("u2"), PolicyID: id("s2"), KeyID: id("k1"), Digest: two}
		}
	})
	equal(t, "rows", auditRows(t, s, 0, 100, store.AuditFilter{}), all)
	for _, c := range []struct {
		what   string
		after  uint64
		filter store.AuditFilter
		want   []uint64
	}{
		{"digest", 0, store.AuditFilter{Subject: store.AuditSubject{Digest: one[:]}}, []uint64{1, 4, 7, 10}},
		{"digest of zeros", 0, store.AuditFilter{Subject: store.AuditSubject{Digest: two}}, []uint64{2, 5, 8, 11}},
		{"part of a digest", 0, store.AuditFilter{Subject: store.AuditSubject{Digest: one[:20]}}, nil},
		{"digest, organization", 0, store.AuditFilter{OrganizationID: id("o1"), Subject: store.AuditSubject{Digest: one[:]}}, []uint64{1, 7}},
		{"digest, next page", 4, store.AuditFilter{Subject: store.AuditSubject{Digest: one[:]}}, []uint64{7, 10}},
		{"policy", 0, store.AuditFilter{Subject: store.AuditSubject{PolicyID: id("s2")}}, []uint64{2, 5, 8, 11}},
		{"key", 0, store.AuditFilter{OrganizationID: id("o2"), Subject: store.AuditSubject{KeyID: id("k1")}}, []uint64{2, 4, 8, 10}},
		{"actor", 0, store.AuditFilter{Subject: store.AuditSubject{ActorID: id("u1")}}, []uint64{1, 4, 7, 10}},
		{"actor and another's policy", 0, store.AuditFilter{Subject: store.AuditSubject{ActorID: id("u1"), PolicyID: id("s2")}}, nil},
		{"before", 2, store.AuditFilter{Before: 5}, []uint64{3, 4}},
		{"group of types", 0, store.AuditFilter{TypePrefixes: []string{"Signing."}}, []uint64{1, 2, 7, 8}},
		{"groups of types", 0, store.AuditFilter{TypePrefixes: []string{"Signin.", "Other."}}, []uint64{4, 6, 10, 12}},
		{"groups of types, organization", 0, store.AuditFilter{OrganizationID: id("o1"), TypePrefixes: []string{"Signing.", "Other."}}, []uint64{1, 7}},
	} {
		var got []uint64
		for _, r := range auditRows(t, s, c.after, 100, c.filter) {
			got = append(got, r.Seq)
		}
		equal(t, c.what, got, c.want)
		n, _, err := s.CountAudit(t.Context(), c.after, c.filter)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c.what+", counted", n, uint64(len(c.want)))
	}
	for i := range 2 {
		refused(t, s, nil, func(tx store.Tx) error {
			return tx.AppendAudit(entries(tx.AuditHead(), 1, func(_ int, r *store.AuditRow) {
				r.Subject = []store.AuditSubject{{PolicyID: "a\x00b"}, {ActorID: "\xff"}}[i]
			}))
		})
	}
}
