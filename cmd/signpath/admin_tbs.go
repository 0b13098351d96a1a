package main

import (
	"context"
	"strings"

	"signpath/internal/service/admin"
)

// buildSystemCommands are trusted build systems.
type buildSystemCommands struct {
	Create     buildSystemCreate     `cmd:"" help:"Add a trusted build system with its token."`
	List       buildSystemList       `cmd:"" help:"List the trusted build systems."`
	Edit       buildSystemEdit       `cmd:"" help:"Rename a trusted build system, link it to projects, switch it on or off."`
	Regenerate buildSystemRegenerate `cmd:"" help:"Give a trusted build system another token; the old one is refused at once."`
	Delete     buildSystemDelete     `cmd:"" help:"Remove a trusted build system."`
}

// Help implements kong.HelpProvider.
func (buildSystemCommands) Help() string {
	return "A signing policy with --require-tbs signs only for requests that carry the token of a trusted build system that is linked to the project, behind the API token: Authorization: Bearer API-TOKEN:BUILD-SYSTEM-TOKEN.\n\n" + examples(
		"signpath admin --data DIR trusted-build-system create ci --project app",
		"signpath admin --data DIR policy edit app/release --require-tbs",
	)
}

type buildSystemCreate struct {
	Name    string   `arg:"" help:"Name, unique in the organization."`
	Project []string `help:"Slug of a project that it is linked to; may be repeated." placeholder:"SLUG"`
}

// Help implements kong.HelpProvider.
func (buildSystemCreate) Help() string {
	return "The token is printed once and kept nowhere.\n\n" + examples("signpath admin --data DIR trusted-build-system create ci --project app --project tools")
}

// Run prints the token.
func (c *buildSystemCreate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return buildSystemToken(ctx, t, f, "trusted-build-system.create", admin.NewTrustedBuildSystem{OrganizationReference: f.organization(), Name: c.Name, Projects: c.Project})
}

func buildSystemToken(ctx context.Context, t *terminal, f *adminFlags, operation string, request any) error {
	var out admin.CreatedBuildSystem
	if err := f.do(ctx, t, operation, request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("trusted build system %q (%s); this token is shown once", out.Name, out.ID)
	return t.print(out.Text.Reveal())
}

type buildSystemList struct{}

// Help implements kong.HelpProvider.
func (buildSystemList) Help() string {
	return examples("signpath admin --data DIR trusted-build-system list")
}

// Run prints a table.
func (c *buildSystemList) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.TrustedBuildSystems
	if err := f.do(ctx, t, "trusted-build-system.list", f.organization(), &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"ID", "NAME", "PROJECTS", "STATE", "CREATED"}}
	for _, b := range out.Items {
		rows = append(rows, []string{b.ID, b.Name, listed(b.Projects), state(b.Active), day(b.Created)})
	}
	return t.table(rows)
}

type buildSystemEdit struct {
	Name     string  `arg:"" help:"Name or identifier."`
	NewName  string  `help:"Another name." placeholder:"NAME"`
	Projects *string `help:"Slugs of all projects that it is linked to from now on, with commas; empty: none." placeholder:"SLUGS"`
	Active   *bool   `negatable:"" help:"Switch it on, or off."`
}

// Help implements kong.HelpProvider.
func (buildSystemEdit) Help() string {
	return examples("signpath admin --data DIR trusted-build-system edit ci --projects app,tools", "signpath admin --data DIR trusted-build-system edit ci --no-active")
}

// Run changes.
func (c *buildSystemEdit) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.BuildSystemEdit{BuildSystemReference: admin.BuildSystemReference{OrganizationReference: f.organization(), TrustedBuildSystem: c.Name}, Active: c.Active}
	if c.NewName != "" {
		request.Name = &c.NewName
	}
	if c.Projects != nil {
		slugs := strings.FieldsFunc(*c.Projects, func(r rune) bool { return r == ',' || r == ' ' })
		request.Projects = &slugs
	}
	return buildSystemChange(ctx, t, f, "trusted-build-system.edit", request, "")
}

func buildSystemChange(ctx context.Context, t *terminal, f *adminFlags, operation string, request any, done string) error {
	var out admin.TrustedBuildSystem
	if err := f.do(ctx, t, operation, request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	if done == "" {
		done = state(out.Active) + ", linked to " + listed(out.Projects)
	}
	t.progress("trusted build system %q is %s", out.Name, done)
	return nil
}

type buildSystemRegenerate struct {
	Name string `arg:"" help:"Name or identifier."`
}

// Help implements kong.HelpProvider.
func (buildSystemRegenerate) Help() string {
	return examples("signpath admin --data DIR trusted-build-system regenerate ci")
}

// Run prints the new token.
func (c *buildSystemRegenerate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return buildSystemToken(ctx, t, f, "trusted-build-system.regenerate", admin.BuildSystemReference{OrganizationReference: f.organization(), TrustedBuildSystem: c.Name})
}

type buildSystemDelete struct {
	Name string `arg:"" help:"Name or identifier."`
}

// Help implements kong.HelpProvider.
func (buildSystemDelete) Help() string {
	return examples("signpath admin --data DIR trusted-build-system delete ci")
}

// Run removes.
func (c *buildSystemDelete) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return buildSystemChange(ctx, t, f, "trusted-build-system.delete", admin.BuildSystemReference{OrganizationReference: f.organization(), TrustedBuildSystem: c.Name}, "removed")
}
