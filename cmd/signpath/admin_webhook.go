package main

import (
	"context"
	"fmt"
	"strconv"

	"signpath/internal/service/admin"
)

type webhookCommands struct {
	Create     webhookCreate     `cmd:"" help:"Tell another server how a project's signing requests end."`
	List       webhookList       `cmd:"" help:"List the webhooks."`
	Deliveries webhookDeliveries `cmd:"" help:"Show the newest messages of a webhook and what was answered."`
	Edit       webhookEdit       `cmd:"" help:"Switch the notices of a webhook on or off."`
	Activate   webhookActivate   `cmd:"" help:"Switch a webhook on again."`
	Deactivate webhookDeactivate `cmd:"" help:"Switch a webhook off: nothing is sent."`
	Delete     webhookDelete     `cmd:"" help:"Remove a webhook with its messages."`
}

// Help implements kong.HelpProvider.
func (webhookCommands) Help() string {
	return "A webhook posts {OrganizationId, SigningRequestId, Status} when an asynchronous signing request has ended. Fast requests send nothing.\n\n" + examples(
		"signpath admin --data DIR webhook create app https://ci.example.com/hook --authorization-file token",
		"signpath admin --data DIR webhook deliveries ID",
	)
}

type webhookCreate struct {
	Project           string `arg:"" help:"Slug of the project."`
	URL               string `arg:"" name:"url" help:"Address, https://…"`
	Notices           bool   `help:"Tell it, too, of certificates and API tokens of the project that end soon."`
	AuthorizationFile string `help:"File with the value of the Authorization header in one line, scheme included; - reads stdin. It is kept encrypted and never shown." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (webhookCreate) Help() string {
	return examples(
		"signpath admin --data DIR webhook create app https://ci.example.com/hook --authorization-file value",
		"printf 'Bearer abc' | signpath admin --data DIR webhook create app https://ci.example.com/hook --authorization-file -",
	)
}

// Run prints the new webhook's identifier.
func (c *webhookCreate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.NewWebhook{OrganizationReference: f.organization(), Project: c.Project, URL: c.URL, Notices: c.Notices}
	if c.AuthorizationFile != "" {
		value, err := t.password(c.AuthorizationFile, "")
		if err != nil {
			return err
		}
		request.Authorization = value.Reveal()
	}
	var out admin.Webhook
	if err := f.do(ctx, t, "webhook.create", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	return t.print(out.ID)
}

type webhookList struct {
	Project string `help:"Only those of this project." placeholder:"SLUG"`
}

// Help implements kong.HelpProvider.
func (webhookList) Help() string { return examples("signpath admin --data DIR webhook list") }

// Run prints a table.
func (c *webhookList) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Webhooks
	if err := f.do(ctx, t, "webhook.list", admin.WebhookFilter{OrganizationReference: f.organization(), Project: c.Project}, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"ID", "PROJECT", "URL", "AUTHORIZATION", "STATE"}}
	for _, w := range out.Items {
		authorization := "no"
		if w.HasAuthorization {
			authorization = "yes"
		}
		rows = append(rows, []string{w.ID, w.Project, w.URL, authorization, state(w.Active)})
	}
	return t.table(rows)
}

type webhookDeliveries struct {
	Webhook string `arg:"" help:"Identifier of the webhook."`
}

// Help implements kong.HelpProvider.
func (webhookDeliveries) Help() string {
	return "With --json the answers' first 4 KiB are shown too, in base64.\n\n" + examples("signpath admin --data DIR webhook deliveries ID", "signpath admin --data DIR --json webhook deliveries ID")
}

// Run prints a table.
func (c *webhookDeliveries) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.WebhookDeliveries
	if err := f.do(ctx, t, "webhook.deliveries", admin.WebhookReference{OrganizationReference: f.organization(), Webhook: c.Webhook}, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"TIME", "REQUEST", "STATUS", "STATE", "TRIES", "LAST ANSWER"}}
	for _, d := range out.Items {
		last := "-"
		if n := len(d.Answers); n > 0 {
			if last = fmt.Sprint(d.Answers[n-1].Status); d.Answers[n-1].Status == 0 {
				last = d.Answers[n-1].Error
			}
		}
		rows = append(rows, []string{day(d.Created), d.SigningRequestID, d.Status, d.State, strconv.Itoa(len(d.Answers)), last})
	}
	return t.table(rows)
}

type webhookActivate struct {
	Webhook string `arg:"" help:"Identifier of the webhook."`
}

// Help implements kong.HelpProvider.
func (webhookActivate) Help() string {
	return examples("signpath admin --data DIR webhook activate ID")
}

// Run switches on.
func (c *webhookActivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return webhookSwitch(ctx, t, f, c.Webhook, true)
}

type webhookDeactivate struct {
	Webhook string `arg:"" help:"Identifier of the webhook."`
}

// Help implements kong.HelpProvider.
func (webhookDeactivate) Help() string {
	return examples("signpath admin --data DIR webhook deactivate ID")
}

// Run switches off.
func (c *webhookDeactivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return webhookSwitch(ctx, t, f, c.Webhook, false)
}

func webhookSwitch(ctx context.Context, t *terminal, f *adminFlags, id string, active bool) error {
	request := admin.WebhookActivity{WebhookReference: admin.WebhookReference{OrganizationReference: f.organization(), Webhook: id}, Active: active}
	return webhookChange(ctx, t, f, "webhook.set-active", request, state(active))
}

type webhookDelete struct {
	Webhook string `arg:"" help:"Identifier of the webhook."`
}

// Help implements kong.HelpProvider.
func (webhookDelete) Help() string { return examples("signpath admin --data DIR webhook delete ID") }

// Run deletes.
func (c *webhookDelete) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return webhookChange(ctx, t, f, "webhook.delete", admin.WebhookReference{OrganizationReference: f.organization(), Webhook: c.Webhook}, "deleted")
}

func webhookChange(ctx context.Context, t *terminal, f *adminFlags, operation string, request any, done string) error {
	var out admin.Webhook
	if err := f.do(ctx, t, operation, request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("webhook %s of project %s is %s", out.ID, out.Project, done)
	return nil
}
