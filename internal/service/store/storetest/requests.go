package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// fullRequest has every member set.
func fullRequest() model.SigningRequest {
	return model.SigningRequest{
		ID: id("r1"), OrganizationID: id("o1"), ProjectID: id("p1"), SigningPolicyID: id("s1"), ArtifactConfigurationID: id("a1"),
		SubmitterID: id("u1"), TokenID: id("t1"), Description: "Ünïcode\n'; DROP TABLE jobs; --", Workflow: model.WorkflowCompleted,
		ArtifactName: "payload.json", ArtifactSHA256: "00ff", Artifact: []byte{0, 1, 255}, Result: []byte(`{"Signature":"AA=="}`), KeyVersion: 3,
		OriginalID: id("r0"), Parameters: []model.RequestParameter{{Name: "b", Value: "2"}, {Name: "a", Value: "<ä>"}},
		Origin: json.RawMessage(`{"z":1, "a":"<b>"}`), BuildSettings: []byte("x"),
		Approvals:   []model.RequestApproval{{UserID: id("u2"), Time: at(1_700_000_100, 5), Reason: "fine"}},
		Certificate: []byte{0x30, 0x00}, TrustedBuildSystemID: id("b1"), DocumentsRemoved: at(1_700_000_400, 5),
		Reason: "because", EndedBy: id("u2"), IP: "192.0.2.1", UserAgent: "test/1", TraceID: "00-1-2-00",
		Created: at(1_700_000_200, 1), Changed: at(1_700_000_201, 2), Finished: at(1_700_000_202, 3), Deadline: at(1_700_000_300, 4),
	}
}

func testSigningRequests(t *testing.T, open Opener) {
	s := opened(t, open)
	write(t, s, func(tx store.Tx) error { return putAll(tx, fill()) })
	before := version(t, s)
	full := fullRequest()
	bare := model.SigningRequest{ID: id("r2"), OrganizationID: id("o1"), ProjectID: id("p1"), SubmitterID: id("u1"), Created: at(1_700_000_199, 0)}
	write(t, s, func(tx store.Tx) error {
		if _, err := tx.SigningRequest(id("o1"), full.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("before it is there: %v", err)
		}
		if err := errors.Join(tx.PutSigningRequest(full), tx.PutSigningRequest(bare)); err != nil {
			return err
		}
		got, err := tx.SigningRequest(id("o1"), full.ID)
		equal(t, "in the transaction", got, &full)
		return err
	})
	equal(t, "the configuration's version", version(t, s), before)
	s.Close()
	s = opened(t, open)
	for _, want := range []model.SigningRequest{full, bare} {
		got, err := s.SigningRequest(t.Context(), id("o1"), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, want.ID, got, &want)
	}
	if _, err := s.SigningRequest(t.Context(), id("o2"), full.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of another organization: %v", err)
	}
	full.Workflow, full.Result, full.Parameters = model.WorkflowCanceled, nil, nil
	write(t, s, func(tx store.Tx) error { return tx.PutSigningRequest(full) })
	got, err := s.SigningRequest(t.Context(), id("o1"), full.ID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "replaced", got, &full)
	moved := full
	moved.OrganizationID, moved.ProjectID, moved.SubmitterID = id("o2"), id("p3"), id("u3")
	refused(t, s, store.ErrDuplicate, func(tx store.Tx) error { return tx.PutSigningRequest(moved) })
	foreign := bare
	foreign.ID, foreign.ProjectID = id("r3"), id("p3")
	refused(t, s, nil, func(tx store.Tx) error { return tx.PutSigningRequest(foreign) })
}

func testSigningRequestPages(t *testing.T, open Opener) {
	s := opened(t, open)
	write(t, s, func(tx store.Tx) error { return putAll(tx, fill()) })
	var want []string // newest first
	write(t, s, func(tx store.Tx) error {
		for i := range 25 {
			r := model.SigningRequest{
				ID: id(fmt.Sprint("page", i)), OrganizationID: id("o1"), ProjectID: id("p1"), SigningPolicyID: id("s1"), SubmitterID: id("u1"),
				Workflow: model.WorkflowCompleted, Artifact: []byte("x"), Result: []byte("y"), Created: at(1_700_000_000+int64(i/5), 0), // five of each time
			}
			if i%2 == 0 {
				r.ProjectID, r.SigningPolicyID, r.SubmitterID, r.Workflow = id("p2"), id("s2"), id("u2"), model.WorkflowDenied
			}
			if err := tx.PutSigningRequest(r); err != nil {
				return err
			}
			want = append(want, r.Created.Format(time.RFC3339)+r.ID)
		}
		return tx.PutSigningRequest(model.SigningRequest{ID: id("foreign"), OrganizationID: id("o2"), ProjectID: id("p3"), SubmitterID: id("u3"), Created: at(1_700_000_001, 0)})
	})
	slices.Sort(want)
	slices.Reverse(want)
	var got []string
	f := store.RequestFilter{OrganizationID: id("o1"), Limit: 4}
	for {
		page, err := s.SigningRequests(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			if r.Artifact != nil || r.Result != nil {
				t.Error("a list carries contents")
			}
			got = append(got, r.Created.Format(time.RFC3339)+r.ID)
		}
		if len(page) < f.Limit {
			break
		}
		f.Before, f.BeforeID = page[3].Created, page[3].ID
	}
	equal(t, "all pages", got, want)
	for what, c := range map[string]struct {
		f    store.RequestFilter
		want int
	}{
		"project":   {store.RequestFilter{ProjectID: id("p2")}, 13},
		"policy":    {store.RequestFilter{SigningPolicyID: id("s1")}, 12},
		"submitter": {store.RequestFilter{SubmitterID: id("u2")}, 13},
		"workflow":  {store.RequestFilter{Workflows: []model.RequestWorkflow{model.WorkflowDenied}}, 13},
		"workflows": {store.RequestFilter{Workflows: []model.RequestWorkflow{model.WorkflowDenied, model.WorkflowCompleted}}, 25},
		"times":     {store.RequestFilter{From: at(1_700_000_001, 0), To: at(1_700_000_003, 0)}, 10},
		"both":      {store.RequestFilter{ProjectID: id("p2"), SubmitterID: id("u1")}, 0},
	} {
		c.f.OrganizationID, c.f.Limit = id("o1"), 100
		page, err := s.SigningRequests(t.Context(), c.f)
		if err != nil || len(page) != c.want {
			t.Errorf("%s: %d, want %d (%v)", what, len(page), c.want, err)
		}
	}
	if _, err := s.SigningRequests(t.Context(), store.RequestFilter{Limit: 1}); err == nil {
		t.Error("a list without an organization")
	}
}

func testJobs(t *testing.T, open Opener) {
	s := opened(t, open)
	write(t, s, func(tx store.Tx) error { return putAll(tx, fill()) })
	now := at(1_700_000_500, 0)
	next := func(kinds ...string) time.Time {
		t.Helper()
		at, err := s.NextJob(t.Context(), kinds)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	claim := func(lease string, now time.Time, limit int, kinds ...string) (ids []string) {
		t.Helper()
		write(t, s, func(tx store.Tx) error {
			claimed, err := tx.ClaimJobs(kinds, lease, now, now.Add(time.Minute), limit)
			for _, j := range claimed {
				if j.Lease != lease || j.Attempts == 0 {
					t.Errorf("%+v", j)
				}
				ids = append(ids, j.Subject)
			}
			return err
		})
		return ids
	}
	equal(t, "nothing to do", next("a", "b"), time.Time{})
	write(t, s, func(tx store.Tx) error {
		var errs []error
		for i, kind := range []string{"a", "a", "a", "b"} {
			errs = append(errs, tx.PutJob(model.Job{ID: id(fmt.Sprint("j", i)), Kind: kind, OrganizationID: id("o1"), Subject: fmt.Sprint(i), Due: now.Add(time.Duration(i) * time.Second)}))
		}
		return errors.Join(errs...)
	})
	equal(t, "next", next("a"), now)
	equal(t, "next of the other kind", next("b"), now.Add(3*time.Second))
	equal(t, "too early", claim("L", now.Add(-1), 10, "a", "b"), []string(nil))
	equal(t, "one at a time", claim("L", now.Add(5*time.Second), 1, "a", "b"), []string{"0"})
	equal(t, "by kind", claim("L", now.Add(5*time.Second), 10, "a"), []string{"1", "2"})
	equal(t, "all are at work", claim("M", now.Add(5*time.Second), 10, "a"), []string(nil))
	equal(t, "the end of a lease", next("a"), now.Add(65*time.Second))
	refused(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.DeleteJob(id("j0"), "M") })
	write(t, s, func(tx store.Tx) error { return tx.DeleteJob(id("j0"), "L") })
	equal(t, "taken over", claim("M", now.Add(65*time.Second), 10, "a"), []string{"1", "2"})
	refused(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.DeleteJob(id("j1"), "L") })
	write(t, s, func(tx store.Tx) error { return tx.ReleaseJobs([]string{"a"}) })
	equal(t, "released", claim("N", now.Add(66*time.Second), 10, "a"), []string{"1", "2"})
	write(t, s, func(tx store.Tx) error {
		return errors.Join(tx.DeleteJobsOf("a", "1"), tx.DeleteJobsOf("b", "2"), tx.DeleteJobsOf("a", "nobody"))
	})
	equal(t, "what is left", claim("O", now.Add(time.Hour), 10, "a", "b"), []string{"2", "3"})
	equal(t, "no kinds", next(), time.Time{})
}

func testWebhooks(t *testing.T, open Opener) {
	s := opened(t, open)
	write(t, s, func(tx store.Tx) error { return putAll(tx, fill()) })
	hook := model.Webhook{ID: id("w1"), OrganizationID: id("o1"), ProjectID: id("p1"), URL: "https://example.test/?a=b", SealedAuthorization: []byte{1, 0}, Notices: true, Active: true, Created: at(1_700_000_600, 0)}
	other := model.Webhook{ID: id("w2"), OrganizationID: id("o1"), ProjectID: id("p2"), Created: at(1_700_000_601, 0)}
	first := model.WebhookDelivery{
		ID: id("d1"), OrganizationID: id("o1"), WebhookID: hook.ID, SigningRequestID: id("r1"), Status: model.RequestCompleted, Message: []byte("{}"),
		Answers:   []model.WebhookAnswer{{Time: at(1_700_000_610, 7), Status: 500, Body: []byte{0xff, 0}}, {Time: at(1_700_000_611, 0), Error: "refused"}},
		Delivered: true, Created: at(1_700_000_609, 0), Finished: at(1_700_000_612, 0),
	}
	second := model.WebhookDelivery{ID: id("d2"), OrganizationID: id("o1"), WebhookID: hook.ID, Created: at(1_700_000_609, 1)}
	write(t, s, func(tx store.Tx) error {
		err := errors.Join(tx.PutWebhookDelivery(first), tx.PutWebhookDelivery(second), tx.PutWebhook(hook), tx.PutWebhook(other))
		if err != nil {
			return err
		}
		all, err := tx.Webhooks(id("o1"), id("p1"))
		equal(t, "in the transaction", all, []model.Webhook{hook})
		return err
	})
	all, err := s.Webhooks(t.Context(), id("o1"), "")
	equal(t, "of the organization", all, []model.Webhook{hook, other})
	none, err2 := s.Webhooks(t.Context(), id("o2"), "")
	equal(t, "of another organization", none, []model.Webhook(nil))
	of := store.DeliveryFilter{OrganizationID: id("o1"), WebhookID: hook.ID, Limit: 10}
	list, err3 := s.WebhookDeliveries(t.Context(), of)
	equal(t, "messages", list, []model.WebhookDelivery{second, first})
	of.Limit = 1
	page, err4 := s.WebhookDeliveries(t.Context(), of)
	equal(t, "the newest message", page, []model.WebhookDelivery{second})
	of.Before, of.BeforeID = second.Created, second.ID
	next, err6 := s.WebhookDeliveries(t.Context(), of)
	equal(t, "the page behind it", next, []model.WebhookDelivery{first})
	one, err5 := s.WebhookDelivery(t.Context(), first.ID)
	equal(t, "message", one, &first)
	if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	refused(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.DeleteWebhook(id("o2"), hook.ID) })
	write(t, s, func(tx store.Tx) error { return tx.DeleteWebhook(id("o1"), hook.ID) })
	if _, err := s.WebhookDelivery(t.Context(), first.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a message of a webhook that is gone: %v", err)
	}
	refused(t, s, nil, func(tx store.Tx) error { return tx.PutWebhookDelivery(first) })
}

func testCountAudit(t *testing.T, open Opener) {
	s := opened(t, open)
	appendEntries(t, s, 10, func(i int, r *store.AuditRow) {
		if i%2 == 0 {
			r.OrganizationID, r.Type = id("o2"), "Other"
		}
	})
	for _, c := range []struct {
		after uint64
		f     store.AuditFilter
		want  uint64
	}{
		{0, store.AuditFilter{}, 10},
		{4, store.AuditFilter{}, 6},
		{0, store.AuditFilter{OrganizationID: id("o2"), Type: "Other"}, 5},
		{0, store.AuditFilter{OrganizationID: id("o1"), Type: "Other"}, 0},
		{0, store.AuditFilter{FromMillis: 1_700_000_000_003, ToMillis: 1_700_000_000_005}, 2},
	} {
		n, upTo, err := s.CountAudit(t.Context(), c.after, c.f)
		if err != nil || n != c.want || upTo != 10 {
			t.Errorf("%+v: %d up to %d (%v), want %d", c, n, upTo, err, c.want)
		}
	}
}
