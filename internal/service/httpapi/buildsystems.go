package httpapi

import (
	"net/http"
	"strings"
	"time"

	"signpath/internal/service/admin"
	"signpath/internal/service/authz"
)

// buildSystemRoutes are the routes of trusted build systems.
func buildSystemRoutes(a *api, org string) []route {
	systems := org + "/TrustedBuildSystems"
	system := systems + "/{trustedBuildSystemId}"
	return []route{
		{method: "GET", pattern: systems, access: tokenFor, handler: a.buildSystems},
		{method: "POST", pattern: systems, access: tokenFor, handler: a.createBuildSystem},
		{method: "GET", pattern: system, access: tokenFor, handler: a.buildSystem},
		{method: "DELETE", pattern: system, access: tokenFor, handler: a.deleteBuildSystem},
		{method: "POST", pattern: system + "/Edit", access: tokenFor, handler: a.editBuildSystem},
		{method: "POST", pattern: system + "/RegenerateToken", access: tokenFor, handler: a.regenerateBuildSystemToken},
	}
}

// buildSystemAnswer tells a trusted build system. Its token is told in the one
// answer that made it.
type buildSystemAnswer struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Type     string    `json:"type"`     // Custom
	Projects []string  `json:"projects"` // slugs of the projects that it is linked to
	IsActive bool      `json:"isActive"`
	Created  time.Time `json:"created"`
	Token    string    `json:"token,omitempty"`
}

func showBuildSystem(b admin.TrustedBuildSystem) buildSystemAnswer {
	return buildSystemAnswer{ID: b.ID, Name: b.Name, Type: "Custom", Projects: b.Projects, IsActive: b.Active, Created: b.Created}
}

// onBuildSystem is the check for an action on the trusted build system that the path names.
func (x *exchange) onBuildSystem(action authz.Action) check {
	return func(s *authz.Snapshot, p *authz.Principal) error {
		id := x.params["trustedBuildSystemId"]
		if _, ok := s.TrustedBuildSystemByID(x.organizationID, strings.ToLower(id)); !ok {
			return forbidden("The organization has no trusted build system with the id '%s', or you may not see it.", clipped(id))
		}
		return permit(s, p, action, authz.Resource{})
	}
}

func (x *exchange) buildSystemReference() admin.BuildSystemReference {
	return admin.BuildSystemReference{OrganizationReference: x.org(), TrustedBuildSystem: x.params["trustedBuildSystemId"]}
}

func (a *api) buildSystems(x *exchange) error {
	list, err := x.list()
	if err != nil {
		return err
	}
	var out admin.TrustedBuildSystems
	if err := a.administer(x, organization(authz.ReadConfiguration), "trusted-build-system.list", list, &out); err != nil {
		return err
	}
	return x.compressibleJSON(http.StatusOK, listOf(out.Items, out.Next, showBuildSystem))
}

func (a *api) createBuildSystem(x *exchange) error {
	var r struct {
		Name     string
		Projects []string
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	var out admin.CreatedBuildSystem
	input := admin.NewTrustedBuildSystem{OrganizationReference: x.org(), Name: r.Name, Projects: r.Projects}
	if err := a.administer(x, organization(authz.ManageTrustedBuildSystems), "trusted-build-system.create", input, &out); err != nil {
		return err
	}
	answer := showBuildSystem(out.TrustedBuildSystem)
	answer.Token = out.Text.Reveal()
	return a.createdAt(x, "TrustedBuildSystems/"+out.ID, answer)
}

func (a *api) buildSystem(x *exchange) error {
	var out admin.TrustedBuildSystem
	if err := a.administer(x, x.onBuildSystem(authz.ReadConfiguration), "trusted-build-system.show", x.buildSystemReference(), &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, showBuildSystem(out))
}

func (a *api) editBuildSystem(x *exchange) error {
	var r struct {
		Name     *string
		Projects *[]string
		IsActive *bool
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	var out admin.TrustedBuildSystem
	input := admin.BuildSystemEdit{BuildSystemReference: x.buildSystemReference(), Name: r.Name, Projects: r.Projects, Active: r.IsActive}
	if err := a.administer(x, x.onBuildSystem(authz.ManageTrustedBuildSystems), "trusted-build-system.edit", input, &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, showBuildSystem(out))
}

func (a *api) regenerateBuildSystemToken(x *exchange) error {
	var out admin.CreatedBuildSystem
	if err := a.administer(x, x.onBuildSystem(authz.ManageTrustedBuildSystems), "trusted-build-system.regenerate", x.buildSystemReference(), &out); err != nil {
		return err
	}
	answer := showBuildSystem(out.TrustedBuildSystem)
	answer.Token = out.Text.Reveal()
	return x.json(http.StatusOK, answer)
}

func (a *api) deleteBuildSystem(x *exchange) error {
	if err := a.administer(x, x.onBuildSystem(authz.ManageTrustedBuildSystems), "trusted-build-system.delete", x.buildSystemReference(), nil); err != nil {
		return err
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}
