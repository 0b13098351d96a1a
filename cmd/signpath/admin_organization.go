package main

import (
	"context"
	"strconv"

	"signpath/internal/service/admin"
)

type organizationCommands struct {
	Create     organizationCreate     `cmd:"" help:"Add an organization."`
	List       organizationList       `cmd:"" help:"List the organizations."`
	Rename     organizationRename     `cmd:"" help:"Give an organization another name."`
	Activate   organizationActivate   `cmd:"" help:"Switch an organization on again."`
	Deactivate organizationDeactivate `cmd:"" help:"Switch an organization off: nobody of it can sign any more."`
	Quota      organizationQuota      `cmd:"" help:"Show how many signatures an organization has made this year."`
	SetQuota   organizationSetQuota   `cmd:"" help:"Limit the signatures of an organization per year."`

	SetLimits    organizationSetLimits    `cmd:"" help:"Limit the people, projects and certificates of an organization."`
	SetRetention organizationSetRetention `cmd:"" help:"Say how long finished signing requests and their documents are kept."`
}

// Help implements kong.HelpProvider.
func (organizationCommands) Help() string {
	return examples("signpath admin --data DIR organization create Example", "signpath admin --data DIR organization list")
}

type organizationCreate struct {
	Name string `arg:"" help:"Name for people."`
}

// Help implements kong.HelpProvider.
func (organizationCreate) Help() string {
	return examples("signpath admin --data DIR organization create 'Example Inc.'")
}

// Run prints the new organization's identifier, which every client needs.
func (c *organizationCreate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Organization
	if err := f.do(ctx, t, "organization.create", admin.NewOrganization{Name: c.Name}, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	return t.print(out.ID)
}

type organizationList struct{}

// Help implements kong.HelpProvider.
func (organizationList) Help() string { return examples("signpath admin --data DIR organization list") }

// Run prints a table.
func (c *organizationList) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Organizations
	if err := f.do(ctx, t, "organization.list", struct{}{}, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"ID", "NAME", "STATE", "CREATED"}}
	for _, o := range out.Items {
		rows = append(rows, []string{o.ID, o.Name, state(o.Active), day(o.Created)})
	}
	return t.table(rows)
}

type organizationRename struct {
	Organization string `arg:"" help:"Name or identifier."`
	Name         string `arg:"" help:"The new name."`
}

// Help implements kong.HelpProvider.
func (organizationRename) Help() string {
	return examples("signpath admin --data DIR organization rename Example 'Example Inc.'")
}

// Run renames.
func (c *organizationRename) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.RenamedOrganization{OrganizationReference: admin.OrganizationReference{Organization: c.Organization}, Name: c.Name}
	return organizationChange(ctx, t, f, "organization.rename", request)
}

func organizationChange(ctx context.Context, t *terminal, f *adminFlags, operation string, request any) error {
	var out admin.Organization
	if err := f.do(ctx, t, operation, request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("organization %q is %s", out.Name, state(out.Active))
	return nil
}

type organizationActivate struct {
	Organization string `arg:"" help:"Name or identifier."`
}

// Help implements kong.HelpProvider.
func (organizationActivate) Help() string {
	return examples("signpath admin --data DIR organization activate Example")
}

// Run switches on.
func (c *organizationActivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return organizationSetActive(ctx, t, f, c.Organization, true)
}

type organizationDeactivate struct {
	Organization string `arg:"" help:"Name or identifier."`
}

// Help implements kong.HelpProvider.
func (organizationDeactivate) Help() string {
	return examples("signpath admin --data DIR organization deactivate Example")
}

// Run switches off.
func (c *organizationDeactivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return organizationSetActive(ctx, t, f, c.Organization, false)
}

func organizationSetActive(ctx context.Context, t *terminal, f *adminFlags, ref string, active bool) error {
	return organizationChange(ctx, t, f, "organization.set-active", admin.OrganizationActivity{OrganizationReference: admin.OrganizationReference{Organization: ref}, Active: active})
}

type organizationQuota struct{}

// Help implements kong.HelpProvider.
func (organizationQuota) Help() string {
	return examples("signpath admin --data DIR --org Example organization quota")
}

// Run prints a table.
func (c *organizationQuota) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Quota
	if err := f.do(ctx, t, "organization.quota", f.organization(), &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	limit := "unlimited"
	if out.YearlySignatures > 0 {
		limit = strconv.Itoa(out.YearlySignatures)
	}
	return t.table([][]string{{"USED", "QUOTA", "FROM", "UNTIL"}, {strconv.Itoa(out.Used), limit, day(out.PeriodStart), day(out.PeriodEnd)}})
}

type organizationSetQuota struct {
	Signatures int    `arg:"" help:"Signatures per year; 0: no limit."`
	From       moment `help:"Day that the years begin on. Default: as before, or today." placeholder:"DATE"`
}

// Help implements kong.HelpProvider.
func (organizationSetQuota) Help() string {
	return examples("signpath admin --data DIR --org Example organization set-quota 100000 --from 2027-01-01", "signpath admin --data DIR organization set-quota 0")
}

// Run sets the quota.
func (c *organizationSetQuota) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.QuotaChange{OrganizationReference: f.organization(), YearlySignatures: c.Signatures, Start: c.From.past()}
	var out admin.Organization
	if err := f.do(ctx, t, "organization.set-quota", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	if out.YearlySignatures == 0 {
		t.progress("organization %q may make any number of signatures", out.Name)
	} else {
		t.progress("organization %q may make %d signatures a year, counted from %s", out.Name, out.YearlySignatures, day(out.QuotaStart))
	}
	return nil
}
