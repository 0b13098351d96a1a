package main

import (
	"context"

	"signpath/internal/service/admin"
)

type groupCommands struct {
	Create        groupCreate        `cmd:"" help:"Add a user group."`
	List          groupList          `cmd:"" help:"List the user groups with their members."`
	Rename        groupRename        `cmd:"" help:"Give a user group another name."`
	SetMembers    groupSetMembers    `cmd:"" help:"Replace the members of a user group."`
	AddMembers    groupAddMembers    `cmd:"" help:"Add members to a user group."`
	RemoveMembers groupRemoveMembers `cmd:"" help:"Take members out of a user group."`
	Delete        groupDelete        `cmd:"" help:"Remove a user group that nothing names any more."`
}

// Help implements kong.HelpProvider.
func (groupCommands) Help() string {
	return "A group stands wherever a user may stand, written as group:NAME where a user has the same name.\n\n" + examples(
		"signpath admin --data DIR group create builders build nightly",
		"signpath admin --data DIR policy edit app/release --add-submitter group:builders",
	)
}

type groupCreate struct {
	Name    string   `arg:"" help:"Name, unique in the organization."`
	Members []string `arg:"" optional:"" help:"Users, by name or identifier."`
}

// Help implements kong.HelpProvider.
func (groupCreate) Help() string {
	return examples("signpath admin --data DIR group create builders build nightly")
}

// Run prints the new group's identifier.
func (c *groupCreate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.UserGroup
	request := admin.NewUserGroup{OrganizationReference: f.organization(), Name: c.Name, Members: c.Members}
	if err := f.do(ctx, t, "group.create", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	return t.print(out.ID)
}

type groupList struct{}

// Help implements kong.HelpProvider.
func (groupList) Help() string { return examples("signpath admin --data DIR group list") }

// Run prints a table.
func (c *groupList) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.UserGroups
	if err := f.do(ctx, t, "group.list", f.organization(), &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"ID", "NAME", "MEMBERS", "CREATED"}}
	for _, g := range out.Items {
		rows = append(rows, []string{g.ID, g.Name, subjects(g.Members), day(g.Created)})
	}
	return t.table(rows)
}

type groupRename struct {
	Group string `arg:"" help:"Name or identifier."`
	Name  string `arg:"" help:"The new name."`
}

// Help implements kong.HelpProvider.
func (groupRename) Help() string {
	return examples("signpath admin --data DIR group rename builders runners")
}

// Run renames.
func (c *groupRename) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return groupChange(ctx, t, f, "group.rename", admin.RenamedUserGroup{UserGroupReference: f.group(c.Group), Name: c.Name})
}

// groupMembers are the arguments of the commands that change members.
type groupMembers struct {
	Group string   `arg:"" help:"Name or identifier."`
	Users []string `arg:"" help:"Users, by name or identifier."`
}

type groupSetMembers struct {
	Group string   `arg:"" help:"Name or identifier."`
	Users []string `arg:"" optional:"" help:"All members from now on, by name or identifier; none empties the group."`
}

// Help implements kong.HelpProvider.
func (groupSetMembers) Help() string {
	return examples("signpath admin --data DIR group set-members builders build")
}

// Run replaces the members.
func (c *groupSetMembers) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return groupChange(ctx, t, f, "group.set-members", admin.SetMembers{UserGroupReference: f.group(c.Group), Members: c.Users})
}

type groupAddMembers struct{ groupMembers }

// Help implements kong.HelpProvider.
func (groupAddMembers) Help() string {
	return examples("signpath admin --data DIR group add-members builders nightly")
}

// Run adds members.
func (c *groupAddMembers) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return groupChange(ctx, t, f, "group.modify-members", admin.ModifiedMembers{UserGroupReference: f.group(c.Group), Add: c.Users})
}

type groupRemoveMembers struct{ groupMembers }

// Help implements kong.HelpProvider.
func (groupRemoveMembers) Help() string {
	return examples("signpath admin --data DIR group remove-members builders nightly")
}

// Run takes members out.
func (c *groupRemoveMembers) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return groupChange(ctx, t, f, "group.modify-members", admin.ModifiedMembers{UserGroupReference: f.group(c.Group), Remove: c.Users})
}

type groupDelete struct {
	Group string `arg:"" help:"Name or identifier."`
}

// Help implements kong.HelpProvider.
func (groupDelete) Help() string { return examples("signpath admin --data DIR group delete builders") }

// Run deletes.
func (c *groupDelete) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.UserGroup
	if err := f.do(ctx, t, "group.delete", f.group(c.Group), &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("user group %q is deleted", out.Name)
	return nil
}

func (f *adminFlags) group(ref string) admin.UserGroupReference {
	return admin.UserGroupReference{OrganizationReference: f.organization(), Group: ref}
}

func groupChange(ctx context.Context, t *terminal, f *adminFlags, operation string, request any) error {
	var out admin.UserGroup
	if err := f.do(ctx, t, operation, request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("user group %q has %d members: %s", out.Name, len(out.Members), subjects(out.Members))
	return nil
}
