package main

import (
	"context"

	"signpath/internal/service/admin"
)

type projectCommands struct {
	Create     projectCreate     `cmd:"" help:"Add a project that can sign hashes."`
	List       projectList       `cmd:"" help:"List the projects."`
	Edit       projectEdit       `cmd:"" help:"Change a project, its readers and configurators."`
	Activate   projectActivate   `cmd:"" help:"Switch a project on again."`
	Deactivate projectDeactivate `cmd:"" help:"Switch a project off: nothing is signed for it."`
}

// Help implements kong.HelpProvider.
func (projectCommands) Help() string {
	return examples("signpath admin --data DIR project create app", "signpath admin --data DIR project list")
}

type projectCreate struct {
	Slug          string   `arg:"" help:"Short name for URLs and key names: letters, digits, dot, underscore, hyphen."`
	Name          string   `help:"Name for people. Default: the slug." placeholder:"NAME"`
	Description   string   `help:"What the project is." placeholder:"TEXT"`
	RepositoryURL string   `name:"repository-url" help:"Where the source code is." placeholder:"URL"`
	Reader        []string `help:"User or group (group:NAME) who may read artifacts; may be repeated." placeholder:"USER"`
	Configurator  []string `help:"User or group (group:NAME) who may edit artifact configurations; may be repeated." placeholder:"USER"`
}

// Help implements kong.HelpProvider.
func (projectCreate) Help() string {
	return examples("signpath admin --data DIR project create app --name 'Example App'")
}

// Run prints the new project's identifier.
func (c *projectCreate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Project
	request := admin.NewProject{
		OrganizationReference: f.organization(), Slug: c.Slug, Name: c.Name, Description: c.Description, RepositoryURL: c.RepositoryURL,
		Readers: c.Reader, Configurators: c.Configurator,
	}
	if err := f.do(ctx, t, "project.create", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	return t.print(out.ID)
}

type projectList struct{}

// Help implements kong.HelpProvider.
func (projectList) Help() string { return examples("signpath admin --data DIR project list") }

// Run prints a table.
func (c *projectList) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Projects
	if err := f.do(ctx, t, "project.list", f.organization(), &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"SLUG", "NAME", "READERS", "CONFIGURATORS", "STATE", "CREATED", "ID"}}
	for _, p := range out.Items {
		rows = append(rows, []string{p.Slug, p.Name, subjects(p.Readers), subjects(p.Configurators), state(p.Active), day(p.Created), p.ID})
	}
	return t.table(rows)
}

// subjects are users and groups in a column.
func subjects(list []admin.Subject) string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Reference()
	}
	return listed(names)
}

type projectEdit struct {
	Project            string   `arg:"" help:"Slug."`
	Name               *string  `help:"Another name for people." placeholder:"NAME"`
	Description        *string  `help:"Another description." placeholder:"TEXT"`
	RepositoryURL      *string  `name:"repository-url" help:"Where the source code is." placeholder:"URL"`
	AddReader          []string `help:"User or group (group:NAME) who may read artifacts from now on; may be repeated." placeholder:"USER"`
	RemoveReader       []string `help:"User or group who may not any more; may be repeated." placeholder:"USER"`
	AddConfigurator    []string `help:"User or group (group:NAME) who may edit artifact configurations from now on; may be repeated." placeholder:"USER"`
	RemoveConfigurator []string `help:"User or group who may not any more; may be repeated." placeholder:"USER"`
}

// Help implements kong.HelpProvider.
func (projectEdit) Help() string {
	return examples("signpath admin --data DIR project edit app --add-configurator group:developers --remove-reader build")
}

// Run changes what was given.
func (c *projectEdit) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Project
	request := admin.ProjectEdit{
		OrganizationReference: f.organization(), Project: c.Project, Name: c.Name, Description: c.Description, RepositoryURL: c.RepositoryURL,
		AddReaders: c.AddReader, RemoveReaders: c.RemoveReader, AddConfigurators: c.AddConfigurator, RemoveConfigurators: c.RemoveConfigurator,
	}
	if err := f.do(ctx, t, "project.edit", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("project %q is %s: readers %s, configurators %s", out.Slug, state(out.Active), subjects(out.Readers), subjects(out.Configurators))
	return nil
}

type projectActivate struct {
	Project string `arg:"" help:"Slug."`
}

// Help implements kong.HelpProvider.
func (projectActivate) Help() string {
	return examples("signpath admin --data DIR project activate app")
}

// Run switches on.
func (c *projectActivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return projectSetActive(ctx, t, f, c.Project, true)
}

type projectDeactivate struct {
	Project string `arg:"" help:"Slug."`
}

// Help implements kong.HelpProvider.
func (projectDeactivate) Help() string {
	return examples("signpath admin --data DIR project deactivate app")
}

// Run switches off.
func (c *projectDeactivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return projectSetActive(ctx, t, f, c.Project, false)
}

func projectSetActive(ctx context.Context, t *terminal, f *adminFlags, slug string, active bool) error {
	var out admin.Project
	request := admin.ProjectActivity{OrganizationReference: f.organization(), Project: slug, Active: active}
	if err := f.do(ctx, t, "project.set-active", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("project %q is %s", out.Slug, state(out.Active))
	return nil
}
