package upkeep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/audit"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
	"signpath/internal/service/webhooks"
	"signpath/internal/wire"
)

type world struct {
	t    *testing.T
	st   store.Store
	log  *audit.Log
	now  time.Time
	up   *Upkeep
	org  model.Organization
	user model.User
	proj model.Project
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	w := &world{t: t, st: st, now: time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.must(err)
	t.Cleanup(func() { _ = st.Close() })
	w.log, err = audit.Open(t.Context(), st, audit.Options{Logger: slog.New(slog.DiscardHandler)})
	w.must(err)
	t.Cleanup(func() { _ = w.log.Close(context.Background()) })
	w.up = &Upkeep{Store: st, Log: w.log, Now: func() time.Time { return w.now }}
	created := w.now.AddDate(-2, 0, 0)
	w.org = model.Organization{ID: uuid.NewString(), Name: "A", Active: true, Created: created, DocumentRetentionDays: 31}
	w.user = model.User{ID: uuid.NewString(), OrganizationID: w.org.ID, Kind: model.CIUser, Name: "build", Active: true, Created: created}
	w.proj = model.Project{ID: uuid.NewString(), OrganizationID: w.org.ID, Slug: "app", Active: true, Created: created}
	w.put(func(tx store.Tx) error {
		return errors.Join(tx.PutOrganization(w.org), tx.PutUser(w.user), tx.PutProject(w.proj))
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(fn func(store.Tx) error) { w.t.Helper(); w.must(w.st.Write(w.t.Context(), fn)) }

func (w *world) round() { w.t.Helper(); w.must(w.up.Round(w.t.Context())) }

// entries are the types of all audit entries, with their data.
func (w *world) entries() (types []string, data []string) {
	w.t.Helper()
	rows, err := w.st.AuditRows(w.t.Context(), 0, 10_000, store.AuditFilter{})
	w.must(err)
	for _, r := range rows {
		e, err := audit.ParseLeaf(r.Leaf)
		w.must(err)
		types, data = append(types, r.Type), append(data, string(e.Event.Data))
	}
	return types, data
}

// request puts a request that was finished so many days ago; 0: it runs.
func (w *world) request(days int) string {
	r := model.SigningRequest{
		ID: uuid.NewString(), OrganizationID: w.org.ID, ProjectID: w.proj.ID, SubmitterID: w.user.ID, Workflow: model.WorkflowProcessing,
		Artifact: []byte("a"), Created: w.now.AddDate(0, 0, -days-1),
	}
	if days > 0 {
		r.Workflow, r.Finished, r.Result = model.WorkflowCompleted, w.now.AddDate(0, 0, -days), []byte("r")
	}
	w.put(func(tx store.Tx) error { return tx.PutSigningRequest(r) })
	return r.ID
}

func (w *world) get(id string) *model.SigningRequest {
	w.t.Helper()
	r, err := w.st.SigningRequest(w.t.Context(), w.org.ID, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	w.must(err)
	return r
}

// Documents go after their time, requests after theirs, each told once in the
// audit log; what runs or is younger stays, and 0 days keep for ever.
func TestRetention(t *testing.T) {
	w := newWorld(t)
	running, young, old, oldest := w.request(0), w.request(30), w.request(32), w.request(500)
	w.round()
	for id, kept := range map[string]bool{running: true, young: true, old: false, oldest: false} {
		r := w.get(id)
		if r == nil {
			t.Fatal("a request went though requests are kept for ever")
		}
		if (r.Artifact != nil) != kept || r.DocumentsRemoved.IsZero() != kept {
			t.Errorf("%s: %+v", id, r)
		}
	}
	types, data := w.entries()
	if !slices.Equal(types, []string{EntryDocumentsRemoved}) || !strings.Contains(data[0], old) || !strings.Contains(data[0], oldest) || !strings.Contains(data[0], `"count":2,"retentionDays":31`) {
		t.Errorf("%v %v", types, data)
	}
	w.round()
	if types, _ := w.entries(); len(types) != 1 {
		t.Errorf("told again: %v", types)
	}
	w.org.RequestRetentionDays = 365
	w.put(func(tx store.Tx) error { return tx.PutOrganization(w.org) })
	w.round()
	if w.get(oldest) != nil || w.get(old) == nil {
		t.Error("the wrong requests went")
	}
	if types, data := w.entries(); len(types) != 2 || types[1] != EntryRequestsRemoved || !strings.Contains(data[1], oldest) {
		t.Errorf("%v %v", types, data)
	}
	w.org.DocumentRetentionDays, w.org.RequestRetentionDays = 0, 0
	w.put(func(tx store.Tx) error { return tx.PutOrganization(w.org) })
	w.now = w.now.AddDate(50, 0, 0)
	w.round()
	if r := w.get(young); r == nil || r.Artifact == nil {
		t.Error("0 days do not keep for ever")
	}
}

// More than one batch goes in one round.
func TestRetentionInBatches(t *testing.T) {
	w := newWorld(t)
	for range batch + 50 {
		w.request(40)
	}
	w.round()
	types, data := w.entries()
	if len(types) != 2 || !strings.Contains(data[0], fmt.Sprintf(`"count":%d`, batch)) || !strings.Contains(data[1], `"count":50`) {
		t.Errorf("%v", types)
	}
}

// certificate puts a certificate with a policy of the project.
func (w *world) certificate(begin, end time.Time) model.Certificate {
	key := model.Key{ID: uuid.NewString(), OrganizationID: w.org.ID, Version: 1, Type: wire.KeyECDSA, Bits: 256, Backend: "soft", Created: begin}
	c := model.Certificate{ID: uuid.NewString(), OrganizationID: w.org.ID, Slug: "release", Type: wire.CertificateX509, KeyID: key.ID, NotBefore: begin, NotAfter: end, Active: true, Created: begin}
	p := model.SigningPolicy{ID: uuid.NewString(), OrganizationID: w.org.ID, ProjectID: w.proj.ID, Slug: "release", CertificateID: c.ID, Submitters: []string{w.user.ID}, Active: true, Created: begin}
	w.put(func(tx store.Tx) error {
		return errors.Join(tx.PutKey(key, []byte("sealed")), tx.PutCertificate(c), tx.PutSigningPolicy(p))
	})
	return c
}

// Each threshold of a certificate is told once, in order; a renewal begins anew.
func TestCertificateNotices(t *testing.T) {
	w := newWorld(t)
	end := w.now.AddDate(0, 0, 40)
	c := w.certificate(w.now.AddDate(-1, 0, 0), end)
	var told []int
	for w.now.Before(end.AddDate(0, 0, 50)) {
		w.round()
		w.now = w.now.Add(12 * time.Hour)
	}
	types, data := w.entries()
	for i := range types {
		var d noticeData
		w.must(json.Unmarshal([]byte(data[i]), &d))
		told = append(told, d.DaysLeft)
		if d.CertificateSlug != "release" || !slices.Equal(d.Policies, []string{"app/release"}) || d.Ends != end.Format(time.RFC3339) {
			t.Errorf("%s", data[i])
		}
	}
	if !slices.Equal(told, []int{30, 10, 1, 0}) || types[2] != EntryCertificateExpiring || types[3] != EntryCertificateExpired {
		t.Errorf("%v %v", types, told)
	}
	c.NotAfter = w.now.AddDate(0, 0, 5)
	w.put(func(tx store.Tx) error { return tx.PutCertificate(c) })
	w.round()
	w.round()
	if types, _ := w.entries(); len(types) != 5 {
		t.Errorf("another end: %v", types)
	}
	// What was switched off, or ended long ago, is told to nobody.
	c.NotAfter, c.Active = w.now.AddDate(0, 0, 1), false
	w.put(func(tx store.Tx) error { return tx.PutCertificate(c) })
	w.round()
	c.NotAfter, c.Active = w.now.AddDate(0, 0, -31), true
	w.put(func(tx store.Tx) error { return tx.PutCertificate(c) })
	w.round()
	if types, _ := w.entries(); len(types) != 5 {
		t.Errorf("told of what does not matter: %v", types)
	}
}

// A token for a week is told of a day before its end, not when it is made.
func TestTokenNotices(t *testing.T) {
	w := newWorld(t)
	k := model.Token{ID: uuid.NewString(), OrganizationID: w.org.ID, UserID: w.user.ID, Name: "runner", Active: true, Created: w.now, Expires: w.now.AddDate(0, 0, 7)}
	w.put(func(tx store.Tx) error { return tx.PutToken(k) })
	w.round()
	if types, _ := w.entries(); len(types) != 0 {
		t.Errorf("told at its making: %v", types)
	}
	w.now = k.Expires.Add(-time.Hour)
	w.round()
	w.now = k.Expires
	w.round()
	types, data := w.entries()
	if !slices.Equal(types, []string{EntryTokenExpiring, EntryTokenExpired}) || !strings.Contains(data[0], `"tokenName":"runner"`) || !strings.Contains(data[0], `"userName":"build"`) {
		t.Errorf("%v %v", types, data)
	}
}

// Only webhooks that want notices get a message, once for each notice, and only
// for their project.
func TestNoticesToWebhooks(t *testing.T) {
	w := newWorld(t)
	other := model.Project{ID: uuid.NewString(), OrganizationID: w.org.ID, Slug: "other", Active: true, Created: w.now}
	hook := func(project string, notices bool) model.Webhook {
		return model.Webhook{ID: uuid.NewString(), OrganizationID: w.org.ID, ProjectID: project, URL: "https://example.test", Notices: notices, Active: true, Created: w.now}
	}
	wants, silent, elsewhere := hook(w.proj.ID, true), hook(w.proj.ID, false), hook(other.ID, true)
	w.put(func(tx store.Tx) error {
		return errors.Join(tx.PutProject(other), tx.PutWebhook(wants), tx.PutWebhook(silent), tx.PutWebhook(elsewhere))
	})
	w.certificate(w.now.AddDate(-1, 0, 0), w.now.AddDate(0, 0, 9))
	woken := false
	w.up.Wake = func() { woken = true }
	w.round()
	w.round()
	for h, n := range map[string]int{wants.ID: 1, silent.ID: 0, elsewhere.ID: 0} {
		list, err := w.st.WebhookDeliveries(t.Context(), store.DeliveryFilter{OrganizationID: w.org.ID, WebhookID: h, Limit: 10})
		w.must(err)
		if len(list) != n {
			t.Errorf("%d messages, want %d", len(list), n)
		}
		for _, d := range list {
			var m wire.WebhookNotice
			w.must(json.Unmarshal(d.Message, &m))
			if m.Notice != EntryCertificateExpiring || m.CertificateSlug != "release" || m.DaysLeft != 10 || m.OrganizationID != w.org.ID {
				t.Errorf("%s", d.Message)
			}
		}
	}
	if next, err := w.st.NextJob(t.Context(), []string{webhooks.JobKind}); err != nil || next.IsZero() || !woken {
		t.Errorf("nobody sends it: %v %v", next, err)
	}
}
