package main

import (
	"context"

	"signpath/internal/service/admin"
)

type userCommands struct {
	Create     userCreate     `cmd:"" help:"Add a user."`
	List       userList       `cmd:"" help:"List the users."`
	Activate   userActivate   `cmd:"" help:"Switch a user on again."`
	Invite     userInvite     `cmd:"" help:"Invite a person, who gets the first API token by accepting."`
	Edit       userEdit       `cmd:"" help:"Give a user another name or e-mail address."`
	Deactivate userDeactivate `cmd:"" help:"Switch a user off: the user's tokens are refused."`
	SetRoles   userSetRoles   `cmd:"" help:"Replace a user's global roles."`
}

// Help implements kong.HelpProvider.
func (userCommands) Help() string {
	return examples("signpath admin --data DIR user create build --kind ci", "signpath admin --data DIR user deactivate build")
}

type userCreate struct {
	Name  string   `arg:"" help:"Name, unique in the organization."`
	Kind  string   `help:"ci (a build machine, signs with a token) or interactive (a person)." default:"ci" placeholder:"KIND"`
	Email string   `help:"E-mail address of an interactive user." placeholder:"ADDRESS"`
	Role  []string `help:"Global role; may be repeated: GlobalAdministrator, CertificateAdministrator, UserAdministrator, ProjectAdministrator, GlobalReader, DirectorySynchronizer, SupportUser." placeholder:"ROLE"`
}

// Help implements kong.HelpProvider.
func (userCreate) Help() string {
	return examples(
		"signpath admin --data DIR user create build",
		"signpath admin --data DIR user create 'Alex Doe' --kind interactive --email alex@example.com --role GlobalReader",
	)
}

// Run prints the new user's identifier.
func (c *userCreate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.User
	request := admin.NewUser{OrganizationReference: f.organization(), Name: c.Name, Kind: c.Kind, Email: c.Email, Roles: c.Role}
	if err := f.do(ctx, t, "user.create", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	return t.print(out.ID)
}

type userList struct{}

// Help implements kong.HelpProvider.
func (userList) Help() string { return examples("signpath admin --data DIR user list --json") }

// Run prints a table.
func (c *userList) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Users
	if err := f.do(ctx, t, "user.list", f.organization(), &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"ID", "NAME", "KIND", "E-MAIL", "ROLES", "STATE", "CREATED"}}
	for _, u := range out.Items {
		roles := make([]string, len(u.Roles))
		for i, r := range u.Roles {
			roles[i] = string(r)
		}
		email := u.Email
		if email == "" {
			email = "-"
		}
		rows = append(rows, []string{u.ID, u.Name, string(u.Kind), email, listed(roles), state(u.Active), day(u.Created)})
	}
	return t.table(rows)
}

type userEdit struct {
	User  string  `arg:"" help:"Name or identifier."`
	Name  *string `help:"Another name." placeholder:"NAME"`
	Email *string `help:"Another e-mail address; interactive users only." placeholder:"ADDRESS"`
}

// Help implements kong.HelpProvider.
func (userEdit) Help() string {
	return examples("signpath admin --data DIR user edit build --name nightly")
}

// Run changes what was given.
func (c *userEdit) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return userChange(ctx, t, f, "user.edit", admin.UserEdit{
		UserReference: admin.UserReference{OrganizationReference: f.organization(), User: c.User}, Name: c.Name, Email: c.Email,
	})
}

type userActivate struct {
	User string `arg:"" help:"Name or identifier."`
}

// Help implements kong.HelpProvider.
func (userActivate) Help() string { return examples("signpath admin --data DIR user activate build") }

// Run switches on.
func (c *userActivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return userChange(ctx, t, f, "user.set-active", admin.UserActivity{OrganizationReference: f.organization(), User: c.User, Active: true})
}

type userDeactivate struct {
	User string `arg:"" help:"Name or identifier."`
}

// Help implements kong.HelpProvider.
func (userDeactivate) Help() string {
	return examples("signpath admin --data DIR user deactivate build")
}

// Run switches off.
func (c *userDeactivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return userChange(ctx, t, f, "user.set-active", admin.UserActivity{OrganizationReference: f.organization(), User: c.User})
}

type userSetRoles struct {
	User  string   `arg:"" help:"Name or identifier."`
	Roles []string `arg:"" optional:"" help:"All roles of the user from now on; none takes every role away."`
}

// Help implements kong.HelpProvider.
func (userSetRoles) Help() string {
	return examples("signpath admin --data DIR user set-roles 'Alex Doe' GlobalReader ProjectAdministrator", "signpath admin --data DIR user set-roles 'Alex Doe'")
}

// Run replaces the roles.
func (c *userSetRoles) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return userChange(ctx, t, f, "user.set-roles", admin.UserRoles{OrganizationReference: f.organization(), User: c.User, Roles: c.Roles})
}

func userChange(ctx context.Context, t *terminal, f *adminFlags, operation string, request any) error {
	var out admin.User
	if err := f.do(ctx, t, operation, request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	roles := make([]string, len(out.Roles))
	for i, r := range out.Roles {
		roles[i] = string(r)
	}
	t.progress("user %q is %s, roles: %s", out.Name, state(out.Active), listed(roles))
	return nil
}
