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
	Active           bool      `json:"active"`
	Created          time.Time `json:"created"`
}

// Webhooks is a list of webhooks.
type Webhooks struct {
	Items []Webhook `json:"items"`
}

func (v *view) showWebhook(w *model.Webhook) Webhook {
	out := Webhook{ID: w.ID, OrganizationID: w.OrganizationID, URL: w.URL, HasAuthorization: w.SealedAuthorization != nil, Active: w.Active, Created: w.Created}
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
}

// CreateWebhook adds a webhook to a project.
func (s *Service) CreateWebhook(ctx context.Context, call Call, request NewWebhook) (Webhook, error) {
	var out Webhook
	authorization := secret.New(request.Authorization)
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		project := t.project(in, "project", org, request.Project)
		w := model.Webhook{ID: newID(), URL: s.webhookURL(in, "url", request.URL), Active: true, Created: t.now}
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
	for i := range list {
		out.Items = append(out.Items, v.showWebhook(&list[i]))
	}
	return out, err
}

// WebhookReference names a webhook by its identifier.
type WebhookReference struct {
	OrganizationReference
	Webhook string `json:"webhook"`
}

// webhook finds a webhook of an organization.
func (s *Service) webhook(list []model.Webhook, in *input, id string) *model.Webhook {
	found := match(list, func(w *model.Webhook) bool { return strings.EqualFold(w.ID, strings.TrimSpace(id)) })
	if found == nil {
		in.fail("webhook", "There is no webhook %q in the organization.", clip(id))
	}
	return found
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
}

// maxDeliveries is how many messages webhook.deliveries shows.
const maxDeliveries = 100

// ListWebhookDeliveries lists the newest messages of a webhook.
func (s *Service) ListWebhookDeliveries(ctx context.Context, _ Call, request WebhookReference) (WebhookDeliveries, error) {
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
	if err := in.err(); err != nil {
		return out, err
	}
	list, err := s.Store.WebhookDeliveries(ctx, org.ID, w.ID, maxDeliveries)
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
