package authz

import (
	"testing"

	"signpath/internal/service/model"
)

func config() *model.Config {
	return &model.Config{
		Version:                7,
		Organizations:          []model.Organization{{ID: "A", Active: true}, {ID: "B", Active: true}},
		Users:                  []model.User{{ID: "ua", OrganizationID: "A", Active: true, Roles: []model.Role{model.GlobalAdministrator}}, {ID: "ua2", OrganizationID: "A", Active: true}, {ID: "ub", OrganizationID: "B", Active: true}, {ID: "off", OrganizationID: "A"}},
		Tokens:                 []model.Token{{ID: "t", OrganizationID: "A", UserID: "ua", Hash: [32]byte{1}}, {ID: "bad", OrganizationID: "A", UserID: "ub", Hash: [32]byte{2}}},
		UserGroups:             []model.UserGroup{{ID: "g", OrganizationID: "A"}},
		Projects:               []model.Project{{ID: "p", OrganizationID: "A", Slug: "Demo"}, {ID: "q", OrganizationID: "B", Slug: "demo"}, {ID: "twin1", OrganizationID: "A", Slug: "twin"}, {ID: "twin2", OrganizationID: "A", Slug: "Twin"}},
		ArtifactConfigurations: []model.ArtifactConfiguration{{ID: "a1", ProjectID: "p", Slug: "one"}, {ID: "a2", ProjectID: "p", Slug: "two", Default: true}},
		SigningPolicies: []model.SigningPolicy{
			{ID: "s1", OrganizationID: "A", ProjectID: "p", Slug: "Release", CertificateID: "ca", Submitters: []string{"ua2", "ub", "off", "ua2", "gone"}},
			{ID: "s2", OrganizationID: "A", ProjectID: "p", Slug: "test", CertificateID: "cb"},
		},
		Certificates: []model.Certificate{{ID: "ca", OrganizationID: "A", KeyID: "ka"}, {ID: "cb", OrganizationID: "B", KeyID: "ka"}, {ID: "cx", OrganizationID: "A", KeyID: "kb"}},
		Keys:         []model.Key{{ID: "ka", OrganizationID: "A"}, {ID: "kb", OrganizationID: "B"}},
	}
}

func TestCanSubmit(t *testing.T) {
	s := NewSnapshot(config())
	release, ok := s.SigningPolicy("p", "RELEASE")
	if !ok || release.Slug != "Release" {
		t.Fatal("the policy was not found")
	}
	other := NewSnapshot(config())
	foreign, _ := other.SigningPolicy("p", "release")
	principal := func(org, user string) *Principal {
		return &Principal{Organization: model.Organization{ID: org}, User: model.User{ID: user, OrganizationID: org, Active: true}}
	}
	for _, c := range []struct {
		name string
		who  *Principal
		what *model.SigningPolicy
		want bool
	}{
		{"a submitter", principal("A", "ua2"), release, true},
		{"an administrator who is no submitter", principal("A", "ua"), release, false},
		{"a submitter of another organization", principal("B", "ub"), release, false},
		{"a submitter who is inactive", principal("A", "off"), release, false},
		{"a submitter who is gone", principal("A", "gone"), release, false},
		{"a submitter in the wrong organization", principal("B", "ua2"), release, false},
		{"nobody", nil, release, false},
		{"no policy", principal("A", "ua2"), nil, false},
		{"a policy of another snapshot", principal("A", "ua2"), foreign, false},
	} {
		if got := s.CanSubmit(c.who, c.what); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if list := s.Submittable("ua2"); len(list) != 1 || list[0] != release {
		t.Errorf("%v", list)
	}
}

func TestLookUps(t *testing.T) {
	s := NewSnapshot(config())
	found := func(_ any, ok bool) bool { return ok }
	release, _ := s.SigningPolicy("p", "release")
	test, _ := s.SigningPolicy("p", "test")
	ca, _ := s.Certificate(release)
	for name, ok := range map[string]bool{
		"project, other case":             found(s.Project("A", "DEMO")),
		"default artifact configuration":  func() bool { a, ok := s.ArtifactConfiguration("p", ""); return ok && a.ID == "a2" }(),
		"named artifact configuration":    func() bool { a, ok := s.ArtifactConfiguration("p", "One"); return ok && a.ID == "a1" }(),
		"token":                           found(s.Token([32]byte{1})),
		"organization":                    found(s.Organization("A")),
		"project by ID":                   found(s.ProjectByID("q")),
		"key":                             found(s.Key(ca)),
		"version":                         s.Version() == 7,
		"user":                            found(s.User("A", "ua")),
		"NOT user of another":             !found(s.User("B", "ua")),
		"NOT user of nobody":              !found(s.User("", "ua")),
		"user group":                      found(s.UserGroup("A", "g")),
		"NOT user group of another":       !found(s.UserGroup("B", "g")),
		"NOT slug of two":                 !found(s.Project("A", "twin")),
		"NOT token of a foreign user":     !found(s.Token([32]byte{2})),
		"NOT unknown token":               !found(s.Token([32]byte{})),
		"NOT project of another":          !found(s.Project("C", "demo")),
		"NOT policy of another project":   !found(s.SigningPolicy("q", "release")),
		"NOT artifact of another project": !found(s.ArtifactConfiguration("q", "")),
		"NOT certificate of another":      !found(s.Certificate(test)),
		"NOT key of another":              !found(s.Key(&model.Certificate{OrganizationID: "A", KeyID: "kb"})),
	} {
		if !ok {
			t.Error(name)
		}
	}
}
