package admin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/admin"
	"signpath/internal/service/audit"
	"signpath/internal/service/auth"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

func names(list []admin.Subject) string {
	out := []string{}
	for _, s := range list {
		out = append(out, s.Reference())
	}
	return strings.Join(out, " ")
}

func TestUserGroups(t *testing.T) {
	f := filled(t)
	var g admin.UserGroup
	f.do("group.create", admin.NewUserGroup{Name: " builders ", Members: []string{"build", "BUILD"}}, &g)
	if g.Name != "builders" || names(g.Members) != "build" || g.Members[0].Type != "CiUser" {
		t.Errorf("%+v", g)
	}
	ref := admin.UserGroupReference{Group: "Builders"}
	for _, step := range []struct {
		operation string
		input     any
		want      string
	}{
		{"group.modify-members", admin.ModifiedMembers{UserGroupReference: ref, Add: []string{"nightly", "build"}}, "builders: build nightly"},
		{"group.modify-members", admin.ModifiedMembers{UserGroupReference: ref, Remove: []string{"build"}}, "builders: nightly"},
		{"group.modify-members", admin.ModifiedMembers{UserGroupReference: ref, Remove: []string{"build"}}, "builders: nightly"},
		{"group.set-members", admin.SetMembers{UserGroupReference: ref, Members: []string{"build", "nightly"}}, "builders: build nightly"},
		{"group.rename", admin.RenamedUserGroup{UserGroupReference: ref, Name: "Builders"}, "Builders: build nightly"},
		{"group.set-members", admin.SetMembers{UserGroupReference: ref}, "Builders: "},
		{"group.show", ref, "Builders: "},
	} {
		var out admin.UserGroup
		f.do(step.operation, step.input, &out)
		if got := out.Name + ": " + names(out.Members); got != step.want {
			t.Errorf("%s: %q, want %q", step.operation, got, step.want)
		}
	}
	types := f.types()
	if n := len(slices.DeleteFunc(types, func(s string) bool { return !strings.HasPrefix(s, "UserGroup.") })); n != 6 {
		t.Errorf("%d entries: a change without effect must have none", n)
	}

	// A group that is named somewhere stays.
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "release", Certificate: "release", Submitters: []string{"builders"}}, nil)
	if err := f.fail("group.delete", ref); !errors.Is(err, admin.ErrConflict) || !strings.Contains(err.Error(), "submitter of app/release") {
		t.Error(err)
	}
	f.do("policy.edit", admin.PolicyEdit{PolicyReference: admin.PolicyReference{Project: "app", Policy: "release"}, RemoveSubmitters: []string{"group:builders"}}, nil)
	f.do("group.delete", ref, nil)
	if len(f.config().UserGroups) != 0 || !slices.Contains(f.types(), "UserGroup.Deleted") {
		t.Error("the group is still there")
	}
}

func TestSubjects(t *testing.T) {
	f := filled(t)
	f.do("group.create", admin.NewUserGroup{Name: "team"}, nil)
	f.do("group.create", admin.NewUserGroup{Name: "nightly"}, nil)
	f.do("user.set-active", admin.UserActivity{User: "build"}, nil)
	groups := f.config().UserGroups
	slices.SortFunc(groups, func(a, b model.UserGroup) int { return -strings.Compare(a.Name, b.Name) }) // team, nightly
	for _, c := range []struct {
		ref, want, cause string
	}{
		{"team", "group:team", ""},
		{"GROUP: team", "group:team", ""},
		{groups[0].ID, "group:team", ""},
		{groups[1].ID, "group:nightly", ""},
		{"user:nightly", "nightly", ""},
		{"group:nightly", "group:nightly", ""},
		{"nightly", "", "write user:nightly or group:nightly"},
		{"build", "", "deactivated"},
		{"user:team", "", "no user"},
		{"nobody", "", "no user or group"},
		{"group:nobody", "", "no user group"},
		{"group:", "", "missing"},
		{"", "", "missing"},
	} {
		input := admin.ProjectEdit{Project: "app", Readers: &[]string{c.ref}}
		if c.cause != "" {
			var fields wire.FieldErrors
			if err := f.fail("project.edit", input); !errors.As(err, &fields) || len(fields["readers"]) != 1 || !strings.Contains(fields["readers"][0], c.cause) {
				t.Errorf("%q: %v", c.ref, err)
			}
			continue
		}
		var p admin.Project
		f.do("project.edit", input, &p)
		if names(p.Readers) != c.want {
			t.Errorf("%q: %s", c.ref, names(p.Readers))
		}
	}
}

func TestProjectEdit(t *testing.T) {
	f := filled(t)
	f.do("group.create", admin.NewUserGroup{Name: "team"}, nil)
	name, repository, off := "App", "https://example.test/app.git", false
	var p admin.Project
	f.do("project.edit", admin.ProjectEdit{Project: "app", Name: &name, RepositoryURL: &repository, Readers: &[]string{"build"}, AddConfigurators: []string{"team", "nightly"}, Active: &off}, &p)
	f.do("project.edit", admin.ProjectEdit{Project: "app", AddReaders: []string{"team"}, RemoveReaders: []string{"build"}, RemoveConfigurators: []string{"team"}}, &p)
	if p.Name != name || p.RepositoryURL != repository || names(p.Readers) != "group:team" || names(p.Configurators) != "nightly" || p.Active {
		t.Errorf("%+v", p)
	}
	bad := "ftp://user:secret@example.test"
	err := f.fail("project.edit", admin.ProjectEdit{Project: "app", RepositoryURL: &bad, Readers: &[]string{}, AddReaders: []string{"build"}, RemoveConfigurators: []string{"build"}})
	var fields wire.FieldErrors
	if !errors.As(err, &fields) || fields["repositoryUrl"] == nil || fields["readers"] == nil || fields["removeConfigurators"] == nil {
		t.Error(err)
	}
}

func TestArtifactConfigurations(t *testing.T) {
	f := filled(t)
	var a admin.ArtifactConfiguration
	f.do("artifact-configuration.create", admin.NewArtifactConfiguration{Project: "app", Slug: "second"}, &a)
	if a.Default || a.Type != model.HashSigningData {
		t.Errorf("%+v", a)
	}
	f.do("artifact-configuration.create", admin.NewArtifactConfiguration{Project: "app", Slug: "third", Default: true}, &a)
	f.do("artifact-configuration.set-default", admin.ArtifactConfigurationReference{Project: "app", ArtifactConfiguration: "SECOND"}, &a)
	var list admin.ArtifactConfigurations
	f.do("artifact-configuration.list", admin.ProjectFilter{Project: "app"}, &list)
	got := ""
	slices.SortFunc(list.Items, func(a, b admin.ArtifactConfiguration) int { return strings.Compare(a.Slug, b.Slug) })
	for _, a := range list.Items {
		got += fmt.Sprintf("%s %v ", a.Slug, a.Default)
	}
	if got != "hash-signing-data false second true third false " {
		t.Error(got)
	}
	off := false
	ref := func(slug string) admin.ArtifactConfigurationReference {
		return admin.ArtifactConfigurationReference{Project: "app", ArtifactConfiguration: slug}
	}
	if err := f.fail("artifact-configuration.edit", admin.ArtifactConfigurationEdit{ArtifactConfigurationReference: ref("second"), Active: &off}); !strings.Contains(err.Error(), "default") {
		t.Error(err)
	}
	f.do("artifact-configuration.edit", admin.ArtifactConfigurationEdit{ArtifactConfigurationReference: ref("third"), Active: &off}, nil)
	if err := f.fail("artifact-configuration.set-default", ref("third")); !strings.Contains(err.Error(), "not active") {
		t.Error(err)
	}
	err := f.fail("artifact-configuration.create", admin.NewArtifactConfiguration{Project: "app", Slug: "Second", Type: "Zip"})
	var fields wire.FieldErrors
	if !errors.As(err, &fields) || fields["slug"] == nil || fields["type"] == nil {
		t.Error(err)
	}
}

func TestTokens(t *testing.T) {
	f := filled(t)
	create := func(k admin.NewToken) admin.CreatedToken {
		t.Helper()
		k.User = "build"
		var out admin.CreatedToken
		f.do("token.create", k, &out)
		return out
	}
	soon := testNow.Add(time.Hour)
	one := create(admin.NewToken{Name: "one", Addresses: []string{"192.0.2.7", "2001:db8::/32"}})
	two := create(admin.NewToken{Name: "two", Expires: &soon})
	three := create(admin.NewToken{Name: "TWO", Replace: true})
	if len(three.Revoked) != 1 || three.Revoked[0].ID != two.ID {
		t.Errorf("%+v", three.Revoked)
	}
	four := create(admin.NewToken{Name: "four", Expires: &soon, Addresses: []string{"10.0.0.0/8"}})
	active := func() string {
		var list admin.Tokens
		f.do("token.list", admin.TokenFilter{User: "build"}, &list)
		out := []string{}
		for _, k := range list.Items {
			if k.Active {
				out = append(out, k.Name)
			}
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	if got := active(); got != "TWO four one" {
		t.Error(got)
	}

	// Regenerated by name: the same name, limits and length of life.
	f.service.Now = func() time.Time { return testNow.Add(30 * time.Minute) }
	var again admin.CreatedToken
	f.do("token.regenerate", admin.RegeneratedToken{User: "build", Name: "Four"}, &again)
	if again.Name != "four" || !slices.Equal(again.Addresses, []string{"10.0.0.0/8"}) || !again.Expires.Equal(testNow.Add(90*time.Minute)) || len(again.Revoked) != 1 || again.Revoked[0].ID != four.ID {
		t.Errorf("%+v", again)
	}
	// And without a name: nothing else works any more.
	f.do("token.regenerate", admin.RegeneratedToken{User: "build"}, &again)
	if len(again.Revoked) != 3 || active() != "four" {
		t.Errorf("%d, %s", len(again.Revoked), active())
	}
	if err := f.fail("token.regenerate", admin.RegeneratedToken{User: "build", Name: "x"}); !strings.Contains(err.Error(), "no token") {
		t.Error(err)
	}
	// The first one.
	again = admin.CreatedToken{}
	f.do("token.regenerate", admin.RegeneratedToken{User: "nightly"}, &again)
	if again.Name != "default" || len(again.Text.Reveal()) != 44 || again.Expires != nil {
		t.Errorf("%+v", again.Token)
	}

	// Edited.
	limits := []string{"192.0.2.0/24"}
	var edited admin.Token
	ref := admin.TokenReference{User: "nightly", ID: again.ID}
	f.do("token.edit", admin.TokenEdit{TokenReference: ref, Addresses: &limits, Expires: &soon}, &edited)
	if !slices.Equal(edited.Addresses, limits) || !edited.Expires.Equal(soon) {
		t.Errorf("%+v", edited)
	}
	if err := f.fail("token.edit", admin.TokenEdit{TokenReference: admin.TokenReference{User: "build", ID: again.ID}, Addresses: &limits}); !errors.Is(err, admin.ErrNotFound) {
		t.Errorf("the token of another user: %v", err)
	}
	if err := f.fail("token.edit", admin.TokenEdit{TokenReference: admin.TokenReference{ID: one.ID}, Addresses: &limits}); !strings.Contains(err.Error(), "revoked") {
		t.Error(err)
	}
	past, many := testNow, make([]string, 101)
	err := f.fail("token.create", admin.NewToken{User: "build", Name: strings.Repeat("x", 201), Expires: &past, Addresses: many})
	var fields wire.FieldErrors
	if !errors.As(err, &fields) || fields["name"] == nil || fields["expires"] == nil || fields["addresses"] == nil {
		t.Error(err)
	}
}

func TestLastUse(t *testing.T) {
	f := filled(t)
	var k admin.CreatedToken
	f.do("token.create", admin.NewToken{User: "build"}, &k)
	last := func() *time.Time {
		var list admin.Tokens
		f.do("token.list", admin.TokenFilter{}, &list)
		return list.Items[0].LastUsed
	}
	if last() != nil {
		t.Error(last())
	}
	if err := f.store.Write(t.Context(), func(tx store.Tx) error {
		return tx.PutTokenUses(map[string]time.Time{k.ID: testNow})
	}); err != nil {
		t.Fatal(err)
	}
	if got := last(); got == nil || !got.Equal(testNow) {
		t.Error(got)
	}
	var uses auth.Uses
	f.service.LastUse = uses.Last
	if got := last(); got == nil || !got.Equal(testNow) {
		t.Error(got)
	}
	uses.Used(k.ID, testNow.Add(time.Minute))
	if got := last(); got == nil || !got.Equal(testNow.Add(time.Minute)) {
		t.Error(got)
	}
}

// Whoever raises rights is found by it, and so is who raises their own.
func TestOwnRightsAreVisible(t *testing.T) {
	f := filled(t)
	var users admin.Users
	f.do("user.list", admin.OrganizationReference{}, &users)
	slices.SortFunc(users.Items, func(a, b admin.User) int { return strings.Compare(a.Name, b.Name) }) // build, nightly
	build := users.Items[0]
	data := func() map[string]any {
		t.Helper()
		events := f.events()
		last := events[len(events)-1]
		if last.Type != "User.RolesChanged" {
			t.Fatalf("%s", last.Type)
		}
		var m map[string]any
		if err := json.Unmarshal(last.Data, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	f.do("user.set-roles", admin.UserRoles{User: "build", Roles: []string{"UserAdministrator"}}, nil)
	if data()["ownRights"] != nil {
		t.Error("an operator's change is not its own")
	}
	f.call.Actor = audit.Actor{Type: "CiUser", ID: build.ID, Name: build.Name}
	name, off := "builder", false
	f.do("user.edit", admin.UserEdit{UserReference: admin.UserReference{User: "build"}, Roles: &[]string{"GlobalAdministrator"}}, nil)
	if data()["ownRights"] != true {
		t.Error("not marked")
	}
	f.do("user.edit", admin.UserEdit{UserReference: admin.UserReference{User: "build"}, Name: &name, Roles: &[]string{"SupportUser", "DirectorySynchronizer"}, Active: &off}, nil)
	types := f.types()
	if got := types[len(types)-3:]; !slices.Equal(got, []string{"User.Changed", "User.RolesChanged", "User.Deactivated"}) {
		t.Error(got)
	}
	if err := f.fail("user.edit", admin.UserEdit{UserReference: admin.UserReference{User: "builder"}, Name: &users.Items[1].Name}); !strings.Contains(err.Error(), "already") {
		t.Error(err)
	}
}

// The guard is asked with the configuration that the change is made on.
func TestGuard(t *testing.T) {
	f := filled(t)
	refused := wire.NewProblem(403, "No.")
	var seen uint64
	f.call.Guard = func(c *model.Config) error { seen = c.Version; return nil }
	f.do("group.create", admin.NewUserGroup{Name: "a"}, nil)
	if want := f.config().Version - 1; seen != want {
		t.Errorf("version %d, want %d", seen, want)
	}
	before := f.config()
	f.call.Guard = func(*model.Config) error { return refused }
	if err := f.fail("group.create", admin.NewUserGroup{Name: "b"}); !strings.Contains(err.Error(), "No.") {
		t.Error(err)
	}
	if !reflect.DeepEqual(f.config(), before) {
		t.Error("changed all the same")
	}
}
