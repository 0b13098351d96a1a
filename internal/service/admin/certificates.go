package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/wire"
)

// KeyTypes are the key types by the names that operators type.
func KeyTypes() []string {
	return []string{"rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521", "ed25519"}
}

// openPGPKeyTypes are those of them that OpenPGP keys have.
func openPGPKeyTypes() []string { return []string{"rsa2048", "rsa3072", "rsa4096"} }

// Profiles are what a certificate is for: its extended key usage.
func Profiles() []string { return []string{ProfileCodeSigning, ProfileTLS, ProfileMail} }

// The profiles of certificates.
const (
	ProfileCodeSigning = "code-signing" // EKU codeSigning
	ProfileTLS         = "tls"          // EKU serverAuth and clientAuth
	ProfileMail        = "mail"         // EKU emailProtection
)

// Bounds of a certificate's life.
const (
	defaultValidity = 3 * 365 * 24 * time.Hour
	maxValidity     = 30 * 366 * 24 * time.Hour
	// maxAttribute is ub-common-name, ub-organization-name and ub-organizational-unit-name
	// of RFC 5280 appendix A.1, in characters; maxPlace ub-locality-name and ub-state-name.
	maxAttribute = 64
	maxPlace     = 128
	// maxAlternativeNames keeps certificates at a size that every tool reads.
	maxAlternativeNames = 20
)

var countryPattern = regexp.MustCompile(`^[A-Z]{2}$`)

// Certificate is a certificate, or an OpenPGP key, as an operator sees it.
type Certificate struct {
	ID             string               `json:"id"`
	OrganizationID string               `json:"organizationId"`
	Slug           string               `json:"slug"`
	Name           string               `json:"name"`
	Type           wire.CertificateType `json:"type"`
	Creation       model.CreationMethod `json:"creationMethod"`
	KeyID          string               `json:"keyId"`
	KeyType        wire.KeyType         `json:"keyType"`
	KeySizeInBits  int                  `json:"keySizeInBits"`
	KeyVersion     int                  `json:"keyVersion"`
	KeyDeleted     bool                 `json:"keyDeleted,omitempty"`
	KeyStore       string               `json:"keyStore,omitempty"` // where the key lies: soft, or hsm:NAME
	// RequiresApproval: every signing policy of the certificate must demand approval.
	RequiresApproval bool             `json:"requiresApproval,omitempty"`
	Subject          string           `json:"subject,omitempty"` // of the certificate, else of the request
	Issuer           string           `json:"issuer,omitempty"`
	SerialNumber     string           `json:"serialNumber,omitempty"` // hexadecimal
	Thumbprint       string           `json:"thumbprint,omitempty"`   // SHA-1 of the DER, hexadecimal
	SHA256           string           `json:"sha256,omitempty"`       // SHA-256 of the DER, hexadecimal
	Names            []string         `json:"alternativeNames,omitempty"`
	KeyUsage         []string         `json:"keyUsage,omitempty"`         // names of RFC 5280
	ExtKeyUsage      []string         `json:"extendedKeyUsage,omitempty"` // names of RFC 5280, or object identifiers
	ChainLength      int              `json:"chainLength,omitempty"`      // certificates above this one
	Fingerprint      string           `json:"fingerprint,omitempty"`      // OpenPGP: 40 hexadecimal digits
	UserID           string           `json:"userId,omitempty"`           // OpenPGP
	NotBefore        *time.Time       `json:"notBefore,omitempty"`
	NotAfter         *time.Time       `json:"notAfter,omitempty"` // absent: never expires
	Active           bool             `json:"active"`
	Created          time.Time        `json:"created"`
	State            CertificateState `json:"state,omitempty"`    // now; in lists and answers, not in the audit log
	Policies         []string         `json:"policies,omitempty"` // that use it, project/policy; likewise
	Warnings         []string         `json:"warnings,omitempty"` // what may surprise the person who made or changed it
}

func (v *view) showCertificate(c *model.Certificate, key *model.Key) Certificate {
	out := Certificate{ID: c.ID, OrganizationID: c.OrganizationID, Slug: c.Slug, Name: c.Name, Type: c.Type, Creation: c.Creation, KeyID: c.KeyID, Active: c.Active, Created: c.Created, RequiresApproval: c.RequiresApproval}
	if key == nil {
		key = v.keyByID(c.KeyID)
	}
	if key != nil {
		out.KeyType, out.KeySizeInBits, out.KeyVersion, out.KeyDeleted = key.Type, key.Bits, key.Version, key.Deleted
		out.KeyStore = key.Backend
	}
	if !c.NotBefore.IsZero() {
		t := c.NotBefore
		out.NotBefore = &t
	}
	if !c.NotAfter.IsZero() {
		t := c.NotAfter
		out.NotAfter = &t
	}
	out.describe(c)
	return out
}

// NewCertificate is the input of certificate.create and certificate.create-csr.
type NewCertificate struct {
	OrganizationReference
	SubjectDetails
	KeyOrigin
	Slug                string     `json:"slug"`
	Name                string     `json:"name,omitempty"`                // default: the slug
	KeyType             string     `json:"keyType,omitempty"`             // as in KeyTypes; default rsa4096
	CommonName          string     `json:"commonName"`                    // of the subject
	SubjectOrganization string     `json:"subjectOrganization,omitempty"` // of the subject
	Email               string     `json:"email,omitempty"`               // profile mail only, mandatory there
	Profile             string     `json:"profile,omitempty"`             // as in Profiles; default code-signing
	NotAfter            *time.Time `json:"notAfter,omitempty"`            // default: three years from now; certificate.create only
}

// defaultKeyType is what SignPath's user interface proposes.
const defaultKeyType = "rsa4096"

// CreateCertificate makes a key with its X.509 certificate. The key is made
// outside of the transaction, because that takes seconds; a name that somebody
// else took meanwhile makes the whole operation fail, and the key is forgotten.
func (s *Service) CreateCertificate(ctx context.Context, call Call, request NewCertificate) (Certificate, error) {
	now := s.now()
	spec := request.spec()
	spec.NotAfter = now.Add(defaultValidity)
	if request.NotAfter != nil {
		spec.NotAfter = request.NotAfter.UTC()
	}
	return s.createCertificate(ctx, call, request.Organization, creation{
		certificate: model.Certificate{Type: wire.CertificateX509, Creation: model.SelfSigned, Slug: request.Slug, Name: request.Name},
		keyEvent:    spec.event(),
		check: func(_ *view, _ *model.Organization, in *input) {
			in.keyOrigin(spec.KeyOrigin, s.KeyStores)
			in.x509(spec)
			in.validity(spec.NotAfter, now)
		},
		make: func() (Issued, error) { return s.Issuer.Issue(ctx, spec) },
	})
}

// spec is the certificate that is asked for, without the end of its validity.
func (r NewCertificate) spec() X509Request {
	spec := X509Request{
		KeyType: r.KeyType, Profile: r.Profile, Email: strings.TrimSpace(r.Email),
		CommonName: strings.TrimSpace(r.CommonName), Organization: strings.TrimSpace(r.SubjectOrganization), SubjectDetails: r.SubjectDetails, KeyOrigin: r.KeyOrigin,
	}
	if spec.KeyType == "" {
		spec.KeyType = defaultKeyType
	}
	if spec.Profile == "" {
		spec.Profile = ProfileCodeSigning
	}
	for _, text := range []*string{&spec.OrganizationalUnit, &spec.Locality, &spec.State, &spec.Country} {
		*text = strings.TrimSpace(*text)
	}
	return spec
}

// x509 checks what a certificate is to say.
func (in *input) x509(spec X509Request) {
	in.choice("keyType", "key type", spec.KeyType, KeyTypes())
	in.choice("profile", "profile", spec.Profile, Profiles())
	if spec.CommonName == "" {
		in.fail("commonName", "The common name of the subject is missing, e.g. \"Example Inc.\".")
	}
	in.text("commonName", spec.CommonName, maxAttribute)
	in.text("subjectOrganization", spec.Organization, maxAttribute)
	in.text("organizationalUnit", spec.OrganizationalUnit, maxAttribute)
	in.text("locality", spec.Locality, maxPlace)
	in.text("state", spec.State, maxPlace)
	if spec.Country != "" && !countryPattern.MatchString(spec.Country) {
		in.fail("country", "%q is not a country: give its code of two capital letters (ISO 3166), e.g. AT.", clip(spec.Country))
	}
	if spec.Profile == ProfileMail {
		in.email("email", spec.Email)
	} else if spec.Email != "" {
		in.fail("email", "Only the profile %s takes an e-mail address; others take it among the alternative names.", ProfileMail)
	}
	if len(spec.AlternativeNames) > maxAlternativeNames {
		in.fail("alternativeNames", "There are %d alternative names; %d are allowed.", len(spec.AlternativeNames), maxAlternativeNames)
		return
	}
	for _, name := range spec.AlternativeNames {
		in.text("alternativeNames", name, maxName)
		if err := new(pki.Template).AddAlternativeName(name); err != nil {
			in.fail("alternativeNames", "%s.", sentence(err.Error()))
		}
	}
}

func (in *input) validity(notAfter, now time.Time) {
	if !notAfter.After(now) || notAfter.Sub(now) > maxValidity {
		in.fail("notAfter", "The certificate would end at %s; it must be in the future, 30 years at most.", notAfter.Format(time.RFC3339))
	}
}

// NewOpenPGPKey is the input of certificate.create-gpg.
type NewOpenPGPKey struct {
	OrganizationReference
	KeyOrigin
	Slug     string `json:"slug"`
	Name     string `json:"name,omitempty"`    // default: the slug
	KeyType  string `json:"keyType,omitempty"` // as in KeyTypes; default rsa4096
	UserName string `json:"userName"`          // name in the key's user ID
	Email    string `json:"email"`             // address in the key's user ID
	// NotAfter is the end of its validity; absent: none.
	NotAfter *time.Time `json:"notAfter,omitempty"`
}

// CreateOpenPGPKey makes an OpenPGP key.
func (s *Service) CreateOpenPGPKey(ctx context.Context, call Call, request NewOpenPGPKey) (Certificate, error) {
	if request.KeyType == "" {
		request.KeyType = defaultKeyType
	}
	spec := OpenPGPRequest{KeyType: request.KeyType, Name: strings.TrimSpace(request.UserName), Email: strings.TrimSpace(request.Email), Created: s.now().Truncate(time.Second), KeyOrigin: request.KeyOrigin}
	if request.NotAfter != nil {
		spec.NotAfter = request.NotAfter.UTC().Truncate(time.Second)
	}
	return s.createCertificate(ctx, call, request.Organization, creation{
		certificate: model.Certificate{Type: wire.CertificateGPG, Creation: model.SelfSigned, Slug: request.Slug, Name: request.Name},
		keyEvent:    spec.event(),
		check: func(_ *view, _ *model.Organization, in *input) {
			in.keyOrigin(spec.KeyOrigin, s.KeyStores)
			in.choice("keyType", "key type", spec.KeyType, openPGPKeyTypes())
			in.name("userName", spec.Name)
			if strings.ContainsAny(spec.Name, "<>()") {
				in.fail("userName", "The name in an OpenPGP user ID must not have angle brackets or parentheses.")
			}
			in.email("email", spec.Email)
			if request.NotAfter != nil {
				in.openPGPExpiry(spec.NotAfter, spec.Created)
			}
		},
		make: func() (Issued, error) { return s.Issuer.OpenPGP(ctx, spec) },
	})
}

// maxOpenPGPTime is the last second that OpenPGP tools can handle: they count
// in 32 bits.
var maxOpenPGPTime = time.Unix(math.MaxUint32, 0).UTC()

func (in *input) openPGPExpiry(notAfter, now time.Time) {
	switch {
	case !notAfter.After(now):
		in.fail("notAfter", "The OpenPGP key would end at %s, which is past.", notAfter.Format(time.RFC3339))
	case notAfter.After(maxOpenPGPTime):
		in.fail("notAfter", "The OpenPGP key would end at %s; tools cannot handle more than %s. Leave the end away for a key that never ends.", notAfter.Format(time.RFC3339), maxOpenPGPTime.Format(time.RFC3339))
	}
}

func (in *input) choice(field, what, value string, known []string) {
	if !contains(known, value) {
		in.fail(field, "%q is not a %s; they are %s.", clip(value), what, join(known))
	}
}

// keyData is what the audit log says about a new key.
type keyData struct {
	ID      string       `json:"id"`
	Version int          `json:"version"`
	Type    wire.KeyType `json:"type"`
	Bits    int          `json:"bits"`
	Backend string       `json:"backend"`
	SPKI    string       `json:"publicKeySha256"` // SHA-256 of the SubjectPublicKeyInfo, hexadecimal
	// Attestation is the SHA-256 of what the key store says about the key, hexadecimal.
	Attestation string `json:"attestationSha256,omitempty"`
}

func showKey(k *model.Key) keyData {
	spki := sha256.Sum256(k.Public)
	return keyData{ID: k.ID, Version: k.Version, Type: k.Type, Bits: k.Bits, Backend: k.Backend, SPKI: hex.EncodeToString(spki[:])}
}

// The audit types of keys.
const (
	keyGenerated = "Key.Generated"
	keyImported  = "Key.Imported"
	keyDeleted   = "Key.Deleted"
)

// creation is a certificate that is to be made.
type creation struct {
	certificate model.Certificate // Type, Creation, Slug, Name; KeyID when it gets a key that is there already
	keyEvent    string            // what the audit log calls a new key
	renews      string            // ID of the certificate that it is to follow
	// check looks at the input; it runs before anything is made, and again in the
	// transaction.
	check func(*view, *model.Organization, *input)
	make  func() (Issued, error)
	// issued looks at what was made, in the transaction; may be nil. It may add to
	// the chain, and gives warnings.
	issued func(*view, *model.Organization, *input, *Issued) []string
}

// createdData is the data of Certificate.Created.
type createdData struct {
	changeData
	Renews string `json:"renews,omitempty"` // ID of the certificate before
}

// createCertificate checks, makes the key, checks again and writes.
func (s *Service) createCertificate(ctx context.Context, call Call, organization string, c creation) (Certificate, error) {
	validate := func(v *view) (*model.Organization, *input) {
		in := newInput()
		org := v.organization(in, organization)
		slug := in.slug("slug", c.certificate.Slug)
		if strings.TrimSpace(c.certificate.Name) != "" {
			in.name("name", c.certificate.Name)
		}
		c.check(v, org, in)
		if org != nil && v.certificateBySlug(org.ID, slug) != nil {
			in.fail("slug", "Organization %q has a certificate %q already.", org.Name, slug)
		}
		return org, in
	}
	v, err := s.read(ctx)
	if err != nil {
		return Certificate{}, err
	}
	if _, in := validate(v); in.err() != nil {
		return Certificate{}, in.err()
	}
	issued, err := c.make()
	if err != nil {
		return Certificate{}, makeError(c.certificate.Slug, err)
	}
	var out Certificate
	err = s.change(ctx, call, func(t *transaction) error {
		org, in := validate(t.view)
		if err := in.err(); err != nil {
			return err
		}
		if err := quota(org, "certificates", org.MaxCertificates, count(t.cfg.Certificates, func(o *model.Certificate) bool {
			k := t.keyByID(o.KeyID)
			return o.OrganizationID == org.ID && k != nil && !k.Deleted
		})); err != nil {
			return err
		}
		made := issued
		var warnings []string
		if c.issued != nil {
			warnings = c.issued(t.view, org, in, &made)
			if err := in.err(); err != nil {
				return err
			}
		}
		key, cert := made.Key, c.certificate
		key.OrganizationID = org.ID
		cert.ID, cert.OrganizationID, cert.KeyID, cert.Active, cert.Created = newID(), org.ID, key.ID, true, t.now
		cert.Name = strings.TrimSpace(cert.Name)
		if cert.Name == "" {
			cert.Name = cert.Slug
		}
		cert.CSR, cert.Leaf, cert.Chain, cert.OpenPGP = made.CSR, made.Leaf, made.Chain, made.OpenPGP
		cert.NotBefore, cert.NotAfter = made.NotBefore, made.NotAfter
		if c.certificate.KeyID == "" {
			if err := t.PutKey(key, made.Sealed); err != nil {
				return err
			}
			if err := s.keepRevocation(t, key.ID, made.Revocation); err != nil {
				return err
			}
			data := showKey(&key)
			if err := t.keepAttestation(&data, made.Attestation); err != nil {
				return err
			}
			if err := t.record(c.keyEvent, org.ID, changeData{After: data}); err != nil {
				return err
			}
		}
		if err := t.PutCertificate(cert); err != nil {
			return err
		}
		out = t.showCertificate(&cert, &key)
		if err := t.record("Certificate.Created", org.ID, createdData{changeData{After: out}, c.renews}); err != nil {
			return err
		}
		out.State, out.Warnings = stateOf(&cert, &key, t.now), warnings
		return nil
	})
	if err != nil && c.certificate.KeyID == "" {
		err = s.discard(ctx, issued, err)
	}
	return out, err
}

// Certificates is a list of certificates.
type Certificates struct {
	Items []Certificate `json:"items"`
	Next
}

// ListCertificates lists the certificates of an organization.
func (s *Service) ListCertificates(ctx context.Context, _ Call, request List) (Certificates, error) {
	out := Certificates{Items: []Certificate{}}
	v, org, err := s.readOrganization(ctx, request.Organization)
	if err != nil {
		return out, err
	}
	in := newInput()
	found, next := page(in, request.Paging, v.cfg.Certificates,
		func(c *model.Certificate) (time.Time, string) { return c.Created, c.ID },
		func(c *model.Certificate) bool { return c.OrganizationID == org.ID })
	for _, c := range found {
		out.Items = append(out.Items, v.showInUse(c, s.now()))
	}
	out.Next = next
	return out, in.err()
}

// CertificateReference names a certificate by slug or identifier.
type CertificateReference struct {
	OrganizationReference
	Certificate string `json:"certificate"`
}

// ExportedCertificate is the answer of certificate.export: public data only.
type ExportedCertificate struct {
	Certificate
	Leaf    []byte   `json:"leaf,omitempty"`  // DER
	CSR     []byte   `json:"csr,omitempty"`   // PKCS #10, DER
	Chain   [][]byte `json:"chain,omitempty"` // DER, next issuer first, root last
	OpenPGP []byte   `json:"openPgp,omitempty"`
	SPKI    []byte   `json:"publicKey"` // SubjectPublicKeyInfo, DER
	// Attestation is what the key store said about the key when it was made or
	// adopted (JSON).
	Attestation json.RawMessage `json:"attestation,omitempty"`
}

// ExportCertificate gives the public parts of a certificate or OpenPGP key.
func (s *Service) ExportCertificate(ctx context.Context, _ Call, request CertificateReference) (ExportedCertificate, error) {
	v, err := s.read(ctx)
	if err != nil {
		return ExportedCertificate{}, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	c := v.certificate(in, "certificate", org, request.Certificate)
	if err := in.err(); err != nil {
		return ExportedCertificate{}, err
	}
	out := ExportedCertificate{Certificate: v.showInUse(c, s.now()), Leaf: c.Leaf, CSR: c.CSR, Chain: c.Chain, OpenPGP: c.OpenPGP}
	if k := v.keyByID(c.KeyID); k != nil {
		out.SPKI = k.Public
		if out.Attestation, err = s.attestationOf(ctx, k); err != nil {
			return ExportedCertificate{}, err
		}
	}
	return out, nil
}

// CertificateActivity is the input of certificate.set-active.
type CertificateActivity struct {
	CertificateReference
	Active bool `json:"active"`
}

// SetCertificateActive switches a certificate on or off. Nothing is signed with
// a certificate that is off, whichever policy uses it.
func (s *Service) SetCertificateActive(ctx context.Context, call Call, request CertificateActivity) (Certificate, error) {
	var out Certificate
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		c := t.certificate(in, "certificate", org, request.Certificate)
		if err := in.err(); err != nil {
			return err
		}
		changed := *c
		changed.Active = request.Active
		out = t.showCertificate(&changed, nil)
		if c.Active == request.Active {
			return nil
		}
		if err := t.PutCertificate(changed); err != nil {
			return err
		}
		return t.record(activity("Certificate", request.Active), org.ID, changeData{t.showCertificate(c, nil), out})
	})
	return out, err
}
