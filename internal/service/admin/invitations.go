package admin

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"signpath/internal/service/audit"
	"signpath/internal/service/auth"
	"signpath/internal/service/model"
)

// invitationTime is how long an invitation is valid (SignPath documentation,
// "Users": 14 days).
const invitationTime = 14 * 24 * time.Hour

// The audit types of invitations.
const (
	userInvited        = "User.Invited"
	invitationAccepted = "User.InvitationAccepted"
)

// Invitation is the answer of user.invite.
type Invitation struct {
	User
	// Code is what the person accepts the invitation with; it is shown once.
	Code    ShownOnce `json:"invitationCode"`
	Expires time.Time `json:"expires"`
}

// InviteUser makes an invitation for a person, who gets their first API token
// by accepting it: then nobody else has seen that token. A further invitation
// replaces the one before. Who has had a token is not invited any more, so that
// nobody gets in by another one's name.
func (s *Service) InviteUser(ctx context.Context, call Call, request UserReference) (Invitation, error) {
	var out Invitation
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		u := t.user(in, "user", t.organization(in, request.Organization), request.User)
		switch {
		case u == nil:
		case u.Kind != model.InteractiveUser:
			in.fail("user", "%q is a CI user; make an API token for it.", u.Name)
		case !u.Active:
			in.fail("user", "User %q is deactivated.", u.Name)
		case t.hadToken(u):
			in.fail("user", "User %q has had an API token already. Tokens of a person are made by this person; the operator of the service can make one when it was lost.", u.Name)
		}
		if err := in.err(); err != nil {
			return err
		}
		code, hash := auth.NewToken()
		changed := *u
		changed.InvitationHash, changed.InvitationExpires = hash[:], t.now.Add(invitationTime)
		out = Invitation{User: showUser(&changed), Code: ShownOnce{code}, Expires: changed.InvitationExpires}
		if err := t.PutUser(changed); err != nil {
			return err
		}
		return t.record(userInvited, u.OrganizationID, changeData{After: out.User})
	})
	return out, err
}

func (v *view) hadToken(u *model.User) bool {
	return match(v.cfg.Tokens, func(k *model.Token) bool { return k.UserID == u.ID }) != nil
}

// AcceptedInvitation is the input of user.accept-invitation.
type AcceptedInvitation struct {
	OrganizationReference
	Code ShownOnce `json:"invitationCode"`
	Name string    `json:"name,omitempty"` // of the token; default "default"
}

// ErrInvitation says that an invitation does not exist, has expired or was used.
var ErrInvitation = invitationError{}

type invitationError struct{}

func (invitationError) Error() string {
	return "the invitation does not exist, has expired, was replaced by a newer one, or was accepted already; ask for another one"
}

// AcceptInvitation ends an invitation and makes the first API token of the
// person. The code alone says who asks. Error: ErrInvitation.
func (s *Service) AcceptInvitation(ctx context.Context, call Call, request AcceptedInvitation) (CreatedToken, error) {
	var out CreatedToken
	hash := auth.HashToken(request.Code.Reveal())
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		if in.err() != nil || !org.Active {
			return ErrInvitation // nobody learns here what organizations there are
		}
		name := defaultToken
		if strings.TrimSpace(request.Name) != "" {
			name = in.name("name", request.Name)
		}
		u := match(t.cfg.Users, func(u *model.User) bool {
			return u.OrganizationID == org.ID && u.Active && u.InvitationHash != nil && t.now.Before(u.InvitationExpires) &&
				subtle.ConstantTimeCompare(u.InvitationHash, hash[:]) == 1
		})
		if u == nil || t.hadToken(u) {
			return ErrInvitation
		}
		if err := in.err(); err != nil {
			return err
		}
		changed := *u
		changed.InvitationHash, changed.InvitationExpires = nil, time.Time{}
		text, tokenHash := auth.NewToken()
		token := model.Token{ID: newID(), OrganizationID: org.ID, UserID: u.ID, Name: name, Hash: tokenHash, Active: true, Created: t.now}
		out = CreatedToken{Token: t.showToken(&token), Text: ShownOnce{text}}
		if err := t.PutUser(changed); err != nil {
			return err
		}
		if err := t.PutToken(token); err != nil {
			return err
		}
		t.call.Actor = audit.Actor{Type: string(u.Kind), ID: u.ID, Name: u.Name}
		if err := t.record(invitationAccepted, org.ID, changeData{After: showUser(&changed)}); err != nil {
			return err
		}
		return t.record("ApiToken.Created", org.ID, changeData{After: out.Token})
	})
	return out, err
}
