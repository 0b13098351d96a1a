package httpapi

import (
	"crypto/sha1" //nolint:gosec // the documented thumbprint is SHA-1; it identifies, it proves nothing
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"signpath/internal/service/pki"
	"signpath/internal/service/signing"
	"signpath/internal/wire"
)

// mySigningPolicies lists what the caller may sign with.
func (a *api) mySigningPolicies(x *exchange) error {
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return wire.NewProblem(http.StatusBadRequest, "The query string is malformed.")
	}
	filters := [...]struct {
		field string
		value string
	}{{field: "projectSlug"}, {field: "signingPolicySlug"}}
	for i := range filters {
		f := &filters[i]
		given := 0
		for name, values := range query { // names without regard to case, as everywhere
			if strings.EqualFold(name, f.field) {
				f.value = values[0]
				given += len(values)
			}
		}
		if given > 1 {
			return wire.Field(f.field, f.field+" is given more than once.")
		}
	}
	list := a.Signing.MySigningPolicies(x.principal, filters[0].value, filters[1].value)
	compact := prefers(x.r.Header, wire.PreferCompact)
	body, err := wire.EncodeSigningPolicies(list, compact)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	h := x.w.Header()
	h.Set("Vary", "Authorization, Prefer, Accept-Encoding")
	if compact {
		h.Set("Preference-Applied", wire.PreferCompact)
	}
	return x.revalidated("application/json", body)
}

// prefers tells whether a client states a preference (RFC 7240 section 2); its
// parameters and a value do not count.
func prefers(h http.Header, preference string) bool {
	for entry := range strings.SplitSeq(strings.Join(h.Values("Prefer"), ","), ",") {
		name, _, _ := strings.Cut(entry, ";")
		name, _, _ = strings.Cut(name, "=")
		if strings.EqualFold(strings.TrimSpace(name), preference) {
			return true
		}
	}
	return false
}

// policyAnswer tells a signing policy; flat names as in SignPath's answers.
type policyAnswer struct {
	SigningPolicyID            string   `json:"signingPolicyId"`
	SigningPolicySlug          string   `json:"signingPolicySlug"`
	SigningPolicyName          string   `json:"signingPolicyName"`
	ProjectID                  string   `json:"projectId"`
	ProjectSlug                string   `json:"projectSlug"`
	ProjectName                string   `json:"projectName"`
	CertificateID              string   `json:"certificateId"`
	CertificateSlug            string   `json:"certificateSlug"`
	CertificateName            string   `json:"certificateName"`
	RequiredApprovals          int      `json:"requiredApprovals"`
	RequiresTrustedBuildSystem bool     `json:"requiresTrustedBuildSystem"`
	HashAlgorithms             []string `json:"hashAlgorithms"`
	IsActive                   bool     `json:"isActive"`

	Submitters []subjectAnswer `json:"submitters"`
	Approvers  []subjectAnswer `json:"approvers"`
}

func (a *api) signingPolicy(x *exchange) error {
	v, err := a.policy(x)
	if err != nil {
		return err
	}
	answer := policyAnswer{
		SigningPolicyID: v.Policy.ID, SigningPolicySlug: v.Policy.Slug, SigningPolicyName: v.Policy.Name,
		ProjectID: v.Project.ID, ProjectSlug: v.Project.Slug, ProjectName: v.Project.Name,
		CertificateID: v.Certificate.ID, CertificateSlug: v.Certificate.Slug, CertificateName: v.Certificate.Name,
		RequiredApprovals: v.Policy.RequiredApprovals, RequiresTrustedBuildSystem: v.Policy.RequiresTrustedBuildSystem,
		HashAlgorithms: []string{},
		IsActive:       v.Policy.Active && v.Project.Active,
		Submitters:     x.subjects(v.Policy.Submitters), Approvers: x.subjects(v.Policy.Approvers),
	}
	for _, h := range v.Policy.Hashes {
		answer.HashAlgorithms = append(answer.HashAlgorithms, h.String())
	}
	return x.json(http.StatusOK, answer)
}

// certificateAnswer tells the certificate of a policy and its key.
type certificateAnswer struct {
	CertificateID       string               `json:"certificateId"`
	Slug                string               `json:"slug"`
	Name                string               `json:"name"`
	CertificateType     wire.CertificateType `json:"certificateType"`
	KeyType             wire.KeyType         `json:"keyType"`
	KeySizeInBits       int                  `json:"keySizeInBits"`
	KeyVersion          int                  `json:"keyVersion"`
	IsKeyDeleted        bool                 `json:"isKeyDeleted"`
	IsActive            bool                 `json:"isActive"`
	X509CertificateData *x509Data            `json:"x509CertificateData,omitempty"`
}

// x509Data tells an issued X.509 certificate. Thumbprints and the serial
// number are upper-case hexadecimal.
type x509Data struct {
	Subject          string    `json:"subject"`
	Issuer           string    `json:"issuer"`
	SerialNumber     string    `json:"serialNumber"`
	Thumbprint       string    `json:"thumbprint"` // SHA-1 of the DER, as Windows tools name certificates
	Sha256Thumbprint string    `json:"sha256Thumbprint"`
	ValidFrom        time.Time `json:"validFrom"`
	ValidTo          time.Time `json:"validTo"`
}

func (a *api) certificate(x *exchange) error {
	v, err := a.policy(x)
	if err != nil {
		return err
	}
	answer := certificateAnswer{
		CertificateID: v.Certificate.ID, Slug: v.Certificate.Slug, Name: v.Certificate.Name, CertificateType: v.Certificate.Type,
		KeyType: v.Key.Type, KeySizeInBits: v.Key.Bits, KeyVersion: v.Key.Version, IsKeyDeleted: v.Key.Deleted, IsActive: v.Certificate.Active,
	}
	if v.Certificate.Leaf != nil {
		c, err := x509.ParseCertificate(v.Certificate.Leaf)
		if err != nil {
			return fmt.Errorf("reading the stored certificate %s: %w", v.Certificate.ID, err)
		}
		sum1, sum256 := sha1.Sum(c.Raw), sha256.Sum256(c.Raw) //nolint:gosec // see the import
		answer.X509CertificateData = &x509Data{
			Subject: c.Subject.String(), Issuer: c.Issuer.String(), SerialNumber: strings.ToUpper(hex.EncodeToString(c.SerialNumber.Bytes())),
			Thumbprint: strings.ToUpper(hex.EncodeToString(sum1[:])), Sha256Thumbprint: strings.ToUpper(hex.EncodeToString(sum256[:])),
			ValidFrom: c.NotBefore.UTC(), ValidTo: c.NotAfter.UTC(),
		}
	}
	return x.json(http.StatusOK, answer)
}

func (a *api) x509Certificate(x *exchange) error {
	v, err := a.policy(x)
	if err != nil {
		return err
	}
	if v.Certificate.Leaf == nil {
		return wire.NewProblem(http.StatusNotFound, "This signing policy has no X.509 certificate: it is not issued yet, or the policy has an OpenPGP key; then ask for GpgPublicKey.")
	}
	return x.attachment("application/pkix-cert", v.Certificate.Slug+".cer", v.Certificate.Leaf)
}

func (a *api) gpgPublicKey(x *exchange) error {
	v, err := a.policy(x)
	if err != nil {
		return err
	}
	if v.Certificate.OpenPGP == nil {
		return wire.NewProblem(http.StatusNotFound, "This signing policy has no OpenPGP key. If it has an X.509 certificate, ask for X509Certificate.")
	}
	armored, err := pki.Armor(v.Certificate.OpenPGP)
	if err != nil {
		return fmt.Errorf("armouring the OpenPGP key of certificate %s: %w", v.Certificate.ID, err)
	}
	return x.attachment("application/pgp-keys", v.Certificate.Slug+".asc", armored)
}

func (a *api) policy(x *exchange) (*signing.PolicyView, error) {
	return a.Signing.Policy(x.principal, x.params["projectSlug"], x.params["signingPolicySlug"])
}
