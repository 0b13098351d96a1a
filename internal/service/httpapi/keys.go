package httpapi

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/pki"
	"signpath/internal/wire"
)

// keyRoutes are the routes that make, take in, renew and delete keys, for
// whoever manages certificates.
func keyRoutes(a *api, org string) []route {
	base := org + "/Certificates"
	one := base + "/{certificateSlug}"
	return []route{
		{method: "POST", pattern: base + "/CreateGpgKey", access: tokenFor, handler: a.createGPGKey},
		{method: "POST", pattern: base + "/ImportPfx", access: tokenFor, handler: a.importPFX},
		{method: "POST", pattern: one + "/Edit", access: tokenFor, handler: a.editCertificate},
		{method: "POST", pattern: one + "/Renew", access: tokenFor, handler: a.renewCertificate},
		{method: "POST", pattern: one + "/RenewGpgKey", access: tokenFor, handler: a.renewGPGKey},
		{method: "POST", pattern: one + "/GpgRevocation", access: tokenFor, handler: a.gpgRevocation},
		{method: "POST", pattern: one + "/DeletePrivateKey", access: tokenFor, handler: a.deletePrivateKey},
		{method: "GET", pattern: one + "/Attestation", access: tokenFor, handler: a.attestation},
	}
}

// onCertificate makes sure that the certificate in the path is there, for those
// who may manage certificates.
func (a *api) onCertificate(x *exchange) error {
	if err := a.allowed(x, manageCertificates); err != nil {
		return err
	}
	_, err := a.certificateInPath(x)
	return err
}

func (a *api) createGPGKey(x *exchange) error {
	var r struct {
		Slug, Name, UserName, Email string
		KeySizeInBits               int
		KeyStore                    string
		ValidTo                     *time.Time
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	input := admin.NewOpenPGPKey{
		OrganizationReference: x.ownOrganization(), KeyOrigin: admin.KeyOrigin{KeyStore: r.KeyStore}, Slug: r.Slug, Name: r.Name,
		UserName: r.UserName, Email: r.Email, NotAfter: r.ValidTo,
	}
	if r.KeySizeInBits != 0 {
		input.KeyType = "rsa" + strconv.Itoa(r.KeySizeInBits)
	}
	var out admin.Certificate
	if err := a.administer(x, manageCertificates, "certificate.create-gpg", input, &out); err != nil {
		return renamed(err)
	}
	return a.madeCertificate(x, &out)
}

// maxFormValue bounds the texts of the form, in bytes.
const maxFormValue = 4096

// importPFX takes a PKCS #12 file in a form with its password.
func (a *api) importPFX(x *exchange) error {
	mediaType, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" || params["boundary"] == "" {
		return wire.NewProblem(http.StatusUnsupportedMediaType, "Send Slug, Password and the file PfxFile in multipart/form-data with a boundary.")
	}
	body, err := x.requestBody()
	if err != nil {
		return err
	}
	input := admin.PFXFile{OrganizationReference: x.ownOrganization()}
	seen := map[string]bool{}
	for parts := multipart.NewReader(body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return formError(err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return formError(err)
		}
		name := strings.ToLower(part.FormName())
		if seen[name] {
			return wire.Field(clipped(part.FormName()), "This field is given more than once.")
		}
		seen[name] = true
		if name != "pfxfile" && len(data) > maxFormValue {
			return wire.Field(clipped(part.FormName()), "This field is too long.")
		}
		switch name {
		case "slug":
			input.Slug = string(data)
		case "name":
			input.Name = string(data)
		case "password":
			input.Password = admin.ShownOnce{Secret: secret.New(string(data))}
		case "pfxfile":
			input.PFX = data
		default:
			return wire.Field(clipped(part.FormName()), "There is no such field; there are Slug, Name, Password and PfxFile.")
		}
	}
	if len(input.PFX) == 0 {
		return missing("PfxFile", "it is the PKCS #12 file")
	}
	var out admin.Certificate
	if err := a.administer(x, manageCertificates, "certificate.import-pfx", input, &out); err != nil {
		return renamedPFX(err)
	}
	return a.madeCertificate(x, &out)
}

func renamedPFX(err error) error {
	fields, ok := err.(wire.FieldErrors)
	if !ok {
		return err
	}
	for _, name := range []string{"Pfx", "PFX", "File"} {
		if texts, ok := fields[name]; ok {
			delete(fields, name)
			fields["PfxFile"] = append(fields["PfxFile"], texts...)
		}
	}
	return fields
}

func (a *api) editCertificate(x *exchange) error {
	var r struct {
		Name                       *string
		IsActive, RequiresApproval *bool
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	if err := a.onCertificate(x); err != nil {
		return err
	}
	var out admin.Certificate
	input := admin.CertificateEdit{CertificateReference: x.certificateReference(), Name: r.Name, Active: r.IsActive, RequiresApproval: r.RequiresApproval}
	if err := a.administer(x, manageCertificates, "certificate.edit", input, &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, detailsOf(&out))
}

// renewalMethods are the methods as creation methods are called in answers.
var renewalMethods = map[string]string{"": "", "selfsigned": admin.MethodSelfSigned, "csr": admin.MethodCSR}

func (a *api) renewCertificate(x *exchange) error {
	var r struct {
		Slug, Name     string
		KeepKey        bool
		KeyType        wire.KeyType
		KeySizeInBits  int
		CreationMethod string
		ValidTo        *time.Time
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	method, ok := renewalMethods[strings.ToLower(r.CreationMethod)]
	if !ok {
		return wire.Field("CreationMethod", "The creation methods are SelfSigned and Csr.")
	}
	if err := a.onCertificate(x); err != nil {
		return err
	}
	input := admin.RenewedCertificate{CertificateReference: x.certificateReference(), Slug: r.Slug, Name: r.Name, SameKey: r.KeepKey, Method: method, NotAfter: r.ValidTo}
	if r.KeyType != "" {
		name, ok := keyTypeNames[r.KeyType]
		if !ok {
			return wire.Field("KeyType", "The key types are Rsa and Ecdsa.")
		}
		if r.KeySizeInBits == 0 {
			r.KeySizeInBits = name.size
		}
		input.KeyType = name.prefix + strconv.Itoa(r.KeySizeInBits)
	}
	var out admin.ExportedCertificate
	if err := a.administer(x, manageCertificates, "certificate.renew", input, &out); err != nil {
		return renamed(err)
	}
	return a.madeCertificate(x, &out.Certificate)
}

func (a *api) renewGPGKey(x *exchange) error {
	var r struct{ ValidTo *time.Time } // absent: the key never ends
	if err := x.readJSON(&r, true); err != nil {
		return err
	}
	if err := a.onCertificate(x); err != nil {
		return err
	}
	var out admin.Certificate
	input := admin.RenewedOpenPGPKey{CertificateReference: x.certificateReference(), NotAfter: r.ValidTo}
	if err := a.administer(x, manageCertificates, "certificate.renew-gpg", input, &out); err != nil {
		return renamed(err)
	}
	return x.json(http.StatusOK, detailsOf(&out))
}

// gpgRevocation gives a revocation certificate; it is on record before.
func (a *api) gpgRevocation(x *exchange) error {
	var r struct{ Reason, Text string }
	if err := x.readJSON(&r, true); err != nil {
		return err
	}
	if err := a.onCertificate(x); err != nil {
		return err
	}
	var out admin.Revocation
	input := admin.RevocationRequest{CertificateReference: x.certificateReference(), Reason: strings.ToLower(r.Reason), Text: r.Text}
	if err := a.administer(x, manageCertificates, "certificate.revocation", input, &out); err != nil {
		return err
	}
	armored, err := pki.ArmorRevocation(out.Revocation)
	if err != nil {
		return err
	}
	return x.attachment("application/pgp-keys", out.Slug+".rev.asc", armored)
}

// deletedKeyAnswer tells what used the key that is gone.
type deletedKeyAnswer struct {
	Certificates    []string `json:"certificates"`    // slugs of all certificates of the key
	SigningPolicies []string `json:"signingPolicies"` // active ones that signed with it
	Warnings        []string `json:"warnings,omitempty"`
}

func (a *api) deletePrivateKey(x *exchange) error {
	var r struct{ ConfirmSlug string }
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	if err := a.onCertificate(x); err != nil {
		return err
	}
	var out admin.DeletedKey
	err := a.administer(x, manageCertificates, "certificate.delete-key", admin.KeyDeletion{CertificateReference: x.certificateReference(), Confirm: r.ConfirmSlug}, &out)
	var fields wire.FieldErrors
	if errors.As(err, &fields) && len(fields["Confirm"]) > 0 {
		return wire.FieldErrors{"ConfirmSlug": fields["Confirm"]}
	}
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, deletedKeyAnswer{Certificates: texts(out.Certificates), SigningPolicies: texts(out.Policies), Warnings: out.Warnings})
}

func (a *api) attestation(x *exchange) error {
	c, err := a.certificateInPath(x)
	if err != nil {
		return err
	}
	if c.Attestation == nil {
		return wire.NewProblem(http.StatusNotFound, "The key store has said nothing about the key of this certificate.")
	}
	return x.attachment("application/json", c.Slug+".attestation.json", c.Attestation)
}
