package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/auth"
	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// invitationRoutes are the routes of invitations. Accepting one is the only
// change that needs no API token: it gives the first one.
func invitationRoutes(a *api, org string) []route {
	return []route{
		{method: "POST", pattern: org + "/InteractiveUsers/{userId}/Invite", access: tokenFor, handler: a.invite},
		{method: "POST", pattern: org + "/Invitations/Accept", access: public, handler: a.acceptInvitation},
	}
}

// invitationAnswer tells an invitation; the code is in no other answer.
type invitationAnswer struct {
	userAnswer
	InvitationCode string `json:"invitationCode"`
	AcceptLink     string `json:"acceptLink"` // POST {"invitationCode": …} there
}

func (a *api) invite(x *exchange) error {
	if err := x.readJSON(&struct{}{}, true); err != nil {
		return err
	}
	var out admin.Invitation
	if err := a.administer(x, x.onUser(model.InteractiveUser, authz.ManageUsers), "user.invite", x.userReference(), &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, invitationAnswer{
		userAnswer: showUser(out.User), InvitationCode: out.Code.Reveal(),
		AcceptLink: a.PublicURL + "/Api/v1/" + x.organizationID + "/Invitations/Accept",
	})
}

// acceptInvitation makes the first token of the person who has the code. Wrong
// codes count as requests without a valid token.
func (a *api) acceptInvitation(x *exchange) error {
	id, problem := auth.ParseOrganizationID(x.params["organizationId"])
	if problem != nil {
		return problem
	}
	x.organizationID = id
	var r struct {
		InvitationCode string
		Name           string
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	if r.InvitationCode == "" {
		return missing("InvitationCode", "it stands in the invitation")
	}
	if a.Administration == nil {
		return wire.NewProblem(http.StatusServiceUnavailable, "This service does not offer administration through its API.")
	}
	input, err := json.Marshal(admin.AcceptedInvitation{OrganizationReference: x.org(), Code: admin.ShownOnce{Secret: secret.New(r.InvitationCode)}, Name: r.Name})
	if err != nil {
		return fmt.Errorf("encoding an invitation: %w", err)
	}
	result, err := a.Administration.Run(x.r.Context(), admin.Call{IP: x.caller.IP, UserAgent: x.caller.UserAgent, TraceID: x.caller.TraceID}, "user.accept-invitation", input)
	switch {
	case errors.Is(err, admin.ErrInvitation):
		if limited := a.limitFailures(x); limited != nil {
			return limited
		}
		return forbidden("%s", sentence(err))
	case err != nil:
		return administrationProblem(err)
	}
	var out admin.CreatedToken
	if err := json.Unmarshal(result, &out); err != nil {
		return fmt.Errorf("reading the result of an invitation: %w", err)
	}
	answer := struct {
		tokenAnswer
		UserID   string `json:"userId"`
		UserName string `json:"userName"`
	}{showToken(out.Token), out.UserID, out.UserName}
	answer.APIToken = out.Text.Reveal()
	return x.json(http.StatusCreated, answer)
}
