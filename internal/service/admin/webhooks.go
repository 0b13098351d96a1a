package admin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"signpath/internal/secret"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/webhooks"
)

// Webhook is a webhook as an operator sees it. The value of its Authorization
// header is never shown again.
type Webhook struct {
	ID               string    `json:"id"`
	OrganizationID   string    `json:"organizationId"`
	Project          string    `json:"project"` // slug
	URL              string    `json:"url"`
	HasAuthorization bool      `json:"hasAuthorization"`
	Notices          bool      `json:"notices"` // told of certificates and API tokens that end, too
	Active           bool      `json:"active"`
	Created          time.Time `json:"created"`
}

// Webhooks is a list of webhooks.
type Webhooks struct {
	Items []Webhook `json:"items"`
	Next
}

func (v *view) showWebhook(w *model.Webhook) Webhook {
	out := Webhook{ID: w.ID, OrganizationID: w.OrganizationID, URL: w.URL, HasAuthorization: w.SealedAuthorization != nil, Notices: w.Notices, Active: w.Active, Created: w.Created}
	if p := v.projectByID(w.ProjectID); p != nil {
		out.Project = p.Slug
	}
	return out
}

// NewWebhook is the input of webhook.create.
type NewWebhook struct {
	OrganizationReference
	Project string `json:"project"` // slug
	URL     string `json:"url"`     // https
	// Authorization is sent unchanged as the header of this name, scheme
	// included, e.g. "Bearer abc"; empty: the header is not sent.
	Authorization string `json:"authorization,omitempty"`
	Notices       bool   `json:"notices,omitempty"`
}

// CreateWebhook adds a webhook to a project.
func (s *Service) CreateWebhook(ctx context.Context, call Call, request NewWebhook) (Webhook, error) {
	var out Webhook
	authorization := secret.New(request.Authorization)
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		project := t.project(in, "project", org, request.Project)
		w := model.Webhook{ID: newID(), URL: s.webhookURL(in, "url", request.URL), Notices: request.Notices, Active: true, Created: t.now}
		if strings.ContainsFunc(authorization.Reveal(), func(r rune) bool { return unicode.IsControl(r) || r > '~' }) || len(authorization.Reveal()) > maxAuthorization {
			in.fail("authorization", "The value must be at most %d printable ASCII characters.", maxAuthorization)
		}
		if err := in.err(); err != nil {
			return err
		}
		if !authorization.IsEmpty() {
			if s.Seal == nil {
				return errors.New("the authorization value cannot be encrypted without the key-encryption key")
			}
			var err error
			if w.SealedAuthorization, err = s.Seal(webhooks.Purpose(w.ID), []byte(authorization.Reveal())); err != nil {
				return fmt.Errorf("encrypting the authorization value: %w", err)
			}
		}
		w.OrganizationID, w.ProjectID = org.ID, project.ID
		out = t.showWebhook(&w)
		if err := t.PutWebhook(w); err != nil {
			return err
		}
		return t.record("Webhook.Created", org.ID, changeData{After: out})
	})
	return out, err
}

const maxAuthorization = 4000

// webhookURL checks an address. What it resolves to is checked when it is used.
func (s *Service) webhookURL(in *input, field, text string) string {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Host == "" || len(text) > maxDescription {
		in.fail(field, "%q is not an address; give https://HOST/PATH.", clip(text))
		return ""
	}
	u.Fragment = ""
	check := s.CheckURL
	if check == nil {
		check = func(u *url.URL) error {
			if u.Scheme != "https" || u.User != nil {
				return errors.New("the address must begin with https:// and have no user in it")
			}
			return nil
		}
	}
	if err := check(u); err != nil {
		in.fail(field, "%q cannot be used: %v.", clip(u.Redacted()), err)
	}
	return u.String()
}

// WebhookFilter is the input of webhook.list.
type WebhookFilter struct {
	OrganizationReference
	Paging
	Project string `json:"project,omitempty"` // slug; empty: of every project
}

// ListWebhooks lists webhooks.
func (s *Service) ListWebhooks(ctx context.Context, _ Call, request WebhookFilter) (Webhooks, error) {
	out := Webhooks{Items: []Webhook{}}
	v, err := s.read(ctx)
	if err != nil {
		return out, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	projectID := ""
	if request.Project != "" {
		if p := v.project(in, "project", org, request.Project); p != nil {
			projectID = p.ID
		}
	}
	if err := in.err(); err != nil {
		return out, err
	}
	list, err := s.Store.Webhooks(ctx, org.ID, projectID)
	if err != nil {
		return out, err
	}
	found, next := page(in, request.Paging, list,
		func(w *model.Webhook) (time.Time, string) { return w.Created, w.ID }, func(*model.Webhook) bool { return true })
	for _, w := range found {
		out.Items = append(out.Items, v.showWebhook(w))
	}
	out.Next = next
	return out, in.err()
}

// WebhookReference names a webhook by its identifier.
type WebhookReference struct {
	OrganizationReference
	Webhook string `json:"webhook"`
	Project string `json:"project,omitempty"` // slug of the project that it must belong to; empty: any
}

// webhook finds a webhook of an organization.
func (s *Service) webhook(list []model.Webhook, in *input, id string) *model.Webhook {
	found := match(list, func(w *model.Webhook) bool { return strings.EqualFold(w.ID, strings.TrimSpace(id)) })
	if found == nil {
		in.fail("webhook", "There is no webhook %q in the organization.", clip(id))
	}
	return found
}

// WebhookEdit is the input of webhook.edit: absent members leave things as they are.
type WebhookEdit struct {
	WebhookReference
	Active  *bool `json:"active,omitempty"`
	Notices *bool `json:"notices,omitempty"`
}

// EditWebhook changes a webhook. Another address or authorization value is
// another webhook.
func (s *Service) EditWebhook(ctx context.Context, call Call, request WebhookEdit) (Webhook, error) {
	return s.changeWebhook(ctx, call, request.WebhookReference, func(t *transaction, w *model.Webhook) error {
		before := t.showWebhook(w)
		if request.Active != nil {
			w.Active = *request.Active
		}
		if request.Notices != nil {
			w.Notices = *request.Notices
		}
		after := t.showWebhook(w)
		if before == after {
			return nil
		}
		if err := t.PutWebhook(*w); err != nil {
			return err
		}
		return t.record("Webhook.Changed", w.OrganizationID, changeData{before, after})
	})
}

// WebhookActivity is the input of webhook.set-active.
type WebhookActivity struct {
	WebhookReference
	Active bool `json:"active"`
}

// SetWebhookActive switches a webhook on or off. What waits for another try is
// not sent while it is off.
func (s *Service) SetWebhookActive(ctx context.Context, call Call, request WebhookActivity) (Webhook, error) {
	return s.changeWebhook(ctx, call, request.WebhookReference, func(t *transaction, w *model.Webhook) error {
		if w.Active == request.Active {
			return nil
		}
		before := t.showWebhook(w)
		w.Active = request.Active
		if err := t.PutWebhook(*w); err != nil {
			return err
		}
		return t.record(activity("Webhook", request.Active), w.OrganizationID, changeData{before, t.showWebhook(w)})
	})
}

// DeleteWebhook removes a webhook with its messages.
func (s *Service) DeleteWebhook(ctx context.Context, call Call, request WebhookReference) (Webhook, error) {
	return s.changeWebhook(ctx, call, request, func(t *transaction, w *model.Webhook) error {
		if err := t.Tx.DeleteWebhook(w.OrganizationID, w.ID); err != nil {
			return err
		}
		return t.record("Webhook.Deleted", w.OrganizationID, changeData{Before: t.showWebhook(w)})
	})
}

func (s *Service) changeWebhook(ctx context.Context, call Call, ref WebhookReference, fn func(*transaction, *model.Webhook) error) (Webhook, error) {
	var out Webhook
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, ref.Organization)
		if org == nil {
			return in.err()
		}
		list, err := t.Webhooks(org.ID, "")
		if err != nil {
			return err
		}
		w := s.webhook(list, in, ref.Webhook)
		t.ofProject(in, w, org, ref.Project)
		if err := in.err(); err != nil {
			return err
		}
		if err := fn(t, w); err != nil {
			return err
		}
		out = t.showWebhook(w)
		return nil
	})
	return out, err
}

// WebhookDelivery is a message of a webhook with what was answered.
type WebhookDelivery struct {
	ID               string          `json:"id"`
	SigningRequestID string          `json:"signingRequestId"`
	Status           string          `json:"status"`
	State            string          `json:"state"` // delivered, waiting, failed
	Created          time.Time       `json:"created"`
	Answers          []WebhookAnswer `json:"answers"`
}

// WebhookAnswer is what came of one try.
type WebhookAnswer struct {
	Time   time.Time `json:"time"`
	Status int       `json:"status,omitempty"` // HTTP; 0: there was no answer
	Body   []byte    `json:"body,omitempty"`   // the first 4 KiB
	Error  string    `json:"error,omitempty"`
}

// WebhookDeliveries is a list of messages, newest first.
type WebhookDeliveries struct {
	Items []WebhookDelivery `json:"items"`
	Next
}

// WebhookDeliveryFilter is the input of webhook.deliveries.
type WebhookDeliveryFilter struct {
	WebhookReference
	Paging
}

// maxDeliveries is how many messages webhook.deliveries shows unless it is told.
const maxDeliveries = 100

// ofProject refuses a webhook of another project than the one that is meant.
func (v *view) ofProject(in *input, w *model.Webhook, org *model.Organization, slug string) {
	if w == nil || slug == "" {
		return
	}
	if p := v.project(in, "project", org, slug); p != nil && p.ID != w.ProjectID {
		in.fail("webhook", "The webhook belongs to another project.")
	}
}

// ListWebhookDeliveries lists the messages of a webhook, the newest first.
func (s *Service) ListWebhookDeliveries(ctx context.Context, _ Call, request WebhookDeliveryFilter) (WebhookDeliveries, error) {
	out := WebhookDeliveries{Items: []WebhookDelivery{}}
	v, err := s.read(ctx)
	if err != nil {
		return out, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	if org == nil {
		return out, in.err()
	}
	hooks, err := s.Store.Webhooks(ctx, org.ID, "")
	if err != nil {
		return out, err
	}
	w := s.webhook(hooks, in, request.Webhook)
	v.ofProject(in, w, org, request.Project)
	from := request.check(in)
	if err := in.err(); err != nil {
		return out, err
	}
	limit := request.Limit
	if limit == 0 {
		limit = maxDeliveries
	}
	f := store.DeliveryFilter{OrganizationID: org.ID, WebhookID: w.ID, Limit: limit + 1}
	if request.Cursor != "" {
		f.Before, f.BeforeID = time.UnixMilli(from.millis).UTC(), from.id
	}
	list, err := s.Store.WebhookDeliveries(ctx, f)
	if len(list) > limit {
		list = list[:limit]
		out.NextCursor = positionOf(list[limit-1].Created, list[limit-1].ID).cursor()
	}
	for _, d := range list {
		shown := WebhookDelivery{ID: d.ID, SigningRequestID: d.SigningRequestID, Status: string(d.Status), State: "waiting", Created: d.Created, Answers: []WebhookAnswer{}}
		switch {
		case d.Delivered:
			shown.State = "delivered"
		case !d.Finished.IsZero():
			shown.State = "failed"
		}
		for _, a := range d.Answers {
			shown.Answers = append(shown.Answers, WebhookAnswer(a))
		}
		out.Items = append(out.Items, shown)
	}
	return out, err
}
