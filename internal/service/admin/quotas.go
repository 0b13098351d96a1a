package admin

import (
	"context"
	"errors"
	"fmt"
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

// ErrQuota says that an organization has as many objects as it may have.
var ErrQuota = errors.New("the quota of the organization is reached")

// quota refuses one object more than an organization may have.
func quota(o *model.Organization, what string, limit, have int) error {
	if limit == 0 || have < limit {
		return nil
	}
	return fmt.Errorf("%w: organization %q may have %d %s and has %d; ask the operator of the service to raise it", ErrQuota, o.Name, limit, what, have)
}

func count[T any](all []T, fits func(*T) bool) (n int) {
	for i := range all {
		if fits(&all[i]) {
			n++
		}
	}
	return n
}

// ObjectQuotas is the input of organization.set-object-quotas: absent members
// leave things as they are.
type ObjectQuotas struct {
	OrganizationReference
	MaxUsers        *int `json:"maxUsers,omitempty"` // people; CI users do not count
	MaxProjects     *int `json:"maxProjects,omitempty"`
	MaxCertificates *int `json:"maxCertificates,omitempty"` // those with a private key
}

// SetObjectQuotas bounds how many objects an organization may have; what is
// there already stays.
func (s *Service) SetObjectQuotas(ctx context.Context, call Call, request ObjectQuotas) (Organization, error) {
	return s.changeOrganization(ctx, call, "Organization.QuotaChanged", request.Organization, func(_ *transaction, in *input, o *model.Organization) {
		for _, q := range []struct {
			field string
			given *int
			to    *int
		}{{"maxUsers", request.MaxUsers, &o.MaxUsers}, {"maxProjects", request.MaxProjects, &o.MaxProjects}, {"maxCertificates", request.MaxCertificates, &o.MaxCertificates}} {
			if q.given == nil {
				continue
			}
			if *q.given < 0 || *q.given > maxQuota {
				in.fail(q.field, "%d is not a quota; 0 (no limit) to %d are allowed.", *q.given, maxQuota)
			}
			*q.to = *q.given
		}
	})
}

// Retention is the input of organization.set-retention: absent members leave
// things as they are.
type Retention struct {
	OrganizationReference
	DocumentDays *int `json:"documentRetentionDays,omitempty"` // artifacts and results of finished requests, and messages of webhooks; 0: without end
	RequestDays  *int `json:"requestRetentionDays,omitempty"`  // the requests themselves; 0: without end
}

const maxRetention = 36_500 // days

// SetRetention says how long an organization keeps finished signing requests.
// What is told of fast requests is in the audit log, which is kept for ever.
func (s *Service) SetRetention(ctx context.Context, call Call, request Retention) (Organization, error) {
	return s.changeOrganization(ctx, call, "Organization.RetentionChanged", request.Organization, func(_ *transaction, in *input, o *model.Organization) {
		in.retention(o, request.DocumentDays, request.RequestDays)
	})
}

func (in *input) retention(o *model.Organization, documents, requests *int) {
	for _, d := range []struct {
		field string
		given *int
		to    *int
	}{{"documentRetentionDays", documents, &o.DocumentRetentionDays}, {"requestRetentionDays", requests, &o.RequestRetentionDays}} {
		if d.given == nil {
			continue
		}
		if *d.given < 0 || *d.given > maxRetention {
			in.fail(d.field, "%d is not a number of days; 0 (without end) to %d are allowed.", *d.given, maxRetention)
		}
		*d.to = *d.given
	}
}

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
