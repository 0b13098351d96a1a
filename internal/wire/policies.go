package wire

import (
	"crypto"
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
	// DER of PKCS #1 RSAPublicKey, EC the uncompressed point 04‖X‖Y, Ed25519 the 32
	// bytes of RFC 8032.
	PublicKeyBytes []byte `json:"publicKeyBytes,omitempty"`
	// CertificateBytes is the leaf in DER; absent for OpenPGP keys and for
	// certificates that are not issued yet.
	CertificateBytes []byte `json:"certificateBytes,omitempty"`
	// CertificateChain holds the issuers in DER, next issuer first, root last; ours.
	CertificateChain [][]byte `json:"certificateChain,omitempty"`

	public crypto.PublicKey // what ParseSigningPolicies found, else nil
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
