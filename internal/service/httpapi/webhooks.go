package httpapi

import (
	"net/http"
	"time"

	"signpath/internal/service/admin"
	"signpath/internal/service/authz"
	"signpath/internal/wire"
)

// webhookRoutes are the routes of a project's webhooks. Addresses and answers
// may hold what is not for everybody, so that reading takes the right to edit.
func webhookRoutes(a *api, org string) []route {
	hooks := org + "/Projects/{projectSlug}/Webhooks"
	hook := hooks + "/{webhookId}"
	return []route{
		{method: "GET", pattern: hooks, access: tokenFor, handler: a.webhooks},
		{method: "POST", pattern: hooks, access: tokenFor, handler: a.createWebhook},
		{method: "POST", pattern: hook + "/Edit", access: tokenFor, handler: a.editWebhook},
		{method: "DELETE", pattern: hook, access: tokenFor, handler: a.deleteWebhook},
		{method: "GET", pattern: hook + "/Deliveries", access: tokenFor, handler: a.webhookDeliveries},
	}
}

type webhookAnswer struct {
	ID               string    `json:"id"`
	URL              string    `json:"url"`
	HasAuthorization bool      `json:"hasAuthorization"` // its value is never told
	Notices          bool      `json:"notices"`
	IsActive         bool      `json:"isActive"`
	Created          time.Time `json:"created"`
}

func showWebhook(w admin.Webhook) webhookAnswer {
	return webhookAnswer{ID: w.ID, URL: w.URL, HasAuthorization: w.HasAuthorization, Notices: w.Notices, IsActive: w.Active, Created: w.Created}
}

func (a *api) webhooks(x *exchange) error {
	p, err := x.paging()
	if err != nil {
		return err
	}
	var out admin.Webhooks
	input := admin.WebhookFilter{OrganizationReference: x.org(), Paging: p, Project: x.params["projectSlug"]}
	if err := a.administer(x, x.onProject(authz.EditArtifactConfigurations), "webhook.list", input, &out); err != nil {
		return err
	}
	return x.compressibleJSON(http.StatusOK, listOf(out.Items, out.Next, showWebhook))
}

func (a *api) createWebhook(x *exchange) error {
	var r struct {
		URL           string
		Authorization string
		Notices       bool
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	var out admin.Webhook
	input := admin.NewWebhook{OrganizationReference: x.org(), Project: x.params["projectSlug"], URL: r.URL, Authorization: r.Authorization, Notices: r.Notices}
	if err := a.administer(x, x.onProject(authz.EditArtifactConfigurations), "webhook.create", input, &out); err != nil {
		return err
	}
	return a.createdAt(x, "Projects/"+out.Project+"/Webhooks/"+out.ID, showWebhook(out))
}

func (x *exchange) webhookReference() admin.WebhookReference {
	return admin.WebhookReference{OrganizationReference: x.org(), Project: x.params["projectSlug"], Webhook: x.params["webhookId"]}
}

// unknownWebhook turns "there is no such webhook" into the answer for what a
// path names and does not exist.
func unknownWebhook(err error) error {
	if fields, ok := err.(wire.FieldErrors); ok && len(fields["Webhook"]) > 0 {
		return forbidden("The project has no such webhook, or you may not see it.")
	}
	return err
}

func (a *api) editWebhook(x *exchange) error {
	var r struct{ IsActive, Notices *bool }
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	var out admin.Webhook
	input := admin.WebhookEdit{WebhookReference: x.webhookReference(), Active: r.IsActive, Notices: r.Notices}
	if err := a.administer(x, x.onProject(authz.EditArtifactConfigurations), "webhook.edit", input, &out); err != nil {
		return unknownWebhook(err)
	}
	return x.json(http.StatusOK, showWebhook(out))
}

func (a *api) deleteWebhook(x *exchange) error {
	if err := a.administer(x, x.onProject(authz.EditArtifactConfigurations), "webhook.delete", x.webhookReference(), nil); err != nil {
		return unknownWebhook(err)
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// deliveryAnswer is a message with what was answered. Bodies are base64: they
// are whatever the other server sent.
type deliveryAnswer struct {
	ID               string              `json:"id"`
	SigningRequestID string              `json:"signingRequestId,omitempty"` // absent for notices
	Status           string              `json:"status"`                     // of the request; of a notice, its type
	State            string              `json:"state"`                      // delivered, waiting, failed
	Created          time.Time           `json:"created"`
	Answers          []deliveryTryAnswer `json:"answers"`
}

type deliveryTryAnswer struct {
	Time   time.Time `json:"time"`
	Status int       `json:"status,omitempty"` // HTTP; absent: there was no answer
	Body   []byte    `json:"body,omitempty"`   // the first 4 KiB
	Error  string    `json:"error,omitempty"`
}

func (a *api) webhookDeliveries(x *exchange) error {
	p, err := x.paging()
	if err != nil {
		return err
	}
	var out admin.WebhookDeliveries
	input := admin.WebhookDeliveryFilter{WebhookReference: x.webhookReference(), Paging: p}
	if err := a.administer(x, x.onProject(authz.EditArtifactConfigurations), "webhook.deliveries", input, &out); err != nil {
		return unknownWebhook(err)
	}
	return x.compressibleJSON(http.StatusOK, listOf(out.Items, out.Next, func(d admin.WebhookDelivery) deliveryAnswer {
		shown := deliveryAnswer{ID: d.ID, SigningRequestID: d.SigningRequestID, Status: d.Status, State: d.State, Created: d.Created, Answers: []deliveryTryAnswer{}}
		for _, t := range d.Answers {
			shown.Answers = append(shown.Answers, deliveryTryAnswer(t))
		}
		return shown
	}))
}
