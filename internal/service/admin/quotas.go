package admin

import (
	"context"
	"time"

	"signpath/internal/service/limits"
	"signpath/internal/service/model"
)

// Quota is how many signatures an organization may make, and has made.
type Quota struct {
	OrganizationID   string    `json:"organizationId"`
	YearlySignatures int       `json:"yearlyMaxNumberOfIndividualSignatures"` // 0: no limit
	Used             int       `json:"used"`                                  // in the period
	PeriodStart      time.Time `json:"quotaPeriodStart"`
	PeriodEnd        time.Time `json:"quotaPeriodEnd"`
}

// QuotaChange is the input of organization.set-quota.
type QuotaChange struct {
	OrganizationReference
	YearlySignatures int `json:"yearlySignatures"` // 0: no limit
	// Start is the day that quota years begin on; nil: as before, or now.
	Start *time.Time `json:"start,omitempty"`
}

const maxQuota = 1_000_000_000

// SetQuota bounds the signatures of an organization.
func (s *Service) SetQuota(ctx context.Context, call Call, request QuotaChange) (Organization, error) {
	return s.changeOrganization(ctx, call, "Organization.QuotaChanged", request.Organization, func(t *transaction, in *input, o *model.Organization) {
		if request.YearlySignatures < 0 || request.YearlySignatures > maxQuota {
			in.fail("yearlySignatures", "%d is not a number of signatures; 0 (no limit) to %d are allowed.", request.YearlySignatures, maxQuota)
		}
		o.YearlySignatures = request.YearlySignatures
		switch {
		case request.Start != nil && request.Start.After(t.now):
			in.fail("start", "The day that quota years begin on must not be in the future.")
		case request.Start != nil:
			o.QuotaStart = request.Start.UTC().Truncate(time.Millisecond)
		case o.QuotaStart.IsZero():
			o.QuotaStart = t.now
		}
	})
}

// ShowQuota tells what an organization has used.
func (s *Service) ShowQuota(ctx context.Context, _ Call, request OrganizationReference) (Quota, error) {
	v, err := s.read(ctx)
	if err != nil {
		return Quota{}, err
	}
	in := newInput()
	o := v.organization(in, request.Organization)
	if err := in.err(); err != nil {
		return Quota{}, err
	}
	start := *o
	if start.QuotaStart.IsZero() {
		start.QuotaStart = o.Created
	}
	out := Quota{OrganizationID: o.ID, YearlySignatures: o.YearlySignatures}
	quotas := limits.NewQuotas(s.Store)
	out.Used, out.PeriodStart, out.PeriodEnd, err = quotas.Used(ctx, &start, s.now())
	return out, err
}
