package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// opened is the store, closed at the end of the test.
func opened(t *testing.T, open Opener) store.Store {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// write commits fn or ends the test.
func write(t *testing.T, s store.Store, fn func(tx store.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// refused runs fn in a transaction that must fail with want (nil: with any error).
func refused(t *testing.T, s store.Store, want error, fn func(tx store.Tx) error) error {
	t.Helper()
	err := s.Write(t.Context(), fn)
	if err == nil {
		t.Fatal("the transaction was committed")
	}
	if want != nil && !errors.Is(err, want) {
		t.Fatalf("got the error %q, want one that is %q", err, want)
	}
	return err
}

func config(t *testing.T, s store.Store) *model.Config {
	t.Helper()
	c, err := s.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func version(t *testing.T, s store.Store) uint64 {
	t.Helper()
	v, err := s.ConfigVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func head(t *testing.T, s store.Store) store.AuditHead {
	t.Helper()
	h, err := s.AuditHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func auditRows(t *testing.T, s store.Store, after uint64, limit int, f store.AuditFilter) []store.AuditRow {
	t.Helper()
	rows, err := s.AuditRows(t.Context(), after, limit, f)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// equal compares deeply: nil and empty slices differ.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, ok := got.(*model.Config); ok {
		equalConfig(t, what, g, want.(*model.Config))
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// equalConfig compares object by object, for error texts that a person can read.
func equalConfig(t *testing.T, what string, got, want *model.Config) {
	t.Helper()
	g, w := reflect.ValueOf(*got), reflect.ValueOf(*want)
	for i := range g.NumField() {
		name := what + ": " + g.Type().Field(i).Name
		if g.Field(i).Kind() != reflect.Slice || g.Field(i).Len() != w.Field(i).Len() {
			equal(t, name, g.Field(i).Interface(), w.Field(i).Interface())
			continue
		}
		for o := range g.Field(i).Len() {
			equal(t, name, g.Field(i).Index(o).Interface(), w.Field(i).Index(o).Interface())
		}
	}
}

// id makes a lower-case UUID that is the same for the same name.
func id(name string) string {
	h := sha256.Sum256([]byte(name))
	x := hex.EncodeToString(h[:])
	return x[:8] + "-" + x[8:12] + "-4" + x[13:16] + "-8" + x[17:20] + "-" + x[20:32]
}

// at is a time of the stores' precision.
func at(seconds int64, ms int64) time.Time { return time.Unix(seconds, ms*1e6).UTC() }

// fill is one object of each type, every member set, in the order of their creation.
func fill() *model.Config {
	return &model.Config{
		Organizations: []model.Organization{
			{ID: id("o1"), Name: "Ünïcode GmbH & Co. „KG“ 株式会社 🦊", Active: true, Created: at(1_700_000_000, 123), YearlySignatures: 1_000_000, QuotaStart: at(1_600_000_000, 0),
				DocumentRetentionDays: 7, RequestRetentionDays: 365, MaxUsers: 1, MaxProjects: 2, MaxCertificates: 3},
			{ID: id("o2"), Created: at(1_700_000_000, 124)},
		},
		Users: []model.User{
			{
				ID: id("u1"), OrganizationID: id("o1"), Kind: model.CIUser, Name: "build'; DROP TABLE users; --",
				Roles: []model.Role{model.GlobalAdministrator, model.GlobalReader}, Active: true, Created: at(1_700_000_001, 1),
			},
			{
				ID: id("u2"), OrganizationID: id("o1"), Kind: model.InteractiveUser, Name: "Zoë",
				Email: "zoë@example.test", Roles: []model.Role{}, Synchronized: true, Created: at(1_700_000_002, 999),
				InvitationHash: make([]byte, 32), InvitationExpires: at(1_800_000_000, 1),
			},
			{ID: id("u3"), OrganizationID: id("o2"), Kind: model.CIUser, Created: at(1_700_000_003, 0)},
		},
		UserGroups: []model.UserGroup{
			{
				ID: id("g1"), OrganizationID: id("o1"), Name: "Bäcker", Members: []string{id("u1"), id("u2")},
				Synchronized: true, Created: at(1_700_000_003, 1),
			},
			{ID: id("g2"), OrganizationID: id("o2"), Members: []string{}, Created: at(1_700_000_003, 2)},
			{ID: id("g3"), OrganizationID: id("o2"), Created: at(1_700_000_003, 3)},
		},
		Tokens: []model.Token{
			{
				ID: id("t1"), OrganizationID: id("o1"), UserID: id("u1"), Name: "one", Hash: sha256.Sum256([]byte("one")),
				Active: true, Created: at(1_700_000_004, 0), Expires: at(4_000_000_000, 7),
				Addresses: []string{"192.0.2.0/24", "2001:db8::/32"},
			},
			{ID: id("t2"), OrganizationID: id("o2"), UserID: id("u3"), Created: at(1_700_000_005, 0)},
		},
		Projects: []model.Project{
			{
				ID: id("p1"), OrganizationID: id("o1"), Slug: "Main.Project_1-x", Name: "Main", Description: "a\nb\tc",
				RepositoryURL: "https://example.test/a.git", Readers: []string{id("g1")}, Configurators: []string{id("u1"), id("g1")},
				Active: true, Created: at(1_700_000_006, 0),
			},
			{ID: id("p2"), OrganizationID: id("o1"), Slug: "other", Created: at(1_700_000_007, 0)},
			{ID: id("p3"), OrganizationID: id("o2"), Slug: "main.project_1-x", Created: at(1_700_000_008, 0)},
		},
		ArtifactConfigurations: []model.ArtifactConfiguration{
			{
				ID: id("a1"), OrganizationID: id("o1"), ProjectID: id("p1"), Slug: "initial", Name: "Initial",
				Type: model.HashSigningData, Default: true, Active: true, Created: at(1_700_000_009, 0),
			},
			{ID: id("a2"), OrganizationID: id("o1"), ProjectID: id("p2"), Slug: "initial", Created: at(1_700_000_010, 0)},
		},
		SigningPolicies: []model.SigningPolicy{
			{
				ID: id("s1"), OrganizationID: id("o1"), ProjectID: id("p1"), Slug: "release-signing", Name: "Release",
				CertificateID: id("c1"), Submitters: []string{id("u1"), id("g1")}, Approvers: []string{id("u2")}, RequiredApprovals: 3,
				RequiresTrustedBuildSystem: true, Hashes: wire.Hashes(), Active: true, Created: at(1_700_000_011, 0),
			},
			{
				ID: id("s2"), OrganizationID: id("o1"), ProjectID: id("p2"), Slug: "release-signing",
				Submitters: []string{}, Hashes: []wire.Hash{}, Created: at(1_700_000_012, 0),
			},
			{ID: id("s3"), OrganizationID: id("o1"), ProjectID: id("p2"), Slug: "test-signing", Created: at(1_700_000_013, 0)},
		},
		Certificates: []model.Certificate{
			{
				ID: id("c1"), OrganizationID: id("o1"), Slug: "x509", Name: "X.509", Type: wire.CertificateX509, KeyID: id("k1"),
				Creation: model.CreatedFromCSR, CSR: []byte{0x30, 0x00}, Leaf: []byte{0x30, 0x00, 0xff}, Chain: [][]byte{{0x30, 0x01}, {0x30, 0x02, 0x00}},
				NotBefore: at(1_600_000_000, 0), NotAfter: at(253_402_300_799, 0), Active: true, Created: at(1_700_000_014, 0), RequiresApproval: true,
			},
			{
				ID: id("c2"), OrganizationID: id("o1"), Slug: "gpg", Type: wire.CertificateGPG, KeyID: id("k2"),
				OpenPGP: []byte{0x99}, Chain: [][]byte{}, NotBefore: at(-1, 0), Created: at(1_700_000_015, 0),
			},
			{ID: id("c3"), OrganizationID: id("o2"), Slug: "gpg", Leaf: []byte{}, Created: at(1_700_000_016, 0)},
		},
		Keys: []model.Key{
			{
				ID: id("k1"), OrganizationID: id("o1"), Version: 1, Type: wire.KeyRSA, Bits: 4096,
				Public: []byte{0x30, 0x82, 0x00}, Backend: "soft", Created: at(1_700_000_017, 0),
			},
			{
				ID: id("k2"), OrganizationID: id("o1"), Version: 2, Type: wire.KeyECDSA, Bits: 521,
				Backend: "hsm", Deleted: true, Created: at(1_700_000_018, 0),
			},
		},
		TrustedBuildSystems: []model.TrustedBuildSystem{
			{ID: id("b1"), OrganizationID: id("o1"), Name: "CI ä", Projects: []string{id("p1"), id("p2")}, TokenHash: sha256.Sum256([]byte("tbs")), Active: true, Created: at(1_700_000_019, 0)},
			{ID: id("b2"), OrganizationID: id("o2"), Created: at(1_700_000_020, 0)},
		},
	}
}

// putAll stores a whole configuration, those that refer before those that are
// referred to: within a transaction the order does not matter.
func putAll(tx store.Tx, c *model.Config) error {
	var errs []error
	for _, v := range c.SigningPolicies {
		errs = append(errs, tx.PutSigningPolicy(v))
	}
	for _, v := range c.ArtifactConfigurations {
		errs = append(errs, tx.PutArtifactConfiguration(v))
	}
	for _, v := range c.Certificates {
		errs = append(errs, tx.PutCertificate(v))
	}
	for _, v := range c.Tokens {
		errs = append(errs, tx.PutToken(v))
	}
	for _, v := range c.Keys {
		errs = append(errs, tx.PutKey(v, sealedOf(v)))
	}
	for _, v := range c.Projects {
		errs = append(errs, tx.PutProject(v))
	}
	for _, v := range c.UserGroups {
		errs = append(errs, tx.PutUserGroup(v))
	}
	for _, v := range c.TrustedBuildSystems {
		errs = append(errs, tx.PutTrustedBuildSystem(v))
	}
	for _, v := range c.Users {
		errs = append(errs, tx.PutUser(v))
	}
	for _, v := range c.Organizations {
		errs = append(errs, tx.PutOrganization(v))
	}
	return errors.Join(errs...)
}

func sealedOf(k model.Key) []byte {
	if k.Deleted {
		return nil
	}
	return []byte("sealed " + k.ID)
}

// entries makes n audit rows that follow the head, and their new head.
func entries(h store.AuditHead, n int, edit func(i int, r *store.AuditRow)) ([]store.AuditRow, store.AuditHead) {
	rows := make([]store.AuditRow, n)
	for i := range rows {
		seq := h.Size + 1
		rows[i] = store.AuditRow{
			Seq:            seq,
			Leaf:           fmt.Appendf(nil, `{"sequence":%d,"text":"ä🦊\u0000"}`, seq),
			OrganizationID: id("o1"),
			Type:           "Test.Entry",
			TimeMillis:     1_700_000_000_000 + int64(seq),
		}
		if edit != nil {
			edit(i, &rows[i])
		}
		h.Size = seq
		h.LastHash = sha256.Sum256(rows[i].Leaf)
		h.Frontier = append([][32]byte{h.LastHash}, h.Frontier[:min(len(h.Frontier), 3)]...)
	}
	return rows, h
}

// appendEntries commits n entries and gives them back.
func appendEntries(t *testing.T, s store.Store, n int, edit func(i int, r *store.AuditRow)) []store.AuditRow {
	t.Helper()
	var all []store.AuditRow
	write(t, s, func(tx store.Tx) error {
		rows, h := entries(tx.AuditHead(), n, edit)
		all = rows
		return tx.AppendAudit(rows, h)
	})
	return all
}

// soon is a context that ends by itself, against tests that hang.
func soon(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 30*time.Second)
}
