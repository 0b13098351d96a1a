package signing

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"signpath/internal/service/auth"
	"signpath/internal/service/authz"
	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// Bounds of what a request makes the audit log keep.
const (
	maxDescription = 2000     // characters
	maxMetadata    = 16 << 10 // bytes of JSON
)

// check is one line of the table.
type check struct {
	number   int // as in the audit entry of a refusal
	what     string
	statuses []int // what run can refuse with
	run      func(*decision) *wire.Problem
}

// The table of everything that is checked before a key is used, in this order.
// The first check that fails ends the decision. Each function has one concern;
// later ones rely on what earlier ones have found.
var checks = []check{
	{1, "the token belongs to an active user of the organization and may be used from here", []int{400, 401, 403}, checkPrincipal},
	{2, "the project exists", []int{400}, checkProject},
	{2, "the signing policy exists", []int{400}, checkPolicy},
	{2, "the user is a submitter of the signing policy", []int{403}, checkSubmitter},
	{2, "project and signing policy are active", []int{400}, checkActive},
	{3, "the artifact configuration exists, is active and is for hash signing data", []int{400}, checkArtifactConfiguration},
	{4, "the signing policy has no approval process", []int{400}, checkApproval},
	{4, "a signing policy that demands a trusted build system has the proof of one that is linked to the project", []int{403}, checkTrustedBuildSystem},
	{5, "the certificate is present, active and inside its validity; the key is not deleted", []int{400}, checkCertificate},
	{6, "the signature algorithm fits the type of the key", []int{400}, checkAlgorithm},
	{7, "RSA: the hash algorithm is known and the digest has its length", []int{400}, checkRSADigest},
	{8, "ECDSA: the digest has the length of a SHA-1 or SHA-2 digest", []int{400}, checkECDSADigest},
	{9, "RSA: the key is long enough for digest, salt and padding", []int{400}, checkKeyLength},
	{9, "the key store knows the signature algorithm", []int{400}, checkKeyStore},
	{10, "the signing policy allows the hash algorithm; ECDSA: one that makes digests of this length; EdDSA: SHA-512", []int{400}, checkHashAllowed},
	{11, "description and metadata are within their size, and metadata is JSON", []int{400}, checkSizes},
	quotaCheck,
	{12, "the audit entry is durable", []int{500}, nil}, // Service.Sign: the one check that needs the database
}

// decision is one request on its way through the checks, which fill it.
type decision struct {
	view *view
	req  *Request
	now  time.Time
	// submission tells that an asynchronous request is only to be accepted now:
	// approvals come later.
	submission bool

	principal   *authz.Principal             // 1
	project     *model.Project               // 2
	policy      *model.SigningPolicy         // 2
	artifact    *model.ArtifactConfiguration // 3
	certificate *model.Certificate           // 5
	key         *model.Key                   // 5
	material    *material                    // 5
}

// decide runs the checks and gives the one that failed.
func (d *decision) decide() (*check, *wire.Problem) {
	for i := range checks {
		if c := &checks[i]; c.run != nil {
			if p := c.run(d); p != nil {
				return c, p
			}
		}
	}
	return nil, nil
}

// invalid is a 400 for one field; the empty field is the artifact's content.
func invalid(field, format string, args ...any) *wire.Problem {
	return wire.NewValidationProblem(wire.Field(field, fmt.Sprintf(format, args...)))
}

func checkPrincipal(d *decision) *wire.Problem {
	if d.req.Queued != nil {
		return d.checkQueued()
	}
	p, err := auth.Authenticate(d.view.snapshot, d.req.OrganizationID, d.req.Authorization, d.req.Caller.IP, d.now)
	var problem *wire.Problem
	switch {
	case err == nil:
		d.principal = p
		return nil
	case errors.As(err, &problem):
		return problem
	default:
		return wire.NewProblem(http.StatusUnauthorized, "The request could not be authenticated.")
	}
}

func checkProject(d *decision) *wire.Problem {
	if d.req.SigningPolicyID != "" {
		return d.findPolicyByID()
	}
	slug := d.req.ProjectSlug
	if slug == "" {
		return invalid("ProjectSlug", "ProjectSlug is missing.")
	}
	var ok bool
	if d.project, ok = d.view.snapshot.Project(d.principal.Organization.ID, slug); !ok {
		return invalid("ProjectSlug", "The organization has no project '%s'.", clip(slug))
	}
	return nil
}

func checkPolicy(d *decision) *wire.Problem {
	if d.policy != nil { // found by its ID
		return nil
	}
	slug := d.req.SigningPolicySlug
	if slug == "" {
		return invalid("SigningPolicySlug", "SigningPolicySlug is missing.")
	}
	var ok bool
	if d.policy, ok = d.view.snapshot.SigningPolicy(d.project.ID, slug); !ok {
		return invalid("SigningPolicySlug", "Project '%s' has no signing policy '%s'.", d.project.Slug, clip(slug))
	}
	return nil
}

func checkSubmitter(d *decision) *wire.Problem {
	if !d.view.snapshot.CanSubmit(d.principal, d.policy) {
		return wire.NewProblem(http.StatusForbidden, fmt.Sprintf("The user '%s' is not a submitter of the signing policy '%s' of project '%s'.", d.principal.User.Name, d.policy.Slug, d.project.Slug))
	}
	return nil
}

func checkActive(d *decision) *wire.Problem {
	switch {
	case !d.project.Active:
		return invalid("ProjectSlug", "Project '%s' is not active.", d.project.Slug)
	case !d.policy.Active:
		return invalid("SigningPolicySlug", "The signing policy '%s' of project '%s' is not active.", d.policy.Slug, d.project.Slug)
	}
	return nil
}

func checkArtifactConfiguration(d *decision) *wire.Problem {
	const field = "ArtifactConfigurationSlug"
	slug := d.req.ArtifactConfigurationSlug
	a, ok := d.view.snapshot.ArtifactConfiguration(d.project.ID, slug)
	if id := d.req.ArtifactConfigurationID; id != "" {
		slug = id
		a, ok = d.view.snapshot.ArtifactConfigurationByID(d.project.ID, id)
	}
	switch {
	case !ok && slug == "":
		return invalid(field, "Project '%s' has no default artifact configuration. Make one of the type 'Hash signing data' the default, or name one.", d.project.Slug)
	case !ok:
		return invalid(field, "Project '%s' has no artifact configuration '%s'.", d.project.Slug, clip(slug))
	case !a.Active:
		return invalid(field, "The artifact configuration '%s' of project '%s' is not active.", a.Slug, d.project.Slug)
	case a.Type != model.HashSigningData:
		return invalid(field, "The artifact configuration '%s' of project '%s' is not of the type 'Hash signing data' and cannot sign hashes.", a.Slug, d.project.Slug)
	}
	d.artifact = a
	return nil
}

func checkApproval(d *decision) *wire.Problem {
	if d.submission {
		return nil
	}
	if q := d.req.Queued; q != nil {
		return d.checkApproved(q)
	}
	if d.policy.RequiredApprovals > 0 {
		return invalid("SigningPolicyId", "The signing policy '%s' requires approval. Hash signing cannot wait for one: use a signing policy without approval.", d.policy.Slug)
	}
	return nil
}

// checkTrustedBuildSystem looks at what check 1 found: a token of a trusted
// build system that does not exist is refused there.
func checkTrustedBuildSystem(d *decision) *wire.Problem {
	b := d.principal.TrustedBuildSystem
	switch {
	case !d.policy.RequiresTrustedBuildSystem:
	case b == nil:
		return wire.NewProblem(http.StatusForbidden, fmt.Sprintf("The signing policy '%s' demands a trusted build system, which this request does not prove. Send its token behind the API token: 'Authorization: Bearer {API token}:{trusted build system token}'.", d.policy.Slug))
	case !slices.Contains(b.Projects, d.project.ID):
		return wire.NewProblem(http.StatusForbidden, fmt.Sprintf("The trusted build system '%s' is not linked to the project '%s'.", b.Name, d.project.Slug))
	}
	return nil
}

func checkCertificate(d *decision) *wire.Problem {
	const field = "SigningPolicySlug"
	c, ok := d.view.snapshot.Certificate(d.policy)
	if !ok {
		return invalid(field, "The signing policy '%s' has no certificate.", d.policy.Slug)
	}
	k, ok := d.view.snapshot.Key(c)
	m := d.view.materials[c.ID]
	switch {
	case !ok || k.Deleted:
		return invalid(field, "The key of the certificate '%s' was deleted.", c.Slug)
	case !c.Active:
		return invalid(field, "The certificate '%s' is not active.", c.Slug)
	case c.RequiresApproval && d.policy.RequiredApprovals == 0:
		return invalid(field, "The certificate '%s' may be used by signing policies with approval only, and '%s' has none.", c.Slug, d.policy.Slug)
	case c.Type == wire.CertificateX509 && len(c.Leaf) == 0:
		return invalid(field, "The certificate '%s' is not issued yet.", c.Slug)
	case !c.NotBefore.IsZero() && d.now.Before(c.NotBefore):
		return invalid(field, "The certificate '%s' is not valid before %s.", c.Slug, c.NotBefore.UTC().Format(time.RFC3339))
	case !c.NotAfter.IsZero() && (d.now.After(c.NotAfter) || c.Type == wire.CertificateGPG && d.now.Equal(c.NotAfter)):
		// The last second of an X.509 certificate is valid (RFC 5280 section 4.1.2.5),
		// that of an OpenPGP key is not (RFC 9580 section 5.2.3.13).
		return invalid(field, "The certificate '%s' expired on %s.", c.Slug, c.NotAfter.UTC().Format(time.RFC3339))
	case m == nil || m.err != nil:
		return invalid(field, "The certificate '%s' cannot be used: it is damaged or does not belong to its key. Ask the operator of the service.", c.Slug)
	}
	d.certificate, d.key, d.material = c, k, m
	return nil
}

func checkAlgorithm(d *decision) *wire.Problem {
	h := d.req.Hash
	if h == nil {
		return invalid("", "The request has no hash to sign.")
	}
	switch h.Scheme.Algorithm {
	case wire.RSAPKCS1, wire.RSAPSS, wire.ECDSA, wire.EdDSA:
	default:
		return invalid("", "The signature algorithm '%s' is unknown; there are RsaPkcs1, RsaPss, Ecdsa and EdDsa.", clip(string(h.Scheme.Algorithm)))
	}
	if h.Scheme.Algorithm.KeyType() != d.key.Type {
		return invalid("", "The signature algorithm '%s' does not fit the key of the signing policy '%s', which is of the type %s.", h.Scheme.Algorithm, d.policy.Slug, d.key.Type)
	}
	return nil
}

func checkRSADigest(d *decision) *wire.Problem {
	h := d.req.Hash
	if d.key.Type != wire.KeyRSA {
		return nil
	}
	size := h.Scheme.Hash.Size()
	switch {
	case size == 0:
		return invalid("", "The hash algorithm is missing; RSA signatures need it.")
	case len(h.Digest) != size:
		return invalid("", "The hash has %d bytes, but a %s digest has %d.", len(h.Digest), h.Scheme.Hash, size)
	}
	return nil
}

func checkECDSADigest(d *decision) *wire.Problem {
	if n := len(d.req.Hash.Digest); d.key.Type == wire.KeyECDSA && !wire.IsECDSADigestLength(n) {
		return invalid("", "The hash has %d bytes; an ECDSA digest has 20, 28, 32, 48 or 64.", n)
	}
	return nil
}

// digestInfoPrefix is the DER around the digest in EMSA-PKCS1-v1_5, in bytes
// (RFC 8017 section 9.2, note 1).
var digestInfoPrefix = map[wire.Hash]int{wire.MD5: 18, wire.SHA1: 15, wire.SHA256: 19, wire.SHA384: 19, wire.SHA512: 19}

func checkKeyLength(d *decision) *wire.Problem {
	pub, ok := d.material.public.(*rsa.PublicKey)
	if !ok {
		return nil
	}
	s := d.req.Hash.Scheme
	bits := pub.N.BitLen()
	if have, need := encodedLength(s, bits); have < need {
		return invalid("", "The key of the signing policy '%s' has %d bits, too few for %s with %s.", d.policy.Slug, bits, s.Algorithm, s.Hash)
	}
	return nil
}

// checkKeyStore refuses what a token cannot make: PKCS #11 has no MGF1 with MD5
// (v2.40 section 2.1.7), which the embedded key store has.
func checkKeyStore(d *decision) *wire.Problem {
	if s := d.req.Hash.Scheme; s.Algorithm == wire.RSAPSS && s.Hash == wire.MD5 && d.key.Backend != keys.SoftBackend {
		return invalid("", "The key of the signing policy '%s' lies on a PKCS #11 token, which cannot make RSA-PSS signatures with MD5. Use another hash algorithm.", d.policy.Slug)
	}
	return nil
}

// encodedLength gives the bytes that the encoded message of an RSA signature
// has and the bytes that it needs. PKCS1: modulus length, DigestInfo + 11 (RFC
// 8017 section 9.2 step 3). PSS: emLen = ceil((modBits-1)/8), digest + salt + 2
// with a salt as long as the digest (sections 8.1.1 and 9.1.1 step 3).
func encodedLength(s wire.Scheme, modulusBits int) (have, need int) {
	n := s.Hash.Size()
	if s.Algorithm == wire.RSAPSS {
		return (modulusBits - 1 + 7) / 8, 2*n + 2
	}
	return (modulusBits + 7) / 8, digestInfoPrefix[s.Hash] + n + 11
}

// ecdsaHashes are the hash algorithms by the length of their digests in bytes.
// SHA-224 has no name on the wire: it goes with the algorithm that it is cut from.
var ecdsaHashes = map[int]wire.Hash{20: wire.SHA1, 28: wire.SHA256, 32: wire.SHA256, 48: wire.SHA384, 64: wire.SHA512}

func checkHashAllowed(d *decision) *wire.Problem {
	h := d.req.Hash.Scheme.Hash
	switch d.key.Type {
	case wire.KeyECDSA:
		h = ecdsaHashes[len(d.req.Hash.Digest)]
	case wire.KeyEd25519:
		h = wire.SHA512 // what Ed25519 hashes with (RFC 8032 section 5.1)
	}
	if slices.Contains(d.policy.Hashes, h) {
		return nil
	}
	names := make([]string, len(d.policy.Hashes))
	for i, h := range d.policy.Hashes {
		names[i] = h.String()
	}
	return invalid("", "The signing policy '%s' does not allow %s; it allows %s.", d.policy.Slug, h, strings.Join(names, ", "))
}

func checkSizes(d *decision) *wire.Problem {
	if n := utf8.RuneCountInString(d.req.Description); n > maxDescription {
		return invalid("Description", "The description has %d characters; %d are allowed.", n, maxDescription)
	}
	if n := len(d.req.Hash.Metadata); n > maxMetadata {
		return invalid("", "The metadata has %d bytes; %d are allowed.", n, maxMetadata)
	}
	if m := d.req.Hash.Metadata; len(m) > 0 {
		if err := wire.CheckJSON(m); err != nil {
			return invalid("", "The metadata cannot be kept: %v.", err)
		}
	}
	return nil
}

// sentence is a text with one full stop at its end.
func sentence(s string) string { return strings.TrimRight(s, ".") + "." }

// clip keeps foreign text in answers and refusals short.
func clip(s string) string {
	const limit = 100
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
