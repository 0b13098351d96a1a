package main

import (
	"context"
	"io"

	"signpath/internal/service/admin"
	"signpath/internal/service/pki"
)

type certificateEdit struct {
	Certificate      string `arg:"" help:"Slug or identifier."`
	Name             string `help:"Another name for people." placeholder:"NAME"`
	RequiresApproval *bool  `negatable:"" help:"Only signing policies that demand approval may use it, or any."`
}

// Help implements kong.HelpProvider.
func (certificateEdit) Help() string {
	return examples("signpath admin --data DIR certificate edit release --name 'Release 2027'", "signpath admin --data DIR certificate edit release --requires-approval")
}

// Run changes.
func (c *certificateEdit) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.CertificateEdit{CertificateReference: admin.CertificateReference{OrganizationReference: f.organization(), Certificate: c.Certificate}, RequiresApproval: c.RequiresApproval}
	if c.Name != "" {
		request.Name = &c.Name
	}
	var out admin.Certificate
	if err := f.do(ctx, t, "certificate.edit", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	who := "every signing policy may use it"
	if out.RequiresApproval {
		who = "only signing policies with approval may use it"
	}
	t.progress("certificate %q (%s): %s", out.Slug, out.Name, who)
	return nil
}

type certificateRevocation struct {
	Certificate string `arg:"" help:"Slug or identifier of an OpenPGP key."`
	Reason      string `help:"none, superseded, compromised or retired." default:"none" placeholder:"REASON"`
	Text        string `help:"Why, for people." placeholder:"TEXT"`
	Out         string `help:"File to write in place of stdout." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (certificateRevocation) Help() string {
	return "Whoever imports the revocation certificate holds the key revoked: publish it with the public key, or keep it at a safe place. That it was given out is in the audit log. The key goes on signing here until it is switched off (key stop) or deleted; of a deleted key, the revocation that was made together with it is given out.\n\n" + examples(
		"signpath admin --data DIR certificate revocation packages --reason compromised --out packages.rev.asc",
		"gpg --import packages.rev.asc",
	)
}

// Run writes the revocation certificate.
func (c *certificateRevocation) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Revocation
	request := admin.RevocationRequest{CertificateReference: admin.CertificateReference{OrganizationReference: f.organization(), Certificate: c.Certificate}, Reason: c.Reason, Text: c.Text}
	if err := f.do(ctx, t, "certificate.revocation", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	if out.Kept {
		t.warning("the private key is deleted: this is the revocation that was made together with it, without a reason")
	}
	armored, err := pki.ArmorRevocation(out.Revocation)
	if err != nil {
		return err
	}
	return t.output(c.Out, func(w io.Writer) error { _, err := w.Write(armored); return err })
}
