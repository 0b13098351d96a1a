package main

import (
	"context"

	"signpath/internal/service/admin"
	"signpath/internal/wire"
)

type requestCommands struct {
	List   requestList   `cmd:"" help:"List asynchronous signing requests, newest first."`
	Show   requestShow   `cmd:"" help:"Show one signing request as JSON."`
	Cancel requestCancel `cmd:"" help:"Cancel a signing request that has not ended."`
}

// Help implements kong.HelpProvider.
func (requestCommands) Help() string {
	return "Fast signing requests are not kept as objects: see signpath audit.\n\n" + examples(
		"signpath admin --data DIR request list --status WaitingForApproval",
		"signpath admin --data DIR request cancel ID --reason 'wrong branch'",
	)
}

type requestList struct {
	Project string `help:"Only those of this project." placeholder:"SLUG"`
	Status  string `help:"Only those with this status or workflow status, e.g. InProgress." placeholder:"STATUS"`
	Limit   int    `help:"At most this many." default:"50" placeholder:"N"`
	After   string `help:"Those after this one, which was the last of the page before." placeholder:"ID"`
}

// Help implements kong.HelpProvider.
func (requestList) Help() string {
	return examples("signpath admin --data DIR request list", "signpath admin --data DIR request list --project app --status Failed")
}

// Run prints a table.
func (c *requestList) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out wire.SigningRequestList
	request := admin.RequestFilter{OrganizationReference: f.organization(), Project: c.Project, Status: c.Status, Limit: c.Limit, Cursor: c.After}
	if err := f.do(ctx, t, "request.list", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"ID", "CREATED", "POLICY", "SUBMITTER", "STATUS", "REASON"}}
	for _, r := range out.Items {
		reason := r.Reason
		if text := []rune(reason); len(text) > 60 {
			reason = string(text[:60]) + "…"
		}
		rows = append(rows, []string{r.SigningRequestID, day(r.CreatedAt), r.ProjectSlug + "/" + r.SigningPolicySlug, r.SubmitterName, r.WorkflowStatus, reason})
	}
	if err := t.table(rows); err != nil {
		return err
	}
	if out.NextCursor != "" {
		t.progress("there are more: --after %s", out.NextCursor)
	}
	return nil
}

type requestShow struct {
	Request string `arg:"" help:"Identifier of the signing request."`
}

// Help implements kong.HelpProvider.
func (requestShow) Help() string { return examples("signpath admin --data DIR request show ID") }

// Run prints JSON.
func (c *requestShow) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out wire.SigningRequestAnswer
	if err := f.do(ctx, t, "request.show", admin.RequestReference{OrganizationReference: f.organization(), Request: c.Request}, &out); err != nil {
		return err
	}
	return t.json(out)
}

type requestCancel struct {
	Request string `arg:"" help:"Identifier of the signing request."`
	Reason  string `help:"Why; the submitter reads it." placeholder:"TEXT"`
}

// Help implements kong.HelpProvider.
func (requestCancel) Help() string {
	return examples("signpath admin --data DIR request cancel ID --reason 'wrong branch'")
}

// Run cancels.
func (c *requestCancel) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out wire.SigningRequestAnswer
	request := admin.RequestReference{OrganizationReference: f.organization(), Request: c.Request, Reason: c.Reason}
	if err := f.do(ctx, t, "request.cancel", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("signing request %s is %s", out.SigningRequestID, out.WorkflowStatus)
	return nil
}
