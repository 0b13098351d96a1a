package admin

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"signpath/internal/service/model"
)

// UserGroup is a group as an operator sees it.
type UserGroup struct {
	ID             string    `json:"id"`
	OrganizationID string    `json:"organizationId"`
	Name           string    `json:"name"`
	Members        []Subject `json:"members"`
	Synchronized   bool      `json:"directorySynchronized"`
	Created        time.Time `json:"created"`
}

func (v *view) showGroup(g *model.UserGroup) UserGroup {
	return UserGroup{ID: g.ID, OrganizationID: g.OrganizationID, Name: g.Name, Members: v.showSubjects(g.Members), Synchronized: g.Synchronized, Created: g.Created}
}

// group finds by identifier or name within an organization.
func (v *view) group(in *input, field string, org *model.Organization, ref string) *model.UserGroup {
	ref = strings.TrimSpace(ref)
	if org == nil {
		return nil
	}
	if ref == "" {
		in.fail(field, "A user group is missing.")
		return nil
	}
	found := v.findGroup(org.ID, ref)
	if found == nil {
		in.fail(field, "Organization %q has no user group %q.", org.Name, clip(ref))
	}
	return found
}

func (v *view) findGroup(orgID, ref string) *model.UserGroup {
	found := match(v.cfg.UserGroups, func(g *model.UserGroup) bool { return g.OrganizationID == orgID && strings.EqualFold(g.ID, ref) })
	if found == nil {
		found = match(v.cfg.UserGroups, func(g *model.UserGroup) bool { return g.OrganizationID == orgID && strings.EqualFold(g.Name, ref) })
	}
	return found
}

func (v *view) groupByID(id string) *model.UserGroup {
	return byID(&v.groups, v.cfg.UserGroups, func(g *model.UserGroup) string { return g.ID }, id)
}

// NewUserGroup is the input of group.create.
type NewUserGroup struct {
	OrganizationReference
	Name         string   `json:"name"`
	Members      []string `json:"members,omitempty"` // names or identifiers of users
	Synchronized bool     `json:"directorySynchronized,omitempty"`
}

// CreateUserGroup adds a group.
func (s *Service) CreateUserGroup(ctx context.Context, call Call, request NewUserGroup) (UserGroup, error) {
	var out UserGroup
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		g := model.UserGroup{ID: newID(), Synchronized: request.Synchronized, Created: t.now}
		g.Name = in.name("name", request.Name)
		t.uniqueGroup(in, org, g.Name, "")
		g.Members = t.members(in, "members", org, nil, request.Members)
		if err := in.err(); err != nil {
			return err
		}
		g.OrganizationID = org.ID
		out = t.showGroup(&g)
		if err := t.PutUserGroup(g); err != nil {
			return err
		}
		return t.record("UserGroup.Created", org.ID, changeData{After: out})
	})
	return out, err
}

// uniqueGroup refuses a name that another group of the organization has.
func (v *view) uniqueGroup(in *input, org *model.Organization, name, exceptID string) {
	if org == nil {
		return
	}
	if g := v.findGroup(org.ID, name); g != nil && g.ID != exceptID {
		in.fail("name", "Organization %q has a user group %q already.", org.Name, clip(name))
	}
}

// members appends users, found by name or identifier, without doubling any.
func (v *view) members(in *input, field string, org *model.Organization, ids, refs []string) []string {
	ids = slices.Clip(ids)
	for _, ref := range refs {
		if u := v.user(in, field, org, ref); u != nil && !slices.Contains(ids, u.ID) {
			ids = append(ids, u.ID)
		}
	}
	return ids
}

// UserGroups is a list of groups.
type UserGroups struct {
	Items []UserGroup `json:"items"`
	Next
}

// ListUserGroups lists the groups of an organization with their members.
func (s *Service) ListUserGroups(ctx context.Context, _ Call, request List) (UserGroups, error) {
	out := UserGroups{Items: []UserGroup{}}
	v, org, err := s.readOrganization(ctx, request.Organization)
	if err != nil {
		return out, err
	}
	in := newInput()
	found, next := page(in, request.Paging, v.cfg.UserGroups,
		func(g *model.UserGroup) (time.Time, string) { return g.Created, g.ID },
		func(g *model.UserGroup) bool { return g.OrganizationID == org.ID })
	for _, g := range found {
		out.Items = append(out.Items, v.showGroup(g))
	}
	out.Next = next
	return out, in.err()
}

// UserGroupReference names a group.
type UserGroupReference struct {
	OrganizationReference
	Group string `json:"group"` // name or identifier
}

// ShowUserGroup gives one group.
func (s *Service) ShowUserGroup(ctx context.Context, _ Call, request UserGroupReference) (UserGroup, error) {
	v, err := s.read(ctx)
	if err != nil {
		return UserGroup{}, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	g := v.group(in, "group", org, request.Group)
	if err := in.err(); err != nil {
		return UserGroup{}, err
	}
	return v.showGroup(g), nil
}

// RenamedUserGroup is the input of group.rename.
type RenamedUserGroup struct {
	UserGroupReference
	Name string `json:"name"`
}

// RenameUserGroup gives a group another name.
func (s *Service) RenameUserGroup(ctx context.Context, call Call, request RenamedUserGroup) (UserGroup, error) {
	return s.changeGroup(ctx, call, "UserGroup.Renamed", request.UserGroupReference, func(t *transaction, in *input, org *model.Organization, g *model.UserGroup) {
		g.Name = in.name("name", request.Name)
		t.uniqueGroup(in, org, g.Name, g.ID)
	})
}

// SetMembers is the input of group.set-members.
type SetMembers struct {
	UserGroupReference
	Members []string `json:"members"` // names or identifiers of users, all of them
}

// SetGroupMembers replaces the members of a group.
func (s *Service) SetGroupMembers(ctx context.Context, call Call, request SetMembers) (UserGroup, error) {
	return s.changeGroup(ctx, call, membersChanged, request.UserGroupReference, func(t *transaction, in *input, org *model.Organization, g *model.UserGroup) {
		g.Members = t.members(in, "members", org, nil, request.Members)
	})
}

const membersChanged = "UserGroup.MembersChanged"

// ModifiedMembers is the input of group.modify-members.
type ModifiedMembers struct {
	UserGroupReference
	Add    []string `json:"add,omitempty"`    // names or identifiers of users
	Remove []string `json:"remove,omitempty"` // likewise; one who is no member is no error
}

// ModifyGroupMembers adds members to a group and takes others out.
func (s *Service) ModifyGroupMembers(ctx context.Context, call Call, request ModifiedMembers) (UserGroup, error) {
	return s.changeGroup(ctx, call, membersChanged, request.UserGroupReference, func(t *transaction, in *input, org *model.Organization, g *model.UserGroup) {
		gone := t.members(in, "remove", org, nil, request.Remove)
		added := t.members(in, "add", org, nil, request.Add)
		for _, id := range added {
			if slices.Contains(gone, id) {
				in.fail("remove", "User %q is to be added and removed at once.", t.userByID(id).Name)
			}
		}
		g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(id string) bool { return slices.Contains(gone, id) })
		for _, id := range added {
			if !slices.Contains(g.Members, id) {
				g.Members = append(g.Members, id)
			}
		}
	})
}

// changeGroup applies edit to a copy and writes it when anything changed. edit
// must not write into the slices of the group.
func (s *Service) changeGroup(ctx context.Context, call Call, eventType string, ref UserGroupReference, edit func(*transaction, *input, *model.Organization, *model.UserGroup)) (UserGroup, error) {
	var out UserGroup
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, ref.Organization)
		g := t.group(in, "group", org, ref.Group)
		var changed model.UserGroup
		if g != nil {
			changed = *g
		}
		edit(t, in, org, &changed)
		if err := in.err(); err != nil {
			return err
		}
		before := t.showGroup(g)
		out = t.showGroup(&changed)
		if reflect.DeepEqual(before, out) {
			return nil
		}
		if err := t.PutUserGroup(changed); err != nil {
			return err
		}
		return t.record(eventType, org.ID, changeData{before, out})
	})
	return out, err
}

// DeleteUserGroup removes a group that nothing names any more. That it must
// not be named keeps the change in view: whoever loses a right loses it where
// it was given.
func (s *Service) DeleteUserGroup(ctx context.Context, call Call, request UserGroupReference) (UserGroup, error) {
	var out UserGroup
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		g := t.group(in, "group", org, request.Group)
		if err := in.err(); err != nil {
			return err
		}
		if places := t.namedIn(g.ID); len(places) > 0 {
			return fmt.Errorf("the user group %q is still %s; take it out there first: deleting it is %w", g.Name, enumerate(places), ErrConflict)
		}
		out = t.showGroup(g)
		if err := t.Tx.DeleteUserGroup(org.ID, g.ID); err != nil {
			return err
		}
		return t.record("UserGroup.Deleted", org.ID, changeData{Before: out})
	})
	return out, err
}

// namedIn tells where a user or group stands.
func (v *view) namedIn(id string) []string {
	var out []string
	tell := func(role, object string, ids []string) {
		if slices.Contains(ids, id) {
			out = append(out, role+" of "+object)
		}
	}
	for i := range v.cfg.Projects {
		p := &v.cfg.Projects[i]
		tell("reader", p.Slug, p.Readers)
		tell("configurator", p.Slug, p.Configurators)
	}
	for i := range v.cfg.SigningPolicies {
		p := &v.cfg.SigningPolicies[i]
		name := p.Slug
		if project := v.projectByID(p.ProjectID); project != nil {
			name = project.Slug + "/" + p.Slug
		}
		tell("submitter", name, p.Submitters)
		tell("approver", name, p.Approvers)
	}
	return out
}

// enumerate lists a few things in a sentence.
func enumerate(list []string) string {
	const limit = 5
	if n := len(list) - limit; n > 0 {
		return strings.Join(list[:limit], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(list, ", ")
}
