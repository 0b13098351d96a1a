package admin

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/wire"
)

// CreateCertificateRequest makes a key with a certification request (PKCS #10)
// for an authority. The certificate that the authority issues is added with
// UploadCertificate; until then nothing can be signed with the key.
func (s *Service) CreateCertificateRequest(ctx context.Context, call Call, request NewCertificate) (ExportedCertificate, error) {
	spec := request.spec()
	return s.createRequest(ctx, call, request.Organization, creation{
		certificate: model.Certificate{Slug: request.Slug, Name: request.Name},
		keyEvent:    spec.event(),
		check: func(_ *view, _ *model.Organization, in *input) {
			in.keyOrigin(spec.KeyOrigin, s.KeyStores)
			in.x509(spec)
			if request.NotAfter != nil {
				in.fail("notAfter", "The authority decides when the certificate ends.")
			}
		},
		make: func() (Issued, error) { return s.Issuer.Request(ctx, spec) },
	})
}

func (s *Service) createRequest(ctx context.Context, call Call, organization string, c creation) (ExportedCertificate, error) {
	c.certificate.Type, c.certificate.Creation = wire.CertificateX509, model.CreatedFromCSR
	var csr []byte
	c.issued = func(_ *view, _ *model.Organization, _ *input, made *Issued) []string {
		csr = made.CSR
		return nil
	}
	out, err := s.createCertificate(ctx, call, organization, c)
	return ExportedCertificate{Certificate: out, CSR: csr}, err
}

// makeError turns what an issuer says into errors of fields where a field is to blame.
func makeError(slug string, err error) error {
	switch {
	case errors.Is(err, pki.ErrPFXPassword):
		return wire.Field("password", sentence(pki.ErrPFXPassword.Error())+".")
	case errors.Is(err, pki.ErrPFXContent):
		return wire.Field("pfx", sentence(err.Error())+".")
	}
	return fmt.Errorf("making the key and certificate %q: %w", slug, err)
}

// sentence begins with a capital letter.
func sentence(text string) string {
	r, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[n:]
}

// PFXFile is the input of certificate.import-pfx.
type PFXFile struct {
	OrganizationReference
	Slug     string    `json:"slug"`
	Name     string    `json:"name,omitempty"` // default: the slug
	PFX      []byte    `json:"pfx"`            // PKCS #12, DER
	Password ShownOnce `json:"password"`
}

// ImportPFX takes in an RSA key with its certificate from a PKCS #12 file.
func (s *Service) ImportPFX(ctx context.Context, call Call, request PFXFile) (Certificate, error) {
	return s.createCertificate(ctx, call, request.Organization, creation{
		certificate: model.Certificate{Type: wire.CertificateX509, Creation: model.PFXImport, Slug: request.Slug, Name: request.Name},
		keyEvent:    keyImported,
		check: func(_ *view, _ *model.Organization, in *input) {
			if len(request.PFX) == 0 {
				in.fail("pfx", "The PKCS #12 file is missing.")
			}
		},
		make: func() (Issued, error) { return s.Issuer.ImportPFX(ctx, request.PFX, request.Password.Secret) },
		issued: func(v *view, org *model.Organization, in *input, made *Issued) []string {
			// A second copy of a key would outlive the deletion of the first one.
			if other := v.certificateOfPublicKey(org.ID, made.Key.Public); other != nil {
				in.fail("pfx", "The key is here already, with certificate %q. To add a certificate to it, renew that one with the same key.", other.Slug)
				return nil
			}
			certs := make([]*x509.Certificate, 0, 1+len(made.Chain))
			for _, der := range append([][]byte{made.Leaf}, made.Chain...) {
				c, err := x509.ParseCertificate(der)
				if err != nil {
					in.fail("pfx", "A certificate in the file cannot be read: %v.", err)
					return nil
				}
				certs = append(certs, c)
			}
			chain, warnings := v.acceptCertificate(in, "pfx", org, certs[0], certs[1:], s.now())
			made.Chain = rawCertificates(chain)
			made.NotBefore, made.NotAfter = certs[0].NotBefore.UTC(), certs[0].NotAfter.UTC()
			return warnings
		},
	})
}

func (v *view) certificateOfPublicKey(orgID string, spki []byte) *model.Certificate {
	return match(v.cfg.Certificates, func(c *model.Certificate) bool {
		k := v.keyByID(c.KeyID)
		return c.OrganizationID == orgID && k != nil && !k.Deleted && bytes.Equal(k.Public, spki)
	})
}

// acceptCertificate refuses a certificate that could never sign, completes its
// chain from what the organization knows, and tells what may surprise.
func (v *view) acceptCertificate(in *input, field string, org *model.Organization, leaf *x509.Certificate, chain []*x509.Certificate, now time.Time) (completed []*x509.Certificate, warnings []string) {
	if now.After(leaf.NotAfter) {
		in.fail(field, "The certificate %q expired on %s; nothing could be signed with it.", leaf.Subject, leaf.NotAfter.UTC().Format(time.RFC3339))
		return nil, nil
	}
	completed, whole := pki.Complete(leaf, chain, v.knownIssuers(org.ID))
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	if now.Before(leaf.NotBefore) {
		warn("The certificate is not valid before %s; until then nothing can be signed with it.", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	if leaf.IsCA {
		warn("The certificate is that of an authority; verifiers of signed files may refuse it.")
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		warn("The certificate is not for signatures: its key usage lacks digitalSignature.")
	}
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		warn("The certificate is not for code signing: its extended key usage lacks codeSigning.")
	}
	for _, issuer := range completed {
		if now.After(issuer.NotAfter) {
			warn("The issuer %q expired on %s.", issuer.Subject, issuer.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	if !whole {
		top := leaf
		if len(completed) > 0 {
			top = completed[len(completed)-1]
		}
		warn("The chain is not complete: the certificate of the issuer %q is missing. Upload the certificate again together with its issuers; tools that embed the chain need them.", top.Issuer)
	}
	return completed, warnings
}

// knownIssuers are the certificates in the chains of an organization.
func (v *view) knownIssuers(orgID string) []*x509.Certificate {
	var known []*x509.Certificate
	for i := range v.cfg.Certificates {
		if c := &v.cfg.Certificates[i]; c.OrganizationID == orgID {
			for _, der := range c.Chain {
				if parsed, err := x509.ParseCertificate(der); err == nil && !slices.ContainsFunc(known, parsed.Equal) {
					known = append(known, parsed)
				}
			}
		}
	}
	return known
}

func rawCertificates(certs []*x509.Certificate) [][]byte {
	var ders [][]byte
	for _, c := range certs {
		ders = append(ders, c.Raw)
	}
	return ders
}

// CertificateFile is the input of certificate.upload.
type CertificateFile struct {
	CertificateReference
	// File holds the certificate, with or without its issuers: PEM, DER or PKCS #7 (.p7b).
	File []byte `json:"file"`
}

// UploadCertificate adds the certificate that an authority issued for a key of
// the service. A further upload replaces it, e.g. with a longer chain.
func (s *Service) UploadCertificate(ctx context.Context, call Call, request CertificateFile) (Certificate, error) {
	var out Certificate
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		c := t.certificate(in, "certificate", org, request.Certificate)
		if err := in.err(); err != nil {
			return err
		}
		leaf, chain := t.uploaded(in, c, request.File)
		if err := in.err(); err != nil {
			return err
		}
		chain, warnings := t.acceptCertificate(in, "file", org, leaf, chain, t.now)
		if err := in.err(); err != nil {
			return err
		}
		changed := *c
		changed.Leaf, changed.Chain = leaf.Raw, rawCertificates(chain)
		changed.NotBefore, changed.NotAfter = leaf.NotBefore.UTC(), leaf.NotAfter.UTC()
		before, after := t.showCertificate(c, nil), t.showCertificate(&changed, nil)
		out = after
		out.State, out.Warnings = stateOf(&changed, t.keyByID(c.KeyID), t.now), warnings
		if bytes.Equal(c.Leaf, changed.Leaf) && slices.EqualFunc(c.Chain, changed.Chain, bytes.Equal) {
			return nil
		}
		if err := t.PutCertificate(changed); err != nil {
			return err
		}
		event := "Certificate.Uploaded"
		if len(c.Leaf) > 0 {
			event = "Certificate.Replaced"
		}
		return t.record(event, org.ID, changeData{before, after})
	})
	return out, err
}

// uploaded finds leaf and chain in a file.
func (v *view) uploaded(in *input, c *model.Certificate, file []byte) (leaf *x509.Certificate, chain []*x509.Certificate) {
	key := v.keyByID(c.KeyID)
	switch {
	case c.Type != wire.CertificateX509:
		in.fail("certificate", "%q is an OpenPGP key, which has no certificate.", c.Slug)
		return nil, nil
	case c.Creation == model.SelfSigned:
		in.fail("certificate", "Certificate %q is self-signed. For one of an authority, renew it with a certification request and the same key.", c.Slug)
		return nil, nil
	case key == nil || key.Deleted:
		in.fail("certificate", "The private key of certificate %q is deleted.", c.Slug)
		return nil, nil
	}
	public, err := x509.ParsePKIXPublicKey(key.Public)
	if err != nil {
		in.fail("certificate", "The public key of certificate %q cannot be read.", c.Slug)
		return nil, nil
	}
	certs, err := pki.ParseCertificates(file)
	if err == nil {
		leaf, chain, err = pki.Order(certs, public)
	}
	switch {
	case errors.Is(err, pki.ErrOtherKey):
		in.fail("file", "None of the certificates belongs to the key of %q: the authority must issue it for this certification request.", c.Slug)
	case err != nil:
		in.fail("file", "%s.", sentence(err.Error()))
	}
	return leaf, chain
}
