package httpapi

import (
	"net/http"
	"strings"
	"time"

	"signpath/internal/service/admin"
	"signpath/internal/service/authz"
	"signpath/internal/service/model"
)

// userRoutes are the routes of users and their tokens. In place of a user's id,
// Me stands for whoever asks.
func userRoutes(a *api, org string) []route {
	var routes []route
	for _, kind := range []model.UserKind{model.CIUser, model.InteractiveUser} {
		users := org + "/" + userPath(kind)
		user := users + "/{userId}"
		with := func(handler func(*exchange, model.UserKind) error) func(*exchange) error {
			return func(x *exchange) error { return handler(x, kind) }
		}
		routes = append(routes,
			route{method: "GET", pattern: users, access: tokenFor, handler: with(a.users)},
			route{method: "POST", pattern: users, access: tokenFor, handler: with(a.createUser)},
			route{method: "GET", pattern: user, access: tokenFor, handler: with(a.user)},
			route{method: "POST", pattern: user + "/Edit", access: tokenFor, handler: with(a.editUser)},
			route{method: "POST", pattern: user + "/RegenerateApiToken", access: tokenFor, handler: with(a.regenerateToken)},
			route{method: "GET", pattern: user + "/ApiTokens", access: tokenFor, handler: with(a.tokens)},
			route{method: "POST", pattern: user + "/ApiTokens", access: tokenFor, handler: with(a.createToken)},
			route{method: "POST", pattern: user + "/ApiTokens/{tokenId}/Edit", access: tokenFor, handler: with(a.editToken)},
			route{method: "POST", pattern: user + "/ApiTokens/{tokenId}/Revoke", access: tokenFor, handler: with(a.revokeToken)},
		)
	}
	return routes
}

// userPath is the path segment of a kind of users.
func userPath(kind model.UserKind) string {
	if kind == model.InteractiveUser {
		return "InteractiveUsers"
	}
	return "CIUsers"
}

type userAnswer struct {
	ID                    string       `json:"id"`
	Name                  string       `json:"name"`
	Email                 string       `json:"email,omitempty"` // interactive users only
	Roles                 []model.Role `json:"roles"`
	IsActive              bool         `json:"isActive"`
	DirectorySynchronized bool         `json:"directorySynchronized"`
	Created               time.Time    `json:"created"`
	InvitationExpires     *time.Time   `json:"invitationExpires,omitempty"` // end of an invitation that waits
}

// userDetailsAnswer is one user with its groups.
type userDetailsAnswer struct {
	userAnswer
	UserGroups []subjectAnswer `json:"userGroups"`
}

func showUser(u admin.User) userAnswer {
	return userAnswer{ID: u.ID, Name: u.Name, Email: u.Email, Roles: u.Roles, IsActive: u.Active, DirectorySynchronized: u.Synchronized, Created: u.Created, InvitationExpires: u.InvitationExpires}
}

// userID is the id that the path names.
func (x *exchange) userID() string {
	if id := x.params["userId"]; !strings.EqualFold(id, "Me") {
		return strings.ToLower(id)
	}
	return x.principal.User.ID
}

// findUser finds the user that the path names, who must be of this kind.
func (x *exchange) findUser(s *authz.Snapshot, kind model.UserKind) (*model.User, error) {
	u, ok := s.User(x.organizationID, x.userID())
	switch {
	case ok && u.Kind == kind:
		return u, nil
	case ok && kind == model.InteractiveUser:
		return nil, forbidden("The user '%s' is a CI user, not a person. Ask CIUsers instead of InteractiveUsers.", u.Name)
	case ok:
		return nil, forbidden("The user '%s' is a person, not a CI user. Ask InteractiveUsers instead of CIUsers.", u.Name)
	}
	return nil, forbidden("The organization has no user with the id '%s', or you may not see it.", clipped(x.params["userId"]))
}

// onUser is the check for actions on the user that the path names.
func (x *exchange) onUser(kind model.UserKind, actions ...authz.Action) check {
	return func(s *authz.Snapshot, p *authz.Principal) error {
		u, err := x.findUser(s, kind)
		if err != nil {
			return err
		}
		for _, action := range actions {
			if err := permit(s, p, action, authz.Resource{User: u, Synchronized: u.Synchronized}); err != nil {
				return err
			}
		}
		return nil
	}
}

// onTokens is the check for the tokens of the user that the path names.
func (x *exchange) onTokens(kind model.UserKind) check {
	return func(s *authz.Snapshot, p *authz.Principal) error {
		u, err := x.findUser(s, kind)
		if err != nil {
			return err
		}
		if authz.Can(s, p, authz.TokenAction(u), authz.Resource{User: u, Synchronized: u.Synchronized}) {
			return nil
		}
		if kind == model.InteractiveUser {
			return forbidden("The API tokens of a person are for this person alone. The operator of the service can make the first one.")
		}
		return permit(s, p, authz.ManageCITokens, authz.Resource{User: u, Synchronized: u.Synchronized})
	}
}

func (x *exchange) userReference() admin.UserReference {
	return admin.UserReference{OrganizationReference: x.org(), User: x.userID()}
}

func (a *api) users(x *exchange, kind model.UserKind) error {
	list, err := x.list()
	if err != nil {
		return err
	}
	var out admin.Users
	input := admin.UserFilter{OrganizationReference: list.OrganizationReference, Paging: list.Paging, Kind: kind}
	if err := a.administer(x, organization(authz.ReadConfiguration), "user.list", input, &out); err != nil {
		return err
	}
	return x.compressibleJSON(http.StatusOK, listOf(out.Items, out.Next, showUser))
}

func (a *api) user(x *exchange, kind model.UserKind) error {
	var out admin.UserDetails
	if err := a.administer(x, x.onUser(kind, authz.ReadConfiguration), "user.show", x.userReference(), &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, userDetailsAnswer{showUser(out.User), showSubjects(out.Groups)})
}

func (a *api) createUser(x *exchange, kind model.UserKind) error {
	var r struct {
		Name                  string
		Email                 string
		Roles                 []string
		DirectorySynchronized bool
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	allowed := func(s *authz.Snapshot, p *authz.Principal) error {
		on := authz.Resource{Synchronized: r.DirectorySynchronized}
		if err := permit(s, p, authz.ManageUsers, on); err != nil || len(r.Roles) == 0 {
			return err
		}
		return permit(s, p, authz.ManageRoles, on)
	}
	var out admin.User
	input := admin.NewUser{OrganizationReference: x.org(), Name: r.Name, Kind: string(kind), Email: r.Email, Roles: r.Roles, Synchronized: r.DirectorySynchronized}
	if err := a.administer(x, allowed, "user.create", input, &out); err != nil {
		return err
	}
	return a.createdAt(x, userPath(kind)+"/"+out.ID, showUser(out))
}

func (a *api) editUser(x *exchange, kind model.UserKind) error {
	var r struct {
		Name     *string
		Email    *string
		Roles    *[]string
		IsActive *bool
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	var actions []authz.Action
	if r.Name != nil || r.Email != nil || r.IsActive != nil || r.Roles == nil {
		actions = append(actions, authz.ManageUsers)
	}
	if r.Roles != nil {
		actions = append(actions, authz.ManageRoles)
	}
	var out admin.User
	input := admin.UserEdit{UserReference: x.userReference(), Name: r.Name, Email: r.Email, Roles: r.Roles, Active: r.IsActive}
	if err := a.administer(x, x.onUser(kind, actions...), "user.edit", input, &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, showUser(out))
}

// tokenAnswer tells an API token. apiToken is its text, in the one answer that
// made it.
type tokenAnswer struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	IsActive  bool       `json:"isActive"`
	Created   time.Time  `json:"created"`
	Expires   *time.Time `json:"expires,omitempty"`
	LastUsed  *time.Time `json:"lastUsed,omitempty"`
	Addresses []string   `json:"addresses,omitempty"`
	APIToken  string     `json:"apiToken,omitempty"`
}

func showToken(t admin.Token) tokenAnswer {
	return tokenAnswer{ID: t.ID, Name: t.Name, IsActive: t.Active, Created: t.Created, Expires: t.Expires, LastUsed: t.LastUsed, Addresses: t.Addresses}
}

func (a *api) tokens(x *exchange, kind model.UserKind) error {
	list, err := x.list()
	if err != nil {
		return err
	}
	var out admin.Tokens
	input := admin.TokenFilter{OrganizationReference: list.OrganizationReference, Paging: list.Paging, User: x.userID()}
	if err := a.administer(x, x.onTokens(kind), "token.list", input, &out); err != nil {
		return err
	}
	return x.compressibleJSON(http.StatusOK, listOf(out.Items, out.Next, showToken))
}

func (a *api) createToken(x *exchange, kind model.UserKind) error {
	var r struct {
		Name      string
		Expires   *time.Time
		Addresses []string
	}
	if err := x.readJSON(&r, true); err != nil {
		return err
	}
	input := admin.NewToken{OrganizationReference: x.org(), User: x.userID(), Name: r.Name, Expires: r.Expires, Addresses: r.Addresses}
	return a.newToken(x, kind, "token.create", input, http.StatusCreated)
}

func (a *api) regenerateToken(x *exchange, kind model.UserKind) error {
	var r struct {
		Name    string
		Expires *time.Time
	}
	if err := x.readJSON(&r, true); err != nil {
		return err
	}
	input := admin.RegeneratedToken{OrganizationReference: x.org(), User: x.userID(), Name: r.Name, Expires: r.Expires}
	return a.newToken(x, kind, "token.regenerate", input, http.StatusOK)
}

func (a *api) newToken(x *exchange, kind model.UserKind, operation string, input any, status int) error {
	var out admin.CreatedToken
	if err := a.administer(x, x.onTokens(kind), operation, input, &out); err != nil {
		return err
	}
	answer := showToken(out.Token)
	answer.APIToken = out.Text.Reveal()
	return x.json(status, answer)
}

func (x *exchange) tokenReference() admin.TokenReference {
	return admin.TokenReference{OrganizationReference: x.org(), User: x.userID(), ID: x.params["tokenId"]}
}

func (a *api) editToken(x *exchange, kind model.UserKind) error {
	var r struct {
		Name      *string
		Expires   *time.Time
		Addresses *[]string
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	input := admin.TokenEdit{TokenReference: x.tokenReference(), Name: r.Name, Expires: r.Expires, Addresses: r.Addresses}
	return a.tokenOperation(x, kind, "token.edit", input)
}

func (a *api) revokeToken(x *exchange, kind model.UserKind) error {
	return a.tokenOperation(x, kind, "token.revoke", x.tokenReference())
}

func (a *api) tokenOperation(x *exchange, kind model.UserKind, operation string, input any) error {
	var out admin.Token
	if err := a.administer(x, x.onTokens(kind), operation, input, &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, showToken(out))
}
