package wire

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// HashSigning is a request to sign one digest (or one message), whichever of the two wire forms
// it came in. Its form has been checked; whether it may be signed has not.
type HashSigning struct {
	Scheme      Scheme
	Digest      []byte          // the bare digest, never a DigestInfo; EdDSA: SHA-512 of Message, for the record
	Message     []byte          // EdDSA only: what is signed, at most MaxMessage bytes
	ECDSAFormat ECDSAFormat     // IEEE unless asked for; meaningless for RSA
	Metadata    json.RawMessage // any JSON value, stored and echoed; nil when absent
}

// MaxMessage bounds in bytes what an EdDSA key signs: it signs messages, not digests.
const MaxMessage = 1 << 20

// Input is what the key signs: the digest or, for EdDSA, the message.
func (h *HashSigning) Input() []byte {
	if h.Scheme.Algorithm == EdDSA {
		return h.Message
	}
	return h.Digest
}

// SignsMessage tells whether a message is to be signed in place of a digest. It may be
// asked of what parsing gives beside an error, nil too.
func (h *HashSigning) SignsMessage() bool { return h != nil && h.Scheme.Algorithm == EdDSA }

// refused is what parsing gives beside its errors: the algorithm and nothing else.
func (h *HashSigning) refused() *HashSigning {
	return &HashSigning{Scheme: Scheme{Algorithm: h.Scheme.Algorithm}}
}

// setMessage makes a request to sign a message.
func (h *HashSigning) setMessage(message []byte) {
	sum := sha512.Sum512(message)
	h.Message, h.Digest = message, sum[:]
}

// NewHashSigning is a request to sign an input: a digest or, for EdDSA, a message.
func NewHashSigning(scheme Scheme, input []byte) HashSigning {
	h := HashSigning{Scheme: scheme, Digest: input, ECDSAFormat: IEEE}
	if scheme.Algorithm == EdDSA {
		h.setMessage(input)
	}
	return h
}

// Payload is the artifact of the classic form (`payload.json`) and, with
// Signature, its answer.
type Payload struct {
	SignatureAlgorithm   Algorithm       `json:"SignatureAlgorithm"`
	RsaHashAlgorithm     string          `json:"RsaHashAlgorithm,omitempty"`     // OID; RSA only, mandatory there
	EcdsaSignatureFormat ECDSAFormat     `json:"EcdsaSignatureFormat,omitempty"` // EC only
	Base64EncodedHash    string          `json:"Base64EncodedHash,omitempty"`
	Base64EncodedMessage string          `json:"Base64EncodedMessage,omitempty"` // EdDsa only, in place of the hash
	Metadata             json.RawMessage `json:"Metadata,omitempty"`
	// Signature is standard base64: RSA the modulus-length big-endian block, EC
	// as EcdsaSignatureFormat says, EdDSA R‖S in 64 bytes. Answers only.
	Signature string `json:"Signature,omitempty"`
	// SigningRequestID, WebLink and KeyVersion (ours, from 1) are in answers only.
	SigningRequestID string `json:"SigningRequestId,omitempty"`
	WebLink          string `json:"WebLink,omitempty"`
	KeyVersion       int    `json:"KeyVersion,omitempty"`
}

// NewPayload is the classic form of a request.
func NewPayload(h HashSigning) *Payload {
	p := &Payload{SignatureAlgorithm: h.Scheme.Algorithm, RsaHashAlgorithm: h.Scheme.Hash.OID(), Base64EncodedHash: base64.StdEncoding.EncodeToString(h.Digest), Metadata: h.Metadata}
	switch h.Scheme.Algorithm {
	case ECDSA:
		p.RsaHashAlgorithm, p.EcdsaSignatureFormat = "", h.ECDSAFormat
	case EdDSA:
		p.RsaHashAlgorithm, p.Base64EncodedHash, p.Base64EncodedMessage = "", "", base64.StdEncoding.EncodeToString(h.Message)
	}
	return p
}

// ParsePayload reads the artifact of the classic form. Errors are FieldErrors
// under the empty name, as SignPath reports errors of an artifact's content; beside
// them nothing of the result counts but SignsMessage.
func ParsePayload(data []byte) (*HashSigning, error) {
	var p struct {
		SignatureAlgorithm, RsaHashAlgorithm, EcdsaSignatureFormat, Base64EncodedHash, Base64EncodedMessage *string
		Metadata                                                                                            json.RawMessage
	}
	if err := DecodeJSON(data, &p); err != nil {
		return nil, Field("", "The artifact is not a valid hash signing document: "+err.Error()+".")
	}
	errs := FieldErrors{}
	h := &HashSigning{ECDSAFormat: IEEE, Metadata: present(p.Metadata)}
	switch a := value(p.SignatureAlgorithm); {
	case a == "":
		errs.Add("", "SignatureAlgorithm is missing; give RsaPkcs1, RsaPss, Ecdsa or EdDsa.")
	case strings.EqualFold(a, string(RSAPKCS1)):
		h.Scheme.Algorithm = RSAPKCS1
	case strings.EqualFold(a, string(RSAPSS)):
		h.Scheme.Algorithm = RSAPSS
	case strings.EqualFold(a, string(ECDSA)):
		h.Scheme.Algorithm = ECDSA
	case strings.EqualFold(a, string(EdDSA)):
		h.Scheme.Algorithm = EdDSA
	default:
		errs.Add("", fmt.Sprintf("SignatureAlgorithm %q is unknown; give RsaPkcs1, RsaPss, Ecdsa or EdDsa.", clip(a)))
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
	} else if oid != "" && h.Scheme.Algorithm != "" {
		errs.Add("", fmt.Sprintf("RsaHashAlgorithm does not go with SignatureAlgorithm %s.", h.Scheme.Algorithm))
	}
	if f := value(p.EcdsaSignatureFormat); f != "" {
		if rsa || h.Scheme.Algorithm == EdDSA {
			errs.Add("", "EcdsaSignatureFormat goes with SignatureAlgorithm Ecdsa only.")
		} else if h.ECDSAFormat = parseFormat(f); h.ECDSAFormat == "" {
			errs.Add("", fmt.Sprintf("EcdsaSignatureFormat %q is unknown; give Ieee or Asn1.", clip(f)))
		}
	}
	h.parseInput(errs, "", "Base64EncodedHash", value(p.Base64EncodedHash), "Base64EncodedMessage", value(p.Base64EncodedMessage))
	if len(errs) > 0 {
		return h.refused(), errs
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

// parseInput reads the digest or, for EdDSA, the message: the one that the
// algorithm does not take must not be there. Errors stand under the member's path,
// or under the empty name when at is empty.
func (h *HashSigning) parseInput(errs FieldErrors, at, hashMember, hash, messageMember, message string) {
	path := func(member string) string {
		if at == "" {
			return ""
		}
		return at + member
	}
	algorithm := h.Scheme.Algorithm
	if algorithm != EdDSA {
		if message != "" && algorithm != "" {
			errs.Add(path(messageMember), fmt.Sprintf("%s goes with SignatureAlgorithm EdDsa only; give %s.", messageMember, hashMember))
		}
		h.Digest = parseDigest(errs, path(hashMember), hashMember, hash)
		checkLength(errs, "", hashMember, h)
		return
	}
	if hash != "" {
		errs.Add(path(hashMember), fmt.Sprintf("%s does not go with SignatureAlgorithm EdDsa, which signs the message itself; give %s.", hashMember, messageMember))
		return
	}
	b := parseDigest(errs, path(messageMember), messageMember, message)
	if len(b) > MaxMessage {
		errs.Add(path(messageMember), fmt.Sprintf("%s has %d bytes; %d are allowed.", messageMember, len(b), MaxMessage))
	} else if b != nil {
		h.setMessage(b)
	}
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
