package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"slices"
	"strconv"

	"signpath/internal/service/admin"
	"signpath/internal/service/pki"
)

type certificateCommands struct {
	Create     certificateCreate     `cmd:"" help:"Make a key with a self-signed certificate."`
	CreateGPG  certificateCreateGPG  `cmd:"" name:"create-gpg" help:"Make an OpenPGP key."`
	CreateCSR  certificateCreateCSR  `cmd:"" name:"create-csr" help:"Make a key with a certification request for an authority."`
	CSR        certificateCSR        `cmd:"" name:"csr" help:"Write a certification request once more."`
	Upload     certificateUpload     `cmd:"" help:"Add the certificate that an authority issued, or replace it."`
	ImportPFX  certificateImportPFX  `cmd:"" name:"import-pfx" help:"Take in an RSA key with its certificate from a PKCS #12 file."`
	Renew      certificateRenew      `cmd:"" help:"Make a new certificate beside the present one, or prolong an OpenPGP key."`
	DeleteKey  certificateDeleteKey  `cmd:"" name:"delete-key" help:"Delete the private key of a certificate for good."`
	List       certificateList       `cmd:"" help:"List certificates and OpenPGP keys: who uses them, when they end."`
	Export     certificateExport     `cmd:"" help:"Write the public part of a certificate or OpenPGP key."`
	Edit       certificateEdit       `cmd:"" help:"Rename a certificate, or restrict it to signing policies with approval."`
	Revocation certificateRevocation `cmd:"" help:"Give out the revocation certificate of an OpenPGP key."`
	Activate   certificateActivate   `cmd:"" help:"Switch a certificate on again."`
	Deactivate certificateDeactivate `cmd:"" help:"Switch a certificate off: nothing is signed with it."`
}

// Help implements kong.HelpProvider.
func (certificateCommands) Help() string {
	return examples(
		"signpath admin --data DIR certificate create release --common-name 'Example Inc.'",
		"signpath admin --data DIR certificate create-csr release --common-name 'Example Inc.' --out release.csr",
		"signpath admin --data DIR certificate export release --format pem --out release.pem",
	)
}

type certificateCreate struct {
	Slug         string `arg:"" help:"Short name: letters, digits, dot, underscore, hyphen."`
	Name         string `help:"Name for people. Default: the slug." placeholder:"NAME"`
	KeyType      string `help:"rsa2048, rsa3072, rsa4096, p256, p384, p521 or ed25519." default:"rsa4096" placeholder:"TYPE"`
	subjectFlags `embed:""`
	Expires      moment `help:"End of its validity: a date, a time (RFC 3339) or a distance from now (3y). Default: 3y." placeholder:"WHEN"`
}

// Help implements kong.HelpProvider.
func (certificateCreate) Help() string {
	return examples(
		"signpath admin --data DIR certificate create release --common-name 'Example Inc.' --subject-organization 'Example Inc.'",
		"signpath admin --data DIR certificate create test --key-type p256 --common-name 'Example test' --expires 1y",
	)
}

// Run prints the new certificate's identifier.
func (c *certificateCreate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.NewCertificate{
		OrganizationReference: f.organization(), Slug: c.Slug, Name: c.Name, KeyType: c.KeyType, NotAfter: c.Expires.future(),
	}
	c.fill(&request)
	return certificateMake(ctx, t, f, "certificate.create", c.KeyType, request)
}

func certificateMake(ctx context.Context, t *terminal, f *adminFlags, operation, keyType string, request any) error {
	out, err := slow(t, "making the "+keyType+" key", func() (admin.Certificate, error) {
		var out admin.Certificate
		err := f.do(ctx, t, operation, request, &out)
		return out, err
	})
	if err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	return t.print(out.ID)
}

type certificateCreateGPG struct {
	Slug        string `arg:"" help:"Short name: letters, digits, dot, underscore, hyphen."`
	Name        string `help:"Name for people. Default: the slug." placeholder:"NAME"`
	KeyType     string `help:"rsa2048, rsa3072 or rsa4096." default:"rsa4096" placeholder:"TYPE"`
	UserName    string `required:"" help:"Name in the key's user ID." placeholder:"NAME"`
	Email       string `required:"" help:"E-mail address in the key's user ID." placeholder:"ADDRESS"`
	Expires     moment `help:"End of its validity. Default: none." placeholder:"WHEN"`
	originFlags `embed:""`
}

// Help implements kong.HelpProvider.
func (certificateCreateGPG) Help() string {
	return examples(
		"signpath admin --data DIR certificate create-gpg packages --user-name 'Example packages' --email packages@example.com",
		"signpath admin --data DIR certificate create-gpg packages --user-name 'Example packages' --email packages@example.com --expires 2y",
	)
}

// Run prints the new key's identifier.
func (c *certificateCreateGPG) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.NewOpenPGPKey{OrganizationReference: f.organization(), Slug: c.Slug, Name: c.Name, KeyType: c.KeyType, UserName: c.UserName, Email: c.Email, NotAfter: c.Expires.future(), KeyOrigin: c.origin()}
	return certificateMake(ctx, t, f, "certificate.create-gpg", c.KeyType, request)
}

type certificateList struct {
	Expiring moment `help:"Only what ends until then (e.g. 30d), or has ended." placeholder:"WHEN"`
}

// Help implements kong.HelpProvider.
func (certificateList) Help() string {
	return examples(
		"signpath admin --data DIR certificate list",
		"signpath admin --data DIR certificate list --expiring 30d",
	)
}

// states are the states for people.
var states = map[admin.CertificateState]string{
	admin.StateActive: "active", admin.StateInactive: "inactive", admin.StateKeyDeleted: "key deleted",
	admin.StateNotIssued: "not issued", admin.StateExpired: "expired", admin.StateNotYetValid: "not yet valid",
}

// Run prints a table.
func (c *certificateList) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Certificates
	if err := f.do(ctx, t, "certificate.list", f.organization(), &out); err != nil {
		return err
	}
	if until := c.Expiring.future(); until != nil {
		out.Items = slices.DeleteFunc(out.Items, func(c admin.Certificate) bool { return c.NotAfter == nil || c.NotAfter.After(*until) })
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"SLUG", "TYPE", "KEY", "SUBJECT", "NOT AFTER", "STATE", "THUMBPRINT", "POLICIES"}}
	for _, c := range out.Items {
		subject, thumbprint, end := c.Subject, c.Thumbprint, dayOrNever(c.NotAfter)
		switch {
		case c.Fingerprint != "":
			subject, thumbprint = c.UserID, c.Fingerprint
		case thumbprint == "":
			thumbprint, end = "-", "-"
		}
		rows = append(rows, []string{c.Slug, string(c.Type), string(c.KeyType) + " " + strconv.Itoa(c.KeySizeInBits), subject, end, states[c.State], thumbprint, listed(c.Policies)})
	}
	return t.table(rows)
}

type certificateExport struct {
	Certificate string `arg:"" help:"Slug or identifier."`
	Format      string `help:"pem (certificate), chain (PEM with its issuers), der (certificate), spki (public key, PEM), asc (OpenPGP, armoured), attestation (what a token says about the key, JSON). Default: pem, or asc for an OpenPGP key." placeholder:"FORMAT"`
	Out         string `help:"File to write in place of stdout." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (certificateExport) Help() string {
	return examples(
		"signpath admin --data DIR certificate export release --out release.pem",
		"signpath admin --data DIR certificate export packages --format asc | gpg --import",
	)
}

// Run writes the public part.
func (c *certificateExport) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.ExportedCertificate
	request := admin.CertificateReference{OrganizationReference: f.organization(), Certificate: c.Certificate}
	if err := f.do(ctx, t, "certificate.export", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	data, err := encodeCertificate(out, c.Format)
	if err != nil {
		return err
	}
	return t.output(c.Out, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// encodeCertificate is the table of export formats.
func encodeCertificate(c admin.ExportedCertificate, format string) ([]byte, error) {
	if format == "" {
		format = "pem"
		if c.OpenPGP != nil {
			format = "asc"
		}
	}
	needsX509 := func(data []byte) ([]byte, error) {
		switch {
		case c.OpenPGP != nil:
			return nil, badInput(fmt.Errorf("%q is an OpenPGP key without a certificate", c.Slug), "use --format asc")
		case c.Leaf == nil:
			return nil, badInput(fmt.Errorf("the certificate %q is not issued yet", c.Slug), "upload what its authority issued: signpath admin certificate upload "+c.Slug+" FILE")
		}
		return data, nil
	}
	switch format {
	case "pem":
		return needsX509(pki.EncodePEM(c.Leaf))
	case "chain":
		return needsX509(pki.EncodePEM(append([][]byte{c.Leaf}, c.Chain...)...))
	case "der":
		return needsX509(c.Leaf)
	case "spki":
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: c.SPKI}), nil
	case "attestation":
		if c.Attestation == nil {
			return nil, badInput(fmt.Errorf("the key store said nothing about the key of %q when it was made", c.Slug), "only keys on tokens have attestations")
		}
		return append(slices.Clip(c.Attestation), '\n'), nil
	case "asc":
		if c.OpenPGP == nil {
			return nil, badInput(fmt.Errorf("%q is an X.509 certificate, not an OpenPGP key", c.Slug), "use --format pem")
		}
		return pki.Armor(c.OpenPGP)
	}
	return nil, usage(fmt.Errorf("there is no format %q", format), "the formats are pem, chain, der, spki, asc and attestation")
}

type certificateActivate struct {
	Certificate string `arg:"" help:"Slug or identifier."`
}

// Help implements kong.HelpProvider.
func (certificateActivate) Help() string {
	return examples("signpath admin --data DIR certificate activate release")
}

// Run switches on.
func (c *certificateActivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return certificateSetActive(ctx, t, f, c.Certificate, true)
}

type certificateDeactivate struct {
	Certificate string `arg:"" help:"Slug or identifier."`
}

// Help implements kong.HelpProvider.
func (certificateDeactivate) Help() string {
	return examples("signpath admin --data DIR certificate deactivate release")
}

// Run switches off.
func (c *certificateDeactivate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	return certificateSetActive(ctx, t, f, c.Certificate, false)
}

func certificateSetActive(ctx context.Context, t *terminal, f *adminFlags, ref string, active bool) error {
	var out admin.Certificate
	request := admin.CertificateActivity{CertificateReference: admin.CertificateReference{OrganizationReference: f.organization(), Certificate: ref}, Active: active}
	if err := f.do(ctx, t, "certificate.set-active", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("certificate %q is %s", out.Slug, state(out.Active))
	return nil
}
