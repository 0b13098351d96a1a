package authz

import (
	"slices"
	"strings"
	"testing"

	"signpath/internal/service/model"
)

// The table of roles and rights as the documentation has it, cell by cell.
// y: may; u: may, to what no directory keeps; s: may, to what a directory
// keeps; o: may, where it is the user's own.
const table = `
action                                          | GA | CA | UA | PA | GR | DS | SU | -- | pC | pR | S | A | own
read configuration and metadata                 | y  | y  | y  | y  | y  | y  | y  | y  | y  | y  | y | y | y
read artifacts of signing requests              | y  |    |    | y  | y  |    | y  |    | y  | y  | y | y |
manage certificates                             | y  | y  |    |    |    |    | y  |    |    |    |   |   |
manage users                                    | y  |    | u  |    |    | s  | y  |    |    |    |   |   |
manage user groups                              | y  |    | u  |    |    | s  | y  |    |    |    |   |   |
manage the global roles of users                | y  |    | u  |    |    |    | y  |    |    |    |   |   |
create and edit projects and signing policies   | y  |    |    | y  |    |    | y  |    |    |    |   |   |
edit artifact configurations and webhooks       | y  |    |    | y  |    |    | y  |    | y  |    |   |   |
manage trusted build systems                    | y  |    |    |    |    |    | y  |    |    |    |   |   |
manage the organization                         | y  |    |    |    |    |    | y  |    |    |    |   |   |
submit signing requests and sign hashes         |    |    |    |    |    |    |    |    |    |    | y |   |
approve or deny signing requests                |    |    |    |    |    |    |    |    |    |    |   | y |
cancel signing requests                         | y  |    |    | y  |    |    | y  |    |    |    |   |   | o
read the audit log                              | y  |    |    |    | y  |    | y  |    |    |    |   |   |
manage one's own API tokens                     |    |    |    |    |    |    |    |    |    |    |   |   | o
manage the API tokens of CI users               | y  |    | u  |    |    |    | y  |    |    |    |   |   |
`

// world has one user per column, for the objects p (project) and r (policy in
// it), and their doubles of the other kind, named through a group.
func matrixConfig() (*model.Config, map[string]string) {
	c := &model.Config{Version: 1, Organizations: []model.Organization{{ID: "A", Active: true}, {ID: "B", Active: true}}}
	columns := map[string]string{}
	add := func(column string, roles ...model.Role) string {
		id := "u" + column
		c.Users = append(c.Users, model.User{ID: id, OrganizationID: "A", Active: true, Roles: roles})
		columns[column] = id
		return id
	}
	for column, role := range map[string]model.Role{
		"GA": model.GlobalAdministrator, "CA": model.CertificateAdministrator, "UA": model.UserAdministrator, "PA": model.ProjectAdministrator,
		"GR": model.GlobalReader, "DS": model.DirectorySynchronizer, "SU": model.SupportUser,
	} {
		add(column, role)
	}
	add("--")
	add("own")
	named := map[string][]string{}
	for _, column := range []string{"pC", "pR", "S", "A"} {
		group := "g" + column
		c.UserGroups = append(c.UserGroups, model.UserGroup{ID: group, OrganizationID: "A", Members: []string{add(column + " by group"), "ub"}})
		named[column] = []string{add(column), group}
	}
	c.Users = append(c.Users, model.User{ID: "ub", OrganizationID: "B", Active: true, Roles: model.Roles()})
	c.Projects = []model.Project{{ID: "p", OrganizationID: "A", Slug: "p", Readers: named["pR"], Configurators: named["pC"]}, {ID: "q", OrganizationID: "A", Slug: "q"}}
	c.SigningPolicies = []model.SigningPolicy{
		{ID: "r", OrganizationID: "A", ProjectID: "p", Slug: "r", Submitters: named["S"], Approvers: named["A"]},
		{ID: "r2", OrganizationID: "A", ProjectID: "q", Slug: "r2"},
	}
	return c, columns
}

func TestMatrix(t *testing.T) {
	c, columns := matrixConfig()
	s := NewSnapshot(c)
	lines := strings.Split(strings.TrimSpace(table), "\n")
	cells := func(line string) []string {
		out := strings.Split(line, "|")
		for i := range out {
			out[i] = strings.TrimSpace(out[i])
		}
		return out
	}
	header := cells(lines[0])
	policy, project := &c.SigningPolicies[0], &c.Projects[0]
	var actions []Action
	tried := 0
	for _, line := range lines[1:] {
		row := cells(line)
		action := Action(row[0])
		actions = append(actions, action)
		for i := 1; i < len(header); i++ {
			users := []string{columns[header[i]]}
			if other, ok := columns[header[i]+" by group"]; ok {
				users = append(users, other)
			}
			for _, id := range users {
				user, ok := s.User("A", id)
				if !ok {
					t.Fatal(id)
				}
				p := &Principal{Organization: c.Organizations[0], User: *user}
				somebody := &model.User{ID: "somebody", OrganizationID: "A"}
				on := Resource{Project: project, Policy: policy, User: somebody, RequesterID: "somebody"}
				for _, k := range []struct {
					what  string
					on    Resource
					marks string // that allow
				}{
					{"kept by hand", on, "yu"},
					{"synchronized", Resource{Project: project, Policy: policy, User: somebody, RequesterID: "somebody", Synchronized: true}, "ys"},
					{"own", Resource{Project: project, Policy: policy, User: user, RequesterID: id}, ""},
				} {
					want := row[i] != "" && strings.Contains(k.marks, row[i])
					if k.what == "own" {
						// What is one's own is that to every column.
						want = row[i] == "y" || row[i] == "u" || row[len(row)-1] == "o"
					}
					tried++
					if got := Can(s, p, action, k.on); got != want {
						t.Errorf("%s: %s, %s: %v, want %v", id, action, k.what, got, want)
					}
				}
				// Rights in a project or policy end there.
				if slices.Contains([]string{"pC", "pR", "S", "A"}, header[i]) && action != ReadConfiguration {
					if Can(s, p, action, Resource{Project: &c.Projects[1], Policy: &c.SigningPolicies[1], User: somebody}) {
						t.Errorf("%s may %s elsewhere", id, action)
					}
				}
			}
		}
	}
	for _, m := range matrix {
		if !slices.Contains(actions, m.action) {
			t.Errorf("the table has no line for %q", m.action)
		}
	}
	if len(matrix) != len(actions) {
		t.Errorf("%d lines in the matrix, %d in the table", len(matrix), len(actions))
	}
	t.Logf("%d cells", tried)
}

func TestCanNobody(t *testing.T) {
	c, columns := matrixConfig()
	s := NewSnapshot(c)
	user := func(id string) model.User {
		for _, u := range c.Users {
			if u.ID == id {
				return u
			}
		}
		return model.User{ID: id, OrganizationID: "A", Active: true, Roles: model.Roles()}
	}
	ga := &Principal{Organization: c.Organizations[0], User: user(columns["GA"])}
	if !Can(s, ga, ManageUsers, Resource{}) {
		t.Fatal("an administrator may not")
	}
	foreign := &Principal{Organization: c.Organizations[1], User: user("ub")}
	for what, got := range map[string]bool{
		"nobody":                                 Can(s, nil, ReadConfiguration, Resource{}),
		"unknown action":                         Can(s, ga, "everything", Resource{}),
		"a user who is gone":                     Can(s, &Principal{Organization: c.Organizations[0], User: user("gone")}, ReadConfiguration, Resource{}),
		"a user in the wrong organization":       Can(s, &Principal{Organization: c.Organizations[1], User: ga.User}, ReadConfiguration, Resource{}),
		"a project of another organization":      Can(s, foreign, ManageProjects, Resource{Project: &c.Projects[0]}),
		"a policy of another organization":       Can(s, foreign, Submit, Resource{Policy: &c.SigningPolicies[0]}),
		"a user of another organization":         Can(s, foreign, ManageUsers, Resource{User: &c.Users[0]}),
		"a member of another organization":       s.isNamed(policySubmitter, "r", "B", "ub") || s.isNamed(policySubmitter, "r", "A", "ub"),
		"roles that the principal only claims":   Can(s, &Principal{Organization: c.Organizations[0], User: model.User{ID: columns["--"], OrganizationID: "A", Active: true, Roles: model.Roles()}}, ManageUsers, Resource{}),
		"an empty requester is not everybody's":  Can(s, &Principal{Organization: c.Organizations[0], User: user(columns["--"])}, CancelRequest, Resource{}),
		"an administrator signs without a right": Can(s, ga, Submit, Resource{Project: &c.Projects[0], Policy: &c.SigningPolicies[0]}) || s.CanSubmit(ga, &c.SigningPolicies[0]),
	} {
		if got {
			t.Errorf("%s", what)
		}
	}
	for i := range c.Users {
		c.Users[i].Active = false
	}
	if Can(NewSnapshot(c), ga, ReadConfiguration, Resource{}) {
		t.Error("an inactive user")
	}
	c.Users[0].Active, c.Organizations[0].Active = true, false
	if Can(NewSnapshot(c), &Principal{Organization: c.Organizations[0], User: c.Users[0]}, ReadConfiguration, Resource{}) {
		t.Error("an inactive organization")
	}
}

// Submittable merges what a user and its groups may, each policy once, in the
// order of the configuration.
func TestSubmittableThroughGroups(t *testing.T) {
	c := &model.Config{
		Organizations: []model.Organization{{ID: "A", Active: true}},
		Users:         []model.User{{ID: "u", OrganizationID: "A", Active: true}},
		UserGroups:    []model.UserGroup{{ID: "g", OrganizationID: "A", Members: []string{"u", "u"}}, {ID: "h", OrganizationID: "A", Members: []string{"u"}}, {ID: "x", OrganizationID: "B", Members: []string{"u"}}},
	}
	for i, submitters := range [][]string{{"g"}, {"u"}, {"h"}, {"u", "g", "h"}, {"x"}, {"other"}, {"g"}} {
		id := string(rune('0' + i))
		c.SigningPolicies = append(c.SigningPolicies, model.SigningPolicy{ID: id, OrganizationID: "A", ProjectID: "p", Slug: id, Submitters: submitters})
	}
	s := NewSnapshot(c)
	for range 2 { // asking does not change the answer
		var got string
		for _, p := range s.Submittable("u") {
			got += p.ID
		}
		if got != "01236" {
			t.Errorf("%s", got)
		}
	}
}

func BenchmarkSubmittable(b *testing.B) {
	c := &model.Config{Organizations: []model.Organization{{ID: "A", Active: true}}, Users: []model.User{{ID: "u", OrganizationID: "A", Active: true}}}
	var names []string
	for _, g := range []string{"g", "h", "i"} {
		c.UserGroups = append(c.UserGroups, model.UserGroup{ID: g, OrganizationID: "A", Members: []string{"u"}})
		names = append(names, g)
	}
	for i := range 10_000 {
		id := string(rune(i + 0x4000))
		c.SigningPolicies = append(c.SigningPolicies, model.SigningPolicy{ID: id, OrganizationID: "A", ProjectID: "p", Slug: id, Submitters: names})
	}
	s := NewSnapshot(c)
	p := &Principal{Organization: c.Organizations[0], User: c.Users[0]}
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if len(s.Submittable("u")) != 10_000 {
				b.Fatal()
			}
		}
	})
	b.Run("decide", func(b *testing.B) {
		for b.Loop() {
			if !s.CanSubmit(p, &c.SigningPolicies[9_999]) {
				b.Fatal()
			}
		}
	})
	b.Run("index", func(b *testing.B) {
		for b.Loop() {
			NewSnapshot(c)
		}
	})
}
