package httpapi

import (
	"net/http"
	"strings"
	"time"

	"signpath/internal/service/admin"
	"signpath/internal/service/authz"
	"signpath/internal/service/model"
)

// groupRoutes are the routes of user groups.
func groupRoutes(a *api, org string) []route {
	const group = "/{userGroupId}"
	groups := org + "/UserGroups"
	return []route{
		{method: "GET", pattern: groups, access: tokenFor, handler: a.userGroups},
		{method: "POST", pattern: groups, access: tokenFor, handler: a.createUserGroup},
		{method: "GET", pattern: groups + group, access: tokenFor, handler: a.userGroup},
		{method: "DELETE", pattern: groups + group, access: tokenFor, handler: a.deleteUserGroup},
		{method: "POST", pattern: groups + group + "/Edit", access: tokenFor, handler: a.editUserGroup},
		{method: "POST", pattern: groups + group + "/ChangeMembers", access: tokenFor, handler: a.changeMembers},
		{method: "POST", pattern: groups + group + "/ModifyMembers", access: tokenFor, handler: a.modifyMembers},
	}
}

// subjectAnswer tells a user or group where either may stand.
type subjectAnswer struct {
	ID   string `json:"id"`
	Type string `json:"type"` // CiUser, InteractiveUser, UserGroup; "" for one that is gone
	Name string `json:"name"`
}

func showSubjects(list []admin.Subject) []subjectAnswer {
	out := make([]subjectAnswer, len(list))
	for i, s := range list {
		out[i] = subjectAnswer(s)
	}
	return out
}

// subjects are users and groups by their identifiers.
func (x *exchange) subjects(ids []string) []subjectAnswer {
	out := make([]subjectAnswer, len(ids))
	for i, id := range ids {
		out[i] = subjectAnswer{ID: id, Name: id}
		if u, ok := x.snapshot.User(x.organizationID, id); ok {
			out[i].Type, out[i].Name = string(u.Kind), u.Name
		} else if g, ok := x.snapshot.UserGroup(x.organizationID, id); ok {
			out[i].Type, out[i].Name = "UserGroup", g.Name
		}
	}
	return out
}

// items is the answer of lists.
type items[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor,omitempty"` // absent on the last page
}

type groupAnswer struct {
	ID                    string          `json:"id"`
	Name                  string          `json:"name"`
	Members               []subjectAnswer `json:"members"`
	DirectorySynchronized bool            `json:"directorySynchronized"`
	Created               time.Time       `json:"created"`
}

func showGroup(g admin.UserGroup) groupAnswer {
	return groupAnswer{ID: g.ID, Name: g.Name, Members: showSubjects(g.Members), DirectorySynchronized: g.Synchronized, Created: g.Created}
}

// findGroup finds the group that the path names.
func (x *exchange) findGroup(s *authz.Snapshot) (*model.UserGroup, error) {
	id := x.params["userGroupId"]
	g, ok := s.UserGroup(x.organizationID, strings.ToLower(id))
	if !ok {
		return nil, forbidden("The organization has no user group with the id '%s', or you may not see it.", clipped(id))
	}
	return g, nil
}

// group is the check for an action on the group that the path names.
func (x *exchange) group(action authz.Action) check {
	return func(s *authz.Snapshot, p *authz.Principal) error {
		g, err := x.findGroup(s)
		if err != nil {
			return err
		}
		return permit(s, p, action, authz.Resource{Synchronized: g.Synchronized})
	}
}

func (x *exchange) org() admin.OrganizationReference {
	return admin.OrganizationReference{Organization: x.organizationID}
}

func (x *exchange) groupReference() admin.UserGroupReference {
	return admin.UserGroupReference{OrganizationReference: x.org(), Group: x.params["userGroupId"]}
}

func (a *api) userGroups(x *exchange) error {
	list, err := x.list()
	if err != nil {
		return err
	}
	var out admin.UserGroups
	if err := a.administer(x, organization(authz.ReadConfiguration), "group.list", list, &out); err != nil {
		return err
	}
	return x.compressibleJSON(http.StatusOK, listOf(out.Items, out.Next, showGroup))
}

func (a *api) userGroup(x *exchange) error {
	return a.groupOperation(x, authz.ReadConfiguration, "group.show", x.groupReference())
}

func (a *api) createUserGroup(x *exchange) error {
	var r struct {
		Name                  string
		Members               []string
		DirectorySynchronized bool
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	allowed := func(s *authz.Snapshot, p *authz.Principal) error {
		return permit(s, p, authz.ManageGroups, authz.Resource{Synchronized: r.DirectorySynchronized})
	}
	var out admin.UserGroup
	input := admin.NewUserGroup{OrganizationReference: x.org(), Name: r.Name, Members: r.Members, Synchronized: r.DirectorySynchronized}
	if err := a.administer(x, allowed, "group.create", input, &out); err != nil {
		return err
	}
	return a.createdAt(x, "UserGroups/"+out.ID, showGroup(out))
}

func (a *api) editUserGroup(x *exchange) error {
	var r struct{ Name string }
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	return a.groupOperation(x, authz.ManageGroups, "group.rename", admin.RenamedUserGroup{UserGroupReference: x.groupReference(), Name: r.Name})
}

func (a *api) changeMembers(x *exchange) error {
	var r struct{ Members *[]string }
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	if r.Members == nil {
		return missing("Members", "an empty list takes every member out")
	}
	return a.groupOperation(x, authz.ManageGroups, "group.set-members", admin.SetMembers{UserGroupReference: x.groupReference(), Members: *r.Members})
}

func (a *api) modifyMembers(x *exchange) error {
	var r struct{ Add, Remove []string }
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	return a.groupOperation(x, authz.ManageGroups, "group.modify-members", admin.ModifiedMembers{UserGroupReference: x.groupReference(), Add: r.Add, Remove: r.Remove})
}

func (a *api) deleteUserGroup(x *exchange) error {
	if err := a.administer(x, x.group(authz.ManageGroups), "group.delete", x.groupReference(), nil); err != nil {
		return err
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) groupOperation(x *exchange, action authz.Action, operation string, input any) error {
	var out admin.UserGroup
	if err := a.administer(x, x.group(action), operation, input, &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, showGroup(out))
}
