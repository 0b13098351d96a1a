// Package webhooks tells other servers how signing requests have ended.
//
// What enters is a signing request that has just become final; what leaves is a
// POST of {OrganizationId, SigningRequestId, Status} to every active webhook of
// its project (SignPath documentation, "Webhooks"). Notices of package upkeep go
// the same way, to the webhooks that were made for them, too. The message is put into the
// store in the transaction that ends the request, so that none is lost and none
// is sent for what did not happen. It is tried up to five times; each answer is
// kept, its first 4 KiB. Messages may come twice, and not in order.
//
// The configured value goes into the header Authorization unchanged. It is kept
// encrypted, and nothing here shows or logs it. What may be reached is package
// egress's business. Fast requests send nothing.
package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"signpath/internal/secret"
	"signpath/internal/service/egress"
	"signpath/internal/service/jobs"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// JobKind is the kind of the jobs of this package; their subject is a delivery.
const JobKind = "webhook"

const (
	maxTries  = 5
	maxAnswer = 4 << 10 // bytes that are kept
	maxError  = 500     // characters, likewise
)

// Backoff is how long a message waits after its nth try: together an hour and a half.
func Backoff(attempt int) time.Duration {
	pauses := []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}
	return pauses[max(0, min(attempt, len(pauses))-1)]
}

// Sealer encrypts what the store must not show; *keys.KEK implements it.
type Sealer interface {
	Seal(purpose string, plaintext []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}

// Purpose is what the authorization value of a webhook is sealed for.
func Purpose(webhookID string) string { return "webhook/" + webhookID }

// Enqueue puts the messages about a request that has just ended into the
// transaction that ends it.
func Enqueue(tx store.Tx, r *model.SigningRequest, status model.RequestStatus, now time.Time) error {
	hooks, err := tx.Webhooks(r.OrganizationID, r.ProjectID)
	if err != nil {
		return err
	}
	for _, h := range hooks {
		if !h.Active {
			continue
		}
		d := model.WebhookDelivery{ID: uuid.NewString(), OrganizationID: r.OrganizationID, WebhookID: h.ID, SigningRequestID: r.ID, Status: status, Created: now}
		if err := tx.PutWebhookDelivery(d); err != nil {
			return err
		}
		if err := tx.PutJob(jobs.New(JobKind, r.OrganizationID, d.ID, now)); err != nil {
			return err
		}
	}
	return nil
}

// Sender sends the messages; Deliver is the handler of JobKind.
type Sender struct {
	Store     store.Store
	Seal      Sealer
	Egress    *egress.Client
	UserAgent string
	Now       func() time.Time // nil: time.Now
	Logger    *slog.Logger     // nil: slog.Default()
}

// Deliver makes one try.
func (s *Sender) Deliver(ctx context.Context, job model.Job) error {
	d, err := s.Store.WebhookDelivery(ctx, job.Subject)
	if errors.Is(err, store.ErrNotFound) { // its webhook was deleted
		return s.Store.Write(ctx, func(tx store.Tx) error { return tx.DeleteJob(job.ID, job.Lease) })
	}
	if err != nil {
		return err
	}
	hook, err := s.webhook(ctx, d)
	if err != nil {
		return err
	}
	now := s.now()
	answer := model.WebhookAnswer{Time: now}
	if !hook.Active {
		answer.Error = "The webhook was switched off."
	} else {
		answer.Status, answer.Body, answer.Error = s.send(ctx, hook, d)
	}
	if ctx.Err() != nil { // the service ends: this try does not count
		return ctx.Err()
	}
	d.Answers = append(d.Answers, answer)
	d.Delivered = answer.Status >= 200 && answer.Status < 300
	last := d.Delivered || !hook.Active || len(d.Answers) >= maxTries
	if last {
		d.Finished = s.now()
	}
	if last && !d.Delivered {
		s.logger().Warn("A webhook message was not delivered.", "webhook", hook.ID, "signing_request", d.SigningRequestID, "tries", len(d.Answers), "status", answer.Status)
	}
	return s.Store.Write(ctx, func(tx store.Tx) error {
		if err := tx.DeleteJob(job.ID, job.Lease); err != nil {
			return err
		}
		if !last {
			job.Lease, job.LeaseUntil, job.Due = "", time.Time{}, now.Add(Backoff(len(d.Answers)))
			if err := tx.PutJob(job); err != nil {
				return err
			}
		}
		return tx.PutWebhookDelivery(*d)
	})
}

func (s *Sender) webhook(ctx context.Context, d *model.WebhookDelivery) (*model.Webhook, error) {
	hooks, err := s.Store.Webhooks(ctx, d.OrganizationID, "")
	if err != nil {
		return nil, err
	}
	for i := range hooks {
		if hooks[i].ID == d.WebhookID {
			return &hooks[i], nil
		}
	}
	return nil, fmt.Errorf("the webhook %s does not exist any more", d.WebhookID)
}

// send gives the status and the beginning of the answer, or why there is none.
func (s *Sender) send(ctx context.Context, hook *model.Webhook, d *model.WebhookDelivery) (status int, body []byte, failure string) {
	message := d.Message // of a notice
	if message == nil {
		var err error
		message, err = json.Marshal(wire.WebhookMessage{OrganizationID: d.OrganizationID, SigningRequestID: d.SigningRequestID, Status: string(d.Status)})
		if err != nil {
			return 0, nil, err.Error()
		}
	}
	u, err := url.Parse(hook.URL)
	if err != nil {
		return 0, nil, "The address cannot be read."
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(message))
	if err != nil {
		return 0, nil, "The address cannot be used."
	}
	r.Header.Set("Content-Type", "application/json")
	if s.UserAgent != "" {
		r.Header.Set("User-Agent", s.UserAgent)
	}
	var authorization secret.Secret
	if hook.SealedAuthorization != nil {
		if s.Seal == nil {
			return 0, nil, "The authorization value cannot be decrypted: the service has no key-encryption key."
		}
		value, err := s.Seal.Open(Purpose(hook.ID), hook.SealedAuthorization)
		if err != nil {
			return 0, nil, "The authorization value cannot be decrypted."
		}
		authorization = secret.New(string(value))
		r.Header.Set("Authorization", authorization.Reveal())
	}
	answer, err := s.Egress.Do(ctx, r, maxAnswer)
	if answer != nil {
		status, body = answer.Status, redact(answer.Body, authorization)
	}
	if err != nil {
		failure = strings.ToValidUTF8(err.Error(), "?")
		if f := []rune(failure); len(f) > maxError {
			failure = string(f[:maxError])
		}
	}
	return status, body, failure
}

// redact keeps a server that echoes the request from making us store the secret.
func redact(body []byte, value secret.Secret) []byte {
	const short = 8 // what is shorter is a word, e.g. "Bearer"
	for _, part := range strings.Fields(value.Reveal()) {
		if len(part) < short {
			continue
		}
		body = bytes.ReplaceAll(body, []byte(part), []byte(secret.Redacted))
		for n := len(part) - 1; n >= short; n-- { // cut off by the limit
			if rest, cut := bytes.CutSuffix(body, []byte(part[:n])); cut {
				body = append(bytes.Clone(rest), secret.Redacted...)
				break
			}
		}
	}
	return body[:min(len(body), maxAnswer)]
}

func (s *Sender) now() time.Time {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return now().UTC().Truncate(time.Millisecond)
}

func (s *Sender) logger() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.Default()
}
