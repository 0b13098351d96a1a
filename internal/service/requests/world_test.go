package requests

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/audit"
	"signpath/internal/service/auth"
	"signpath/internal/service/authz"
	"signpath/internal/service/jobs"
	"signpath/internal/service/keys"
	"signpath/internal/service/keys/keystest"
	"signpath/internal/service/model"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

// world is the room over a real database and real keys: organization, project
// "app", policies "release" (no approval) and "approved" (two of three), users
// by name.
type world struct {
	t       *testing.T
	folder  string
	kek     *keys.KEK
	store   store.Store
	log     *audit.Log
	signing *signing.Service
	room    *Service
	runner  *jobs.Runner
	ring    signing.KeyRing // nil: the real one
	now     time.Time
	org     model.Organization
	project model.Project
	users   map[string]model.User
	tokens  map[string]string
	rows    map[string]model.Token
	policy  map[string]model.SigningPolicy
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, folder: filepath.Join(t.TempDir(), "data"), kek: keystest.KEK(t), now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		users: map[string]model.User{}, tokens: map[string]string{}, rows: map[string]model.Token{}, policy: map[string]model.SigningPolicy{},
	}
	w.open()
	w.org = model.Organization{ID: uuid.NewString(), Name: "Acme", Active: true, Created: w.now}
	w.project = model.Project{ID: uuid.NewString(), OrganizationID: w.org.ID, Slug: "app", Name: "App", Active: true, Created: w.now}
	configuration := model.ArtifactConfiguration{ID: uuid.NewString(), OrganizationID: w.org.ID, ProjectID: w.project.ID, Slug: "hash", Name: "Hash", Type: model.HashSigningData, Default: true, Active: true, Created: w.now}
	private := testkeys.Signer(t, "rsa2048")
	soft := keys.NewSoft(w.kek)
	key, sealed, err := soft.Import(t.Context(), private)
	w.must(err)
	key.OrganizationID = w.org.ID
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Acme"}, NotBefore: w.now.AddDate(-1, 0, 0), NotAfter: w.now.AddDate(1, 0, 0)}
	leaf, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	w.must(err)
	certificate := model.Certificate{ID: uuid.NewString(), OrganizationID: w.org.ID, Slug: "c", Name: "c", Type: wire.CertificateX509, Creation: model.SelfSigned, KeyID: key.ID, Leaf: leaf, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Active: true, Created: w.now}
	w.change(func(tx store.Tx) error {
		err := errors.Join(tx.PutOrganization(w.org), tx.PutProject(w.project), tx.PutArtifactConfiguration(configuration), tx.PutKey(key, sealed), tx.PutCertificate(certificate))
		for _, name := range []string{"builder", "other", "ann", "ben", "eve"} {
			text, hash := auth.NewToken()
			u := model.User{ID: uuid.NewString(), OrganizationID: w.org.ID, Kind: model.CIUser, Name: name, Active: true, Created: w.now}
			k := model.Token{ID: uuid.NewString(), OrganizationID: w.org.ID, UserID: u.ID, Name: "t", Hash: hash, Active: true, Created: w.now}
			w.users[name], w.tokens[name], w.rows[name] = u, text.Reveal(), k
			err = errors.Join(err, tx.PutUser(u), tx.PutToken(k))
		}
		submitters := []string{w.users["builder"].ID, w.users["ann"].ID}
		for name, approvals := range map[string]int{"release": 0, "approved": 2} {
			p := model.SigningPolicy{
				ID: uuid.NewString(), OrganizationID: w.org.ID, ProjectID: w.project.ID, Slug: name, Name: name, CertificateID: certificate.ID, Submitters: submitters,
				Approvers: []string{w.users["ann"].ID, w.users["ben"].ID, w.users["eve"].ID}, RequiredApprovals: approvals, Hashes: []wire.Hash{wire.SHA256}, Active: true, Created: w.now,
			}
			w.policy[name] = p
			err = errors.Join(err, tx.PutSigningPolicy(p))
		}
		return err
	})
	return w
}

// open starts the process, so to speak: on an empty folder, or on what the last
// one has left.
func (w *world) open() {
	t := w.t
	quiet := slog.New(slog.DiscardHandler)
	var err error
	w.store, err = sqlite.Open(t.Context(), w.folder)
	w.must(err)
	st := w.store
	t.Cleanup(func() { _ = st.Close() })
	w.log, err = audit.Open(t.Context(), st, audit.Options{Logger: quiet})
	w.must(err)
	log := w.log
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = log.Close(ctx)
	})
	ring := w.ring
	if ring == nil {
		ring = keys.NewRing(st, map[string]keys.Backend{"soft": keys.NewSoft(w.kek)})
	}
	clock := func() time.Time { return w.now }
	w.signing, err = signing.New(t.Context(), signing.Config{Store: st, Log: log, Keys: ring, Logger: quiet, Now: clock, WebURL: "https://sign.example.test/Web"})
	w.must(err)
	w.room = &Service{Store: st, Log: log, Signing: w.signing, APIURL: "https://sign.example.test/Api", Now: clock, Logger: quiet}
	w.runner = &jobs.Runner{Store: st, Handlers: w.room.Handlers(), Exclusive: true, Now: clock, Logger: quiet}
}

// crash ends the process without a good-bye and starts the next one.
func (w *world) crash() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.log.Close(ctx) // writes nothing any more
	w.must(w.store.Close())
	w.open()
	w.must(w.runner.Release(w.t.Context()))
}

func (w *world) must(errs ...error) {
	w.t.Helper()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) change(fn func(tx store.Tx) error) {
	w.t.Helper()
	w.must(w.log.Change(w.t.Context(), func(tx store.Tx) ([]audit.Event, error) {
		return []audit.Event{{Type: "Test.Changed"}}, fn(tx)
	}))
}

func (w *world) principal(user string) *authz.Principal {
	w.t.Helper()
	w.must(w.signing.Refresh(w.t.Context()))
	p, err := w.signing.Authenticate(w.org.ID, "Bearer "+w.tokens[user], "192.0.2.1")
	w.must(err)
	return p
}

// payload is the document for SHA-256 of a text.
func payload(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	b, err := json.Marshal(wire.NewPayload(wire.HashSigning{Scheme: wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}, Digest: sum[:], Metadata: json.RawMessage(`{"a":"<b>"}`)}))
	if err != nil {
		panic(err)
	}
	return b
}

// submit sends a submission with a policy, changed by edits.
func (w *world) submit(user, policy string, route wire.Route, edits ...func(*wire.Submission)) (*model.SigningRequest, error) {
	w.t.Helper()
	f := &wire.Submission{ProjectSlug: "app", SigningPolicySlug: policy, Description: "release 1", Artifact: payload("abc"), Asynchronous: &wire.Asynchronous{ArtifactName: "payload.json"}}
	if route != wire.SubmitWithArtifact {
		f.Artifact = nil
	}
	for _, e := range edits {
		e(f)
	}
	return w.room.Submit(w.t.Context(), Submission{
		Principal: w.principal(user), Authorization: "Bearer " + w.tokens[user], Form: f, Route: route,
		Caller: signing.Caller{IP: "192.0.2.1", UserAgent: "test/1", TraceID: "00-1-2-00"},
	})
}

func (w *world) submitted(user, policy string, edits ...func(*wire.Submission)) *model.SigningRequest {
	w.t.Helper()
	r, err := w.submit(user, policy, wire.SubmitWithArtifact, edits...)
	w.must(err)
	return r
}

// work does what is due.
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

func (w *world) is(r *model.SigningRequest, want model.RequestWorkflow) *model.SigningRequest {
	w.t.Helper()
	got, err := w.room.Get(w.t.Context(), w.org.ID, r.ID)
	w.must(err)
	if got.Workflow != want {
		w.t.Fatalf("the request is %s (%s), want %s", got.Workflow, got.Reason, want)
	}
	return got
}

// entries are the types of the audit entries about a request, in order; the
// outcomes of signatures that are on their way are waited for.
func (w *world) entries(r *model.SigningRequest) []string {
	w.t.Helper()
	for range 100 {
		if open, err := w.store.OpenIntents(w.t.Context()); err == nil && len(open) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	rows, err := w.store.AuditRows(w.t.Context(), 0, 1000, store.AuditFilter{OrganizationID: w.org.ID})
	w.must(err)
	var types []string
	for _, row := range rows {
		if strings.Contains(string(row.Leaf), r.ID) {
			types = append(types, row.Type)
		}
	}
	return types
}

func status(t *testing.T, err error, want int) *wire.Problem {
	t.Helper()
	var p *wire.Problem
	var f wire.FieldErrors
	if errors.As(err, &f) {
		p = wire.NewValidationProblem(f)
	}
	if p == nil && !errors.As(err, &p) || p.Status != want {
		t.Fatalf("got the error %v, want status %d", err, want)
	}
	return p
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mustLink(t *testing.T, address string) *wire.ArtifactLink {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &wire.ArtifactLink{URL: u}
}
