package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"signpath/internal/service/admin"
)

type policyCommands struct {
	Create     policyCreate     `cmd:"" help:"Add a signing policy to a project."`
	List       policyList       `cmd:"" help:"List the signing policies."`
	Edit       policyEdit       `cmd:"" help:"Change a signing policy."`
	Activate   policyActivate   `cmd:"" help:"Switch a signing policy on again."`
	Deactivate policyDeactivate `cmd:"" help:"Switch a signing policy off: nothing is signed under it."`
	Stop       policyStop       `cmd:"" help:"Emergency stop: switch a signing policy off, say why, and list what was signed under it."`
	Resume     policyResume     `cmd:"" help:"End an emergency stop of a signing policy."`
}

// Help implements kong.HelpProvider.
func (policyCommands) Help() string {
	return "A signing policy says who may sign with which certificate. PROJECT/POLICY is the name that signing tools use for the key.\n\n" + examples(
		"signpath admin --data DIR policy create app/release --certificate release --submitter build",
		"signpath admin --data DIR policy edit app/release --add-submitter nightly",
	)
}

// policyName is PROJECT/POLICY.
type policyName struct{ project, policy string }

// UnmarshalText implements encoding.TextUnmarshaler; kong uses it.
func (n *policyName) UnmarshalText(text []byte) error {
	project, policy, ok := strings.Cut(string(text), "/")
	if !ok {
		return errors.New("the policy must be written as PROJECT/POLICY")
	}
	n.project, n.policy = project, policy
	return nil
}

type policyCreate struct {
	Policy      policyName `arg:"" help:"PROJECT/POLICY, both slugs." placeholder:"PROJECT/POLICY"`
	Certificate string     `required:"" help:"Slug of the certificate or OpenPGP key." placeholder:"SLUG"`
	Submitter   []string   `help:"User or group (group:NAME) who may sign; may be repeated." placeholder:"USER"`
	Approver    []string   `help:"User or group (group:NAME) who may approve; may be repeated." placeholder:"USER"`
	Name        string     `help:"Name for people. Default: the slug." placeholder:"NAME"`
	Approvals   int        `help:"Approvals that a request needs. With any, signing tools are refused: only asynchronous requests can wait." placeholder:"N"`
	RequireTBS  bool       `name:"require-tbs" help:"Sign only what a trusted build system of the project proves."`
	Hashes      []string   `help:"Digest algorithms that are allowed; for EC keys the length of the digest tells which one it is. Default: sha1,sha256,sha384,sha512." placeholder:"LIST"`
}

// Help implements kong.HelpProvider.
func (policyCreate) Help() string {
	return examples(
		"signpath admin --data DIR policy create app/release --certificate release --submitter build",
		"signpath admin --data DIR policy create app/strict --certificate release --submitter build --hashes sha256,sha384,sha512",
	)
}

// Run prints the new policy's identifier.
func (c *policyCreate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Policy
	request := admin.NewPolicy{
		OrganizationReference: f.organization(), Project: c.Policy.project, Slug: c.Policy.policy, Name: c.Name,
		Certificate: c.Certificate, Submitters: c.Submitter, Approvers: c.Approver, RequiredApprovals: c.Approvals, RequiresTBS: c.RequireTBS, Hashes: c.Hashes,
	}
	if err := f.do(ctx, t, "policy.create", request, &out); err != nil {
		return err
	}
	for _, w := range out.Warnings {
		t.warning(w)
	}
	if f.JSON {
		return t.json(out)
	}
	return t.print(out.ID)
}

type policyList struct {
	Project string `help:"Only the policies of this project." placeholder:"SLUG"`
}

// Help implements kong.HelpProvider.
func (policyList) Help() string {
	return examples("signpath admin --data DIR policy list --project app")
}

// Run prints a table.
func (c *policyList) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Policies
	if err := f.do(ctx, t, "policy.list", admin.ProjectFilter{OrganizationReference: f.organization(), Project: c.Project}, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"POLICY", "CERTIFICATE", "SUBMITTERS", "APPROVALS", "HASHES", "STATE"}}
	for _, p := range out.Items {
		rows = append(rows, []string{p.Key(), p.Certificate, listed(p.Submitters), strconv.Itoa(p.RequiredApprovals), listed(p.Hashes), state(p.Active)})
	}
	return t.table(rows)
}

type policyEdit struct {
	Policy          policyName `arg:"" help:"PROJECT/POLICY, both slugs." placeholder:"PROJECT/POLICY"`
	Name            *string    `help:"Another name for people." placeholder:"NAME"`
	Certificate     *string    `help:"Another certificate, by slug." placeholder:"SLUG"`
	AddSubmitter    []string   `help:"User or group (group:NAME) who may sign from now on; may be repeated." placeholder:"USER"`
	RemoveSubmitter []string   `help:"User or group who may not sign any more; may be repeated." placeholder:"USER"`
	AddApprover     []string   `help:"User or group (group:NAME) who may approve from now on; may be repeated." placeholder:"USER"`
	RemoveApprover  []string   `help:"User or group who may not approve any more; may be repeated." placeholder:"USER"`
	Approvals       *int       `help:"Approvals that a request needs." placeholder:"N"`
	Hashes          []string   `help:"Digest algorithms that are allowed, all of them; for EC keys the length of the digest tells which one it is." placeholder:"LIST"`
	RequireTBS      *bool      `name:"require-tbs" negatable:"" help:"Sign only what a trusted build system of the project proves, or anything."`
	AllowMD5        *bool      `name:"allow-md5" negatable:"" help:"Allow MD5, or not."`
}

// Help implements kong.HelpProvider.
func (policyEdit) Help() string {
	return examples(
		"signpath admin --data DIR policy edit app/release --add-submitter nightly --remove-submitter build",
		"signpath admin --data DIR policy edit app/release --certificate release-2027",
		"signpath admin --data DIR policy edit app/release --no-allow-md5",
	)
}

// Run changes what was given.
func (c *policyEdit) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.PolicyEdit{
		Name: c.Name, Certificate: c.Certificate, AddSubmitters: c.AddSubmitter, RemoveSubmitters: c.RemoveSubmitter,
		AddApprovers: c.AddApprover, RemoveApprovers: c.RemoveApprover,
		RequiredApprovals: c.Approvals, RequiresTBS: c.RequireTBS, AllowMD5: c.AllowMD5,
	}
	if c.Hashes != nil {
		request.Hashes = &c.Hashes
	}
	return policyChange(ctx, t, f, c.Policy, request)
}

type policyActivate struct {
	Policy policyName `arg:"" help:"PROJECT/POLICY, both slugs." placeholder:"PROJECT/POLICY"`
}

// Help implements kong.HelpProvider.
func (policyActivate) Help() string {
	return examples("signpath admin --data DIR policy activate app/release")
}

// Run switches on.
func (c *policyActivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	active := true
	return policyChange(ctx, t, f, c.Policy, admin.PolicyEdit{Active: &active})
}

type policyDeactivate struct {
	Policy policyName `arg:"" help:"PROJECT/POLICY, both slugs." placeholder:"PROJECT/POLICY"`
}

// Help implements kong.HelpProvider.
func (policyDeactivate) Help() string {
	return examples("signpath admin --data DIR policy deactivate app/release")
}

// Run switches off.
func (c *policyDeactivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	active := false
	return policyChange(ctx, t, f, c.Policy, admin.PolicyEdit{Active: &active})
}

func policyChange(ctx context.Context, t *terminal, f *adminFlags, name policyName, request admin.PolicyEdit) error {
	request.PolicyReference = admin.PolicyReference{OrganizationReference: f.organization(), Project: name.project, Policy: name.policy}
	var out admin.Policy
	if err := f.do(ctx, t, "policy.edit", request, &out); err != nil {
		return err
	}
	for _, w := range out.Warnings {
		t.warning(w)
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("policy %s is %s: certificate %s, submitters %s, approvals %d, hashes %s", out.Key(), state(out.Active), out.Certificate, listed(out.Submitters), out.RequiredApprovals, listed(out.Hashes))
	return nil
}
