package store

import (
	"context"
	"time"

	"signpath/internal/service/model"
)

// RequestReader is the part of Store about signing requests, jobs and webhooks.
// None of them belongs to the configuration: changing them does not raise its
// version.
type RequestReader interface {
	// SigningRequest is a request with everything that belongs to it;
	// ErrNotFound when the organization has no such request.
	SigningRequest(ctx context.Context, organizationID, id string) (*model.SigningRequest, error)
	// SigningRequests lists requests of one organization, newest first, without
	// Artifact, Result and BuildSettings.
	SigningRequests(ctx context.Context, filter RequestFilter) ([]model.SigningRequest, error)
	// NextJob is when the next job of these kinds can be taken up; zero: there is none.
	NextJob(ctx context.Context, kinds []string) (time.Time, error)
	// Webhooks lists the webhooks of an organization, or of one of its projects.
	Webhooks(ctx context.Context, organizationID, projectID string) ([]model.Webhook, error)
	// WebhookDelivery is one message; ErrNotFound when there is none.
	WebhookDelivery(ctx context.Context, id string) (*model.WebhookDelivery, error)
	// WebhookDeliveries lists the messages of a webhook, newest first.
	WebhookDeliveries(ctx context.Context, filter DeliveryFilter) ([]model.WebhookDelivery, error)
	// CountAudit counts the rows with Seq > after that match, and gives the
	// Seq up to which it has counted.
	CountAudit(ctx context.Context, after uint64, filter AuditFilter) (count, upTo uint64, err error)
}

// RequestFilter narrows SigningRequests; empty members match everything but
// OrganizationID, which must be set.
type RequestFilter struct {
	OrganizationID  string
	ProjectID       string
	SigningPolicyID string
	SubmitterID     string
	Workflows       []model.RequestWorkflow
	From            time.Time // created, inclusive
	To              time.Time // created, exclusive
	// Before and BeforeID are creation and ID of the last request of the page
	// before: keyset paging.
	Before   time.Time
	BeforeID string
	Limit    int // must be above 0
}

// DeliveryFilter says which messages of a webhook are listed.
type DeliveryFilter struct {
	OrganizationID string
	WebhookID      string
	// Before and BeforeID are as in RequestFilter.
	Before   time.Time
	BeforeID string
	Limit    int
}

// RequestWriter is the part of Tx about signing requests, jobs and webhooks.
type RequestWriter interface {
	// SigningRequest is Store.SigningRequest as this transaction sees it.
	SigningRequest(organizationID, id string) (*model.SigningRequest, error)
	PutSigningRequest(model.SigningRequest) error
	// PutJob inserts or replaces a job.
	PutJob(model.Job) error
	// ClaimJobs takes up to limit jobs of these kinds that are due at now and
	// that nobody works on (any more), the oldest first: they get the lease
	// until the given time, and one more attempt.
	ClaimJobs(kinds []string, lease string, now, until time.Time, limit int) ([]model.Job, error)
	// DeleteJob ends a job; ErrNotFound when its lease is another one by now.
	DeleteJob(id, lease string) error
	// DeleteJobsOf ends the jobs of one kind about an object, whoever works on them.
	DeleteJobsOf(kind, subject string) error
	// ReleaseJobs ends all leases of these kinds.
	ReleaseJobs(kinds []string) error
	// Webhooks is Store.Webhooks as this transaction sees it.
	Webhooks(organizationID, projectID string) ([]model.Webhook, error)
	PutWebhook(model.Webhook) error
	// DeleteWebhook removes a webhook with its messages; ErrNotFound when the
	// organization has none with this ID.
	DeleteWebhook(organizationID, id string) error
	PutWebhookDelivery(model.WebhookDelivery) error

	// RemoveDocuments takes artifact, result and build settings out of up to limit
	// requests of the organization that were finished before the given time and
	// still have them, the oldest first, marks them as removed at now and gives
	// their IDs. The requests themselves stay.
	RemoveDocuments(organizationID string, before, now time.Time, limit int) ([]string, error)
	// DeleteSigningRequests removes up to limit requests that were finished before
	// the given time, the oldest first, and gives their IDs.
	DeleteSigningRequests(organizationID string, before time.Time, limit int) ([]string, error)
	// DeleteWebhookDeliveries removes up to limit messages whose last try was made
	// before the given time, and tells how many it were.
	DeleteWebhookDeliveries(organizationID string, before time.Time, limit int) (int, error)
}
