package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/audit"
	"signpath/internal/service/auth"
	"signpath/internal/service/jobs"
	"signpath/internal/service/keys"
	"signpath/internal/service/keys/keystest"
	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/service/requests"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
	"signpath/internal/wire"
)

// bench is the API over a real signing service with a real database.
type bench struct {
	handler http.Handler
	service *signing.Service
	log     *lockedBuffer // of the API
	change  func(t *testing.T, fn func(store.Tx) error)
	admin   *admin.Service
	uses    *auth.Uses
	soft    *keys.Soft

	requests *requests.Service
	runner   *jobs.Runner
	artifact *httptest.Server // what artifact retrieval links name
	limits   Limits

	org             string
	token           secret.Secret // of the user who is Submitter everywhere
	otherToken      secret.Secret // of a user without policies
	submitter       model.User
	other           model.User
	policies        map[string]model.SigningPolicy
	health, healthD error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newBench makes project "hash-signing" with the policies rsa2048, p256,
// gpg-rsa3072, approval (needs one) and inactive.
func newBench(t *testing.T) *bench {
	t.Helper()
	ctx := t.Context()
	st, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "data"))
	must(t, err)
	t.Cleanup(func() { _ = st.Close() })
	quiet := slog.New(slog.DiscardHandler)
	log, err := audit.Open(ctx, st, audit.Options{Logger: quiet})
	must(t, err)
	t.Cleanup(func() { _ = log.Close(context.Background()) })

	b := &bench{log: &lockedBuffer{}, org: uuid.NewString(), policies: map[string]model.SigningPolicy{}}
	b.change = func(t *testing.T, fn func(store.Tx) error) {
		t.Helper()
		must(t, log.Change(t.Context(), func(tx store.Tx) ([]audit.Event, error) {
			return []audit.Event{{Type: "Test.Changed", OrganizationID: b.org, Actor: audit.Actor{Type: "Operator"}}}, fn(tx)
		}))
		if b.service != nil {
			must(t, b.service.Refresh(t.Context()))
		}
	}
	soft := keys.NewSoft(keystest.KEK(t))
	b.soft = soft
	b.populate(t, soft)
	b.service, err = signing.New(ctx, signing.Config{Store: st, Log: log, Keys: keys.NewRing(st, map[string]keys.Backend{"soft": soft}), Logger: quiet, WebURL: "https://sign.example.test/Web"})
	must(t, err)
	b.uses = &auth.Uses{}
	b.admin = &admin.Service{LastUse: b.uses.Last, Store: st, Log: log, Changed: func(ctx context.Context) { must(t, b.service.Refresh(ctx)) }}
	b.makeRequests(t, st, log)
	b.handler = New(Config{
		Requests: b.requests, Limits: b.limits,
		Administration: b.admin, TokenUsed: b.uses.Used,
		Signing: b.service, Logger: slog.New(slog.NewJSONHandler(b.log, nil)), PublicURL: "https://sign.example.test/", Version: "1.2.3",
		Health:     func(context.Context) error { return b.health },
		DeepHealth: func(context.Context) error { return b.healthD },
	})
	return b
}

func (b *bench) populate(t *testing.T, soft *keys.Soft) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	ca, err := pki.NewDevCA(t.Context())
	must(t, err)
	b.change(t, func(tx store.Tx) error {
		must(t, tx.PutOrganization(model.Organization{ID: b.org, Name: "Test", Active: true, Created: now}))
		for name, token := range map[string]*secret.Secret{"submitter": &b.token, "other": &b.otherToken} {
			u := model.User{ID: uuid.NewString(), OrganizationID: b.org, Kind: model.CIUser, Name: name, Active: true, Created: now}
			must(t, tx.PutUser(u))
			var hash [32]byte
			*token, hash = auth.NewToken()
			must(t, tx.PutToken(model.Token{ID: uuid.NewString(), OrganizationID: b.org, UserID: u.ID, Name: "t", Hash: hash, Active: true, Created: now}))
			if name == "submitter" {
				b.submitter = u
			} else {
				b.other = u
			}
		}
		p := model.Project{ID: uuid.NewString(), OrganizationID: b.org, Slug: "hash-signing", Name: "Hash signing", Active: true, Created: now}
		must(t, tx.PutProject(p))
		must(t, tx.PutArtifactConfiguration(model.ArtifactConfiguration{ID: uuid.NewString(), OrganizationID: b.org, ProjectID: p.ID, Slug: "initial", Name: "initial", Type: model.HashSigningData, Default: true, Active: true, Created: now}))
		for _, name := range []string{"rsa2048", "p256", "gpg-rsa3072"} {
			key, sealed := keystest.Import(t, soft, strings.TrimPrefix(name, "gpg-"))
			key.OrganizationID = b.org
			must(t, tx.PutKey(key, sealed))
			signer, err := soft.Open(t.Context(), key, sealed)
			must(t, err)
			c := model.Certificate{ID: uuid.NewString(), OrganizationID: b.org, Slug: name, Name: name, Type: wire.CertificateX509, Creation: model.SelfSigned, KeyID: key.ID, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour), Active: true, Created: now}
			if strings.HasPrefix(name, "gpg-") {
				c.Type, c.NotAfter = wire.CertificateGPG, time.Time{}
				c.OpenPGP, _, err = pki.NewOpenPGP(t.Context(), signer, pki.UserID{Name: "Test"}, now, time.Time{})
			} else {
				c.Chain = ca.Chain()
				template, err := pki.LeafTemplateFor(name)
				must(t, err)
				c.Leaf, err = ca.Leaf(t.Context(), template, signer.Public())
				must(t, err)
			}
			must(t, err)
			must(t, tx.PutCertificate(c))
			b.putPolicy(t, tx, p, name, c, func(*model.SigningPolicy) {})
			if name == "rsa2048" {
				b.putPolicy(t, tx, p, "approval", c, func(p *model.SigningPolicy) { p.RequiredApprovals = 1 })
				b.putPolicy(t, tx, p, "inactive", c, func(p *model.SigningPolicy) { p.Active = false })
			}
		}
		return nil
	})
}

func (b *bench) putPolicy(t *testing.T, tx store.Tx, project model.Project, slug string, c model.Certificate, more func(*model.SigningPolicy)) {
	t.Helper()
	p := model.SigningPolicy{
		ID: uuid.NewString(), OrganizationID: b.org, ProjectID: project.ID, Slug: slug, Name: slug, CertificateID: c.ID, Submitters: []string{b.submitter.ID},
		Hashes: []wire.Hash{wire.SHA1, wire.SHA256, wire.SHA384, wire.SHA512}, Active: true, Created: time.Now().UTC().Truncate(time.Millisecond),
	}
	more(&p)
	must(t, tx.PutSigningPolicy(p))
	b.policies[slug] = p
}

// do sends a request through the handler; path is relative to /Api/v1/{org}
// unless it begins with a slash. headers are "Name: value".
func (b *bench) do(t *testing.T, method, path string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, b.request(t, method, path, body, headers...))
	return w
}

func (b *bench) request(t *testing.T, method, path string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	if !strings.HasPrefix(path, "/") {
		path = "/Api/v1/" + b.org + "/" + path
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, body)
	r.Header.Set("Authorization", "Bearer "+b.token.Reveal())
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if value == "" {
			r.Header.Del(name)
		} else {
			r.Header.Set(name, value)
		}
	}
	return r
}

var abc = sha256.Sum256([]byte("abc"))

// classic makes the classic form for SHA-256 of "abc".
func classic(t *testing.T, policy string, s wire.Scheme, f wire.ECDSAFormat) (contentType string, body io.Reader) {
	t.Helper()
	contentType, data, err := wire.WriteClassicForm("hash-signing", policy, wire.NewPayload(wire.HashSigning{Scheme: s, Digest: abc[:], ECDSAFormat: f, Metadata: json.RawMessage(`{"CreatingProcess":{"CommandLine":"a <b> & c"}}`)}))
	must(t, err)
	return "Content-Type: " + contentType, bytes.NewReader(data)
}

func problemIn(t *testing.T, w *httptest.ResponseRecorder) *wire.Problem {
	t.Helper()
	var p wire.Problem
	if got := w.Header().Get("Content-Type"); got != wire.ProblemType {
		t.Errorf("%d: Content-Type %q: %s", w.Code, got, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%d: %v: %s", w.Code, err, w.Body)
	}
	if p.Status != w.Code || p.Title == "" || p.Type == "" || p.TraceID == "" || p.TraceID != w.Header().Get(traceHeader) {
		t.Errorf("%d: incomplete document %+v, trace %q", w.Code, p, w.Header().Get(traceHeader))
	}
	return &p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
