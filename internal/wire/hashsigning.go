package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// HashSigning is a request to sign one digest, whichever of the two wire forms
// it came in. Its form has been checked; whether it may be signed has not.
type HashSigning struct {
	Scheme      Scheme
	Digest      []byte          // the bare digest, never a DigestInfo
	ECDSAFormat ECDSAFormat     // IEEE unless asked for; meaningless for RSA
	Metadata    json.RawMessage // any JSON value, stored and echoed; nil when absent
}

// Payload is the artifact of the classic form (`payload.json`) and, with
// Signature, its answer.
type Payload struct {
	SignatureAlgorithm   Algorithm       `json:"SignatureAlgorithm"`
	RsaHashAlgorithm     string          `json:"RsaHashAlgorithm,omitempty"`     // OID; RSA only, mandatory there
	EcdsaSignatureFormat ECDSAFormat     `json:"EcdsaSignatureFormat,omitempty"` // EC only
	Base64EncodedHash    string          `json:"Base64EncodedHash"`
	Metadata             json.RawMessage `json:"Metadata,omitempty"`
	// Signature is standard base64: RSA the modulus-length big-endian block, EC
	// as EcdsaSignatureFormat says. Answers only.
	Signature string `json:"Signature,omitempty"`
	// SigningRequestID, WebLink and KeyVersion (ours, from 1) are in answers only.
	SigningRequestID string `json:"SigningRequestId,omitempty"`
	WebLink          string `json:"WebLink,omitempty"`
	KeyVersion       int    `json:"KeyVersion,omitempty"`
}

// NewPayload is the classic form of a request.
func NewPayload(h HashSigning) *Payload {
	p := &Payload{SignatureAlgorithm: h.Scheme.Algorithm, RsaHashAlgorithm: h.Scheme.Hash.OID(), Base64EncodedHash: base64.StdEncoding.EncodeToString(h.Digest), Metadata: h.Metadata}
	if h.Scheme.Algorithm == ECDSA {
		p.RsaHashAlgorithm, p.EcdsaSignatureFormat = "", h.ECDSAFormat
	}
	return p
}

// ParsePayload reads the artifact of the classic form. Errors are FieldErrors
// under the empty name, as SignPath reports errors of an artifact's content.
func ParsePayload(data []byte) (*HashSigning, error) {
	var p struct {
		SignatureAlgorithm, RsaHashAlgorithm, EcdsaSignatureFormat, Base64EncodedHash *string
		Metadata                                                                      json.RawMessage
	}
	if err := DecodeJSON(data, &p); err != nil {
		return nil, Field("", "The artifact is not a valid hash signing document: "+err.Error()+".")
	}
	errs := FieldErrors{}
	h := &HashSigning{ECDSAFormat: IEEE, Metadata: present(p.Metadata)}
	switch a := value(p.SignatureAlgorithm); {
	case a == "":
		errs.Add("", "SignatureAlgorithm is missing; give RsaPkcs1, RsaPss or Ecdsa.")
	case strings.EqualFold(a, string(RSAPKCS1)):
		h.Scheme.Algorithm = RSAPKCS1
	case strings.EqualFold(a, string(RSAPSS)):
		h.Scheme.Algorithm = RSAPSS
	case strings.EqualFold(a, string(ECDSA)):
		h.Scheme.Algorithm = ECDSA
	default:
		errs.Add("", fmt.Sprintf("SignatureAlgorithm %q is unknown; give RsaPkcs1, RsaPss or Ecdsa.", clip(a)))
	}
	rsa := h.Scheme.Algorithm == RSAPKCS1 || h.Scheme.Algorithm == RSAPSS
	if oid := value(p.RsaHashAlgorithm); rsa {
		var ok bool
		if h.Scheme.Hash, ok = HashByOID(oid); !ok {
			if oid == "" {
				errs.Add("", "RsaHashAlgorithm is missing; RSA signatures need the OID of the hash algorithm.")
			} else {
				errs.Add("", fmt.Sprintf("RsaHashAlgorithm %q is not the OID of a known hash algorithm.", clip(oid)))
			}
		}
	} else if oid != "" && h.Scheme.Algorithm == ECDSA {
		errs.Add("", "RsaHashAlgorithm does not go with SignatureAlgorithm Ecdsa.")
	}
	if f := value(p.EcdsaSignatureFormat); f != "" {
		if rsa {
			errs.Add("", "EcdsaSignatureFormat goes with SignatureAlgorithm Ecdsa only.")
		} else if h.ECDSAFormat = parseFormat(f); h.ECDSAFormat == "" {
			errs.Add("", fmt.Sprintf("EcdsaSignatureFormat %q is unknown; give Ieee or Asn1.", clip(f)))
		}
	}
	h.Digest = parseDigest(errs, "", "Base64EncodedHash", value(p.Base64EncodedHash))
	checkLength(errs, "", "Base64EncodedHash", h)
	if len(errs) > 0 {
		return nil, errs
	}
	return h, nil
}

// IsECDSADigestLength tells whether an EC key signs digests of n bytes: those of
// SHA-1 and SHA-2. The wire names no hash for ECDSA, so the length is all there
// is. Of a digest longer than the curve's order the leftmost bits count (FIPS
// 186-5 section 6.4.1).
func IsECDSADigestLength(n int) bool {
	switch n {
	case 20, 28, 32, 48, 64:
		return true
	}
	return false
}

func checkLength(errs FieldErrors, field, member string, h *HashSigning) {
	if h.Digest == nil {
		return // reported already
	}
	n := len(h.Digest)
	switch {
	case h.Scheme.Algorithm == ECDSA:
		if !IsECDSADigestLength(n) {
			errs.Add(field, fmt.Sprintf("%s has %d bytes; an ECDSA digest has 20, 28, 32, 48 or 64.", member, n))
		}
	case h.Scheme.Hash != 0 && n != h.Scheme.Hash.Size():
		errs.Add(field, fmt.Sprintf("%s has %d bytes, but a %s digest has %d.", member, n, h.Scheme.Hash, h.Scheme.Hash.Size()))
	}
}

func parseDigest(errs FieldErrors, field, member, text string) []byte {
	if text == "" {
		errs.Add(field, member+" is missing.")
		return nil
	}
	b, err := DecodeBase64(text)
	if err != nil {
		errs.Add(field, member+" is "+err.Error()+".")
		return nil
	}
	return b
}

func parseFormat(s string) ECDSAFormat {
	switch {
	case strings.EqualFold(s, string(IEEE)):
		return IEEE
	case strings.EqualFold(s, string(ASN1)):
		return ASN1
	}
	return ""
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// present is nil for a member that is absent or null.
func present(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return raw
}

// clip keeps foreign text in error documents short.
func clip(s string) string {
	const limit = 80
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
