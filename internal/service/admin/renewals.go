package admin

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/wire"
)

// The methods of a renewal.
const (
	MethodSelfSigned = "self-signed" // the service makes the certificate
	MethodCSR        = "csr"         // an authority makes it
)

// RenewedCertificate is the input of certificate.renew.
type RenewedCertificate struct {
	CertificateReference            // the certificate that the new one is to follow
	Slug                 string     `json:"slug"`               // of the new one
	Name                 string     `json:"name,omitempty"`     // default: the slug
	SameKey              bool       `json:"sameKey,omitempty"`  // certify the old key again in place of a new one
	KeyType              string     `json:"keyType,omitempty"`  // of a new key, as in KeyTypes; default: as the old one
	Method               string     `json:"method,omitempty"`   // self-signed or csr; default: as the old one came about
	NotAfter             *time.Time `json:"notAfter,omitempty"` // self-signed only; default: three years from now
}

// RenewCertificate makes a certificate that says the same as another one, with
// a new key or the same. The old one stays as it is, and every signing policy
// stays with it until the policy itself is switched.
func (s *Service) RenewCertificate(ctx context.Context, call Call, request RenewedCertificate) (ExportedCertificate, error) {
	v, err := s.read(ctx)
	if err != nil {
		return ExportedCertificate{}, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	old := v.certificate(in, "certificate", org, request.Certificate)
	if err := in.err(); err != nil {
		return ExportedCertificate{}, err
	}
	now := s.now()
	spec, lost := v.renewal(in, old, request)
	method := request.Method
	if method == "" {
		method = MethodCSR
		if old.Creation == model.SelfSigned {
			method = MethodSelfSigned
		}
	}
	in.choice("method", "method", method, []string{MethodSelfSigned, MethodCSR})
	switch {
	case method == MethodCSR && request.NotAfter != nil:
		in.fail("notAfter", "The authority decides when the certificate ends.")
	case method == MethodSelfSigned:
		spec.NotAfter = now.Add(defaultValidity)
		if request.NotAfter != nil {
			spec.NotAfter = request.NotAfter.UTC()
		}
		in.validity(spec.NotAfter, now)
	}
	if err := in.err(); err != nil {
		return ExportedCertificate{}, err
	}
	c := creation{
		certificate: model.Certificate{Slug: request.Slug, Name: request.Name},
		keyEvent:    keyGenerated,
		renews:      old.ID,
		check: func(v *view, _ *model.Organization, in *input) {
			in.keyOrigin(spec.KeyOrigin, s.KeyStores)
			in.x509(spec)
			if k := v.keyByID(old.KeyID); request.SameKey && (k == nil || k.Deleted) {
				in.fail("certificate", "The private key of certificate %q is deleted; renew it with a new key.", old.Slug)
			}
		},
		make: func() (Issued, error) { return s.Issuer.Request(ctx, spec) },
	}
	if request.SameKey {
		c.certificate.KeyID = old.KeyID
	}
	var out ExportedCertificate
	if method == MethodCSR {
		out, err = s.createRequest(ctx, call, request.Organization, c)
	} else {
		c.certificate.Type, c.certificate.Creation = wire.CertificateX509, model.SelfSigned
		c.make = func() (Issued, error) { return s.Issuer.Issue(ctx, spec) }
		out.Certificate, err = s.createCertificate(ctx, call, request.Organization, c)
	}
	if lost && err == nil {
		out.Warnings = append(out.Warnings, fmt.Sprintf("The subject of the old certificate says more than the new one: it was %s.", v.showCertificate(old, nil).Subject))
	}
	return out, err
}

// renewal is what the old certificate says, as a request for the new one. lost
// tells that its subject holds more than a request can ask for.
func (v *view) renewal(in *input, old *model.Certificate, request RenewedCertificate) (spec X509Request, lost bool) {
	key := v.keyByID(old.KeyID)
	if old.Type != wire.CertificateX509 {
		in.fail("certificate", "%q is an OpenPGP key; renewing it means another end of its validity, not a second key.", old.Slug)
		return spec, false
	}
	var subject pkix.Name
	profile := ProfileCodeSigning
	if leaf, err := x509.ParseCertificate(old.Leaf); err == nil {
		subject, profile = leaf.Subject, profileOf(leaf.ExtKeyUsage)
		spec.AlternativeNames = pki.AlternativeNames(leaf.DNSNames, leaf.IPAddresses, leaf.EmailAddresses, leaf.URIs)
	} else if csr, err := x509.ParseCertificateRequest(old.CSR); err == nil {
		subject = csr.Subject
		spec.AlternativeNames = pki.AlternativeNames(csr.DNSNames, csr.IPAddresses, csr.EmailAddresses, csr.URIs)
	}
	spec.CommonName, spec.Profile = subject.CommonName, profile
	spec.Organization, spec.OrganizationalUnit = first(subject.Organization), first(subject.OrganizationalUnit)
	spec.Locality, spec.State, spec.Country = first(subject.Locality), first(subject.Province), first(subject.Country)
	if profile == ProfileMail {
		// The address stands among the alternative names, where its own field would put it too.
		if i := slices.IndexFunc(spec.AlternativeNames, isMailName); i >= 0 {
			spec.Email = spec.AlternativeNames[i][len("email:"):]
			spec.AlternativeNames = slices.Delete(spec.AlternativeNames, i, i+1)
		}
	}
	if key != nil && !request.SameKey && key.Backend != softStore {
		spec.KeyStore = key.Backend // a key on a token is followed by one on the same
	}
	spec.KeyType = request.KeyType
	switch {
	case request.SameKey && request.KeyType != "":
		in.fail("keyType", "The same key keeps its type.")
	case key != nil && (request.SameKey || request.KeyType == ""):
		spec.KeyType = keyTypeName(key)
	}
	if request.SameKey {
		spec.Key = key
	}
	return spec, len(subject.Names) > len(spec.subjectParts())
}

func isMailName(name string) bool {
	return len(name) > len("email:") && name[:len("email:")] == "email:"
}

// subjectParts are the attributes of the subject that are there.
func (r X509Request) subjectParts() []string {
	return slices.DeleteFunc([]string{r.CommonName, r.Organization, r.OrganizationalUnit, r.Locality, r.State, r.Country}, func(s string) bool { return s == "" })
}

// profileOf is the profile of a certificate's extended key usages.
func profileOf(usages []x509.ExtKeyUsage) string {
	switch {
	case slices.Contains(usages, x509.ExtKeyUsageCodeSigning):
		return ProfileCodeSigning
	case slices.Contains(usages, x509.ExtKeyUsageServerAuth):
		return ProfileTLS
	case slices.Contains(usages, x509.ExtKeyUsageEmailProtection):
		return ProfileMail
	}
	return ProfileCodeSigning
}

// keyTypeName is the name of a key's type and size as in KeyTypes.
func keyTypeName(k *model.Key) string {
	if k.Type == wire.KeyRSA {
		return fmt.Sprintf("rsa%d", k.Bits)
	}
	return fmt.Sprintf("p%d", k.Bits)
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// RenewedOpenPGPKey is the input of certificate.renew-gpg.
type RenewedOpenPGPKey struct {
	CertificateReference
	NotAfter *time.Time `json:"notAfter,omitempty"` // absent: the key never ends
}

// RenewOpenPGPKey gives an OpenPGP key another end of its validity by a new
// self-signature. Key and fingerprint stay the same; whoever has the public key
// needs the new one.
func (s *Service) RenewOpenPGPKey(ctx context.Context, call Call, request RenewedOpenPGPKey) (Certificate, error) {
	var notAfter time.Time
	if request.NotAfter != nil {
		notAfter = request.NotAfter.UTC().Truncate(time.Second)
	}
	check := func(v *view) (*model.Organization, *model.Certificate, *model.Key, error) {
		in := newInput()
		org := v.organization(in, request.Organization)
		c := v.certificate(in, "certificate", org, request.Certificate)
		var key *model.Key
		if c != nil {
			key = v.keyByID(c.KeyID)
			switch {
			case c.Type != wire.CertificateGPG:
				in.fail("certificate", "%q is an X.509 certificate; renew it by a new one beside it.", c.Slug)
			case key == nil || key.Deleted:
				in.fail("certificate", "The private key of %q is deleted.", c.Slug)
			}
		}
		if request.NotAfter != nil {
			in.openPGPExpiry(notAfter, s.now())
		}
		return org, c, key, in.err()
	}
	v, err := s.read(ctx)
	if err != nil {
		return Certificate{}, err
	}
	_, before, key, err := check(v)
	if err != nil {
		return Certificate{}, err
	}
	issued, err := s.Issuer.RenewOpenPGP(ctx, *key, before.OpenPGP, notAfter)
	if err != nil {
		return Certificate{}, fmt.Errorf("renewing the OpenPGP key %q: %w", before.Slug, err)
	}
	var out Certificate
	err = s.change(ctx, call, func(t *transaction) error {
		org, c, key, err := check(t.view)
		if err != nil {
			return err
		}
		if !slices.Equal(c.OpenPGP, before.OpenPGP) {
			return fmt.Errorf("%w: somebody else renewed %q at the same time", ErrConflict, c.Slug)
		}
		changed := *c
		changed.OpenPGP, changed.NotAfter = issued.OpenPGP, issued.NotAfter
		after := t.showCertificate(&changed, key)
		out = after
		out.State = stateOf(&changed, key, t.now)
		if err := t.PutCertificate(changed); err != nil {
			return err
		}
		return t.record("Certificate.Renewed", org.ID, changeData{t.showCertificate(c, key), after})
	})
	return out, err
}
