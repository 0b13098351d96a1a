package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// SignHashRequest is the newer JSON form (POST SigningRequests/SignHash).
type SignHashRequest struct {
	ProjectSlug               string           `json:"projectSlug"`
	SigningPolicySlug         string           `json:"signingPolicySlug"`
	ArtifactConfigurationSlug string           `json:"artifactConfigurationSlug,omitempty"`
	Description               string           `json:"description,omitempty"`
	HashSigningData           *HashSigningData `json:"hashSigningData"`
}

// HashSigningData is what SignHash signs.
type HashSigningData struct {
	Hash               string          `json:"hash,omitempty"`
	Message            string          `json:"message,omitempty"`  // EdDsa only, in place of the hash
	SignatureAlgorithm string          `json:"signatureAlgorithm"` // Rsa, Ecdsa or EdDsa
	RSAOptions         *RSAOptions     `json:"rsaOptions,omitempty"`
	ECDSAOptions       *ECDSAOptions   `json:"ecdsaOptions,omitempty"`
	MLDSAOptions       json.RawMessage `json:"mldsaOptions,omitempty"`
	Metadata           json.RawMessage `json:"metadata,omitempty"`
}

// RSAOptions says how an RSA key signs.
type RSAOptions struct {
	HashAlgorithmName string `json:"hashAlgorithmName,omitempty"` // Sha1, Sha256, Sha384, Sha512
	HashAlgorithmOID  string `json:"hashAlgorithmOid,omitempty"`
	PaddingMode       string `json:"paddingMode,omitempty"` // Pkcs1 (default) or Pss
}

// ECDSAOptions says how an EC signature is encoded.
type ECDSAOptions struct {
	SignatureFormat string `json:"signatureFormat,omitempty"` // Ieee (default) or Asn1
}

// SignHashAnswer is the answer of SignHash.
type SignHashAnswer struct {
	SigningRequestID  string            `json:"signingRequestId"`
	WebLink           string            `json:"webLink"`
	HashSigningData   HashOnly          `json:"hashSigningData"`
	HashSigningResult HashSigningResult `json:"hashSigningResult"`
	KeyVersion        int               `json:"keyVersion,omitempty"` // ours, from 1
}

// HashOnly echoes the digest.
type HashOnly struct {
	Hash string `json:"hash"`
}

// HashSigningResult holds the signature in standard base64; see Payload.Signature.
type HashSigningResult struct {
	Signature string `json:"signature"`
}

// Check checks the form of the whole request. Errors are FieldErrors whose
// names are the paths of the members; beside them nothing of the result counts but
// SignsMessage.
func (r *SignHashRequest) Check() (*HashSigning, error) {
	errs := FieldErrors{}
	requireSlugs(errs, r.ProjectSlug, r.SigningPolicySlug)
	h, err := r.HashSigningData.HashSigning()
	var more FieldErrors
	if errors.As(err, &more) {
		errs.Merge(more)
	}
	if len(errs) > 0 {
		return h, errs
	}
	return h, nil
}

// HashSigning checks the form of the newer request, as Check does.
func (d *HashSigningData) HashSigning() (*HashSigning, error) {
	if d == nil {
		return nil, Field("HashSigningData", "HashSigningData is missing.")
	}
	errs := FieldErrors{}
	h := &HashSigning{ECDSAFormat: IEEE, Metadata: present(d.Metadata)}
	const at = "HashSigningData."
	switch a := d.SignatureAlgorithm; {
	case a == "":
		errs.Add(at+"SignatureAlgorithm", "SignatureAlgorithm is missing; give Rsa, Ecdsa or EdDsa.")
	case strings.EqualFold(a, "Rsa"):
		h.Scheme = d.rsaScheme(errs)
	case strings.EqualFold(a, "Ecdsa"):
		h.Scheme.Algorithm = ECDSA
	case strings.EqualFold(a, string(EdDSA)):
		h.Scheme.Algorithm = EdDSA
	case strings.EqualFold(a, "Mldsa"):
		errs.Add(at+"SignatureAlgorithm", "ML-DSA is not supported.")
	default:
		errs.Add(at+"SignatureAlgorithm", fmt.Sprintf("SignatureAlgorithm %q is unknown; give Rsa, Ecdsa or EdDsa.", clip(a)))
	}
	if d.RSAOptions != nil && (h.Scheme.Algorithm == ECDSA || h.Scheme.Algorithm == EdDSA) {
		errs.Add(at+"RsaOptions", fmt.Sprintf("RsaOptions does not go with SignatureAlgorithm %s.", h.Scheme.Algorithm))
	}
	if o := d.ECDSAOptions; o != nil {
		if h.Scheme.Algorithm != ECDSA && h.Scheme.Algorithm != "" {
			errs.Add(at+"EcdsaOptions", "EcdsaOptions goes with SignatureAlgorithm Ecdsa only.")
		}
		if o.SignatureFormat != "" {
			if h.ECDSAFormat = parseFormat(o.SignatureFormat); h.ECDSAFormat == "" {
				errs.Add(at+"EcdsaOptions.SignatureFormat", fmt.Sprintf("SignatureFormat %q is unknown; give Ieee or Asn1.", clip(o.SignatureFormat)))
			}
		}
	}
	if present(d.MLDSAOptions) != nil {
		errs.Add(at+"MldsaOptions", "ML-DSA is not supported.")
	}
	h.parseInput(errs, at, "Hash", d.Hash, "Message", d.Message)
	if len(errs) > 0 {
		return h.refused(), errs
	}
	return h, nil
}

func (d *HashSigningData) rsaScheme(errs FieldErrors) Scheme {
	const at = "HashSigningData.RsaOptions"
	s := Scheme{Algorithm: RSAPKCS1}
	o := d.RSAOptions
	if o == nil || (o.HashAlgorithmName == "" && o.HashAlgorithmOID == "") {
		errs.Add(at, "RsaOptions.HashAlgorithmName or RsaOptions.HashAlgorithmOid is missing; RSA signatures need the hash algorithm.")
		return s
	}
	byName, okName := HashByName(o.HashAlgorithmName)
	byOID, okOID := HashByOID(o.HashAlgorithmOID)
	switch {
	case o.HashAlgorithmName != "" && (!okName || byName == MD5):
		errs.Add(at+".HashAlgorithmName", fmt.Sprintf("HashAlgorithmName %q is unknown; give Sha1, Sha256, Sha384 or Sha512.", clip(o.HashAlgorithmName)))
	case o.HashAlgorithmOID != "" && (!okOID || byOID == MD5):
		errs.Add(at+".HashAlgorithmOid", fmt.Sprintf("HashAlgorithmOid %q is not the OID of SHA-1, SHA-256, SHA-384 or SHA-512.", clip(o.HashAlgorithmOID)))
	case okName && okOID && byName != byOID:
		errs.Add(at, "HashAlgorithmName and HashAlgorithmOid name different algorithms.")
	}
	s.Hash = max(byName, byOID)
	switch {
	case o.PaddingMode == "" || strings.EqualFold(o.PaddingMode, "Pkcs1"):
	case strings.EqualFold(o.PaddingMode, "Pss"):
		s.Algorithm = RSAPSS
	default:
		errs.Add(at+".PaddingMode", fmt.Sprintf("PaddingMode %q is unknown; give Pkcs1 or Pss.", clip(o.PaddingMode)))
	}
	return s
}
