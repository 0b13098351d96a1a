package httpapi

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"signpath/internal/service/admin"
	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/wire"
)

// certificateRoutes are the routes of certificates and OpenPGP keys. Everybody
// may read what is public; making and changing takes the right to.
func (a *api) certificateRoutes(org string) []route {
	base := org + "/Certificates"
	one := base + "/{certificateSlug}"
	return []route{
		{method: "GET", pattern: base, access: tokenFor, handler: a.listCertificates},
		{method: "POST", pattern: base + "/CreateSelfSignedX509", access: tokenFor, handler: a.createSelfSigned},
		{method: "POST", pattern: base + "/CreateCsrBasedX509", access: tokenFor, handler: a.createRequest},
		{method: "GET", pattern: one, access: tokenFor, handler: a.oneCertificate},
		{method: "GET", pattern: one + "/Csr", access: tokenFor, handler: a.certificateRequest},
		{method: "GET", pattern: one + "/X509Certificate", access: tokenFor, handler: a.certificateFile},
		{method: "GET", pattern: one + "/GpgPublicKey", access: tokenFor, handler: a.gpgKeyFile},
		{method: "POST", pattern: one + "/UploadX509Certificate", access: tokenFor, handler: a.uploadCertificate},
	}
}

var (
	readCertificates   = organization(authz.ReadConfiguration)
	manageCertificates = organization(authz.ManageCertificates)
)

// certificateDetails tells a certificate with what an administrator wants to
// know; flat names as in SignPath's answers.
type certificateDetails struct {
	CertificateID       string                 `json:"certificateId"`
	Slug                string                 `json:"slug"`
	Name                string                 `json:"name"`
	CertificateType     wire.CertificateType   `json:"certificateType"`
	CreationMethod      model.CreationMethod   `json:"creationMethod"`
	State               admin.CertificateState `json:"state"`
	KeyType             wire.KeyType           `json:"keyType"`
	KeySizeInBits       int                    `json:"keySizeInBits"`
	KeyVersion          int                    `json:"keyVersion"`
	IsKeyDeleted        bool                   `json:"isKeyDeleted"`
	IsActive            bool                   `json:"isActive"`
	KeyStore            string                 `json:"keyStore,omitempty"` // soft, or hsm:NAME
	RequiresApproval    bool                   `json:"requiresApproval"`   // of every signing policy that uses it
	SigningPolicies     []string               `json:"signingPolicies"`    // project/policy
	X509CertificateData *x509Details           `json:"x509CertificateData,omitempty"`
	GPGKeyData          *gpgDetails            `json:"gpgKeyData,omitempty"`
	Warnings            []string               `json:"warnings,omitempty"`
}

type x509Details struct {
	x509Data
	KeyUsage                []string `json:"keyUsage"`
	ExtendedKeyUsage        []string `json:"extendedKeyUsage"`
	SubjectAlternativeNames []string `json:"subjectAlternativeNames"`
	ChainLength             int      `json:"chainLength"`
}

type gpgDetails struct {
	Fingerprint string     `json:"fingerprint"`
	UserID      string     `json:"userId"`
	ValidFrom   time.Time  `json:"validFrom"`
	ValidTo     *time.Time `json:"validTo,omitempty"` // absent: never ends
}

func detailsOf(c *admin.Certificate) certificateDetails {
	out := certificateDetails{
		CertificateID: c.ID, Slug: c.Slug, Name: c.Name, CertificateType: c.Type, CreationMethod: c.Creation, State: c.State,
		KeyType: c.KeyType, KeySizeInBits: c.KeySizeInBits, KeyVersion: c.KeyVersion, IsKeyDeleted: c.KeyDeleted, IsActive: c.Active,
		KeyStore: c.KeyStore, RequiresApproval: c.RequiresApproval,
		SigningPolicies: texts(c.Policies), Warnings: c.Warnings,
	}
	switch {
	case c.Thumbprint != "" && c.NotBefore != nil && c.NotAfter != nil:
		serial := strings.ToUpper(c.SerialNumber)
		if len(serial)%2 == 1 {
			serial = "0" + serial // whole bytes
		}
		out.X509CertificateData = &x509Details{
			x509Data: x509Data{
				Subject: c.Subject, Issuer: c.Issuer, SerialNumber: serial, Thumbprint: c.Thumbprint, Sha256Thumbprint: strings.ToUpper(c.SHA256),
				ValidFrom: *c.NotBefore, ValidTo: *c.NotAfter,
			},
			KeyUsage: texts(c.KeyUsage), ExtendedKeyUsage: texts(c.ExtKeyUsage), SubjectAlternativeNames: texts(c.Names), ChainLength: c.ChainLength,
		}
	case c.Fingerprint != "" && c.NotBefore != nil:
		out.GPGKeyData = &gpgDetails{Fingerprint: c.Fingerprint, UserID: c.UserID, ValidFrom: *c.NotBefore, ValidTo: c.NotAfter}
	}
	return out
}

// texts is never null in JSON.
func texts(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func (x *exchange) ownOrganization() admin.OrganizationReference {
	return admin.OrganizationReference{Organization: x.organizationID}
}

func (a *api) listCertificates(x *exchange) error {
	list, err := x.list()
	if err != nil {
		return err
	}
	var out admin.Certificates
	if err := a.administer(x, readCertificates, "certificate.list", list, &out); err != nil {
		return err
	}
	return x.compressibleJSON(http.StatusOK, listOf(out.Items, out.Next, func(c admin.Certificate) certificateDetails { return detailsOf(&c) }))
}

// certificateInPath finds the certificate that the address names. What does not
// exist is 403, as everywhere.
func (a *api) certificateInPath(x *exchange) (*admin.ExportedCertificate, error) {
	var out admin.ExportedCertificate
	err := a.administer(x, readCertificates, "certificate.export", x.certificateReference(), &out)
	var fields wire.FieldErrors
	if errors.As(err, &fields) {
		return nil, forbidden("The organization has no such certificate, or you may not see it.")
	}
	return &out, err
}

func (x *exchange) certificateReference() admin.CertificateReference {
	return admin.CertificateReference{OrganizationReference: x.ownOrganization(), Certificate: x.params["certificateSlug"]}
}

func (a *api) oneCertificate(x *exchange) error {
	c, err := a.certificateInPath(x)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, detailsOf(&c.Certificate))
}

// Files that are not there are 404: the certificate is, but has none.

func (a *api) certificateRequest(x *exchange) error {
	c, err := a.certificateInPath(x)
	if err != nil {
		return err
	}
	if c.CSR == nil {
		return wire.NewProblem(http.StatusNotFound, "This certificate was not made from a certification request.")
	}
	return x.attachment("application/x-pem-file", c.Slug+".csr", pki.EncodeRequestPEM(c.CSR))
}

func (a *api) certificateFile(x *exchange) error {
	c, err := a.certificateInPath(x)
	switch {
	case err != nil:
		return err
	case c.OpenPGP != nil:
		return wire.NewProblem(http.StatusNotFound, "This is an OpenPGP key without an X.509 certificate; ask for GpgPublicKey.")
	case c.Leaf == nil:
		return wire.NewProblem(http.StatusNotFound, "This certificate is not issued yet; upload what its authority issued.")
	}
	return x.attachment("application/pkix-cert", c.Slug+".cer", c.Leaf)
}

func (a *api) gpgKeyFile(x *exchange) error {
	c, err := a.certificateInPath(x)
	if err != nil {
		return err
	}
	if c.OpenPGP == nil {
		return wire.NewProblem(http.StatusNotFound, "This is an X.509 certificate, not an OpenPGP key; ask for X509Certificate.")
	}
	armored, err := pki.Armor(c.OpenPGP)
	if err != nil {
		return err
	}
	return x.attachment("application/pgp-keys", c.Slug+".asc", armored)
}

// newX509 is the body of CreateSelfSignedX509 and CreateCsrBasedX509.
type newX509 struct {
	Slug          string       `json:"slug"`
	Name          string       `json:"name"`
	KeyType       wire.KeyType `json:"keyType"`       // default Rsa
	KeySizeInBits int          `json:"keySizeInBits"` // default 4096, or 256 for Ecdsa and Ed25519
	Subject       struct {
		CommonName         string `json:"commonName"`
		Organization       string `json:"organization"`
		OrganizationalUnit string `json:"organizationalUnit"`
		Locality           string `json:"locality"`
		State              string `json:"state"`
		Country            string `json:"country"`
	} `json:"subject"`
	SubjectAlternativeNames []string   `json:"subjectAlternativeNames"`
	KeyStore                string     `json:"keyStore"` // default: the embedded one; hsm:NAME for a token
	AdoptKey                string     `json:"adoptKey"` // label, or id:HEX, of a key that is on the token already
	ValidTo                 *time.Time `json:"validTo"`  // self-signed only
}

// keyTypeNames are the beginnings of the names of key types, with the default size.
var keyTypeNames = map[wire.KeyType]struct {
	prefix string
	size   int
}{wire.KeyRSA: {"rsa", 4096}, wire.KeyECDSA: {"p", 256}, wire.KeyEd25519: {"", 256}}

// readNewX509 reads the body as the input of an operation.
func (x *exchange) readNewX509() (admin.NewCertificate, error) {
	var r newX509
	if err := x.readJSON(&r, false); err != nil {
		return admin.NewCertificate{}, err
	}
	if r.KeyType == "" {
		r.KeyType = wire.KeyRSA
	}
	name, ok := keyTypeNames[r.KeyType]
	if !ok {
		return admin.NewCertificate{}, wire.Field("KeyType", "The key types are Rsa, Ecdsa and Ed25519.")
	}
	if r.KeySizeInBits == 0 {
		r.KeySizeInBits = name.size
	}
	keyType := name.prefix + strconv.Itoa(r.KeySizeInBits)
	if r.KeyType == wire.KeyEd25519 {
		if keyType = "ed25519"; r.KeySizeInBits != name.size {
			return admin.NewCertificate{}, wire.Field("KeySizeInBits", "Ed25519 keys have 256 bits.")
		}
	}
	return admin.NewCertificate{
		OrganizationReference: x.ownOrganization(), Slug: r.Slug, Name: r.Name, KeyType: keyType,
		CommonName: r.Subject.CommonName, SubjectOrganization: r.Subject.Organization,
		KeyOrigin: admin.KeyOrigin{KeyStore: r.KeyStore, AdoptKey: r.AdoptKey},
		SubjectDetails: admin.SubjectDetails{
			OrganizationalUnit: r.Subject.OrganizationalUnit, Locality: r.Subject.Locality, State: r.Subject.State, Country: r.Subject.Country,
			AlternativeNames: r.SubjectAlternativeNames,
		},
		NotAfter: r.ValidTo,
	}, nil
}

func (a *api) createSelfSigned(x *exchange) error {
	input, err := x.readNewX509()
	if err != nil {
		return err
	}
	var out admin.Certificate
	if err := a.administer(x, manageCertificates, "certificate.create", input, &out); err != nil {
		return renamed(err)
	}
	return a.madeCertificate(x, &out)
}

func (a *api) createRequest(x *exchange) error {
	input, err := x.readNewX509()
	if err != nil {
		return err
	}
	var out admin.ExportedCertificate
	if err := a.administer(x, manageCertificates, "certificate.create-csr", input, &out); err != nil {
		return renamed(err)
	}
	return a.madeCertificate(x, &out.Certificate)
}

func (a *api) madeCertificate(x *exchange, c *admin.Certificate) error {
	x.w.Header().Set("Location", a.PublicURL+"/Api/v1/"+x.organizationID+"/Certificates/"+url.PathEscape(c.Slug))
	return x.json(http.StatusCreated, detailsOf(c))
}

// x509Fields are the fields that these routes call otherwise than the operations do.
var x509Fields = map[string]string{
	"SubjectOrganization": "Subject.Organization", "CommonName": "Subject.CommonName", "OrganizationalUnit": "Subject.OrganizationalUnit",
	"Locality": "Subject.Locality", "State": "Subject.State", "Country": "Subject.Country",
	"AlternativeNames": "SubjectAlternativeNames", "NotAfter": "ValidTo", "File": "X509Certificate",
}

func renamed(err error) error {
	var fields wire.FieldErrors
	if !errors.As(err, &fields) {
		return err
	}
	out := wire.FieldErrors{}
	for name, sentences := range fields {
		if other, ok := x509Fields[name]; ok {
			name = other
		}
		out[name] = append(out[name], sentences...)
	}
	return out
}

// uploadCertificate takes the certificate that an authority issued, as the one
// file of a form; the field's name does not matter.
func (a *api) uploadCertificate(x *exchange) error {
	file, err := x.formFile()
	if err != nil {
		return err
	}
	if err := manageCertificates(x.snapshot, x.principal); err != nil {
		return err
	}
	if _, err := a.certificateInPath(x); err != nil {
		return err
	}
	var out admin.Certificate
	if err := a.administer(x, manageCertificates, "certificate.upload", admin.CertificateFile{CertificateReference: x.certificateReference(), File: file}, &out); err != nil {
		return renamed(err)
	}
	return x.json(http.StatusOK, detailsOf(&out))
}

// formFile reads a multipart form that holds one part.
func (x *exchange) formFile() ([]byte, error) {
	mediaType, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" || params["boundary"] == "" {
		return nil, wire.NewProblem(http.StatusUnsupportedMediaType, "Send the certificate as a file in multipart/form-data with a boundary.")
	}
	body, err := x.requestBody()
	if err != nil {
		return nil, err
	}
	parts := multipart.NewReader(body, params["boundary"])
	part, err := parts.NextRawPart()
	if err != nil {
		return nil, formError(err)
	}
	file, err := io.ReadAll(part)
	if err != nil {
		return nil, formError(err)
	}
	switch _, err := parts.NextRawPart(); {
	case err == nil:
		return nil, wire.Field("X509Certificate", "The form has several parts; send the certificate with its issuers in one file.")
	case !errors.Is(err, io.EOF):
		return nil, formError(err)
	}
	if len(file) == 0 {
		return nil, wire.Field("X509Certificate", "The file is empty.")
	}
	return file, nil
}

// formError tells errors of the connection from those of the form.
func formError(err error) error {
	var body *bodyError
	var tooLarge *http.MaxBytesError
	if errors.As(err, &body) || errors.As(err, &tooLarge) {
		return err
	}
	return wire.Field("", "The form cannot be read: it has no part, or ends before its closing boundary.")
}
