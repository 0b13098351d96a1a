package signing

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// Queued tells of an asynchronous request that was accepted before: who
// submitted it, and who approved. All of it is checked against the present
// configuration, as everything else is: a right, user or token that was taken
// away meanwhile holds for requests that wait, too. A token that has merely
// expired is no reason to refuse.
type Queued struct {
	SigningRequestID string
	TokenID          string // that it was submitted with
	// TrustedBuildSystemID is the trusted build system that proved the build then; "": none.
	TrustedBuildSystemID string
	Approvers            []string // IDs of the users who approved
}

// Target is what an asynchronous request was accepted for.
type Target struct {
	ProjectID, SigningPolicyID, ArtifactConfigurationID string
	RequiredApprovals                                   int
	UserID, TokenID, TrustedBuildSystemID               string
	// ConfigVersion is the version that was decided with. Who keeps the request
	// compares it in the transaction, see audit.ErrStale.
	ConfigVersion uint64
}

// Quota bounds how many signatures organizations make.
type Quota interface {
	// Take counts one signature. When there is none left it answers a problem
	// with status 403. giveBack takes the count back: nothing was signed.
	Take(o *model.Organization, now time.Time) (giveBack func(), problem *wire.Problem)
}

// quotaCheck is the line of the table for Quota: Service.Sign takes from it
// when all other checks have passed.
var quotaCheck = check{11, "the organization has signatures left in its quota", []int{403}, nil}

func (s *Service) takeQuota(d *decision) (giveBack func(), problem *wire.Problem) {
	if s.Quota == nil || d.principal.Organization.YearlySignatures == 0 {
		return func() {}, nil
	}
	return s.Quota.Take(&d.principal.Organization, d.now)
}

// requestID is the ID of the signing request. That of a fast one holds the time
// (RFC 9562 section 5.7), so that it can be found in the audit log.
func requestID(r *Request) string {
	if r.Queued != nil {
		return r.Queued.SigningRequestID
	}
	id, err := uuid.NewV7()
	if err != nil { // no random bytes: uuid.NewString would panic
		panic(err)
	}
	return id.String()
}

// Check decides whether an asynchronous request may be accepted: all checks
// but approval and audit entry; of the quota something must be left. A nil Hash means that the artifact is
// not there yet: what concerns it is checked when it is. The refusal is recorded.
func (s *Service) Check(ctx context.Context, req Request) (*Target, error) {
	for range maxTries {
		d := &decision{view: s.view.Load(), req: &req, now: s.Now(), submission: true}
		failed, problem := d.decide()
		if problem != nil && req.Hash == nil && failed.number >= firstContentCheck {
			problem = nil
		}
		if problem != nil {
			if s.outdated(ctx, d) {
				continue
			}
			return nil, s.refuse(ctx, d, failed, problem)
		}
		giveBack, problem := s.takeQuota(d)
		if problem != nil {
			return nil, s.refuse(ctx, d, &quotaCheck, problem)
		}
		giveBack() // it is counted when it is signed
		target := &Target{
			ProjectID: d.project.ID, SigningPolicyID: d.policy.ID, ArtifactConfigurationID: d.artifact.ID,
			RequiredApprovals: d.policy.RequiredApprovals, UserID: d.principal.User.ID, TokenID: d.principal.Token.ID,
			ConfigVersion: d.view.snapshot.Version(),
		}
		if b := d.principal.TrustedBuildSystem; b != nil {
			target.TrustedBuildSystemID = b.ID
		}
		return target, nil
	}
	return nil, wire.NewProblem(http.StatusServiceUnavailable, "The configuration of the service is changing all the time. Nothing was submitted. Try again.")
}

// firstContentCheck is the number of the first check that looks at the hash.
const firstContentCheck = 6

// checkQueued is check 1 for a request whose token was seen at its submission.
func (d *decision) checkQueued() *wire.Problem {
	p, ok := d.view.snapshot.TokenByID(d.req.OrganizationID, d.req.Queued.TokenID)
	for _, c := range []struct {
		refused bool
		detail  string
	}{
		{!ok, "The API token that the request was submitted with does not exist any more."},
		{!p.Organization.Active, "The organization is not active."},
		{!p.Token.Active, "The API token that the request was submitted with was revoked."},
		{!p.User.Active, "The user who submitted the request is not active."},
	} {
		if c.refused {
			return wire.NewProblem(http.StatusUnauthorized, c.detail)
		}
	}
	if id := d.req.Queued.TrustedBuildSystemID; id != "" {
		b, ok := d.view.snapshot.TrustedBuildSystemByID(p.Organization.ID, id)
		if !ok || !b.Active {
			return wire.NewProblem(http.StatusUnauthorized, "The trusted build system that proved the build of the request was removed or switched off.")
		}
		p.TrustedBuildSystem = b
	}
	d.principal = &p
	return nil
}

// findPolicyByID is check 2 for a policy that is named by its ID.
func (d *decision) findPolicyByID() *wire.Problem {
	policy, ok := d.view.snapshot.SigningPolicyByID(d.principal.Organization.ID, d.req.SigningPolicyID)
	if !ok {
		return invalid("SigningPolicyId", "The organization has no signing policy with the ID '%s'.", clip(d.req.SigningPolicyID))
	}
	project, ok := d.view.snapshot.ProjectByID(policy.ProjectID)
	if !ok {
		return invalid("SigningPolicyId", "The signing policy '%s' has no project.", policy.Slug)
	}
	d.policy, d.project = policy, project
	return nil
}

// checkApproved is check 4 for a request that has been through an approval:
// only users count who are approvers now, each once, never the submitter.
func (d *decision) checkApproved(q *Queued) *wire.Problem {
	if n := d.view.approvals(d.policy, q.Approvers, d.principal.User.ID); n < d.policy.RequiredApprovals {
		return invalid("SigningPolicyId", "The signing policy '%s' requires %d approvals of its present approvers; the request has %d.", d.policy.Slug, d.policy.RequiredApprovals, n)
	}
	return nil
}

func (v *view) approvals(policy *model.SigningPolicy, users []string, submitter string) (n int) {
	for i, u := range users {
		if u != submitter && !slices.Contains(users[:i], u) && v.snapshot.IsApprover(policy, u) {
			n++
		}
	}
	return n
}

// Approved tells how many approvals of a policy count, as the service decides
// on them when it signs.
func (s *Service) Approved(policyID, organizationID string, approvers []string, submitter string) (have, need int, err error) {
	v := s.view.Load()
	policy, ok := v.snapshot.SigningPolicyByID(organizationID, policyID)
	if !ok {
		return 0, 0, fmt.Errorf("the signing policy %s does not exist", policyID)
	}
	return v.approvals(policy, approvers, submitter), policy.RequiredApprovals, nil
}
