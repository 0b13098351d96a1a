package storetest

import (
	"errors"
	"fmt"
	"testing"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// testRetention: what was finished long ago loses its documents, oldest first,
// and then goes; what runs, what is newer and what is another organization's stays.
func testRetention(t *testing.T, open Opener) {
	s := opened(t, open)
	request := func(name, org, project, user string, finished int64) model.SigningRequest {
		r := model.SigningRequest{
			ID: id(name), OrganizationID: id(org), ProjectID: id(project), SubmitterID: id(user), Created: at(1, 0),
			Artifact: []byte("a"), Result: []byte("r"), BuildSettings: []byte("b"), Certificate: []byte("c"),
		}
		if finished > 0 {
			r.Finished = at(finished, 0)
		}
		return r
	}
	hook := model.Webhook{ID: id("w1"), OrganizationID: id("o1"), ProjectID: id("p1"), Created: at(1, 0)}
	write(t, s, func(tx store.Tx) error {
		errs := []error{putAll(tx, fill()), tx.PutWebhook(hook)}
		for i := range 5 {
			errs = append(errs, tx.PutSigningRequest(request(fmt.Sprint("r", i), "o1", "p1", "u1", int64(100-i))))
			errs = append(errs, tx.PutWebhookDelivery(model.WebhookDelivery{ID: id(fmt.Sprint("d", i)), OrganizationID: id("o1"), WebhookID: hook.ID, Created: at(2, 0), Finished: at(int64(100-i), 0)}))
		}
		errs = append(errs, tx.PutSigningRequest(request("running", "o1", "p1", "u1", 0)), tx.PutSigningRequest(request("foreign", "o2", "p3", "u3", 1)),
			tx.PutWebhookDelivery(model.WebhookDelivery{ID: id("waiting"), OrganizationID: id("o1"), WebhookID: hook.ID, Created: at(2, 0)}))
		return errors.Join(errs...)
	})
	write(t, s, func(tx store.Tx) error {
		removed, err := tx.RemoveDocuments(id("o1"), at(100, 0), at(500, 7), 3)
		equal(t, "the oldest first, as many as asked for", removed, []string{id("r4"), id("r3"), id("r2")})
		return err
	})
	write(t, s, func(tx store.Tx) error {
		removed, err := tx.RemoveDocuments(id("o1"), at(100, 0), at(500, 8), 300)
		equal(t, "the rest: not the one of this very second", removed, []string{id("r1")})
		return err
	})
	bare := request("r4", "o1", "p1", "u1", 96)
	bare.Artifact, bare.Result, bare.BuildSettings, bare.DocumentsRemoved = nil, nil, nil, at(500, 7)
	for _, want := range []model.SigningRequest{bare, request("r0", "o1", "p1", "u1", 100), request("running", "o1", "p1", "u1", 0), request("foreign", "o2", "p3", "u3", 1)} {
		got, err := s.SigningRequest(t.Context(), want.OrganizationID, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, want.ID, got, &want)
	}
	write(t, s, func(tx store.Tx) error {
		deleted, err := tx.DeleteSigningRequests(id("o1"), at(99, 0), 2)
		equal(t, "deleted", deleted, []string{id("r4"), id("r3")})
		n, err2 := tx.DeleteWebhookDeliveries(id("o1"), at(99, 0), 2)
		m, err3 := tx.DeleteWebhookDeliveries(id("o2"), at(99, 0), 2)
		equal(t, "messages", []int{n, m}, []int{2, 0})
		return errors.Join(err, err2, err3)
	})
	left, err := s.SigningRequests(t.Context(), store.RequestFilter{OrganizationID: id("o1"), Limit: 10})
	messages, err2 := s.WebhookDeliveries(t.Context(), store.DeliveryFilter{OrganizationID: id("o1"), WebhookID: hook.ID, Limit: 10})
	if err := errors.Join(err, err2); err != nil || len(left) != 4 || len(messages) != 4 {
		t.Errorf("%d requests and %d messages are left (%v), want 4 and 4", len(left), len(messages), err)
	}
}

func testTrustedBuildSystems(t *testing.T, open Opener) {
	s := opened(t, open)
	write(t, s, func(tx store.Tx) error { return putAll(tx, fill()) })
	before := version(t, s)
	refused(t, s, store.ErrDuplicate, func(tx store.Tx) error {
		b := fill().TrustedBuildSystems[0]
		b.ID = id("b3")
		return tx.PutTrustedBuildSystem(b)
	})
	refused(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.DeleteTrustedBuildSystem(id("o2"), id("b1")) })
	write(t, s, func(tx store.Tx) error { return tx.DeleteTrustedBuildSystem(id("o1"), id("b1")) })
	equal(t, "what is left", config(t, s).TrustedBuildSystems, fill().TrustedBuildSystems[1:])
	if version(t, s) == before {
		t.Error("the configuration's version stayed")
	}
}
