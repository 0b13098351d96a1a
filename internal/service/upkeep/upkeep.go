// Package upkeep does what has to be done from time to time without anybody
// asking for it: it removes what organizations do not want to keep any longer,
// and tells in time that certificates and API tokens are about to end.
//
// What enters is the store at a time, what leaves are changes, each in one
// transaction with its audit entry; whoever streams the audit log to syslog is
// told by that, and webhooks that ask for notices get a message. Rounds may run
// at the same time on several replicas: what one has done the other does not
// find any more, because the transactions decide, not the clock.
//
// It never touches the audit log's past, signing requests that are not final,
// keys and certificates, and it never sends anything by itself.
package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"signpath/internal/service/audit"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// The rhythm.
const (
	every     = time.Hour
	retryTime = 5 * time.Minute // after a round that failed
	// batch bounds one transaction: signatures wait no longer than for it.
	batch = 200
	pause = 50 * time.Millisecond // between transactions, so that signatures pass
)

// Upkeep works on one store. Its fields must not change once it runs.
type Upkeep struct {
	Store  store.Store
	Log    *audit.Log
	Wake   func()           // tells whoever sends webhooks; nil: they look by themselves
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default()
}

// system is who acts when nobody does.
var system = audit.Actor{Type: "System"}

func (u *Upkeep) now() time.Time {
	now := time.Now
	if u.Now != nil {
		now = u.Now
	}
	return now().UTC().Truncate(time.Millisecond)
}

func (u *Upkeep) logger() *slog.Logger {
	if u.Logger != nil {
		return u.Logger
	}
	return slog.Default()
}

// Run makes a round now and then, until ctx ends.
func (u *Upkeep) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := every
		if err := u.Round(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			u.logger().Warn("Not everything was removed that is not to be kept any longer, or not every notice was given; the next round tries again.", "error", err)
			wait = retryTime
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// Round does everything that is due now. What fails for one organization does
// not keep the others waiting.
func (u *Upkeep) Round(ctx context.Context) error {
	cfg, err := u.Store.Config(ctx)
	if err != nil {
		return err
	}
	now := u.now()
	var errs []error
	for i := range cfg.Organizations {
		errs = append(errs, u.retain(ctx, &cfg.Organizations[i], now))
	}
	errs = append(errs, u.notify(ctx, cfg, now))
	return errors.Join(errs...)
}

// The audit types of what is removed.
const (
	EntryDocumentsRemoved = "SigningRequest.DocumentsRemoved"
	EntryRequestsRemoved  = "SigningRequest.Removed"
	EntryMessagesRemoved  = "Webhook.DeliveriesRemoved"
)

// removedData is the data of these entries.
type removedData struct {
	Count         int      `json:"count"`
	RetentionDays int      `json:"retentionDays"`
	Before        string   `json:"finishedBefore"` // RFC 3339
	Requests      []string `json:"signingRequestIds,omitempty"`
}

// retain removes what an organization does not keep: documents of finished
// requests together with the messages about them, then requests themselves.
func (u *Upkeep) retain(ctx context.Context, o *model.Organization, now time.Time) error {
	steps := []struct {
		entry  string
		days   int
		remove func(tx store.Tx, before time.Time) (ids []string, n int, err error)
	}{
		{EntryDocumentsRemoved, o.DocumentRetentionDays, func(tx store.Tx, before time.Time) ([]string, int, error) {
			ids, err := tx.RemoveDocuments(o.ID, before, now, batch)
			return ids, len(ids), err
		}},
		{EntryMessagesRemoved, o.DocumentRetentionDays, func(tx store.Tx, before time.Time) ([]string, int, error) {
			n, err := tx.DeleteWebhookDeliveries(o.ID, before, batch)
			return nil, n, err
		}},
		{EntryRequestsRemoved, o.RequestRetentionDays, func(tx store.Tx, before time.Time) ([]string, int, error) {
			ids, err := tx.DeleteSigningRequests(o.ID, before, batch)
			return ids, len(ids), err
		}},
	}
	for _, s := range steps {
		if s.days <= 0 {
			continue
		}
		before := now.AddDate(0, 0, -s.days)
		for {
			var n int
			err := u.Log.Change(ctx, func(tx store.Tx) ([]audit.Event, error) {
				ids, count, err := s.remove(tx, before)
				n = count
				if err != nil || n == 0 {
					return nil, err
				}
				return []audit.Event{event(s.entry, o.ID, removedData{n, s.days, before.Format(time.RFC3339), ids})}, nil
			})
			if err != nil {
				return err
			}
			if n < batch {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
		}
	}
	return nil
}
