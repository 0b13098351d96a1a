package webhooks

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/egress"
	"signpath/internal/service/jobs"
	"signpath/internal/service/keys"
	"signpath/internal/service/keys/keystest"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
)

const authorization = "Custom s3cret-value-of-the-hook"

// world is a database with a project, and a server that gets the messages.
type world struct {
	t      *testing.T
	store  store.Store
	kek    *keys.KEK
	runner *jobs.Runner
	sender *Sender
	now    time.Time
	org    model.Organization
	proj   model.Project
	log    strings.Builder

	server *httptest.Server
	mu     sync.Mutex
	got    []*http.Request
	bodies []string
	answer func(w http.ResponseWriter, r *http.Request)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, kek: keystest.KEK(t), now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	w.store, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	w.must(err)
	t.Cleanup(func() { _ = w.store.Close() })
	w.server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		w.got, w.bodies = append(w.got, r), append(w.bodies, string(body))
		answer := w.answer
		w.mu.Unlock()
		if answer != nil {
			answer(rw, r)
		}
	}))
	t.Cleanup(w.server.Close)
	w.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	roots := x509.NewCertPool()
	roots.AddCert(w.server.Certificate())
	logger := slog.New(slog.NewTextHandler(&w.log, nil))
	clock := func() time.Time { return w.now }
	w.sender = &Sender{
		Store: w.store, Seal: w.kek, UserAgent: "test", Now: clock, Logger: logger,
		Egress: egress.New(egress.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: roots, Timeout: 300 * time.Millisecond}),
	}
	w.runner = &jobs.Runner{Store: w.store, Handlers: map[string]jobs.Handler{JobKind: w.sender.Deliver}, Now: clock, Logger: logger}
	w.org = model.Organization{ID: uuid.NewString(), Name: "Acme", Active: true, Created: w.now}
	w.proj = model.Project{ID: uuid.NewString(), OrganizationID: w.org.ID, Slug: "app", Active: true, Created: w.now}
	w.write(func(tx store.Tx) error { return errors.Join(tx.PutOrganization(w.org), tx.PutProject(w.proj)) })
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(fn func(store.Tx) error) {
	w.t.Helper()
	w.must(w.store.Write(w.t.Context(), fn))
}

func (w *world) hook(url string, active bool) model.Webhook {
	w.t.Helper()
	h := model.Webhook{ID: uuid.NewString(), OrganizationID: w.org.ID, ProjectID: w.proj.ID, URL: url, Active: active, Created: w.now}
	var err error
	h.SealedAuthorization, err = w.kek.Seal(Purpose(h.ID), []byte(authorization))
	w.must(err)
	w.write(func(tx store.Tx) error { return tx.PutWebhook(h) })
	return h
}

// end is the end of a signing request, as package requests tells of it.
func (w *world) end() *model.SigningRequest {
	w.t.Helper()
	r := &model.SigningRequest{ID: uuid.NewString(), OrganizationID: w.org.ID, ProjectID: w.proj.ID}
	w.write(func(tx store.Tx) error { return Enqueue(tx, r, model.RequestCompleted, w.now) })
	return r
}

func (w *world) work() {
	w.t.Helper()
	for {
		n, err := w.runner.RunDue(w.t.Context())
		w.must(err)
		if n == 0 {
			return
		}
	}
}

func (w *world) delivery(h model.Webhook) model.WebhookDelivery {
	w.t.Helper()
	list, err := w.store.WebhookDeliveries(w.t.Context(), store.DeliveryFilter{OrganizationID: w.org.ID, WebhookID: h.ID, Limit: 10})
	w.must(err)
	if len(list) != 1 {
		w.t.Fatalf("%d messages", len(list))
	}
	return list[0]
}

func TestDelivered(t *testing.T) {
	w := newWorld(t)
	h := w.hook(w.server.URL+"/hook?x=1", true)
	off := w.hook(w.server.URL, false)
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(rw, "echo: "+r.Header.Get("Authorization")+strings.Repeat("x", 5000))
	}
	r := w.end()
	w.work()
	if len(w.got) != 1 {
		t.Fatalf("%d messages came", len(w.got))
	}
	got := w.got[0]
	var body map[string]string
	w.must(json.Unmarshal([]byte(w.bodies[0]), &body))
	if got.Method != "POST" || got.URL.String() != "/hook?x=1" || got.Header.Get("Authorization") != authorization || got.Header.Get("Content-Type") != "application/json" ||
		len(body) != 3 || body["OrganizationId"] != w.org.ID || body["SigningRequestId"] != r.ID || body["Status"] != "Completed" {
		t.Errorf("%s %s %v %s", got.Method, got.URL, got.Header, w.bodies[0])
	}
	d := w.delivery(h)
	if !d.Delivered || d.Finished.IsZero() || len(d.Answers) != 1 || d.Answers[0].Status != 202 || len(d.Answers[0].Body) == 0 || len(d.Answers[0].Body) > maxAnswer {
		t.Errorf("%+v", d)
	}
	if strings.Contains(string(d.Answers[0].Body), "s3cret") || strings.Contains(w.log.String(), "s3cret") {
		t.Error("the authorization value was stored or logged")
	}
	if list, err := w.store.WebhookDeliveries(t.Context(), store.DeliveryFilter{OrganizationID: w.org.ID, WebhookID: off.ID, Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("a webhook that is off: %v %v", list, err)
	}
}

// Five tries with growing pauses, each answer is kept; redirects are not followed.
func TestTries(t *testing.T) {
	w := newWorld(t)
	h := w.hook(w.server.URL, true)
	answers := []func(http.ResponseWriter, *http.Request){
		func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) },
		func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/elsewhere", http.StatusFound) },
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		func(_ http.ResponseWriter, r *http.Request) {
			select { // longer than the time-out
			case <-r.Context().Done():
			case <-time.After(20 * time.Second):
			}
		},
		func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(404) },
	}
	w.end()
	for i, a := range answers {
		w.mu.Lock()
		w.answer = a
		w.mu.Unlock()
		w.work()
		w.work() // not before its time
		if d := w.delivery(h); len(d.Answers) != i+1 || d.Delivered || d.Finished.IsZero() != (i < 4) {
			t.Fatalf("try %d: %+v", i+1, d)
		}
		w.now = w.now.Add(Backoff(i + 1))
	}
	w.now = w.now.Add(24 * time.Hour)
	w.work()
	if len(w.got) != 5 {
		t.Errorf("%d tries", len(w.got))
	}
	d := w.delivery(h)
	for i, want := range []int{500, 302, 0, 0, 404} {
		if d.Answers[i].Status != want || (want == 0) != (d.Answers[i].Error != "") {
			t.Errorf("answer %d: %+v", i+1, d.Answers[i])
		}
	}
}

func TestLaterSuccess(t *testing.T) {
	w := newWorld(t)
	h := w.hook(w.server.URL, true)
	fail := true
	w.answer = func(rw http.ResponseWriter, _ *http.Request) {
		if fail {
			rw.WriteHeader(503)
		}
	}
	w.end()
	w.work()
	fail = false
	w.now = w.now.Add(Backoff(1))
	w.work()
	if d := w.delivery(h); !d.Delivered || len(d.Answers) != 2 {
		t.Errorf("%+v", d)
	}
}

// A webhook never reaches what is not public.
func TestPrivateAddresses(t *testing.T) {
	w := newWorld(t)
	w.sender.Egress = egress.New(egress.Config{Timeout: time.Second})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	t.Cleanup(func() { _ = l.Close() })
	reached := make(chan struct{}, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			reached <- struct{}{}
			_ = c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	h := w.hook("https://localhost:"+port+"/", true)
	w.end()
	w.work()
	d := w.delivery(h)
	if len(d.Answers) != 1 || !strings.Contains(d.Answers[0].Error, egress.ErrAddress.Error()) {
		t.Errorf("%+v", d)
	}
	select {
	case <-reached:
		t.Error("a connection was made")
	case <-time.After(50 * time.Millisecond):
	}
}

// A webhook that was deleted takes its messages along.
func TestDeletedMeanwhile(t *testing.T) {
	w := newWorld(t)
	h := w.hook(w.server.URL, true)
	w.end()
	w.write(func(tx store.Tx) error { return tx.DeleteWebhook(w.org.ID, h.ID) })
	w.work()
	if len(w.got) != 0 {
		t.Error("a message was sent")
	}
	if next, err := w.store.NextJob(context.Background(), []string{JobKind}); err != nil || !next.IsZero() {
		t.Errorf("a job is left: %v %v", next, err)
	}
}

func TestRedactedAtTheLimit(t *testing.T) {
	w := newWorld(t)
	h := w.hook(w.server.URL, true)
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, strings.Repeat("x", maxAnswer-12)+"s3cret-value-of-the-hook")
	}
	w.end()
	w.work()
	if b := string(w.delivery(h).Answers[0].Body); strings.Contains(b, "s3cret-v") {
		t.Error(b[len(b)-40:])
	}
}

// A notice goes out as it was put there.
func TestNotice(t *testing.T) {
	w := newWorld(t)
	h := w.hook(w.server.URL, true)
	const message = `{"Notice":"Certificate.Expiring"}`
	d := model.WebhookDelivery{ID: uuid.NewString(), OrganizationID: w.org.ID, WebhookID: h.ID, Status: "Certificate.Expiring", Message: []byte(message), Created: w.now}
	w.write(func(tx store.Tx) error {
		return errors.Join(tx.PutWebhookDelivery(d), tx.PutJob(jobs.New(JobKind, w.org.ID, d.ID, w.now)))
	})
	w.work()
	if len(w.bodies) != 1 || w.bodies[0] != message || !w.delivery(h).Delivered {
		t.Errorf("%q", w.bodies)
	}
}
