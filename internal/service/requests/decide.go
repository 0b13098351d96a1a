package requests

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"signpath/internal/service/audit"
	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// checkReason checks the text that a person gives.
func checkReason(reason string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }
	if n := utf8.RuneCountInString(reason); n > maxReason || !utf8.ValidString(reason) || strings.ContainsFunc(reason, bad) {
		return wire.Field("Reason", fmt.Sprintf("The reason must be text of at most %d characters.", maxReason))
	}
	return nil
}

// Cancel ends a request that is not final. Its submitter may, and those who
// administer projects.
func (s *Service) Cancel(ctx context.Context, p *authz.Principal, id, reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	return s.change(ctx, p, id, func(snap *authz.Snapshot, tx store.Tx, r *model.SigningRequest) ([]audit.Event, error) {
		project, _ := snap.ProjectByID(r.ProjectID)
		if !authz.Can(snap, p, authz.CancelRequest, authz.Resource{Project: project, RequesterID: r.SubmitterID}) {
			return nil, forbidden("The user '%s' may not cancel this signing request: its submitter and administrators may.", p.User.Name)
		}
		r.EndedBy = p.User.ID
		return s.cancel(tx, r, by(p), reason)
	})
}

func (s *Service) cancel(tx store.Tx, r *model.SigningRequest, who audit.Actor, reason string) ([]audit.Event, error) {
	if _, final := Status(r.Workflow); final {
		return nil, conflict("The signing request has ended already: it is %s.", r.Workflow)
	}
	before := r.Workflow
	if err := s.end(tx, r, model.WorkflowCanceled, reason); err != nil {
		return nil, err
	}
	return []audit.Event{s.event(EntryCanceled, r, who, endData{SigningRequestID: r.ID, Before: before, Reason: reason})}, nil
}

// CancelAs is Cancel by the operator of the installation.
func (s *Service) CancelAs(ctx context.Context, who audit.Actor, organizationID, id, reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	return s.Log.Change(ctx, func(tx store.Tx) ([]audit.Event, error) {
		r, err := tx.SigningRequest(organizationID, strings.ToLower(id))
		if err != nil {
			return nil, err
		}
		return s.cancel(tx, r, who, reason)
	})
}

// Approve adds the principal's consent. When the policy has enough of them the
// request is signed. Nobody approves twice, or what they submitted.
func (s *Service) Approve(ctx context.Context, p *authz.Principal, id, reason string) error {
	return s.judge(ctx, p, id, reason, func(tx store.Tx, r *model.SigningRequest, policy *model.SigningPolicy) (audit.Event, error) {
		if slices.ContainsFunc(r.Approvals, func(a model.RequestApproval) bool { return a.UserID == p.User.ID }) {
			return audit.Event{}, conflict("The user '%s' has approved this signing request already.", p.User.Name)
		}
		now := s.now()
		r.Changed = now
		r.Approvals = append(slices.Clip(r.Approvals), model.RequestApproval{UserID: p.User.ID, Time: now, Reason: reason})
		have, need, err := s.Signing.Approved(policy.ID, r.OrganizationID, approvers(r), r.SubmitterID)
		if err != nil {
			return audit.Event{}, err
		}
		if have >= need {
			if err := follow(r, model.WorkflowQueuedForProcessing); err != nil {
				return audit.Event{}, err
			}
			if err := s.enqueue(tx, r, now); err != nil {
				return audit.Event{}, err
			}
		}
		return s.event(EntryApproved, r, by(p), endData{SigningRequestID: r.ID, Reason: reason, Approvals: have, Required: need}), tx.PutSigningRequest(*r)
	})
}

// Deny ends a request: one denial is enough.
func (s *Service) Deny(ctx context.Context, p *authz.Principal, id, reason string) error {
	return s.judge(ctx, p, id, reason, func(tx store.Tx, r *model.SigningRequest, _ *model.SigningPolicy) (audit.Event, error) {
		r.EndedBy = p.User.ID
		if err := s.end(tx, r, model.WorkflowDenied, reason); err != nil {
			return audit.Event{}, err
		}
		return s.event(EntryDenied, r, by(p), endData{SigningRequestID: r.ID, Reason: reason}), nil
	})
}

// judge is what approving and denying have in common.
func (s *Service) judge(ctx context.Context, p *authz.Principal, id, reason string, fn func(store.Tx, *model.SigningRequest, *model.SigningPolicy) (audit.Event, error)) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	err := s.change(ctx, p, id, func(snap *authz.Snapshot, tx store.Tx, r *model.SigningRequest) ([]audit.Event, error) {
		policy, ok := snap.SigningPolicyByID(r.OrganizationID, r.SigningPolicyID)
		switch {
		case !ok:
			return nil, errors.New("the signing policy of the request does not exist")
		case !authz.Can(snap, p, authz.Approve, authz.Resource{Policy: policy}):
			return nil, forbidden("The user '%s' is not an approver of the signing policy '%s'.", p.User.Name, policy.Slug)
		case r.SubmitterID == p.User.ID:
			return nil, forbidden("Nobody may approve or deny signing requests of their own; as their submitter you can cancel this one.")
		case r.Workflow != model.WorkflowWaitingForApproval:
			return nil, conflict("The signing request does not wait for approval: it is %s.", r.Workflow)
		}
		ev, err := fn(tx, r, policy)
		if err != nil {
			return nil, err
		}
		return []audit.Event{ev}, nil
	})
	if err == nil {
		s.wake()
	}
	return err
}

func approvers(r *model.SigningRequest) []string {
	all := make([]string, len(r.Approvals))
	for i, a := range r.Approvals {
		all[i] = a.UserID
	}
	return all
}
