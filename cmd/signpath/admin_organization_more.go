package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"signpath/internal/service/admin"
)

type organizationSetRetention struct {
	Documents *string `help:"Days that artifacts and results of finished signing requests and messages of webhooks are kept, e.g. 31d; forever." placeholder:"TIME"`
	Requests  *string `help:"Days that finished signing requests themselves are kept; forever." placeholder:"TIME"`
}

// Help implements kong.HelpProvider.
func (organizationSetRetention) Help() string {
	return "The audit log is kept for ever; what is removed is told in it.\n\n" + examples(
		"signpath admin --data DIR organization set-retention --documents 31d --requests forever",
		"signpath admin --data DIR organization set-retention --requests 400d",
	)
}

// Run sets what is given.
func (c *organizationSetRetention) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.Retention{OrganizationReference: f.organization()}
	var err error
	if request.DocumentDays, err = retentionDays("--documents", c.Documents); err != nil {
		return err
	}
	if request.RequestDays, err = retentionDays("--requests", c.Requests); err != nil {
		return err
	}
	if request.DocumentDays == nil && request.RequestDays == nil {
		return usage(errors.New("nothing is to be set"), "give --documents or --requests")
	}
	var out admin.Organization
	if err := f.do(ctx, t, "organization.set-retention", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("organization %q keeps documents of finished signing requests %s, the requests %s", out.Name, keptFor(out.DocumentRetentionDays), keptFor(out.RequestRetentionDays))
	return nil
}

// retentionDays reads "31d", "31" or "forever".
func retentionDays(flag string, text *string) (*int, error) {
	if text == nil {
		return nil, nil
	}
	days := 0
	if !strings.EqualFold(*text, "forever") {
		n, err := strconv.Atoi(strings.TrimSuffix(*text, "d"))
		if err != nil || n <= 0 {
			return nil, usage(errors.New(flag+" "+*text+" is no number of days"), "write 31d, or forever")
		}
		days = n
	}
	return &days, nil
}

func keptFor(days int) string {
	if days == 0 {
		return "forever"
	}
	return "for " + strconv.Itoa(days) + " days"
}

type organizationSetLimits struct {
	Users        *int `help:"People; CI users do not count. 0: no limit." placeholder:"N"`
	Projects     *int `help:"Projects. 0: no limit." placeholder:"N"`
	Certificates *int `help:"Certificates and OpenPGP keys that have a private key. 0: no limit." placeholder:"N"`
}

// Help implements kong.HelpProvider.
func (organizationSetLimits) Help() string {
	return "What is there already stays.\n\n" + examples("signpath admin --data DIR --org Example organization set-limits --users 20 --projects 50 --certificates 10")
}

// Run sets what is given.
func (c *organizationSetLimits) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	if c.Users == nil && c.Projects == nil && c.Certificates == nil {
		return usage(errors.New("nothing is to be set"), "give --users, --projects or --certificates")
	}
	var out admin.Organization
	request := admin.ObjectQuotas{OrganizationReference: f.organization(), MaxUsers: c.Users, MaxProjects: c.Projects, MaxCertificates: c.Certificates}
	if err := f.do(ctx, t, "organization.set-object-quotas", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	limit := func(n int) string {
		if n == 0 {
			return "any number of"
		}
		return strconv.Itoa(n)
	}
	t.progress("organization %q may have %s people, %s projects, %s certificates", out.Name, limit(out.MaxUsers), limit(out.MaxProjects), limit(out.MaxCertificates))
	return nil
}

type userInvite struct {
	User string `arg:"" help:"Name or identifier of a person."`
}

// Help implements kong.HelpProvider.
func (userInvite) Help() string {
	return "Prints a code with which the person gets their first API token, within 14 days: POST {\"invitationCode\": CODE} to {ApiUrl}/v1/{organization}/Invitations/Accept. Nothing is mailed. A further invitation replaces the one before.\n\n" + examples(
		"signpath admin --data DIR user create 'Alex Doe' --kind interactive --email alex@example.com",
		"signpath admin --data DIR user invite 'Alex Doe'",
	)
}

// Run prints the code.
func (c *userInvite) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Invitation
	if err := f.do(ctx, t, "user.invite", admin.UserReference{OrganizationReference: f.organization(), User: c.User}, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("%q can accept with this code until %s", out.Name, day(out.Expires))
	return t.print(out.Code.Reveal())
}

type webhookEdit struct {
	Webhook string `arg:"" help:"Identifier of the webhook."`
	Notices *bool  `negatable:"" help:"Tell it, too, of certificates and API tokens of the project that end soon, or not."`
}

// Help implements kong.HelpProvider.
func (webhookEdit) Help() string {
	return examples("signpath admin --data DIR webhook edit ID --notices")
}

// Run changes.
func (c *webhookEdit) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.WebhookEdit{WebhookReference: admin.WebhookReference{OrganizationReference: f.organization(), Webhook: c.Webhook}, Notices: c.Notices}
	return webhookChange(ctx, t, f, "webhook.edit", request, "changed")
}
