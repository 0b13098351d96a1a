package admin

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"signpath/internal/service/model"
)

// User is a user as an operator sees it.
type User struct {
	ID             string         `json:"id"`
	OrganizationID string         `json:"organizationId"`
	Kind           model.UserKind `json:"kind"`
	Name           string         `json:"name"`
	Email          string         `json:"email,omitempty"`
	Roles          []model.Role   `json:"roles"`
	Synchronized   bool           `json:"directorySynchronized"`
	Active         bool           `json:"active"`
	Created        time.Time      `json:"created"`
	// InvitationExpires is the end of an invitation that waits to be accepted.
	InvitationExpires *time.Time `json:"invitationExpires,omitempty"`
}

func showUser(u *model.User) User {
	roles := u.Roles
	if roles == nil {
		roles = []model.Role{}
	}
	out := User{ID: u.ID, OrganizationID: u.OrganizationID, Kind: u.Kind, Name: u.Name, Email: u.Email, Roles: roles, Synchronized: u.Synchronized, Active: u.Active, Created: u.Created}
	if u.InvitationHash != nil {
		ends := u.InvitationExpires
		out.InvitationExpires = &ends
	}
	return out
}

// NewUser is the input of user.create.
type NewUser struct {
	OrganizationReference
	Name  string   `json:"name"`
	Kind  string   `json:"kind"`            // "ci" (or "CiUser"), "interactive" (or "InteractiveUser")
	Email string   `json:"email,omitempty"` // interactive users only, mandatory there
	Roles []string `json:"roles,omitempty"`
	// Synchronized users are kept by a directory.
	Synchronized bool `json:"directorySynchronized,omitempty"`
}

// userKinds are the kinds by the names that operators type.
var userKinds = map[string]model.UserKind{
	"ci": model.CIUser, "ciuser": model.CIUser,
	"interactive": model.InteractiveUser, "interactiveuser": model.InteractiveUser,
}

// CreateUser adds a user, who has no token yet.
func (s *Service) CreateUser(ctx context.Context, call Call, request NewUser) (User, error) {
	var out User
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		u := model.User{ID: newID(), Synchronized: request.Synchronized, Active: true, Created: t.now}
		u.Name = in.name("name", request.Name)
		u.Roles = in.roles("roles", request.Roles)
		kind, ok := userKinds[strings.ToLower(request.Kind)]
		if !ok {
			in.fail("kind", "%q is not a kind of user; they are ci and interactive.", clip(request.Kind))
		}
		u.Kind = kind
		switch {
		case kind == model.InteractiveUser:
			u.Email = in.email("email", request.Email)
		case request.Email != "":
			in.fail("email", "A CI user has no e-mail address.")
		}
		if org != nil && t.userByName(org.ID, u.Name) != nil {
			in.fail("name", "Organization %q has a user %q already.", org.Name, u.Name)
		}
		if err := in.err(); err != nil {
			return err
		}
		if kind == model.InteractiveUser {
			if err := quota(org, "people", org.MaxUsers, count(t.cfg.Users, func(o *model.User) bool {
				return o.OrganizationID == org.ID && o.Kind == model.InteractiveUser && o.Active
			})); err != nil {
				return err
			}
		}
		u.OrganizationID = org.ID
		out = showUser(&u)
		if err := t.PutUser(u); err != nil {
			return err
		}
		return t.record("User.Created", org.ID, changeData{After: out})
	})
	return out, err
}

// UserReference names a user.
type UserReference struct {
	OrganizationReference
	User string `json:"user"` // name or identifier
}

// UserDetails is a user with the groups that it is a member of.
type UserDetails struct {
	User
	Groups []Subject `json:"userGroups"`
}

// ShowUser gives one user.
func (s *Service) ShowUser(ctx context.Context, _ Call, request UserReference) (UserDetails, error) {
	v, err := s.read(ctx)
	if err != nil {
		return UserDetails{}, err
	}
	in := newInput()
	u := v.user(in, "user", v.organization(in, request.Organization), request.User)
	if err := in.err(); err != nil {
		return UserDetails{}, err
	}
	var groups []string
	for i := range v.cfg.UserGroups {
		if g := &v.cfg.UserGroups[i]; slices.Contains(g.Members, u.ID) {
			groups = append(groups, g.ID)
		}
	}
	return UserDetails{User: showUser(u), Groups: v.showSubjects(groups)}, nil
}

// UserEdit is the input of user.edit: absent members leave things as they are.
type UserEdit struct {
	UserReference
	Name   *string   `json:"name,omitempty"`
	Email  *string   `json:"email,omitempty"` // interactive users only
	Roles  *[]string `json:"roles,omitempty"` // all of them
	Active *bool     `json:"active,omitempty"`
}

// EditUser changes a user.
func (s *Service) EditUser(ctx context.Context, call Call, request UserEdit) (User, error) {
	return s.changeUser(ctx, call, "", request.Organization, request.User, func(t *transaction, in *input, u *model.User) {
		if request.Name != nil {
			u.Name = in.name("name", *request.Name)
			if other := t.userByName(u.OrganizationID, u.Name); other != nil && other.ID != u.ID {
				in.fail("name", "There is a user %q in the organization already.", clip(u.Name))
			}
		}
		switch {
		case request.Email == nil:
		case u.Kind == model.InteractiveUser:
			u.Email = in.email("email", *request.Email)
		default:
			in.fail("email", "A CI user has no e-mail address.")
		}
		if request.Roles != nil {
			u.Roles = in.roles("roles", *request.Roles)
		}
		if request.Active != nil {
			u.Active = *request.Active
		}
	})
}

// Users is a list of users.
type Users struct {
	Items []User `json:"items"`
	Next
}

// UserFilter is the input of user.list.
type UserFilter struct {
	OrganizationReference
	Paging
	Kind model.UserKind `json:"kind,omitempty"` // empty: both
}

// ListUsers lists the users of an organization.
func (s *Service) ListUsers(ctx context.Context, _ Call, request UserFilter) (Users, error) {
	out := Users{Items: []User{}}
	v, org, err := s.readOrganization(ctx, request.Organization)
	if err != nil {
		return out, err
	}
	in := newInput()
	found, next := page(in, request.Paging, v.cfg.Users,
		func(u *model.User) (time.Time, string) { return u.Created, u.ID },
		func(u *model.User) bool {
			return u.OrganizationID == org.ID && (request.Kind == "" || u.Kind == request.Kind)
		})
	for _, u := range found {
		out.Items = append(out.Items, showUser(u))
	}
	out.Next = next
	return out, in.err()
}

// UserActivity is the input of user.set-active.
type UserActivity struct {
	OrganizationReference
	User   string `json:"user"` // name or identifier
	Active bool   `json:"active"`
}

// SetUserActive switches a user on or off. The tokens of a user who is off are refused.
func (s *Service) SetUserActive(ctx context.Context, call Call, request UserActivity) (User, error) {
	return s.changeUser(ctx, call, activity("User", request.Active), request.Organization, request.User, func(_ *transaction, _ *input, u *model.User) {
		u.Active = request.Active
	})
}

// UserRoles is the input of user.set-roles.
type UserRoles struct {
	OrganizationReference
	User  string   `json:"user"`
	Roles []string `json:"roles"` // all of them; an empty list takes every role away
}

// SetUserRoles replaces the global roles of a user.
func (s *Service) SetUserRoles(ctx context.Context, call Call, request UserRoles) (User, error) {
	return s.changeUser(ctx, call, rolesChanged, request.Organization, request.User, func(_ *transaction, in *input, u *model.User) {
		u.Roles = in.roles("roles", request.Roles)
	})
}

// changeUser applies edit to a copy and writes it when anything changed. The
// audit type "" is chosen by what did: roles have their own, so that whoever
// raises somebody's rights, and be it their own, is found by it.
func (s *Service) changeUser(ctx context.Context, call Call, eventType, organization, ref string, edit func(*transaction, *input, *model.User)) (User, error) {
	var out User
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, organization)
		u := t.user(in, "user", org, ref)
		var changed model.User
		if u != nil {
			changed = *u
		}
		edit(t, in, &changed)
		if err := in.err(); err != nil {
			return err
		}
		before := showUser(u)
		out = showUser(&changed)
		if reflect.DeepEqual(before, out) {
			return nil
		}
		if err := t.PutUser(changed); err != nil {
			return err
		}
		if eventType != "" {
			return t.recordUser(eventType, before, out)
		}
		for _, e := range userEvents(before, out) {
			if err := t.recordUser(e, before, out); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// rolesChanged is the audit type of every change of somebody's global roles.
const rolesChanged = "User.RolesChanged"

// userEvents are the audit types of an edit.
func userEvents(before, after User) []string {
	var out []string
	if before.Name != after.Name || before.Email != after.Email {
		out = append(out, "User.Changed")
	}
	if !slices.Equal(before.Roles, after.Roles) {
		out = append(out, rolesChanged)
	}
	if before.Active != after.Active {
		out = append(out, activity("User", after.Active))
	}
	return out
}

// userChange is the data of an audit entry about a user.
type userChange struct {
	changeData
	// Own tells that somebody changed their own rights.
	Own bool `json:"ownRights,omitempty"`
}

func (t *transaction) recordUser(eventType string, before, after User) error {
	own := eventType == rolesChanged && t.call.Actor.ID == after.ID
	return t.record(eventType, after.OrganizationID, userChange{changeData{before, after}, own})
}
