package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"signpath/internal/service/audit"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// MaxAuditRows is the most rows that one audit.rows gives.
const MaxAuditRows = 1000

// AuditPage is the input of audit.rows.
type AuditPage struct {
	OrganizationReference        // empty: of every organization and of the installation itself
	Type                  string `json:"type,omitempty"`       // empty: every type
	FromMillis            int64  `json:"fromMillis,omitempty"` // Unix time in milliseconds, inclusive
	ToMillis              int64  `json:"toMillis,omitempty"`   // exclusive; 0: no limit
	After                 uint64 `json:"after,omitempty"`      // rows behind this sequence number
	Limit                 int    `json:"limit,omitempty"`      // at most MaxAuditRows, which is the default

	Before       uint64   `json:"before,omitempty"`       // rows before this sequence number; 0: no limit
	TypePrefixes []string `json:"typePrefixes,omitempty"` // as in store.AuditFilter
	Digest       []byte   `json:"digest,omitempty"`       // entries about this digest
	User         string   `json:"user,omitempty"`         // what this user did; name or identifier
	Policy       string   `json:"policy,omitempty"`       // signatures under this policy; PROJECT/POLICY or identifier
	KeyID        string   `json:"keyId,omitempty"`        // signatures with this key
}

// subject finds what a page is narrowed to. Objects belong to one organization,
// so that naming one narrows to it.
func (p AuditPage) subject(v *view, filter *store.AuditFilter) error {
	in := newInput()
	var org *model.Organization
	if p.Organization != "" || p.User != "" || p.Policy != "" {
		org = v.organization(in, p.Organization)
	}
	if org == nil {
		return in.err()
	}
	filter.OrganizationID = org.ID
	if p.User != "" {
		if u := v.user(in, "user", org, p.User); u != nil {
			filter.Subject.ActorID = u.ID
		}
	}
	if p.Policy != "" {
		if policy := v.policyByReference(in, "policy", org, p.Policy); policy != nil {
			filter.Subject.PolicyID = policy.ID
		}
	}
	return in.err()
}

// policyByReference finds by identifier or PROJECT/POLICY within an organization.
func (v *view) policyByReference(in *input, field string, org *model.Organization, ref string) *model.SigningPolicy {
	found := match(v.cfg.SigningPolicies, func(p *model.SigningPolicy) bool {
		return p.OrganizationID == org.ID && strings.EqualFold(p.ID, ref)
	})
	if projectSlug, slug, ok := strings.Cut(ref, "/"); ok && found == nil {
		if project := v.projectBySlug(org.ID, projectSlug); project != nil {
			found = v.policyBySlug(project.ID, slug)
		}
	}
	if found == nil {
		in.fail(field, "Organization %q has no signing policy %q; it is named PROJECT/POLICY.", org.Name, clip(ref))
	}
	return found
}

// AuditEntry is one row of the audit log; Leaf is the entry as it was written.
type AuditEntry struct {
	Seq            uint64 `json:"seq"`
	Leaf           []byte `json:"leaf"`
	OrganizationID string `json:"organizationId,omitempty"`
	Type           string `json:"type"`
	TimeMillis     int64  `json:"timeMillis"`
	Opens          bool   `json:"opens,omitempty"`
	Closes         uint64 `json:"closes,omitempty"`

	Subject store.AuditSubject `json:"subject"`
}

// Row is the entry as the store has it.
func (e AuditEntry) Row() store.AuditRow { return store.AuditRow(e) }

// AuditEntries is a page of the audit log in ascending order.
type AuditEntries struct {
	Items []AuditEntry `json:"items"`
}

// AuditRows reads a page of the audit log.
func (s *Service) AuditRows(ctx context.Context, _ Call, request AuditPage) (AuditEntries, error) {
	out := AuditEntries{Items: []AuditEntry{}}
	filter := store.AuditFilter{
		Type: request.Type, TypePrefixes: request.TypePrefixes, FromMillis: request.FromMillis, ToMillis: request.ToMillis,
		Before: request.Before, Subject: store.AuditSubject{KeyID: request.KeyID, Digest: request.Digest},
	}
	v, err := s.read(ctx)
	if err != nil {
		return out, err
	}
	if err := request.subject(v, &filter); err != nil {
		return out, err
	}
	limit := request.Limit
	if limit <= 0 || limit > MaxAuditRows {
		limit = MaxAuditRows
	}
	rows, err := s.Store.AuditRows(ctx, request.After, limit, filter)
	if err != nil {
		return out, err
	}
	for _, r := range rows {
		out.Items = append(out.Items, AuditEntry(r))
	}
	return out, nil
}

// Head is the end of the audit log.
type Head struct {
	Size     uint64   `json:"size"`
	LastHash []byte   `json:"lastHash"`
	Frontier [][]byte `json:"frontier"`
}

// AuditHead reads the end of the audit log.
func (s *Service) AuditHead(ctx context.Context, _ Call, _ struct{}) (Head, error) {
	h, err := s.Store.AuditHead(ctx)
	out := Head{Size: h.Size, LastHash: h.LastHash[:], Frontier: [][]byte{}}
	for i := range h.Frontier {
		out.Frontier = append(out.Frontier, h.Frontier[i][:])
	}
	return out, err
}

// Checkpoint is a signed note (C2SP tlog-checkpoint) over the present end of the audit log.
type Checkpoint struct {
	Note string `json:"note"`
}

// AuditCheckpoint signs the present end of the audit log. ErrNoKEK: the
// key of checkpoints is sealed, and the key-encryption key was not given.
func (s *Service) AuditCheckpoint(ctx context.Context, _ Call, _ struct{}) (Checkpoint, error) {
	note, err := s.Log.Checkpoint(ctx)
	if errors.Is(err, audit.ErrNoSigner) && s.Seal == nil {
		err = fmt.Errorf("%w (%w)", ErrNoKEK, err)
	}
	return Checkpoint{Note: string(note)}, err
}

// AuditKey is what a verifier of checkpoints needs.
type AuditKey struct {
	VerifierKey string `json:"verifierKey"` // "origin+hash+key" of the C2SP signed-note
}

// AuditVerifierKey gives the public key of the checkpoints' signatures.
func (s *Service) AuditVerifierKey(context.Context, Call, struct{}) (AuditKey, error) {
	return AuditKey{VerifierKey: s.AuditKey}, nil
}
