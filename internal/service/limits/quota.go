package limits

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// reconcileEvery is how often signatures that other replicas made are counted.
const reconcileEvery = 30 * time.Second

// Quotas counts the signatures of organizations that have a yearly quota. The
// truth is the audit log: every announced signature counts but those that are
// on record as failed. Between two looks at it the process counts its own.
// Several replicas together may go beyond a quota by what they sign between
// two looks.
type Quotas struct {
	Store  store.Store
	Logger *slog.Logger // nil: slog.Default()
	// CountedType and FailedTypes are the types of audit entries that count, and
	// that take a count back.
	CountedType string
	FailedTypes []string

	mu   sync.Mutex
	orgs map[string]*usage
}

// NewQuotas counts in a store, by the entries of package signing.
func NewQuotas(st store.Store) *Quotas {
	return &Quotas{Store: st, CountedType: "HashSigning.Intent", FailedTypes: []string{"HashSigning.Failed", "HashSigning.Abandoned"}}
}

// usage is what one organization has used in its present period.
type usage struct {
	start   time.Time
	upTo    uint64 // audit entries counted
	counted int    // from the audit log
	mine    int    // taken by this process since the last look
}

// Period is the quota year that now lies in: it begins on the day and time of
// year of start.
func Period(start, now time.Time) (from, to time.Time) {
	start, now = start.UTC(), now.UTC()
	years := now.Year() - start.Year()
	from = start.AddDate(years, 0, 0)
	if from.After(now) {
		years--
		from = start.AddDate(years, 0, 0)
	}
	return from, start.AddDate(years+1, 0, 0)
}

// Take counts one signature; see signing.Quota.
func (q *Quotas) Take(o *model.Organization, now time.Time) (giveBack func(), problem *wire.Problem) {
	from, to := Period(o.QuotaStart, now)
	u, err := q.usage(o, from)
	if err != nil {
		return nil, wire.NewProblem(http.StatusServiceUnavailable, "The signatures of the organization cannot be counted at the moment. Try again.")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if u.counted+u.mine >= o.YearlySignatures {
		return nil, wire.NewProblem(http.StatusForbidden, fmt.Sprintf("The organization has used its %d signatures of the year that ends on %s. Ask the operator of the service to raise the quota.", o.YearlySignatures, to.Format("2006-01-02")))
	}
	u.mine++
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if u.mine > 0 {
			u.mine--
		}
	}, nil
}

// Used is how many signatures an organization has made in its present period.
func (q *Quotas) Used(ctx context.Context, o *model.Organization, now time.Time) (used int, from, to time.Time, err error) {
	from, to = Period(o.QuotaStart, now)
	u := &usage{start: from}
	if err := q.count(ctx, o.ID, u); err != nil {
		return 0, from, to, err
	}
	return u.counted, from, to, nil
}

// usage finds the count of an organization, and makes it first when that is needed.
func (q *Quotas) usage(o *model.Organization, from time.Time) (*usage, error) {
	q.mu.Lock()
	if q.orgs == nil {
		q.orgs = map[string]*usage{}
	}
	u := q.orgs[o.ID]
	if u != nil && u.start.Equal(from) {
		q.mu.Unlock()
		return u, nil
	}
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), reconcileEvery)
	defer cancel()
	fresh := &usage{start: from}
	if err := q.count(ctx, o.ID, fresh); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if u := q.orgs[o.ID]; u != nil && u.start.Equal(from) {
		return u, nil // somebody else was quicker
	}
	q.orgs[o.ID] = fresh
	return fresh, nil
}

// count brings a count up to the end of the audit log.
func (q *Quotas) count(ctx context.Context, organizationID string, u *usage) error {
	f := store.AuditFilter{OrganizationID: organizationID, Type: q.CountedType, FromMillis: u.start.UnixMilli()}
	n, upTo, err := q.Store.CountAudit(ctx, u.upTo, f)
	if err != nil {
		return err
	}
	total := int(n)
	for _, t := range q.FailedTypes {
		f.Type = t
		// Up to the same entry: the log may have grown.
		failed, later, err := q.Store.CountAudit(ctx, u.upTo, f)
		if err != nil {
			return err
		}
		if later > upTo {
			beyond, _, err := q.Store.CountAudit(ctx, upTo, f)
			if err != nil {
				return err
			}
			failed -= min(beyond, failed)
		}
		total -= int(failed)
	}
	u.counted, u.upTo = max(u.counted+total, 0), upTo
	return nil
}

// Watch looks at the audit log now and then, until ctx ends.
func (q *Quotas) Watch(ctx context.Context) {
	t := time.NewTicker(reconcileEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := q.Reconcile(ctx); err != nil && ctx.Err() == nil {
			log := q.Logger
			if log == nil {
				log = slog.Default()
			}
			log.Warn("The signatures of organizations with a quota could not be counted.", "error", err)
		}
	}
}

// Reconcile replaces what this process has counted by what the audit log holds.
// A signature whose announcement is on its way while that happens is missing
// until the next look.
func (q *Quotas) Reconcile(ctx context.Context) error {
	q.mu.Lock()
	before := map[string]usage{}
	for id, u := range q.orgs {
		before[id] = *u
	}
	q.mu.Unlock()
	for id, old := range before {
		fresh := old
		if err := q.count(ctx, id, &fresh); err != nil {
			return err
		}
		q.mu.Lock()
		if u := q.orgs[id]; u != nil && u.start.Equal(old.start) {
			u.counted, u.upTo = fresh.counted, fresh.upTo
			u.mine = max(u.mine-old.mine, 0)
		}
		q.mu.Unlock()
	}
	return nil
}
