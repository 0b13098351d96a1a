package admin

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"signpath/internal/service/auth"
	"signpath/internal/service/model"
)

// TrustedBuildSystem is a trusted build system as an operator sees it:
// everything but its token.
type TrustedBuildSystem struct {
	ID             string    `json:"id"`
	OrganizationID string    `json:"organizationId"`
	Name           string    `json:"name"`
	Projects       []string  `json:"projects"` // slugs
	Active         bool      `json:"active"`
	Created        time.Time `json:"created"`
}

func (v *view) showBuildSystem(b *model.TrustedBuildSystem) TrustedBuildSystem {
	out := TrustedBuildSystem{ID: b.ID, OrganizationID: b.OrganizationID, Name: b.Name, Projects: []string{}, Active: b.Active, Created: b.Created}
	for _, id := range b.Projects {
		if p := v.projectByID(id); p != nil {
			out.Projects = append(out.Projects, p.Slug)
		}
	}
	return out
}

// buildSystem finds by identifier or name within an organization.
func (v *view) buildSystem(in *input, org *model.Organization, ref string) *model.TrustedBuildSystem {
	if org == nil {
		return nil
	}
	ref = strings.TrimSpace(ref)
	found := match(v.cfg.TrustedBuildSystems, func(b *model.TrustedBuildSystem) bool {
		return b.OrganizationID == org.ID && strings.EqualFold(b.ID, ref)
	})
	if found == nil {
		found = v.buildSystemByName(org.ID, ref)
	}
	if found == nil {
		in.fail("trustedBuildSystem", "Organization %q has no trusted build system %q.", org.Name, clip(ref))
	}
	return found
}

func (v *view) buildSystemByName(orgID, name string) *model.TrustedBuildSystem {
	return match(v.cfg.TrustedBuildSystems, func(b *model.TrustedBuildSystem) bool {
		return b.OrganizationID == orgID && strings.EqualFold(b.Name, name)
	})
}

// buildProjects are the identifiers of projects by their slugs.
func (v *view) buildProjects(in *input, org *model.Organization, slugs []string) []string {
	ids := []string{}
	for _, slug := range slugs {
		if p := v.project(in, "projects", org, strings.TrimSpace(slug)); p != nil && !contains(ids, p.ID) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// NewTrustedBuildSystem is the input of trusted-build-system.create.
type NewTrustedBuildSystem struct {
	OrganizationReference
	Name     string   `json:"name"`
	Projects []string `json:"projects,omitempty"` // slugs of the projects that it is linked to
}

// CreatedBuildSystem is the answer of trusted-build-system.create and
// trusted-build-system.regenerate.
type CreatedBuildSystem struct {
	TrustedBuildSystem
	Text ShownOnce `json:"token"` // what the build system presents; not kept anywhere
}

// The audit types of trusted build systems.
const (
	buildSystemAdded       = "TrustedBuildSystem.CustomAdded"
	buildSystemRegenerated = "TrustedBuildSystem.TokenRegenerated"
	buildSystemRemoved     = "TrustedBuildSystem.Removed"
)

// CreateTrustedBuildSystem adds a custom trusted build system with its token.
func (s *Service) CreateTrustedBuildSystem(ctx context.Context, call Call, request NewTrustedBuildSystem) (CreatedBuildSystem, error) {
	var out CreatedBuildSystem
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		b := model.TrustedBuildSystem{ID: newID(), Name: in.name("name", request.Name), Active: true, Created: t.now}
		b.Projects = t.buildProjects(in, org, request.Projects)
		if org != nil && t.buildSystemByName(org.ID, b.Name) != nil {
			in.fail("name", "Organization %q has a trusted build system %q already.", org.Name, b.Name)
		}
		if err := in.err(); err != nil {
			return err
		}
		b.OrganizationID = org.ID
		text, hash := auth.NewToken()
		b.TokenHash = hash
		out = CreatedBuildSystem{t.showBuildSystem(&b), ShownOnce{text}}
		if err := t.PutTrustedBuildSystem(b); err != nil {
			return err
		}
		return t.record(buildSystemAdded, org.ID, changeData{After: out.TrustedBuildSystem})
	})
	return out, err
}

// TrustedBuildSystems is a list of trusted build systems.
type TrustedBuildSystems struct {
	Items []TrustedBuildSystem `json:"items"`
	Next
}

// ListTrustedBuildSystems lists those of an organization.
func (s *Service) ListTrustedBuildSystems(ctx context.Context, _ Call, request List) (TrustedBuildSystems, error) {
	out := TrustedBuildSystems{Items: []TrustedBuildSystem{}}
	v, org, err := s.readOrganization(ctx, request.Organization)
	if err != nil {
		return out, err
	}
	in := newInput()
	found, next := page(in, request.Paging, v.cfg.TrustedBuildSystems,
		func(b *model.TrustedBuildSystem) (time.Time, string) { return b.Created, b.ID },
		func(b *model.TrustedBuildSystem) bool { return b.OrganizationID == org.ID })
	for _, b := range found {
		out.Items = append(out.Items, v.showBuildSystem(b))
	}
	out.Next = next
	return out, in.err()
}

// BuildSystemReference names a trusted build system.
type BuildSystemReference struct {
	OrganizationReference
	TrustedBuildSystem string `json:"trustedBuildSystem"` // name or identifier
}

// ShowTrustedBuildSystem gives one.
func (s *Service) ShowTrustedBuildSystem(ctx context.Context, _ Call, request BuildSystemReference) (TrustedBuildSystem, error) {
	v, err := s.read(ctx)
	if err != nil {
		return TrustedBuildSystem{}, err
	}
	in := newInput()
	b := v.buildSystem(in, v.organization(in, request.Organization), request.TrustedBuildSystem)
	if err := in.err(); err != nil {
		return TrustedBuildSystem{}, err
	}
	return v.showBuildSystem(b), nil
}

// BuildSystemEdit is the input of trusted-build-system.edit: absent members
// leave things as they are.
type BuildSystemEdit struct {
	BuildSystemReference
	Name     *string   `json:"name,omitempty"`
	Projects *[]string `json:"projects,omitempty"` // all of them
	Active   *bool     `json:"active,omitempty"`
}

// EditTrustedBuildSystem changes a trusted build system.
func (s *Service) EditTrustedBuildSystem(ctx context.Context, call Call, request BuildSystemEdit) (TrustedBuildSystem, error) {
	var out TrustedBuildSystem
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		b := t.buildSystem(in, org, request.TrustedBuildSystem)
		if b == nil {
			return in.err()
		}
		changed := *b
		if request.Name != nil {
			changed.Name = in.name("name", *request.Name)
			if o := t.buildSystemByName(org.ID, changed.Name); o != nil && o.ID != b.ID {
				in.fail("name", "Organization %q has a trusted build system %q already.", org.Name, changed.Name)
			}
		}
		if request.Projects != nil {
			changed.Projects = t.buildProjects(in, org, *request.Projects)
		}
		if request.Active != nil {
			changed.Active = *request.Active
		}
		if err := in.err(); err != nil {
			return err
		}
		before := t.showBuildSystem(b)
		out = t.showBuildSystem(&changed)
		if reflect.DeepEqual(before, out) {
			return nil
		}
		if err := t.PutTrustedBuildSystem(changed); err != nil {
			return err
		}
		return t.record("TrustedBuildSystem.Changed", org.ID, changeData{before, out})
	})
	return out, err
}

// RegenerateBuildSystemToken replaces the token of a trusted build system; the
// old one is refused at once.
func (s *Service) RegenerateBuildSystemToken(ctx context.Context, call Call, request BuildSystemReference) (CreatedBuildSystem, error) {
	var out CreatedBuildSystem
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		b := t.buildSystem(in, t.organization(in, request.Organization), request.TrustedBuildSystem)
		if err := in.err(); err != nil {
			return err
		}
		text, hash := auth.NewToken()
		changed := *b
		changed.TokenHash = hash
		out = CreatedBuildSystem{t.showBuildSystem(&changed), ShownOnce{text}}
		if err := t.PutTrustedBuildSystem(changed); err != nil {
			return err
		}
		return t.record(buildSystemRegenerated, b.OrganizationID, changeData{After: out.TrustedBuildSystem})
	})
	return out, err
}

// DeleteTrustedBuildSystem removes a trusted build system. Requests that wait
// and were proved by it are not signed any more.
func (s *Service) DeleteTrustedBuildSystem(ctx context.Context, call Call, request BuildSystemReference) (TrustedBuildSystem, error) {
	var out TrustedBuildSystem
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		b := t.buildSystem(in, t.organization(in, request.Organization), request.TrustedBuildSystem)
		if err := in.err(); err != nil {
			return err
		}
		out = t.showBuildSystem(b)
		if err := t.Tx.DeleteTrustedBuildSystem(b.OrganizationID, b.ID); err != nil {
			return fmt.Errorf("removing the trusted build system: %w", err)
		}
		return t.record(buildSystemRemoved, b.OrganizationID, changeData{Before: out})
	})
	return out, err
}
