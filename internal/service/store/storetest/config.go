package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

func testEmpty(t *testing.T, open Opener) {
	s := opened(t, open)
	equal(t, "configuration", config(t, s), &model.Config{})
	equal(t, "version", version(t, s), uint64(0))
	equal(t, "head", head(t, s), store.AuditHead{})
	equal(t, "audit rows", len(auditRows(t, s, 0, 10, store.AuditFilter{})), 0)
	intents, err := s.OpenIntents(t.Context())
	if err != nil || len(intents) != 0 {
		t.Errorf("open intents: %v, %v", intents, err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func testRoundTrip(t *testing.T, open Opener) {
	s := opened(t, open)
	want := fill()
	everyMemberSet(t, want)
	write(t, s, func(tx store.Tx) error { return putAll(tx, want) })
	want.Version = 1
	equal(t, "configuration", config(t, s), want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	equal(t, "configuration after reopening", config(t, opened(t, open)), want)
}

// everyMemberSet fails when a member of a model type is zero in all samples:
// then a new one was added, and nobody tells whether the store keeps it.
func everyMemberSet(t *testing.T, c *model.Config) {
	all := reflect.ValueOf(*c)
	for i := range all.NumField() {
		objects := all.Field(i)
		if objects.Kind() != reflect.Slice {
			continue
		}
		for m := range objects.Type().Elem().NumField() {
			set := false
			for o := range objects.Len() {
				set = set || !objects.Index(o).Field(m).IsZero()
			}
			if !set {
				t.Errorf("%s.%s is set in no sample", objects.Type().Elem(), objects.Type().Elem().Field(m).Name)
			}
		}
	}
}

func testReplace(t *testing.T, open Opener) {
	s := opened(t, open)
	first := fill()
	write(t, s, func(tx store.Tx) error { return putAll(tx, first) })

	want := fill()
	o := &want.Organizations[0]
	o.Name, o.Active, o.Created = "New", false, o.Created.Add(-time.Second)
	u := &want.Users[0]
	u.Name, u.Email, u.Roles, u.Active, u.Kind = "new", "new@example.test", nil, false, model.InteractiveUser
	u.Synchronized = true
	g := &want.UserGroups[0]
	g.Name, g.Members, g.Synchronized = "new", nil, false
	k := &want.Tokens[0]
	k.Name, k.Active, k.Expires, k.Hash[0] = "new", false, time.Time{}, k.Hash[0]+1
	k.Addresses = nil
	p := &want.Projects[0]
	p.Slug, p.Name, p.Description, p.Active = "new", "New", "", false
	p.RepositoryURL, p.Readers, p.Configurators = "", nil, []string{}
	a := &want.ArtifactConfigurations[0]
	a.Slug, a.Name, a.Type, a.Default, a.Active = "new", "New", "Zip", false, false
	sp := &want.SigningPolicies[0]
	sp.Slug, sp.CertificateID, sp.Submitters, sp.RequiredApprovals, sp.Hashes, sp.Active = "new", "", nil, 0, nil, false
	sp.Approvers = nil
	c := &want.Certificates[0]
	c.Slug, c.KeyID, c.Leaf, c.Chain, c.OpenPGP, c.NotAfter = "new", "", nil, nil, []byte{1}, time.Time{}
	want.Keys[0].Version, want.Keys[0].Deleted, want.Keys[0].Public = 7, true, nil
	write(t, s, func(tx store.Tx) error { return putAll(tx, want) })
	want.Version = 2
	equal(t, "configuration", config(t, s), want)

	// The same object again is no duplicate of itself.
	write(t, s, func(tx store.Tx) error { return putAll(tx, want) })
	want.Version = 3
	equal(t, "configuration", config(t, s), want)
}

func testVersions(t *testing.T, open Opener) {
	s := opened(t, open)
	all := fill()
	write(t, s, func(tx store.Tx) error {
		equal(t, "version before", tx.ConfigVersion(), uint64(0))
		err := putAll(tx, all)
		equal(t, "version after own changes", tx.ConfigVersion(), uint64(0))
		return err
	})
	for _, c := range []struct {
		what  string
		raise uint64
		do    func(tx store.Tx) error
	}{
		{"nothing", 0, func(tx store.Tx) error { return nil }},
		{"setting", 0, func(tx store.Tx) error { return tx.PutSetting("a", []byte{1}) }},
		{"audit", 0, func(tx store.Tx) error { return tx.AppendAudit(entries(tx.AuditHead(), 2, nil)) }},
		{"organization", 1, func(tx store.Tx) error { return tx.PutOrganization(all.Organizations[0]) }},
		{"user", 1, func(tx store.Tx) error { return tx.PutUser(all.Users[0]) }},
		{"user group", 1, func(tx store.Tx) error { return tx.PutUserGroup(all.UserGroups[0]) }},
		{"user group that goes", 1, func(tx store.Tx) error {
			return errors.Join(tx.PutUserGroup(model.UserGroup{ID: id("g9"), OrganizationID: id("o1")}), tx.DeleteUserGroup(id("o1"), id("g9")))
		}},
		{"last use of a token", 0, func(tx store.Tx) error {
			return tx.PutTokenUses(map[string]time.Time{id("t1"): at(1_700_000_100, 0)})
		}},
		{"token", 1, func(tx store.Tx) error { return tx.PutToken(all.Tokens[0]) }},
		{"project", 1, func(tx store.Tx) error { return tx.PutProject(all.Projects[0]) }},
		{"artifact configuration", 1, func(tx store.Tx) error { return tx.PutArtifactConfiguration(all.ArtifactConfigurations[0]) }},
		{"policy", 1, func(tx store.Tx) error { return tx.PutSigningPolicy(all.SigningPolicies[0]) }},
		{"certificate", 1, func(tx store.Tx) error { return tx.PutCertificate(all.Certificates[0]) }},
		{"key", 1, func(tx store.Tx) error { return tx.PutKey(all.Keys[0], []byte{1}) }},
		{"several", 1, func(tx store.Tx) error { return putAll(tx, all) }},
	} {
		before := version(t, s)
		write(t, s, c.do)
		if got := version(t, s) - before; got != c.raise {
			t.Errorf("%s: the version rose by %d, want %d", c.what, got, c.raise)
		}
		equal(t, c.what+": version of the configuration", config(t, s).Version, before+c.raise)
	}
}

func testDuplicates(t *testing.T, open Opener) {
	s := opened(t, open)
	all := fill()
	write(t, s, func(tx store.Tx) error { return putAll(tx, all) })
	org, otherOrg := id("o1"), id("o2")
	for _, c := range []struct {
		what   string
		taken  string // a part of the error text; "": allowed
		change func(tx store.Tx) error
	}{
		{"project slug", `"MAIN.project_1-X"`, func(tx store.Tx) error {
			return tx.PutProject(model.Project{ID: id("n1"), OrganizationID: org, Slug: "MAIN.project_1-X"})
		}},
		{"project slug by a change", `"other"`, func(tx store.Tx) error {
			return tx.PutProject(model.Project{ID: id("p1"), OrganizationID: org, Slug: "other"})
		}},
		{"project slug of another organization", "", func(tx store.Tx) error {
			return tx.PutProject(model.Project{ID: id("n2"), OrganizationID: otherOrg, Slug: "other"})
		}},
		{"artifact configuration slug", `"Initial"`, func(tx store.Tx) error {
			return tx.PutArtifactConfiguration(model.ArtifactConfiguration{ID: id("n3"), OrganizationID: org, ProjectID: id("p1"), Slug: "Initial"})
		}},
		{"policy slug", `"Release-Signing"`, func(tx store.Tx) error {
			return tx.PutSigningPolicy(model.SigningPolicy{ID: id("n4"), OrganizationID: org, ProjectID: id("p1"), Slug: "Release-Signing"})
		}},
		{"policy slug of another project", "", func(tx store.Tx) error {
			return tx.PutSigningPolicy(model.SigningPolicy{ID: id("n5"), OrganizationID: org, ProjectID: id("p1"), Slug: "test-signing"})
		}},
		{"certificate slug", `"X509"`, func(tx store.Tx) error {
			return tx.PutCertificate(model.Certificate{ID: id("n6"), OrganizationID: org, Slug: "X509"})
		}},
		{"certificate slug of another organization", "", func(tx store.Tx) error {
			return tx.PutCertificate(model.Certificate{ID: id("n7"), OrganizationID: otherOrg, Slug: "x509"})
		}},
		{"token hash", "token", func(tx store.Tx) error {
			return tx.PutToken(model.Token{ID: id("n8"), OrganizationID: otherOrg, UserID: id("u3"), Hash: all.Tokens[0].Hash})
		}},
	} {
		if c.taken == "" {
			write(t, s, c.change)
			continue
		}
		before := config(t, s)
		err := refused(t, s, store.ErrDuplicate, c.change)
		if !strings.Contains(err.Error(), c.taken) {
			t.Errorf("%s: the error %q does not name %s", c.what, err, c.taken)
		}
		equal(t, c.what+": configuration", config(t, s), before)
	}
}

// An ID that another organization uses must not let anybody take the object over.
func testOtherOrganization(t *testing.T, open Opener) {
	s := opened(t, open)
	all := fill()
	write(t, s, func(tx store.Tx) error { return putAll(tx, all) })
	before := config(t, s)
	for what, change := range map[string]func(tx store.Tx) error{
		"user": func(tx store.Tx) error { v := all.Users[1]; v.OrganizationID = id("o2"); return tx.PutUser(v) },
		"user group": func(tx store.Tx) error {
			v := all.UserGroups[0]
			v.OrganizationID = id("o2")
			return tx.PutUserGroup(v)
		},
		"token":   func(tx store.Tx) error { v := all.Tokens[0]; v.OrganizationID = id("o2"); return tx.PutToken(v) },
		"project": func(tx store.Tx) error { v := all.Projects[1]; v.OrganizationID = id("o2"); return tx.PutProject(v) },
		"artifact configuration": func(tx store.Tx) error {
			v := all.ArtifactConfigurations[0]
			v.OrganizationID = id("o2")
			return tx.PutArtifactConfiguration(v)
		},
		"policy": func(tx store.Tx) error {
			v := all.SigningPolicies[0]
			v.OrganizationID = id("o2")
			return tx.PutSigningPolicy(v)
		},
		"certificate": func(tx store.Tx) error {
			v := all.Certificates[0]
			v.OrganizationID = id("o2")
			return tx.PutCertificate(v)
		},
		"key": func(tx store.Tx) error {
			v := all.Keys[0]
			v.OrganizationID = id("o2")
			return tx.PutKey(v, []byte("x"))
		},
	} {
		t.Run(what, func(t *testing.T) { refused(t, s, store.ErrDuplicate, change) })
	}
	equal(t, "configuration", config(t, s), before)
}

func testReferences(t *testing.T, open Opener) {
	s := opened(t, open)
	all := fill()
	write(t, s, func(tx store.Tx) error { return putAll(tx, all) })
	before := config(t, s)
	org, none := id("o1"), id("nobody")
	for what, change := range map[string]func(tx store.Tx) error{
		"user of no organization": func(tx store.Tx) error { return tx.PutUser(model.User{ID: id("n"), OrganizationID: none}) },
		"no organization at all":  func(tx store.Tx) error { return tx.PutUser(model.User{ID: id("n")}) },
		"token of no user": func(tx store.Tx) error {
			return tx.PutToken(model.Token{ID: id("n"), OrganizationID: org, UserID: none})
		},
		"token of another organization's user": func(tx store.Tx) error {
			return tx.PutToken(model.Token{ID: id("n"), OrganizationID: org, UserID: id("u3"), Hash: [32]byte{1}})
		},
		"policy of another organization's project": func(tx store.Tx) error {
			return tx.PutSigningPolicy(model.SigningPolicy{ID: id("n"), OrganizationID: org, ProjectID: id("p3"), Slug: "n"})
		},
		"policy with another organization's certificate": func(tx store.Tx) error {
			return tx.PutSigningPolicy(model.SigningPolicy{ID: id("n"), OrganizationID: org, ProjectID: id("p1"), Slug: "n", CertificateID: id("c3")})
		},
		"configuration of no project": func(tx store.Tx) error {
			return tx.PutArtifactConfiguration(model.ArtifactConfiguration{ID: id("n"), OrganizationID: org, ProjectID: none, Slug: "n"})
		},
		"certificate of no key": func(tx store.Tx) error {
			return tx.PutCertificate(model.Certificate{ID: id("n"), OrganizationID: org, Slug: "n", KeyID: none})
		},
		"object without an ID": func(tx store.Tx) error { return tx.PutOrganization(model.Organization{Name: "n"}) },
	} {
		t.Run(what, func(t *testing.T) { refused(t, s, nil, change) })
	}
	equal(t, "configuration", config(t, s), before)
}

func testBadText(t *testing.T, open Opener) {
	s := opened(t, open)
	for _, bad := range []string{"a\x00b", "a\xffb"} {
		refused(t, s, nil, func(tx store.Tx) error { return tx.PutOrganization(model.Organization{ID: id("o"), Name: bad}) })
		refused(t, s, nil, func(tx store.Tx) error { return tx.PutSetting(bad, []byte{1}) })
		refused(t, s, nil, func(tx store.Tx) error {
			rows, h := entries(tx.AuditHead(), 1, func(_ int, r *store.AuditRow) { r.Type = bad })
			return tx.AppendAudit(rows, h)
		})
		refused(t, s, nil, func(tx store.Tx) error {
			if err := tx.PutOrganization(model.Organization{ID: id("o")}); err != nil {
				return err
			}
			return tx.PutUser(model.User{ID: id("u"), OrganizationID: id("o"), Roles: []model.Role{model.Role(bad)}})
		})
	}
	equal(t, "configuration", config(t, s), &model.Config{})
}

func testRollback(t *testing.T, open Opener) {
	s := opened(t, open)
	write(t, s, func(tx store.Tx) error { return putAll(tx, fill()) })
	before, beforeHead := config(t, s), head(t, s)
	change := func(tx store.Tx) error {
		return errors.Join(
			tx.PutOrganization(model.Organization{ID: id("new"), Name: "new"}),
			tx.PutSetting("new", []byte{1}),
			tx.AppendAudit(entries(tx.AuditHead(), 3, func(_ int, r *store.AuditRow) { r.Opens = true })),
		)
	}
	unchanged := func(t *testing.T) {
		t.Helper()
		equal(t, "configuration", config(t, s), before)
		equal(t, "head", head(t, s), beforeHead)
		equal(t, "audit rows", len(auditRows(t, s, 0, 10, store.AuditFilter{})), 0)
		if v, err := s.Setting(t.Context(), "new"); err != nil || v != nil {
			t.Errorf("setting: %v, %v", v, err)
		}
		if rows, err := s.OpenIntents(t.Context()); err != nil || len(rows) != 0 {
			t.Errorf("open intents: %v, %v", rows, err)
		}
	}
	t.Run("error", func(t *testing.T) {
		mine := errors.New("mine")
		err := refused(t, s, mine, func(tx store.Tx) error {
			if err := change(tx); err != nil {
				t.Error(err)
			}
			return fmt.Errorf("wrapped: %w", mine)
		})
		equal(t, "error", err.Error(), "wrapped: mine")
		unchanged(t)
	})
	t.Run("panic", func(t *testing.T) {
		func() {
			defer func() { equal(t, "panic", recover(), "mine") }()
			s.Write(t.Context(), func(tx store.Tx) error {
				if err := change(tx); err != nil {
					t.Error(err)
				}
				panic("mine")
			})
		}()
		unchanged(t)
	})
	// Whoever drops the error of a step must not commit the other steps.
	t.Run("swallowed error", func(t *testing.T) {
		refused(t, s, store.ErrDuplicate, func(tx store.Tx) error {
			if err := change(tx); err != nil {
				t.Error(err)
			}
			tx.PutProject(model.Project{ID: id("n1"), OrganizationID: id("o1"), Slug: "other"})
			if err := tx.PutOrganization(model.Organization{ID: id("new2")}); err == nil {
				t.Error("a step after a failed one was done")
			}
			return nil
		})
		unchanged(t)
	})
	// And the store goes on.
	write(t, s, change)
	equal(t, "version", version(t, s), before.Version+1)
	equal(t, "head", head(t, s).Size, uint64(3))
}

func testSealedKeys(t *testing.T, open Opener) {
	s := opened(t, open)
	if _, err := s.SealedKey(t.Context(), id("k1")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("key that does not exist: %v", err)
	}
	all := fill()
	write(t, s, func(tx store.Tx) error { return putAll(tx, all) })
	key := all.Keys[0]
	sealed, err := s.SealedKey(t.Context(), key.ID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "sealed key", sealed, sealedOf(key))

	refused(t, s, nil, func(tx store.Tx) error { return tx.PutKey(key, []byte{}) })
	key.Deleted = true
	refused(t, s, nil, func(tx store.Tx) error { return tx.PutKey(key, sealed) })
	if _, err := s.SealedKey(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	write(t, s, func(tx store.Tx) error { return tx.PutKey(key, nil) })
	if got, err := s.SealedKey(t.Context(), key.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted key: %x, %v", got, err)
	}
	equal(t, "deleted key", config(t, s).Keys[0], key)
}

func testSettings(t *testing.T, open Opener) {
	s := opened(t, open)
	get := func(name string) []byte {
		t.Helper()
		v, err := s.Setting(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	equal(t, "absent", get("a"), []byte(nil))
	write(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutSetting("a", []byte{0, 1, 255}), tx.PutSetting("ä", []byte("other")), tx.PutSetting("empty", []byte{}))
	})
	equal(t, "value", get("a"), []byte{0, 1, 255})
	equal(t, "other value", get("ä"), []byte("other"))
	equal(t, "empty value", get("empty"), []byte{})
	equal(t, "name in capitals", get("A"), []byte(nil))
	write(t, s, func(tx store.Tx) error {
		before, err := tx.Setting("a")
		if string(before) != "\x00\x01\xff" {
			t.Errorf("in the next transaction: %q", before)
		}
		absent, absentErr := tx.Setting("absent")
		if absent != nil {
			t.Errorf("absent: %q", absent)
		}
		err = errors.Join(err, absentErr, tx.PutSetting("a", []byte("new")), tx.PutSetting("empty", nil))
		if now, readErr := tx.Setting("a"); string(now) != "new" || readErr != nil {
			t.Errorf("the transaction's own change: %q, %v", now, readErr)
		}
		return err
	})
	equal(t, "new value", get("a"), []byte("new"))
	equal(t, "removed value", get("empty"), []byte(nil))
	s.Close()
	s = opened(t, open)
	equal(t, "value after reopening", get("a"), []byte("new"))
}
