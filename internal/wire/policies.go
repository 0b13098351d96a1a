package wire

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// SigningPolicies is the answer of GET Cryptoki/MySigningPolicies: every
// policy in which the token's user is Submitter.
type SigningPolicies struct {
	SigningPolicies []SigningPolicy `json:"signingPolicies"`
}

// SigningPolicy is one key that the caller may sign with.
type SigningPolicy struct {
	SigningPolicyID   string          `json:"signingPolicyId"` // UUID
	ProjectSlug       string          `json:"projectSlug"`
	SigningPolicySlug string          `json:"signingPolicySlug"`
	CertificateType   CertificateType `json:"certificateType,omitempty"`
	KeyType           KeyType         `json:"keyType"`
	KeySizeInBits     int             `json:"keySizeInBits"`           // RSA modulus or curve size
	RSAParameters     *RSAParameters  `json:"rsaParameters,omitempty"` // RSA only
	ECParameters      *ECParameters   `json:"ecParameters,omitempty"`  // EC only; ours, other servers leave it out
	// PublicKeyBytes is, as in the bit string of a SubjectPublicKeyInfo: RSA the
	// DER of PKCS #1 RSAPublicKey, EC the uncompressed point 04‖X‖Y.
	PublicKeyBytes []byte `json:"publicKeyBytes,omitempty"`
	// CertificateBytes is the leaf in DER; absent for OpenPGP keys and for
	// certificates that are not issued yet.
	CertificateBytes []byte `json:"certificateBytes,omitempty"`
	// CertificateChain holds the issuers in DER, next issuer first, root last; ours.
	CertificateChain [][]byte `json:"certificateChain,omitempty"`
}

// Name is the key reference that every tool uses: "project/policy".
func (p *SigningPolicy) Name() string { return p.ProjectSlug + "/" + p.SigningPolicySlug }

// RSAParameters holds unsigned big-endian integers without leading zero bytes.
type RSAParameters struct {
	PublicExponent []byte `json:"publicExponent"`
	Modulus        []byte `json:"modulus"`
}

// ECParameters names the curve and gives the uncompressed point 04‖X‖Y (SEC 1 section 2.3.3).
type ECParameters struct {
	CurveOID string `json:"curveOid"` // dotted, e.g. 1.2.840.10045.3.1.7 for P-256
	Point    []byte `json:"point"`
}

// MalformedPoliciesError reports entries of a policy list that cannot be used.
// The entries beside them are good: whoever looks for another key goes on.
type MalformedPoliciesError struct {
	Entries []MalformedPolicy
}

// MalformedPolicy is one entry that cannot be used.
type MalformedPolicy struct {
	Name string // "project/policy", or "#n" (from 1) when the entry has no name
	Err  error
}

// Error names every entry and its fault.
func (e *MalformedPoliciesError) Error() string {
	var b strings.Builder
	b.WriteString("the service sent signing policies that cannot be used")
	for i, entry := range e.Entries {
		b.WriteString([...]string{": ", "; "}[min(i, 1)])
		b.WriteString(entry.Name + ": " + entry.Err.Error())
	}
	return b.String()
}

// ParseSigningPolicies reads the answer of MySigningPolicies in the order of
// the document. Unknown members are ignored and entries with unknown key types
// or curves left out. Entries that are malformed (bad base64, no slugs, keys
// that contradict each other) are left out as well and reported by a
// *MalformedPoliciesError beside the good ones; any other error means that
// there is no list at all.
func ParseSigningPolicies(data []byte) ([]SigningPolicy, error) {
	var list struct {
		SigningPolicies []json.RawMessage `json:"signingPolicies"`
	}
	if err := DecodeJSON(data, &list); err != nil {
		return nil, fmt.Errorf("the answer is not a list of signing policies: %w", err)
	}
	if list.SigningPolicies == nil {
		return nil, errors.New("the answer holds no signingPolicies")
	}
	policies := make([]SigningPolicy, 0, len(list.SigningPolicies))
	var malformed []MalformedPolicy
	issuers := map[string]error{} // by DER: most policies share a few
	for i, raw := range list.SigningPolicies {
		p, err := parsePolicy(raw, issuers)
		switch {
		case err == nil:
			policies = append(policies, *p)
		case errors.Is(err, errUnknownKeyType) || errors.Is(err, errUnknownCurve):
		default:
			name := oneLine(p.Name())
			if p.ProjectSlug == "" || p.SigningPolicySlug == "" {
				name = fmt.Sprintf("#%d", i+1)
			}
			malformed = append(malformed, MalformedPolicy{Name: name, Err: err})
		}
	}
	if malformed != nil {
		return policies, &MalformedPoliciesError{Entries: malformed}
	}
	return policies, nil
}

var errUnknownKeyType = errors.New("the keyType is unknown")

// parsePolicy reads one entry. The result is never nil, so that a failure can be named.
func parsePolicy(raw []byte, issuers map[string]error) (*SigningPolicy, error) {
	p := &SigningPolicy{}
	// Texts, not []byte: encoding/json's own base64 ignores line breaks.
	var w struct {
		SigningPolicyID   string          `json:"signingPolicyId"`
		ProjectSlug       string          `json:"projectSlug"`
		SigningPolicySlug string          `json:"signingPolicySlug"`
		CertificateType   CertificateType `json:"certificateType"`
		KeyType           KeyType         `json:"keyType"`
		KeySizeInBits     int             `json:"keySizeInBits"`
		RSAParameters     *struct {
			PublicExponent string `json:"publicExponent"`
			Modulus        string `json:"modulus"`
		} `json:"rsaParameters"`
		ECParameters *struct {
			CurveOID string `json:"curveOid"`
			Point    string `json:"point"`
		} `json:"ecParameters"`
		PublicKeyBytes   string   `json:"publicKeyBytes"`
		CertificateBytes string   `json:"certificateBytes"`
		CertificateChain []string `json:"certificateChain"`
	}
	// Name and type first: an unknown type may use the other members in its own way.
	var head struct {
		ProjectSlug       string  `json:"projectSlug"`
		SigningPolicySlug string  `json:"signingPolicySlug"`
		KeyType           KeyType `json:"keyType"`
	}
	if err := checkJSON(raw, reflect.TypeOf(w)); err != nil {
		return p, err
	}
	if err := decodeChecked(raw, &head); err != nil {
		return p, err
	}
	p.ProjectSlug, p.SigningPolicySlug = head.ProjectSlug, head.SigningPolicySlug
	switch {
	case head.KeyType == "":
		return p, errors.New("keyType is missing")
	case strings.EqualFold(string(head.KeyType), string(KeyRSA)):
		p.KeyType = KeyRSA
	case strings.EqualFold(string(head.KeyType), string(KeyECDSA)):
		p.KeyType = KeyECDSA
	default:
		return p, errUnknownKeyType
	}
	if p.ProjectSlug == "" || p.SigningPolicySlug == "" {
		return p, errors.New("projectSlug or signingPolicySlug is missing")
	}
	if err := decodeChecked(raw, &w); err != nil {
		return p, err
	}
	p.SigningPolicyID, p.CertificateType, p.KeySizeInBits = w.SigningPolicyID, w.CertificateType, w.KeySizeInBits
	for _, known := range []CertificateType{CertificateX509, CertificateGPG} {
		if strings.EqualFold(string(p.CertificateType), string(known)) {
			p.CertificateType = known
		}
	}
	var d base64Decoder
	if w.RSAParameters != nil && p.KeyType == KeyRSA {
		p.RSAParameters = &RSAParameters{
			PublicExponent: d.decode("rsaParameters.publicExponent", w.RSAParameters.PublicExponent),
			Modulus:        d.decode("rsaParameters.modulus", w.RSAParameters.Modulus),
		}
	}
	if w.ECParameters != nil && p.KeyType == KeyECDSA {
		p.ECParameters = &ECParameters{CurveOID: w.ECParameters.CurveOID, Point: d.decode("ecParameters.point", w.ECParameters.Point)}
	}
	p.PublicKeyBytes = d.decode("publicKeyBytes", w.PublicKeyBytes)
	p.CertificateBytes = d.decode("certificateBytes", w.CertificateBytes)
	for i, c := range w.CertificateChain {
		p.CertificateChain = append(p.CertificateChain, d.decode(fmt.Sprintf("certificateChain[%d]", i), c))
	}
	if d.err != nil {
		return p, d.err
	}
	for i, der := range p.CertificateChain {
		err, known := issuers[string(der)]
		if !known {
			_, err = x509.ParseCertificate(der)
			issuers[string(der)] = err
		}
		if err != nil {
			return p, fmt.Errorf("certificateChain[%d] is not an X.509 certificate: %w", i, err)
		}
	}
	if _, err := p.PublicKey(); err != nil {
		return p, err
	}
	return p, nil
}

// base64Decoder decodes many members and keeps the first error.
type base64Decoder struct{ err error }

func (d *base64Decoder) decode(member, text string) []byte {
	if text == "" || d.err != nil {
		return nil
	}
	b, err := DecodeBase64(text)
	if err != nil {
		d.err = fmt.Errorf("%s is %w", member, err)
	}
	return b
}
