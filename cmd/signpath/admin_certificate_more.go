package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"signpath/internal/service/admin"
	"signpath/internal/service/pki"
)

// maxCertificateFile bounds what is read of a certificate or PKCS #12 file.
const maxCertificateFile = 512 << 10

// subjectFlags are the flags of everything that gets a subject.
type subjectFlags struct {
	CommonName          string   `required:"" help:"Common name of the subject." placeholder:"NAME"`
	SubjectOrganization string   `help:"Organization of the subject." placeholder:"NAME"`
	OrganizationalUnit  string   `help:"Organizational unit of the subject." placeholder:"NAME"`
	Locality            string   `help:"Locality of the subject, e.g. a city." placeholder:"NAME"`
	State               string   `help:"State or province of the subject." placeholder:"NAME"`
	Country             string   `help:"Country of the subject: two capital letters." placeholder:"CODE"`
	AlternativeNames    []string `name:"alternative-name" help:"Subject alternative name: DNS:…, IP:…, email:… or URI:…; may be repeated." placeholder:"NAME"`
	Profile             string   `help:"What it is for: code-signing, tls or mail." default:"code-signing" placeholder:"PROFILE"`
	Email               string   `help:"E-mail address, for the profile mail." placeholder:"ADDRESS"`
	originFlags         `embed:""`
}

// originFlags say where a new key comes from.
type originFlags struct {
	KeyStore string `help:"Where the key is made and stays: soft, or hsm:NAME for a token of --hsm-config. Default: soft." placeholder:"STORE"`
	AdoptKey string `help:"Take the key that is on the token already, by its label or as id:HEX (CKA_ID), in place of making one; --key-type does not matter then." placeholder:"LABEL"`
}

func (o originFlags) origin() admin.KeyOrigin {
	return admin.KeyOrigin{KeyStore: o.KeyStore, AdoptKey: o.AdoptKey}
}

func (s subjectFlags) fill(r *admin.NewCertificate) {
	r.CommonName, r.SubjectOrganization, r.Profile, r.Email = s.CommonName, s.SubjectOrganization, s.Profile, s.Email
	r.KeyOrigin = s.origin()
	r.SubjectDetails = admin.SubjectDetails{OrganizationalUnit: s.OrganizationalUnit, Locality: s.Locality, State: s.State, Country: s.Country, AlternativeNames: s.AlternativeNames}
}

type certificateCreateCSR struct {
	Slug         string `arg:"" help:"Short name: letters, digits, dot, underscore, hyphen."`
	Name         string `help:"Name for people. Default: the slug." placeholder:"NAME"`
	KeyType      string `help:"rsa2048, rsa3072, rsa4096, p256, p384, p521 or ed25519." default:"rsa4096" placeholder:"TYPE"`
	subjectFlags `embed:""`
	Out          string `help:"File to write the request to in place of stdout." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (certificateCreateCSR) Help() string {
	return "The key stays in the service. Send the request to the authority, and add the certificate that it issues with certificate upload.\n\n" + examples(
		"signpath admin --data DIR certificate create-csr release --common-name 'Example Inc.' --subject-organization 'Example Inc.' --country AT --out release.csr",
		"signpath admin --data DIR certificate upload release release.p7b",
	)
}

// Run prints the certification request.
func (c *certificateCreateCSR) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	request := admin.NewCertificate{OrganizationReference: f.organization(), Slug: c.Slug, Name: c.Name, KeyType: c.KeyType}
	c.fill(&request)
	out, err := slow(t, "making the "+c.KeyType+" key", func() (admin.ExportedCertificate, error) {
		var out admin.ExportedCertificate
		err := f.do(ctx, t, "certificate.create-csr", request, &out)
		return out, err
	})
	if err != nil {
		return err
	}
	return showRequest(t, f, out, c.Out)
}

// showRequest writes a new certification request and says what comes next.
func showRequest(t *terminal, f *adminFlags, out admin.ExportedCertificate, file string) error {
	for _, w := range out.Warnings {
		t.warning(w)
	}
	if f.JSON {
		return t.json(out)
	}
	if err := writeBytes(t, file, pki.EncodeRequestPEM(out.CSR)); err != nil {
		return err
	}
	t.progress("certificate %q waits for its authority; next: signpath admin certificate upload %s FILE", out.Slug, out.Slug)
	return nil
}

func writeBytes(t *terminal, file string, data []byte) error {
	return t.output(file, func(w io.Writer) error { _, err := w.Write(data); return err })
}

type certificateCSR struct {
	Certificate string `arg:"" help:"Slug or identifier."`
	Out         string `help:"File to write in place of stdout." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (certificateCSR) Help() string {
	return examples("signpath admin --data DIR certificate csr release --out release.csr")
}

// Run writes the certification request once more.
func (c *certificateCSR) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.ExportedCertificate
	request := admin.CertificateReference{OrganizationReference: f.organization(), Certificate: c.Certificate}
	if err := f.do(ctx, t, "certificate.export", request, &out); err != nil {
		return err
	}
	if out.CSR == nil {
		return badInput(fmt.Errorf("certificate %q was not made from a certification request", out.Slug), "make one for the same key: signpath admin certificate renew "+out.Slug+" NEW --csr --same-key")
	}
	if f.JSON {
		return t.json(out)
	}
	return writeBytes(t, c.Out, pki.EncodeRequestPEM(out.CSR))
}

type certificateUpload struct {
	Certificate string `arg:"" help:"Slug or identifier."`
	File        string `arg:"" help:"Certificate with or without its issuers: PEM, DER or PKCS #7 (.p7b); - for stdin." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (certificateUpload) Help() string {
	return "The certificate must belong to the key. Issuers that are missing are taken from other certificates of the organization; nothing is fetched from elsewhere. A further upload replaces the certificate, e.g. to complete its chain.\n\n" + examples(
		"signpath admin --data DIR certificate upload release release.p7b",
		"cat release.pem intermediate.pem | signpath admin --data DIR certificate upload release -",
	)
}

// Run uploads.
func (c *certificateUpload) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	file, err := t.input(c.File)
	if err != nil {
		return err
	}
	var out admin.Certificate
	request := admin.CertificateFile{CertificateReference: admin.CertificateReference{OrganizationReference: f.organization(), Certificate: c.Certificate}, File: file}
	if err := f.do(ctx, t, "certificate.upload", request, &out); err != nil {
		return err
	}
	return showChanged(t, f, out, "certificate %q of %s, valid until %s, %d issuers", out.Slug, out.Subject, dayOrNever(out.NotAfter), out.ChainLength)
}

// showChanged tells what became of a certificate.
func showChanged(t *terminal, f *adminFlags, out admin.Certificate, format string, args ...any) error {
	for _, w := range out.Warnings {
		t.warning(w)
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress(format, args...)
	return nil
}

// input reads a file, or stdin for "-".
func (t *terminal) input(file string) ([]byte, error) {
	from := t.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, badInput(err, "")
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, maxCertificateFile+1))
	if err != nil {
		return nil, badInput(fmt.Errorf("reading %s: %w", file, err), "")
	}
	if len(data) > maxCertificateFile {
		return nil, badInput(fmt.Errorf("%s is larger than %d KiB", file, maxCertificateFile>>10), "is it the right file?")
	}
	return data, nil
}

type certificateImportPFX struct {
	Slug         string `arg:"" help:"Short name: letters, digits, dot, underscore, hyphen."`
	File         string `arg:"" help:"PKCS #12 file (.pfx, .p12)." placeholder:"FILE"`
	Name         string `help:"Name for people. Default: the slug." placeholder:"NAME"`
	PasswordFile string `help:"File with the password in one line; - for stdin. Default: ask for it." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (certificateImportPFX) Help() string {
	return "RSA keys only. The file stays where it is: delete it, and its copies, when the import is done.\n\n" + examples(
		"signpath admin --data DIR certificate import-pfx release release.pfx",
		"signpath admin --data DIR certificate import-pfx release release.pfx --password-file /run/secrets/pfx",
	)
}

// Run imports and prints the certificate's identifier.
func (c *certificateImportPFX) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	pfx, err := t.input(c.File)
	if err != nil {
		return err
	}
	password, err := t.password(c.PasswordFile, "Password of "+c.File+": ")
	if err != nil {
		return err
	}
	var out admin.Certificate
	request := admin.PFXFile{OrganizationReference: f.organization(), Slug: c.Slug, Name: c.Name, PFX: pfx, Password: admin.ShownOnce{Secret: password}}
	if err := f.do(ctx, t, "certificate.import-pfx", request, &out); err != nil {
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

type certificateRenew struct {
	Certificate string `arg:"" help:"Slug or identifier of the present certificate or OpenPGP key."`
	New         string `arg:"" optional:"" help:"Slug of the new certificate; none for an OpenPGP key, which stays the same key." placeholder:"NEW"`
	Name        string `help:"Name for people of the new certificate. Default: its slug." placeholder:"NAME"`
	SameKey     bool   `help:"Certify the same key again. Default: a new key."`
	KeyType     string `help:"Type of a new key. Default: as the old one." placeholder:"TYPE"`
	CSR         bool   `name:"csr" help:"Make a certification request, also where the present certificate is self-signed." xor:"method"`
	SelfSigned  bool   `help:"Make a self-signed certificate, also where the present one is an authority's." xor:"method"`
	Expires     moment `help:"End of the validity. Default: 3y." placeholder:"WHEN" xor:"end"`
	NoExpiry    bool   `help:"OpenPGP: the key never ends." xor:"end"`
	Out         string `help:"File to write a certification request to in place of stdout." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (certificateRenew) Help() string {
	return "The new certificate says the same as the present one. The present one stays, and so do the signing policies with it, until each is switched. An OpenPGP key gets another end of its validity, with the same fingerprint.\n\n" + examples(
		"signpath admin --data DIR certificate renew release release-2028",
		"signpath admin --data DIR certificate renew release release-2028 --csr --same-key --out release-2028.csr",
		"signpath admin --data DIR policy edit app/release --certificate release-2028",
		"signpath admin --data DIR certificate renew packages --expires 2y",
	)
}

// Run prints the new certificate's identifier or its certification request.
func (c *certificateRenew) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	ref := admin.CertificateReference{OrganizationReference: f.organization(), Certificate: c.Certificate}
	if c.New == "" {
		return c.openPGP(ctx, t, f, ref)
	}
	if c.NoExpiry {
		return usage(errors.New("--no-expiry is for OpenPGP keys, which are renewed without a new slug"), "")
	}
	request := admin.RenewedCertificate{CertificateReference: ref, Slug: c.New, Name: c.Name, SameKey: c.SameKey, KeyType: c.KeyType, NotAfter: c.Expires.future()}
	switch {
	case c.CSR:
		request.Method = admin.MethodCSR
	case c.SelfSigned:
		request.Method = admin.MethodSelfSigned
	}
	out, err := slow(t, "renewing "+c.Certificate, func() (admin.ExportedCertificate, error) {
		var out admin.ExportedCertificate
		err := f.do(ctx, t, "certificate.renew", request, &out)
		return out, err
	})
	if err != nil {
		return err
	}
	if out.CSR != nil {
		return showRequest(t, f, out, c.Out)
	}
	for _, w := range out.Warnings {
		t.warning(w)
	}
	if f.JSON {
		return t.json(out.Certificate)
	}
	return t.print(out.ID)
}

func (c *certificateRenew) openPGP(ctx context.Context, t *terminal, f *adminFlags, ref admin.CertificateReference) error {
	if c.SameKey || c.KeyType != "" || c.CSR || c.SelfSigned || c.Name != "" || c.Out != "" {
		return usage(errors.New("the slug of the new certificate is missing"), "an OpenPGP key needs none, and takes --expires and --no-expiry only")
	}
	if c.Expires.future() == nil && !c.NoExpiry {
		return usage(errors.New("the slug of the new certificate is missing; for an OpenPGP key, the new end"), "give --expires WHEN or --no-expiry")
	}
	var out admin.Certificate
	if err := f.do(ctx, t, "certificate.renew-gpg", admin.RenewedOpenPGPKey{CertificateReference: ref, NotAfter: c.Expires.future()}, &out); err != nil {
		return err
	}
	return showChanged(t, f, out, "OpenPGP key %s (%s) is valid until %s; give its public key out again", out.Fingerprint, out.Slug, dayOrNever(out.NotAfter))
}

type certificateDeleteKey struct {
	Certificate string `arg:"" help:"Slug or identifier."`
	Yes         bool   `help:"Do not ask: the certificate given is the one that is meant."`
}

// Help implements kong.HelpProvider.
func (certificateDeleteKey) Help() string {
	return "Deletes the private key for good: nothing can bring it back. Every certificate of the key stops signing; the certificates stay, so that what was signed can be verified. Without --yes the command shows what uses the key and asks for the slug.\n\n" + examples(
		"signpath admin --data DIR certificate delete-key release-2025",
		"signpath admin --data DIR certificate delete-key release-2025 --yes",
	)
}

// Run deletes after a confirmation.
func (c *certificateDeleteKey) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	ref := admin.CertificateReference{OrganizationReference: f.organization(), Certificate: c.Certificate}
	var use admin.KeyUse
	if err := f.do(ctx, t, "certificate.key-use", ref, &use); err != nil {
		return err
	}
	if !use.Deleted {
		t.progress("key %s (%s %d) belongs to certificate %s", use.Key.ID, use.Key.Type, use.Key.Bits, listed(use.Certificates))
		t.progress("active policies that sign with it: %s", listed(use.Policies))
	}
	confirm := use.Certificate
	if !c.Yes && !use.Deleted {
		var err error
		if confirm, err = t.ask(fmt.Sprintf("Deleting the key cannot be taken back. Type the slug %q to delete it: ", use.Certificate)); err != nil {
			return err
		}
		if confirm != use.Certificate {
			return &failure{exitRefused, errors.New("that is not the slug; the key was not deleted"), ""}
		}
	}
	var out admin.DeletedKey
	if err := f.do(ctx, t, "certificate.delete-key", admin.KeyDeletion{CertificateReference: ref, Confirm: confirm}, &out); err != nil {
		return err
	}
	for _, w := range out.Warnings {
		t.warning(w)
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("the key of certificate %q is deleted", out.Certificate)
	return nil
}

// ask reads one line of an answer.
func (t *terminal) ask(question string) (string, error) {
	fmt.Fprint(t.err, question)
	line, err := readLine(t.in)
	if err != nil && line == "" {
		fmt.Fprintln(t.err)
		return "", usage(errors.New("nobody answered; the key was not deleted"), "confirm with --yes where nobody can type")
	}
	return strings.TrimSpace(line), nil
}

// readLine reads byte by byte, so that nothing behind the line is taken away.
func readLine(r io.Reader) (string, error) {
	const longest = 4096
	var line []byte
	for b := make([]byte, 1); len(line) < longest; {
		n, err := r.Read(b)
		if n == 1 {
			if b[0] == '\n' {
				return strings.TrimSuffix(string(line), "\r"), nil
			}
			line = append(line, b[0])
		}
		if err != nil {
			return string(line), err
		}
	}
	return "", errors.New("the line is too long")
}
