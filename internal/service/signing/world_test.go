package signing

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/audit"
	"signpath/internal/service/auth"
	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

// world is a service with a real store and real keys: one organization, one
// project "demo", a signing policy per key and a user who is submitter in all.
type world struct {
	t        testing.TB
	store    *faultStore
	log      *audit.Log
	ring     *keys.Ring
	service  *Service
	now      time.Time
	org      model.Organization
	project  model.Project
	user     model.User
	token    string // of user
	tokenRow model.Token
	policies map[string]model.SigningPolicy
	certs    map[string]model.Certificate
	keys     map[string]model.Key
}

// faultStore is a real store whose writes a test can hinder.
type faultStore struct {
	store.Store
	mu   sync.Mutex
	hook func() error
}

func (f *faultStore) set(hook func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

func (f *faultStore) Write(ctx context.Context, fn func(store.Tx) error) error {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook != nil {
		if err := hook(); err != nil {
			return err
		}
	}
	return f.Store.Write(ctx, fn)
}

var keyNames = []string{"rsa2048", "p256", "p384", "p521"}

func newWorld(t testing.TB, strict bool) *world {
	ctx := t.Context()
	st, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &world{t: t, store: &faultStore{Store: st}, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), policies: map[string]model.SigningPolicy{}, certs: map[string]model.Certificate{}, keys: map[string]model.Key{}}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	if w.log, err = audit.Open(ctx, w.store, audit.Options{Strict: strict, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	kek, err := keys.GenerateKEKFile(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	soft := keys.NewSoft(kek)
	w.ring = keys.NewRing(w.store, map[string]keys.Backend{"soft": soft})
	w.org = model.Organization{ID: uuid.NewString(), Name: "Acme", Active: true, Created: w.now}
	w.user = model.User{ID: uuid.NewString(), OrganizationID: w.org.ID, Kind: model.CIUser, Name: "Build", Active: true, Created: w.now}
	token, hash := auth.NewToken()
	w.token = token.Reveal()
	w.tokenRow = model.Token{ID: uuid.NewString(), OrganizationID: w.org.ID, UserID: w.user.ID, Hash: hash, Active: true, Created: w.now}
	w.project = model.Project{ID: uuid.NewString(), OrganizationID: w.org.ID, Slug: "demo", Name: "Demo", Active: true, Created: w.now}
	artifact := model.ArtifactConfiguration{ID: uuid.NewString(), OrganizationID: w.org.ID, ProjectID: w.project.ID, Slug: "hash", Name: "Hash", Type: model.HashSigningData, Default: true, Active: true, Created: w.now}
	w.change(func(tx store.Tx) {
		w.must(tx.PutOrganization(w.org), tx.PutUser(w.user), tx.PutToken(w.tokenRow), tx.PutProject(w.project), tx.PutArtifactConfiguration(artifact))
		for _, name := range keyNames {
			private := testkeys.Signer(t, name)
			key, sealed, err := soft.Import(ctx, private)
			w.must(err)
			key.OrganizationID = w.org.ID
			w.addKey(tx, name, key, sealed, w.selfSigned(private))
		}
	})
	w.service, err = New(ctx, Config{Store: w.store, Log: w.log, Keys: w.ring, Logger: quiet, Now: func() time.Time { return w.now }, WebURL: "https://sign.example.com/Web/"})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) must(errs ...error) {
	w.t.Helper()
	for _, err := range errs {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) selfSigned(key crypto.Signer) []byte {
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Acme"}, NotBefore: w.now.AddDate(-1, 0, 0), NotAfter: w.now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	w.must(err)
	return der
}

// addKey makes key, certificate and policy of one name.
func (w *world) addKey(tx store.Tx, name string, key model.Key, sealed, leaf []byte) {
	c := model.Certificate{ID: uuid.NewString(), OrganizationID: w.org.ID, Slug: name, Name: name, Type: wire.CertificateX509, KeyID: key.ID, Leaf: leaf, NotBefore: w.now.AddDate(-1, 0, 0), NotAfter: w.now.AddDate(1, 0, 0), Active: true, Created: w.now}
	if leaf == nil {
		c.Type, c.OpenPGP = wire.CertificateGPG, []byte{0x99}
	}
	p := model.SigningPolicy{ID: uuid.NewString(), OrganizationID: w.org.ID, ProjectID: w.project.ID, Slug: name, Name: name, CertificateID: c.ID, Submitters: []string{w.user.ID}, Hashes: []wire.Hash{wire.SHA1, wire.SHA256, wire.SHA384, wire.SHA512}, Active: true, Created: w.now}
	w.must(tx.PutKey(key, sealed), tx.PutCertificate(c), tx.PutSigningPolicy(p))
	w.keys[name], w.certs[name], w.policies[name] = key, c, p
}

// change changes the configuration as an administrator on another replica does:
// the service is not told.
func (w *world) change(fn func(tx store.Tx)) {
	w.t.Helper()
	w.must(w.log.Change(context.Background(), func(tx store.Tx) ([]audit.Event, error) {
		fn(tx)
		return []audit.Event{{Type: "Test.Changed"}}, nil
	}))
}

func (w *world) editPolicy(name string, edit func(*model.SigningPolicy)) {
	w.t.Helper()
	p := w.policies[name]
	edit(&p)
	w.change(func(tx store.Tx) { w.must(tx.PutSigningPolicy(p)) })
}

// request signs SHA-256 of "abc" with the named policy.
func (w *world) request(name string, edits ...func(*Request)) Request {
	sum := sha256.Sum256([]byte("abc"))
	h := &wire.HashSigning{Scheme: wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}, Digest: sum[:], ECDSAFormat: wire.IEEE, Metadata: json.RawMessage(`{"CreatingProcess":{"CommandLine":"sign <a> & b"}}`)}
	if name != "" && name[0] == 'p' {
		h.Scheme = wire.Scheme{Algorithm: wire.ECDSA}
	}
	r := Request{OrganizationID: w.org.ID, Authorization: "Bearer " + w.token, ProjectSlug: "demo", SigningPolicySlug: name, Description: "release", Hash: h,
		Caller: Caller{IP: "192.0.2.1", UserAgent: "test/1", TraceID: "00-1-2-00"}}
	for _, e := range edits {
		e(&r)
	}
	return r
}

// entries closes the log, verifies it, and gives what it holds but for the
// changes of configuration.
func (w *world) entries() []*audit.Entry {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w.must(w.log.Close(ctx))
	r, err := audit.VerifyStore(ctx, w.store, audit.VerifyOptions{})
	w.must(err)
	if len(r.OpenIntents) > 0 || len(r.StrayOutcomes) > 0 {
		w.t.Errorf("intents and outcomes do not match: %+v", r)
	}
	var list []*audit.Entry
	for leaf, err := range audit.Leaves(ctx, w.store) {
		w.must(err)
		e, err := audit.ParseLeaf(leaf)
		w.must(err)
		if e.Event.Type != "Test.Changed" {
			list = append(list, e)
		}
	}
	return list
}
