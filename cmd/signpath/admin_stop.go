package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"signpath/internal/service/admin"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
)

// keyCommands stop private keys.
type keyCommands struct {
	Stop   keyStop   `cmd:"" help:"Emergency stop: nothing is signed with the key any more; lists what it signed."`
	Resume keyResume `cmd:"" help:"End an emergency stop of a key."`
}

// Help implements kong.HelpProvider.
func (keyCommands) Help() string {
	return "A key is named by the slug of a certificate that it belongs to. A stop can be taken back; certificate delete-key cannot.\n\n" + examples(
		"signpath admin --data DIR key stop release --reason 'laptop stolen' > signed.txt",
		"signpath admin --data DIR key resume release --reason 'laptop found, disk was locked'",
	)
}

// stopFlags are the flags of both stops.
type stopFlags struct {
	Reason string `required:"" help:"Why; it stands in the audit log." placeholder:"TEXT"`
	Since  moment `help:"List what was signed since then: a date, a time (RFC 3339), or a distance back from now (7d). Default: all." placeholder:"WHEN"`
}

// stopHelp ends the help of both stops.
const stopHelp = `Effective at once and on every replica: when the command has printed its first line, no further signature is made, and every signature that was made is in the list. The list comes on stdout, line by line, with --json as JSON lines. Signatures that were announced before the stop and have no outcome yet are "under way".`

type policyStop struct {
	Policy    policyName `arg:"" help:"PROJECT/POLICY, both slugs." placeholder:"PROJECT/POLICY"`
	stopFlags `embed:""`
}

// Help implements kong.HelpProvider.
func (policyStop) Help() string {
	return stopHelp + "\n\n" + examples("signpath admin --data DIR policy stop app/release --reason 'build server broken into' --since 30d")
}

// Run stops and lists.
func (c *policyStop) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return c.stop(ctx, t, f, "policy.stop", policyStopInput(f, c.Policy, c.Reason))
}

type policyResume struct {
	Policy policyName `arg:"" help:"PROJECT/POLICY, both slugs." placeholder:"PROJECT/POLICY"`
	Reason string     `required:"" help:"Why; it stands in the audit log." placeholder:"TEXT"`
}

// Help implements kong.HelpProvider.
func (policyResume) Help() string {
	return examples("signpath admin --data DIR policy resume app/release --reason 'server set up anew'")
}

// Run switches on again.
func (c *policyResume) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return resume(ctx, t, f, "policy.resume", policyStopInput(f, c.Policy, c.Reason))
}

func policyStopInput(f *adminFlags, name policyName, reason string) admin.PolicyStop {
	return admin.PolicyStop{PolicyReference: admin.PolicyReference{OrganizationReference: f.organization(), Project: name.project, Policy: name.policy}, Reason: reason}
}

type keyStop struct {
	Certificate string `arg:"" help:"Slug of a certificate of the key." placeholder:"SLUG"`
	stopFlags   `embed:""`
}

// Help implements kong.HelpProvider.
func (keyStop) Help() string {
	return "Switches off every certificate of the key, and of the same key where it was imported a second time. " + stopHelp + "\n\n" + examples("signpath admin --data DIR key stop release --reason 'PIN leaked' --json")
}

// Run stops and lists.
func (c *keyStop) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return c.stop(ctx, t, f, "key.stop", keyStopInput(f, c.Certificate, c.Reason))
}

type keyResume struct {
	Certificate string `arg:"" help:"Slug of the certificate to switch on again." placeholder:"SLUG"`
	Reason      string `required:"" help:"Why; it stands in the audit log." placeholder:"TEXT"`
}

// Help implements kong.HelpProvider.
func (keyResume) Help() string {
	return "Other certificates of the key stay switched off: each is resumed by its name.\n\n" + examples("signpath admin --data DIR key resume release --reason 'false alarm'")
}

// Run switches on again.
func (c *keyResume) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return resume(ctx, t, f, "key.resume", keyStopInput(f, c.Certificate, c.Reason))
}

func keyStopInput(f *adminFlags, slug, reason string) admin.KeyStop {
	return admin.KeyStop{CertificateReference: admin.CertificateReference{OrganizationReference: f.organization(), Certificate: slug}, Reason: reason}
}

func resume(ctx context.Context, t *terminal, f *adminFlags, operation string, input any) error {
	var out admin.Stop
	if err := f.do(ctx, t, operation, input, &out); err != nil {
		return err
	}
	tellStop(t, out, "resumed", "was not stopped")
	if f.JSON {
		return t.json(out)
	}
	return nil
}

// stop does the operation, then lists what was signed, with one connection.
func (c *stopFlags) stop(ctx context.Context, t *terminal, f *adminFlags, operation string, input any) error {
	runner, done, err := f.runner(ctx, t)
	if err != nil {
		return err
	}
	var out admin.Stop
	if err := runner.Run(ctx, operation, input, &out); err != nil {
		return errors.Join(err, done())
	}
	tellStop(t, out, "stopped", "was stopped or deactivated already")
	if err := c.list(ctx, t, f, &logReader{runner: runner}, out); err != nil {
		return errors.Join(fmt.Errorf("the stop holds, but what was signed cannot be listed: %w", err), done())
	}
	return done()
}

func tellStop(t *terminal, out admin.Stop, done, already string) {
	state := done
	if out.Unchanged {
		state = already
	}
	switch {
	case out.PolicyID != "":
		t.progress("policy %s %s", listed(out.Policies), state)
	default:
		t.progress("key %s; certificates: %s; active policies that sign with it: %s", state, listed(out.Certificates), listed(out.Policies))
	}
	for _, w := range out.Warnings {
		t.warning(w)
	}
}

// list prints what was signed, each line as soon as it is known.
func (c *stopFlags) list(ctx context.Context, t *terminal, f *adminFlags, log store.Store, out admin.Stop) error {
	filter := store.AuditFilter{OrganizationID: out.OrganizationID, TypePrefixes: []string{signing.EntryGroup}}
	if since := c.Since.past(); since != nil {
		filter.FromMillis = since.UnixMilli()
	}
	var subjects []store.AuditSubject
	if out.PolicyID != "" {
		subjects = []store.AuditSubject{{PolicyID: out.PolicyID}}
	}
	for _, id := range out.KeyIDs {
		subjects = append(subjects, store.AuditSubject{KeyID: id})
	}
	counts := map[string]int{}
	for _, filter.Subject = range subjects {
		for s, err := range signing.History(rowsOf(ctx, log, filter)) {
			if err != nil {
				return err
			}
			if s.Outcome == signing.OutcomeRefused || s.Outcome == signing.OutcomeAbandoned {
				continue // the key was not used
			}
			counts[s.Outcome]++
			if err := printSignature(t, f.JSON, s); err != nil {
				return err
			}
		}
	}
	var parts []string
	for outcome, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, outcome))
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		t.progress("nothing was signed")
	} else {
		t.progress("signatures: %s", strings.Join(parts, ", "))
	}
	return nil
}

func printSignature(t *terminal, asJSON bool, s signing.Signature) error {
	if !asJSON {
		return t.print(printable(strings.TrimRight(fmt.Sprintf("%s  %-9s  %s  %s  %s/%s  %s", stamp(s), s.Outcome, who(s.Actor), s.Digest, s.Project, s.Policy, s.Description), " ")))
	}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return t.print(string(line))
}
