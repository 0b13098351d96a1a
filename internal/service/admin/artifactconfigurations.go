package admin

import (
	"context"
	"strings"
	"time"

	"signpath/internal/service/model"
)

// ArtifactConfiguration is an artifact configuration as an operator sees it.
type ArtifactConfiguration struct {
	ID      string    `json:"id"`
	Project string    `json:"project"` // slug
	Slug    string    `json:"slug"`
	Name    string    `json:"name"`
	Type    string    `json:"type"` // HashSigningData
	Default bool      `json:"default"`
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`
}

func showArtifactConfiguration(a *model.ArtifactConfiguration, project string) ArtifactConfiguration {
	return ArtifactConfiguration{ID: a.ID, Project: project, Slug: a.Slug, Name: a.Name, Type: a.Type, Default: a.Default, Active: a.Active, Created: a.Created}
}

// artifactConfiguration finds by slug or identifier within a project.
func (v *view) artifactConfiguration(in *input, field string, project *model.Project, ref string) *model.ArtifactConfiguration {
	if project == nil {
		return nil
	}
	found := match(v.cfg.ArtifactConfigurations, func(a *model.ArtifactConfiguration) bool {
		return a.ProjectID == project.ID && (strings.EqualFold(a.Slug, ref) || strings.EqualFold(a.ID, ref))
	})
	if found == nil {
		in.fail(field, "Project %q has no artifact configuration %q.", project.Slug, clip(ref))
	}
	return found
}

// NewArtifactConfiguration is the input of artifact-configuration.create.
type NewArtifactConfiguration struct {
	OrganizationReference
	Project string `json:"project"` // slug
	Slug    string `json:"slug"`
	Name    string `json:"name,omitempty"`    // default: the slug
	Type    string `json:"type,omitempty"`    // default and only one: HashSigningData
	Default bool   `json:"default,omitempty"` // in place of the present one
}

// CreateArtifactConfiguration adds an artifact configuration to a project.
func (s *Service) CreateArtifactConfiguration(ctx context.Context, call Call, request NewArtifactConfiguration) (ArtifactConfiguration, error) {
	var out ArtifactConfiguration
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		project := t.project(in, "project", org, request.Project)
		a := model.ArtifactConfiguration{ID: newID(), Type: model.HashSigningData, Active: true, Created: t.now}
		a.Slug = in.slug("slug", request.Slug)
		a.Name = a.Slug
		if strings.TrimSpace(request.Name) != "" {
			a.Name = in.name("name", request.Name)
		}
		if request.Type != "" && !strings.EqualFold(request.Type, model.HashSigningData) {
			in.fail("type", "%q is not a type of artifact configuration; this service signs hashes only, type %s.", clip(request.Type), model.HashSigningData)
		}
		if project != nil && t.artifactConfiguration(newInput(), "", project, a.Slug) != nil {
			in.fail("slug", "Project %q has an artifact configuration %q already.", project.Slug, a.Slug)
		}
		if err := in.err(); err != nil {
			return err
		}
		a.OrganizationID, a.ProjectID = org.ID, project.ID
		out = showArtifactConfiguration(&a, project.Slug)
		if err := t.PutArtifactConfiguration(a); err != nil {
			return err
		}
		if err := t.record("ArtifactConfiguration.Created", org.ID, changeData{After: out}); err != nil || !request.Default {
			return err
		}
		var err error
		out, err = t.makeDefault(project, &a)
		return err
	})
	return out, err
}

// ArtifactConfigurations is a list of artifact configurations.
type ArtifactConfigurations struct {
	Items []ArtifactConfiguration `json:"items"`
	Next
}

// ListArtifactConfigurations lists those of one project.
func (s *Service) ListArtifactConfigurations(ctx context.Context, _ Call, request ProjectFilter) (ArtifactConfigurations, error) {
	out := ArtifactConfigurations{Items: []ArtifactConfiguration{}}
	v, err := s.read(ctx)
	if err != nil {
		return out, err
	}
	in := newInput()
	project := v.project(in, "project", v.organization(in, request.Organization), request.Project)
	if err := in.err(); err != nil {
		return out, err
	}
	found, next := page(in, request.Paging, v.cfg.ArtifactConfigurations,
		func(a *model.ArtifactConfiguration) (time.Time, string) { return a.Created, a.ID },
		func(a *model.ArtifactConfiguration) bool { return a.ProjectID == project.ID })
	for _, a := range found {
		out.Items = append(out.Items, showArtifactConfiguration(a, project.Slug))
	}
	out.Next = next
	return out, in.err()
}

// ArtifactConfigurationReference names an artifact configuration.
type ArtifactConfigurationReference struct {
	OrganizationReference
	Project               string `json:"project"`               // slug
	ArtifactConfiguration string `json:"artifactConfiguration"` // slug or identifier
}

// ArtifactConfigurationEdit is the input of artifact-configuration.edit: absent
// members leave things as they are.
type ArtifactConfigurationEdit struct {
	ArtifactConfigurationReference
	Name   *string `json:"name,omitempty"`
	Active *bool   `json:"active,omitempty"`
}

// EditArtifactConfiguration changes an artifact configuration.
func (s *Service) EditArtifactConfiguration(ctx context.Context, call Call, request ArtifactConfigurationEdit) (ArtifactConfiguration, error) {
	var out ArtifactConfiguration
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		project := t.project(in, "project", t.organization(in, request.Organization), request.Project)
		a := t.artifactConfiguration(in, "artifactConfiguration", project, request.ArtifactConfiguration)
		if a == nil {
			return in.err()
		}
		changed := *a
		if request.Name != nil {
			changed.Name = in.name("name", *request.Name)
		}
		if request.Active != nil {
			changed.Active = *request.Active
		}
		if changed.Default && !changed.Active {
			in.fail("active", "%q is the default of project %q; make another one the default first.", a.Slug, project.Slug)
		}
		if err := in.err(); err != nil {
			return err
		}
		before := showArtifactConfiguration(a, project.Slug)
		out = showArtifactConfiguration(&changed, project.Slug)
		if before == out {
			return nil
		}
		if err := t.PutArtifactConfiguration(changed); err != nil {
			return err
		}
		return t.record("ArtifactConfiguration.Changed", a.OrganizationID, changeData{before, out})
	})
	return out, err
}

// SetDefaultArtifactConfiguration chooses the one that is used when a request
// names none.
func (s *Service) SetDefaultArtifactConfiguration(ctx context.Context, call Call, request ArtifactConfigurationReference) (ArtifactConfiguration, error) {
	var out ArtifactConfiguration
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		project := t.project(in, "project", t.organization(in, request.Organization), request.Project)
		a := t.artifactConfiguration(in, "artifactConfiguration", project, request.ArtifactConfiguration)
		if a != nil && !a.Active {
			in.fail("artifactConfiguration", "Artifact configuration %q is not active.", a.Slug)
		}
		if err := in.err(); err != nil {
			return err
		}
		var err error
		out, err = t.makeDefault(project, a)
		return err
	})
	return out, err
}

// makeDefault makes an artifact configuration the project's only default.
func (t *transaction) makeDefault(project *model.Project, a *model.ArtifactConfiguration) (ArtifactConfiguration, error) {
	put := func(a model.ArtifactConfiguration, isDefault bool) (ArtifactConfiguration, error) {
		before := showArtifactConfiguration(&a, project.Slug)
		a.Default = isDefault
		after := showArtifactConfiguration(&a, project.Slug)
		if before == after {
			return after, nil
		}
		if err := t.PutArtifactConfiguration(a); err != nil {
			return after, err
		}
		return after, t.record("ArtifactConfiguration.DefaultChanged", a.OrganizationID, changeData{before, after})
	}
	for _, other := range t.cfg.ArtifactConfigurations {
		if other.ProjectID == project.ID && other.ID != a.ID {
			if _, err := put(other, false); err != nil {
				return ArtifactConfiguration{}, err
			}
		}
	}
	return put(*a, true)
}
