package admin

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"signpath/internal/service/model"
)

// The audit types of emergency stops.
const (
	policyStopped = "SigningPolicy.Stopped"
	policyResumed = "SigningPolicy.Resumed"
	keyStopped    = "Key.Stopped"
	keyResumed    = "Key.Resumed"
)

// maxReason is the most characters that a reason can have.
const maxReason = 1000

// PolicyStop is the input of policy.stop and policy.resume.
type PolicyStop struct {
	PolicyReference
	Reason string `json:"reason"` // why; it is on record
}

// KeyStop is the input of key.stop and key.resume.
type KeyStop struct {
	CertificateReference
	Reason string `json:"reason"` // why; it is on record
}

// Stop is the answer of an emergency stop and of its end. Stop and audit entry
// are one change: no signature that is not in the audit log before this entry
// was made, and none is made after it.
type Stop struct {
	OrganizationID string   `json:"organizationId"`
	Policies       []string `json:"policies"`               // project/policy that the stop concerns
	Certificates   []string `json:"certificates,omitempty"` // slugs that were switched; of keys only
	Unchanged      bool     `json:"unchanged"`              // it was in this state already; the reason is on record all the same
	Warnings       []string `json:"warnings,omitempty"`

	// What is behind it, for the search in the audit log.
	PolicyID      string   `json:"policyId,omitempty"`
	CertificateID string   `json:"certificateId,omitempty"`
	KeyIDs        []string `json:"keyIds,omitempty"` // several when the same key was imported more than once
}

// stopData is the data of the audit entries.
type stopData struct {
	Reason        string   `json:"reason"`
	PolicyID      string   `json:"policyId,omitempty"`
	Policy        string   `json:"policy,omitempty"` // project/policy
	KeyIDs        []string `json:"keyIds,omitempty"`
	CertificateID string   `json:"certificateId,omitempty"`
	Certificate   string   `json:"certificate,omitempty"`  // slug of the one that was named
	Certificates  []string `json:"certificates,omitempty"` // slugs that were switched
	Policies      []string `json:"policies,omitempty"`
	Unchanged     bool     `json:"unchanged,omitempty"`
}

// reason checks why something is stopped.
func (in *input) reason(text string) string {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		in.fail("reason", "The reason is missing; it will stand in the audit log.")
	case len([]rune(text)) > maxReason:
		in.fail("reason", "The reason has more than %d characters.", maxReason)
	}
	return text
}

// StopPolicy switches a signing policy off at once, on every replica, and
// records why.
func (s *Service) StopPolicy(ctx context.Context, call Call, request PolicyStop) (Stop, error) {
	return s.switchPolicy(ctx, call, request, false)
}

// ResumePolicy switches a stopped signing policy on again, and records why.
func (s *Service) ResumePolicy(ctx context.Context, call Call, request PolicyStop) (Stop, error) {
	return s.switchPolicy(ctx, call, request, true)
}

func (s *Service) switchPolicy(ctx context.Context, call Call, request PolicyStop, active bool) (Stop, error) {
	var out Stop
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		reason := in.reason(request.Reason)
		project := t.project(in, "project", org, request.Project)
		var p *model.SigningPolicy
		if project != nil {
			if p = t.policyBySlug(project.ID, request.Policy); p == nil {
				in.fail("policy", "Project %q has no signing policy %q.", project.Slug, clip(request.Policy))
			}
		}
		if err := in.err(); err != nil {
			return err
		}
		changed := *p
		changed.Active = active
		view := t.showPolicy(&changed)
		out = Stop{OrganizationID: org.ID, Policies: []string{view.Key()}, Unchanged: p.Active == active, PolicyID: p.ID}
		if active {
			out.Warnings = t.certificateWarnings(&changed, t.now)
			if c := t.certificateByID(p.CertificateID); c != nil && !c.Active {
				out.Warnings = append(out.Warnings, "The certificate \""+c.Slug+"\" is stopped or deactivated; nothing is signed with it.")
			}
		}
		if !out.Unchanged {
			if err := t.PutSigningPolicy(changed); err != nil {
				return err
			}
		}
		kind := policyStopped
		if active {
			kind = policyResumed
		}
		return t.record(kind, org.ID, stopData{Reason: reason, PolicyID: p.ID, Policy: view.Key(), Unchanged: out.Unchanged})
	})
	return out, err
}

// StopKey switches off every certificate of a private key at once, on every
// replica, so that nothing is signed with the key, and records why. The key
// stays; to delete it is an act of its own.
func (s *Service) StopKey(ctx context.Context, call Call, request KeyStop) (Stop, error) {
	return s.switchKey(ctx, call, request, false)
}

// ResumeKey switches the named certificate on again, and records why. Other
// certificates of its key that are off stay so: each is resumed by its name.
func (s *Service) ResumeKey(ctx context.Context, call Call, request KeyStop) (Stop, error) {
	return s.switchKey(ctx, call, request, true)
}

func (s *Service) switchKey(ctx context.Context, call Call, request KeyStop, active bool) (Stop, error) {
	var out Stop
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		reason := in.reason(request.Reason)
		org, named, key := t.keyOf(in, request.CertificateReference)
		if err := in.err(); err != nil {
			return err
		}
		out = Stop{OrganizationID: org.ID, Certificates: []string{}, CertificateID: named.ID, Policies: []string{}}
		out.Policies = append(out.Policies, t.useOf(named, key).Policies...)
		for _, k := range t.sameKey(key) {
			out.KeyIDs = append(out.KeyIDs, k.ID)
		}
		for i := range t.cfg.Certificates {
			c := &t.cfg.Certificates[i]
			switch {
			case c.OrganizationID != org.ID || !slices.Contains(out.KeyIDs, c.KeyID):
			case active && c.ID != named.ID:
				if !c.Active {
					out.Warnings = append(out.Warnings, "The certificate \""+c.Slug+"\" of the same key stays switched off.")
				}
			case c.Active != active:
				changed := *c
				changed.Active = active
				if err := t.PutCertificate(changed); err != nil {
					return err
				}
				out.Certificates = append(out.Certificates, c.Slug)
			}
		}
		slices.Sort(out.Certificates)
		if active && key.Deleted {
			out.Warnings = append(out.Warnings, "The private key is deleted: nothing can be signed with it.")
		}
		out.Unchanged = len(out.Certificates) == 0
		kind := keyStopped
		if active {
			kind = keyResumed
		}
		return t.record(kind, org.ID, stopData{Reason: reason, KeyIDs: out.KeyIDs, CertificateID: named.ID, Certificate: named.Slug, Certificates: out.Certificates, Policies: out.Policies, Unchanged: out.Unchanged})
	})
	return out, err
}

// sameKey are the keys of an organization that have the same public part: a key
// that was imported or adopted twice must not stay in use under its other name.
func (v *view) sameKey(key *model.Key) []*model.Key {
	same := []*model.Key{key}
	for i := range v.cfg.Keys {
		k := &v.cfg.Keys[i]
		if k.OrganizationID == key.OrganizationID && k.ID != key.ID && len(k.Public) > 0 && bytes.Equal(k.Public, key.Public) {
			same = append(same, k)
		}
	}
	return same
}
