package admin

import (
	"context"
	"reflect"
	"strings"
	"time"

	"signpath/internal/service/model"
)

// Project is a project as an operator sees it.
type Project struct {
	ID             string    `json:"id"`
	OrganizationID string    `json:"organizationId"`
	Slug           string    `json:"slug"`
	Name           string    `json:"name"`
	Description    string    `json:"description,omitempty"`
	RepositoryURL  string    `json:"repositoryUrl,omitempty"`
	Readers        []Subject `json:"readers"`
	Configurators  []Subject `json:"configurators"`
	Active         bool      `json:"active"`
	Created        time.Time `json:"created"`
}

func (v *view) showProject(p *model.Project) Project {
	return Project{
		ID: p.ID, OrganizationID: p.OrganizationID, Slug: p.Slug, Name: p.Name, Description: p.Description, RepositoryURL: p.RepositoryURL,
		Readers: v.showSubjects(p.Readers), Configurators: v.showSubjects(p.Configurators), Active: p.Active, Created: p.Created,
	}
}

// NewProject is the input of project.create.
type NewProject struct {
	OrganizationReference
	Slug        string `json:"slug"`
	Name        string `json:"name,omitempty"` // default: the slug
	Description string `json:"description,omitempty"`
	// RepositoryURL is where the source code is; http or https.
	RepositoryURL string   `json:"repositoryUrl,omitempty"`
	Readers       []string `json:"readers,omitempty"`       // users and groups
	Configurators []string `json:"configurators,omitempty"` // users and groups
}

// CreateProject adds a project with the artifact configuration that the crypto
// providers need: type "hash signing data", as the project's default.
func (s *Service) CreateProject(ctx context.Context, call Call, request NewProject) (Project, error) {
	var out Project
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		p := model.Project{ID: newID(), Active: true, Created: t.now}
		p.Slug = in.slug("slug", request.Slug)
		p.Name = p.Slug
		if strings.TrimSpace(request.Name) != "" {
			p.Name = in.name("name", request.Name)
		}
		p.Description = strings.TrimSpace(request.Description)
		in.text("description", p.Description, maxDescription)
		p.RepositoryURL = in.url("repositoryUrl", request.RepositoryURL)
		p.Readers = t.addSubjects(in, "readers", org, nil, request.Readers)
		p.Configurators = t.addSubjects(in, "configurators", org, nil, request.Configurators)
		if org != nil && t.projectBySlug(org.ID, p.Slug) != nil {
			in.fail("slug", "Organization %q has a project %q already.", org.Name, p.Slug)
		}
		if err := in.err(); err != nil {
			return err
		}
		if err := quota(org, "projects", org.MaxProjects, count(t.cfg.Projects, func(o *model.Project) bool { return o.OrganizationID == org.ID })); err != nil {
			return err
		}
		p.OrganizationID = org.ID
		ac := model.ArtifactConfiguration{
			ID: newID(), OrganizationID: org.ID, ProjectID: p.ID, Slug: "hash-signing-data", Name: "Hash signing data",
			Type: model.HashSigningData, Default: true, Active: true, Created: t.now,
		}
		out = t.showProject(&p)
		if err := t.PutProject(p); err != nil {
			return err
		}
		if err := t.PutArtifactConfiguration(ac); err != nil {
			return err
		}
		if err := t.record("Project.Created", org.ID, changeData{After: out}); err != nil {
			return err
		}
		return t.record("ArtifactConfiguration.Created", org.ID, changeData{After: showArtifactConfiguration(&ac, p.Slug)})
	})
	return out, err
}

// Projects is a list of projects.
type Projects struct {
	Items []Project `json:"items"`
	Next
}

// ListProjects lists the projects of an organization.
func (s *Service) ListProjects(ctx context.Context, _ Call, request List) (Projects, error) {
	out := Projects{Items: []Project{}}
	v, org, err := s.readOrganization(ctx, request.Organization)
	if err != nil {
		return out, err
	}
	in := newInput()
	found, next := page(in, request.Paging, v.cfg.Projects,
		func(p *model.Project) (time.Time, string) { return p.Created, p.ID },
		func(p *model.Project) bool { return p.OrganizationID == org.ID })
	for _, p := range found {
		out.Items = append(out.Items, v.showProject(p))
	}
	out.Next = next
	return out, in.err()
}

// ProjectActivity is the input of project.set-active.
type ProjectActivity struct {
	OrganizationReference
	Project string `json:"project"` // slug
	Active  bool   `json:"active"`
}

// SetProjectActive switches a project on or off. Nothing is signed for a project that is off.
func (s *Service) SetProjectActive(ctx context.Context, call Call, request ProjectActivity) (Project, error) {
	return s.EditProject(ctx, call, ProjectEdit{OrganizationReference: request.OrganizationReference, Project: request.Project, Active: &request.Active})
}

// ProjectEdit is the input of project.edit: absent members leave things as they are.
type ProjectEdit struct {
	OrganizationReference
	Project             string    `json:"project"` // slug
	Name                *string   `json:"name,omitempty"`
	Description         *string   `json:"description,omitempty"`
	RepositoryURL       *string   `json:"repositoryUrl,omitempty"`
	Readers             *[]string `json:"readers,omitempty"` // users and groups, all of them
	AddReaders          []string  `json:"addReaders,omitempty"`
	RemoveReaders       []string  `json:"removeReaders,omitempty"`
	Configurators       *[]string `json:"configurators,omitempty"` // users and groups, all of them
	AddConfigurators    []string  `json:"addConfigurators,omitempty"`
	RemoveConfigurators []string  `json:"removeConfigurators,omitempty"`
	Active              *bool     `json:"active,omitempty"`
}

// EditProject changes a project. Its slug stays: it is in the key names that
// signing tools are configured with.
func (s *Service) EditProject(ctx context.Context, call Call, request ProjectEdit) (Project, error) {
	var out Project
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		p := t.project(in, "project", org, request.Project)
		if p == nil {
			return in.err()
		}
		changed := *p
		if request.Name != nil {
			changed.Name = in.name("name", *request.Name)
		}
		if request.Description != nil {
			changed.Description = strings.TrimSpace(*request.Description)
			in.text("description", changed.Description, maxDescription)
		}
		if request.RepositoryURL != nil {
			changed.RepositoryURL = in.url("repositoryUrl", *request.RepositoryURL)
		}
		changed.Readers = subjectEdit{"readers", "reader of this project", request.Readers, request.AddReaders, request.RemoveReaders}.apply(t.view, in, org, p.Readers)
		changed.Configurators = subjectEdit{"configurators", "configurator of this project", request.Configurators, request.AddConfigurators, request.RemoveConfigurators}.apply(t.view, in, org, p.Configurators)
		if request.Active != nil {
			changed.Active = *request.Active
		}
		if err := in.err(); err != nil {
			return err
		}
		before := t.showProject(p)
		out = t.showProject(&changed)
		if reflect.DeepEqual(before, out) {
			return nil
		}
		if err := t.PutProject(changed); err != nil {
			return err
		}
		return t.record(projectEvent(before, out), org.ID, changeData{before, out})
	})
	return out, err
}

// projectEvent is the audit type of an edit: switching on or off alone has its own.
func projectEvent(before, after Project) string {
	active := after.Active
	if before.Active != active {
		after.Active = before.Active
		if reflect.DeepEqual(before, after) {
			return activity("Project", active)
		}
	}
	return "Project.Changed"
}

// ShowProject gives one project.
func (s *Service) ShowProject(ctx context.Context, _ Call, request ProjectFilter) (Project, error) {
	v, err := s.read(ctx)
	if err != nil {
		return Project{}, err
	}
	in := newInput()
	p := v.project(in, "project", v.organization(in, request.Organization), request.Project)
	if err := in.err(); err != nil {
		return Project{}, err
	}
	return v.showProject(p), nil
}
