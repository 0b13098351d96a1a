package signing

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // names certificates as Windows does; nothing is decided on it
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"

	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// view is a snapshot and what is computed from it once: it is what one atomic
// pointer holds, so that both always belong together.
type view struct {
	snapshot  *authz.Snapshot
	materials map[string]*material // by certificate ID
}

// material is what a certificate and its key come to on the wire.
type material struct {
	// Copies, so that an old configuration is not kept alive.
	certificate model.Certificate
	key         model.Key
	err         error // why the certificate cannot be used
	public      crypto.PublicKey
	thumbprint  string             // SHA-1 of the leaf, lower-case hex; "" for OpenPGP keys
	wire        wire.SigningPolicy // without ID and slugs
}

// newView indexes a configuration. Parsing keys is what costs; it is not done
// again for certificates that the old view has too.
func newView(c *model.Config, old *view) *view {
	sorted := *c
	slugs := make(map[string]string, len(c.Projects))
	for _, p := range c.Projects {
		slugs[p.ID] = p.Slug
	}
	// Lists of policies keep this order.
	sorted.SigningPolicies = slices.SortedFunc(slices.Values(c.SigningPolicies), func(a, b model.SigningPolicy) int {
		return cmp.Or(cmp.Compare(slugs[a.ProjectID], slugs[b.ProjectID]), cmp.Compare(a.Slug, b.Slug))
	})
	v := &view{snapshot: authz.NewSnapshot(&sorted), materials: make(map[string]*material, len(c.Certificates))}
	for i := range sorted.Certificates {
		certificate := &sorted.Certificates[i]
		key, ok := v.snapshot.Key(certificate)
		if !ok {
			continue
		}
		if old != nil {
			if m := old.materials[certificate.ID]; m != nil && m.same(certificate, key) {
				v.materials[certificate.ID] = m
				continue
			}
		}
		v.materials[certificate.ID] = newMaterial(certificate, key)
	}
	return v
}

func (m *material) same(c *model.Certificate, k *model.Key) bool {
	return m.certificate.Type == c.Type && bytes.Equal(m.certificate.Leaf, c.Leaf) && slices.EqualFunc(m.certificate.Chain, c.Chain, bytes.Equal) &&
		m.key.Type == k.Type && m.key.Bits == k.Bits && bytes.Equal(m.key.Public, k.Public)
}

func newMaterial(c *model.Certificate, k *model.Key) *material {
	m := &material{certificate: *c, key: *k, wire: wire.SigningPolicy{CertificateType: c.Type, KeyType: k.Type, KeySizeInBits: k.Bits, CertificateBytes: c.Leaf, CertificateChain: c.Chain}}
	if m.public, m.err = x509.ParsePKIXPublicKey(k.Public); m.err != nil {
		m.err = fmt.Errorf("the recorded public key of key %s cannot be read: %w", k.ID, m.err)
		return m
	}
	if m.err = setPublic(&m.wire, m.public); m.err != nil {
		return m
	}
	if len(c.Leaf) == 0 {
		return m
	}
	sum := sha1.Sum(c.Leaf) //nolint:gosec // see the import
	m.thumbprint = hex.EncodeToString(sum[:])
	leaf, err := x509.ParseCertificate(c.Leaf)
	switch {
	case err != nil:
		m.err = fmt.Errorf("the certificate %s cannot be read: %w", c.ID, err)
	case !samePublicKey(m.public, leaf.PublicKey):
		m.err = fmt.Errorf("the certificate %s does not belong to the key %s", c.ID, k.ID)
	}
	return m
}

// setPublic fills in the public key as wire.SigningPolicy describes.
func setPublic(w *wire.SigningPolicy, public crypto.PublicKey) error {
	switch pub := public.(type) {
	case *rsa.PublicKey:
		if w.KeyType != wire.KeyRSA {
			return errors.New("an RSA key is recorded with another type")
		}
		w.PublicKeyBytes = x509.MarshalPKCS1PublicKey(pub)
		w.RSAParameters = &wire.RSAParameters{PublicExponent: big.NewInt(int64(pub.E)).Bytes(), Modulus: pub.N.Bytes()}
	case *ecdsa.PublicKey:
		oid, ok := wire.CurveOID(pub.Curve.Params().BitSize)
		if w.KeyType != wire.KeyECDSA || !ok {
			return errors.New("an EC key is recorded with another type or has an unknown curve")
		}
		point, err := pub.Bytes()
		if err != nil {
			return fmt.Errorf("the public point cannot be encoded: %w", err)
		}
		w.PublicKeyBytes = point
		w.ECParameters = &wire.ECParameters{CurveOID: oid, Point: point}
	case ed25519.PublicKey:
		if w.KeyType != wire.KeyEd25519 {
			return errors.New("an Ed25519 key is recorded with another type")
		}
		w.PublicKeyBytes = pub
	default:
		return errors.New("the key is of an unknown type")
	}
	return nil
}

// MySigningPolicies lists what the principal may sign with, sorted by project
// and policy slug. Both filters are optional; they compare as all slugs do, and
// one that matches nothing gives an empty list. Inactive projects, policies and
// certificates and deleted keys are left out. Byte slices of the result are
// shared and must not be changed.
func (s *Service) MySigningPolicies(p *authz.Principal, projectSlug, signingPolicySlug string) []wire.SigningPolicy {
	list := []wire.SigningPolicy{}
	if p == nil {
		return list
	}
	v := s.view.Load()
	for _, policy := range v.snapshot.Submittable(p.User.ID) {
		if signingPolicySlug != "" && !sameSlug(signingPolicySlug, policy.Slug) {
			continue
		}
		project, ok := v.snapshot.ProjectByID(policy.ProjectID)
		if !ok || projectSlug != "" && !sameSlug(projectSlug, project.Slug) {
			continue
		}
		if !project.Active || !policy.Active || !v.snapshot.CanSubmit(p, policy) {
			continue
		}
		certificate, ok := v.snapshot.Certificate(policy)
		if !ok || !certificate.Active {
			continue
		}
		key, ok := v.snapshot.Key(certificate)
		m := v.materials[certificate.ID]
		if !ok || key.Deleted || m == nil || m.err != nil {
			continue
		}
		w := m.wire
		w.SigningPolicyID, w.ProjectSlug, w.SigningPolicySlug = policy.ID, project.Slug, policy.Slug
		list = append(list, w)
	}
	return list
}

func sameSlug(a, b string) bool { return strings.EqualFold(a, b) }

// PolicyView is a signing policy with all that belongs to it.
type PolicyView struct {
	Project     model.Project
	Policy      model.SigningPolicy
	Certificate model.Certificate
	Key         model.Key
}

// Policy finds a signing policy by the slugs in an address. Every user may read
// the policies of the organization, active or not. What does not exist is a
// problem with status 403, as what may not be seen (SignPath REST API
// documentation: unknown resources).
func (s *Service) Policy(p *authz.Principal, projectSlug, policySlug string) (*PolicyView, error) {
	snapshot := s.view.Load().snapshot
	if p == nil {
		return nil, wire.NewProblem(http.StatusUnauthorized, "The request is not authenticated.")
	}
	project, ok := snapshot.Project(p.Organization.ID, projectSlug)
	if !ok {
		return nil, wire.NewProblem(http.StatusForbidden, fmt.Sprintf("The organization has no project '%s', or you may not see it.", clip(projectSlug)))
	}
	policy, ok := snapshot.SigningPolicy(project.ID, policySlug)
	if !ok {
		return nil, wire.NewProblem(http.StatusForbidden, fmt.Sprintf("Project '%s' has no signing policy '%s', or you may not see it.", project.Slug, clip(policySlug)))
	}
	view := &PolicyView{Project: *project, Policy: *policy}
	certificate, ok := snapshot.Certificate(policy)
	if !ok {
		return nil, fmt.Errorf("the signing policy %s names the certificate %s, which does not exist", policy.ID, policy.CertificateID)
	}
	key, ok := snapshot.Key(certificate)
	if !ok {
		return nil, fmt.Errorf("the certificate %s names the key %s, which does not exist", certificate.ID, certificate.KeyID)
	}
	view.Certificate, view.Key = *certificate, *key
	return view, nil
}
