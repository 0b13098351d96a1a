package admin

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
)

// SignatureFilter is the input of signatures.list: either a policy or a
// certificate, whose key is meant.
type SignatureFilter struct {
	OrganizationReference
	Project     string     `json:"project,omitempty"`     // slug
	Policy      string     `json:"policy,omitempty"`      // slug
	Certificate string     `json:"certificate,omitempty"` // slug or identifier; of all certificates of its key
	Since       *time.Time `json:"since,omitempty"`       // inclusive; absent: all
	Cursor      string     `json:"cursor,omitempty"`      // nextCursor of the page before
	Limit       int        `json:"limit,omitempty"`       // at most MaxSignatures; 0: defaultSignatures
}

// Bounds of one page of signatures.
const (
	MaxSignatures     = 500
	defaultSignatures = 100
	// outcomePages bounds the search for outcomes, which follow their intents
	// closely unless the service was restarted in between.
	outcomePages = 20
)

// Signatures is a page of the uses of a key, oldest first, as the audit log tells.
type Signatures struct {
	Items []signing.Signature `json:"items"`
	Next
}

// ListSignatures lists what was signed under a policy or with a key: everything
// that was announced, whatever came of it. Refused requests, for which no key
// was used, are not in it.
func (s *Service) ListSignatures(ctx context.Context, _ Call, request SignatureFilter) (Signatures, error) {
	out := Signatures{Items: []signing.Signature{}}
	v, err := s.read(ctx)
	if err != nil {
		return out, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	subjects := v.signedBy(in, org, request)
	after := uint64(0)
	if request.Cursor != "" {
		if after, err = strconv.ParseUint(request.Cursor, 10, 63); err != nil {
			in.fail("cursor", "This is not a cursor that this service gave.")
		}
	}
	limit := request.Limit
	if limit == 0 {
		limit = defaultSignatures
	}
	if limit < 1 || limit > MaxSignatures {
		in.fail("limit", "The limit is a number from 1 to %d.", MaxSignatures)
	}
	if err := in.err(); err != nil {
		return out, err
	}
	f := store.AuditFilter{OrganizationID: org.ID, Type: signing.EntryIntent}
	if request.Since != nil {
		f.FromMillis = request.Since.UnixMilli()
	}
	var intents []store.AuditRow
	for _, f.Subject = range subjects {
		rows, err := s.Store.AuditRows(ctx, after, limit+1, f)
		if err != nil {
			return out, err
		}
		intents = append(intents, rows...)
	}
	slices.SortFunc(intents, func(a, b store.AuditRow) int { return cmp.Compare(a.Seq, b.Seq) })
	if len(intents) > limit {
		intents = intents[:limit]
		out.NextCursor = strconv.FormatUint(intents[limit-1].Seq, 10)
	}
	if len(intents) == 0 {
		return out, nil
	}
	rows, err := s.withOutcomes(ctx, org, subjects, intents)
	if err != nil {
		return out, err
	}
	for signature, err := range signing.History(each(rows)) {
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, signature)
	}
	slices.SortFunc(out.Items, func(a, b signing.Signature) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return out, nil
}

// signedBy are the subjects of the audit entries that the filter is about.
func (v *view) signedBy(in *input, org *model.Organization, request SignatureFilter) []store.AuditSubject {
	if request.Certificate == "" {
		project := v.project(in, "project", org, request.Project)
		if project == nil {
			return nil
		}
		p := v.policyBySlug(project.ID, request.Policy)
		if p == nil {
			in.fail("policy", "Project %q has no signing policy %q.", project.Slug, clip(request.Policy))
			return nil
		}
		return []store.AuditSubject{{PolicyID: p.ID}}
	}
	c := v.certificate(in, "certificate", org, request.Certificate)
	if c == nil {
		return nil
	}
	key := v.keyByID(c.KeyID)
	if key == nil {
		return nil
	}
	var subjects []store.AuditSubject
	for _, k := range v.sameKey(key) {
		subjects = append(subjects, store.AuditSubject{KeyID: k.ID})
	}
	return subjects
}

// withOutcomes adds the entries that end intents, as far as there are any.
func (s *Service) withOutcomes(ctx context.Context, org *model.Organization, subjects []store.AuditSubject, intents []store.AuditRow) ([]store.AuditRow, error) {
	open := map[uint64]bool{}
	for _, r := range intents {
		open[r.Seq] = true
	}
	all := slices.Clone(intents)
	for _, subject := range subjects {
		after := intents[0].Seq
		for range outcomePages {
			if len(open) == 0 {
				break
			}
			rows, err := s.Store.AuditRows(ctx, after, MaxAuditRows, store.AuditFilter{OrganizationID: org.ID, TypePrefixes: []string{signing.EntryGroup}, Subject: subject})
			if err != nil {
				return nil, err
			}
			for _, r := range rows {
				if open[r.Closes] {
					delete(open, r.Closes)
					all = append(all, r)
				}
				after = r.Seq
			}
			if len(rows) < MaxAuditRows {
				break
			}
		}
	}
	slices.SortFunc(all, func(a, b store.AuditRow) int { return cmp.Compare(a.Seq, b.Seq) })
	return all, nil
}

func each(rows []store.AuditRow) func(func(store.AuditRow, error) bool) {
	return func(yield func(store.AuditRow, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}
