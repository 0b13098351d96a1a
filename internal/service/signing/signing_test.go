package signing

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

func TestSign(t *testing.T) {
	w := newWorld(t, false)
	const metadata = `"metadata":{"CreatingProcess":{"CommandLine":"sign <a> & b"}}`
	cases := []struct {
		name string
		edit func(*Request)
	}{
		{"rsa2048", func(*Request) {}},
		{"rsa2048", func(r *Request) { r.Hash.Scheme.Algorithm = wire.RSAPSS }},
		{"rsa2048", func(r *Request) { r.Hash.Scheme.Hash, r.Hash.Digest = wire.SHA512, make([]byte, 64) }},
		{"rsa2048", func(r *Request) { r.ProjectSlug, r.SigningPolicySlug = "Demo", "RSA2048" }},
		{"rsa2048", func(r *Request) { r.ArtifactConfigurationSlug = "HASH" }},
		{"rsa2048", func(r *Request) { r.OrganizationID = strings.ToUpper(r.OrganizationID) }},
		{"p256", func(*Request) {}},
		{"p256", func(r *Request) { r.Hash.Digest = make([]byte, 64) }},
		{"p384", func(r *Request) { r.Hash.ECDSAFormat = wire.ASN1 }},
		{"p521", func(r *Request) { r.Hash.Metadata = nil }},
	}
	ids := map[string]string{}
	for i, c := range cases {
		r := w.request(c.name, c.edit)
		got, err := w.service.Sign(t.Context(), r)
		if err != nil {
			t.Fatalf("%d %s: %v", i, c.name, err)
		}
		public, err := x509.ParsePKIXPublicKey(w.keys[c.name].Public)
		if err != nil {
			t.Fatal(err)
		}
		if ec, ok := public.(*ecdsa.PublicKey); ok && r.Hash.ECDSAFormat == wire.ASN1 {
			if !ecdsa.VerifyASN1(ec, r.Hash.Digest, got.Signature) {
				t.Errorf("%d %s: the DER signature does not verify", i, c.name)
			}
		} else if err := verifySignature(public, r.Hash.Scheme, r.Hash.Digest, got.Signature); err != nil {
			t.Errorf("%d %s: %v", i, c.name, err)
		}
		if got.WebLink != "https://sign.example.com/Web/"+w.org.ID+"/SigningRequests/"+got.SigningRequestID || got.KeyVersion != 1 {
			t.Errorf("%+v", got)
		}
		sum := sha256.Sum256(got.Signature)
		ids[got.SigningRequestID] = hex.EncodeToString(sum[:])
	}
	entries := w.entries()
	if len(entries) != 2*len(cases) || len(ids) != len(cases) {
		t.Fatalf("%d entries, %d ids", len(entries), len(ids))
	}
	for _, e := range entries {
		var d struct{ SigningRequestID, SignatureSHA256, Hash, CertificateThumbprint string }
		if err := json.Unmarshal(e.Event.Data, &d); err != nil {
			t.Fatal(err)
		}
		sum, known := ids[d.SigningRequestID]
		switch {
		case !known || e.Event.OrganizationID != w.org.ID || e.Event.Actor.ID != w.user.ID || e.Event.IP != "192.0.2.1" || e.Event.TraceID == "" || e.Event.UserAgent == "":
			t.Errorf("%+v", e.Event)
		case e.Event.Type == EntryCompleted && d.SignatureSHA256 != sum:
			t.Errorf("the outcome holds another signature")
		case e.Event.Type == EntryIntent && (len(d.Hash) < 40 || len(d.CertificateThumbprint) != 40):
			t.Errorf("%s", e.Event.Data)
		}
	}
	if got := string(entries[0].Event.Data); !strings.Contains(got, metadata) {
		t.Errorf("metadata is not as it was sent: %s", got)
	}
	for _, e := range entries {
		if strings.Contains(string(e.Event.Data), w.token) {
			t.Error("a token is in the log")
		}
	}
}

func TestStrict(t *testing.T) {
	w := newWorld(t, true)
	var writes atomic.Int32
	w.store.set(func() error {
		if writes.Add(1) == 2 {
			return errors.New("broken")
		}
		return nil
	})
	_, err := w.service.Sign(t.Context(), w.request("p256"))
	var p *wire.Problem
	if !errors.As(err, &p) || p.Status != 500 {
		t.Errorf("a signature left whose outcome is not on record: %v", err)
	}
	if _, err := w.service.Sign(t.Context(), w.request("p256")); err != nil {
		t.Error(err)
	}
	if e := w.entries(); len(e) != 4 {
		t.Errorf("%d entries", len(e))
	}
}

// countingRing counts signatures, and tells at each what is on record.
type countingRing struct {
	KeyRing
	signatures atomic.Int64
	sign       func(context.Context, wire.Scheme, []byte) ([]byte, error) // in place of the key's
	err        error
}

type countingSigner struct {
	keys.Signer
	ring *countingRing
}

func (r *countingRing) Signer(ctx context.Context, k model.Key) (keys.Signer, error) {
	if r.err != nil {
		return nil, r.err
	}
	s, err := r.KeyRing.Signer(ctx, k)
	return countingSigner{s, r}, err
}

func (s countingSigner) Sign(ctx context.Context, scheme wire.Scheme, digest []byte) ([]byte, error) {
	s.ring.signatures.Add(1)
	if s.ring.sign != nil {
		return s.ring.sign(ctx, scheme, digest)
	}
	return s.Signer.Sign(ctx, scheme, digest)
}

// The store fails again and again under load: every use of the key has a
// durable intent, every signature a client got is on record.
func TestNoSignatureWithoutIntent(t *testing.T) {
	w := newWorld(t, false)
	ring := &countingRing{KeyRing: w.ring}
	w.service.Keys = ring
	var writes atomic.Int64
	w.store.set(func() error {
		if writes.Add(1)%3 == 0 {
			return fmt.Errorf("test: %w", store.ErrFull)
		}
		return nil
	})
	var delivered, failed atomic.Int64
	var mu sync.Mutex
	hashes := map[string]bool{}
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := range 25 {
				r := w.request("p256")
				sum := sha256.Sum256([]byte{byte(c), byte(i)})
				r.Hash.Digest = sum[:]
				_, err := w.service.Sign(context.Background(), r)
				var p *wire.Problem
				switch {
				case err == nil:
					delivered.Add(1)
					mu.Lock()
					hashes[hex.EncodeToString(sum[:])] = true
					mu.Unlock()
				case errors.As(err, &p) && p.Status == 500 && strings.Contains(p.Detail, "full"):
					failed.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	w.store.set(nil)
	intents := 0
	for _, e := range w.entries() {
		var d struct{ Hash string }
		if err := json.Unmarshal(e.Event.Data, &d); err != nil {
			t.Fatal(err)
		}
		if e.Event.Type == EntryIntent {
			intents++
			delete(hashes, d.Hash)
		}
	}
	if delivered.Load() == 0 || failed.Load() == 0 {
		t.Fatalf("the test tests nothing: %d delivered, %d failed", delivered.Load(), failed.Load())
	}
	if int64(intents) < ring.signatures.Load() || len(hashes) > 0 {
		t.Errorf("%d intents for %d uses of a key; without intent: %v", intents, ring.signatures.Load(), hashes)
	}
}

// A revocation on another replica, between the snapshot and the intent, holds.
func TestRevocationHoldsAtOnce(t *testing.T) {
	for name, revoke := range map[string]func(*world){
		"submitter": func(w *world) { w.editPolicy("p256", func(p *model.SigningPolicy) { p.Submitters = nil }) },
		"policy":    func(w *world) { w.editPolicy("p256", func(p *model.SigningPolicy) { p.Active = false }) },
		"token": func(w *world) {
			k := w.tokenRow
			k.Active = false
			w.change(func(tx store.Tx) { w.must(tx.PutToken(k)) })
		},
		"user": func(w *world) {
			u := w.user
			u.Active = false
			w.change(func(tx store.Tx) { w.must(tx.PutUser(u)) })
		},
		"key": func(w *world) {
			k := w.keys["p256"]
			k.Deleted = true
			w.change(func(tx store.Tx) { w.must(tx.PutKey(k, nil)) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false)
			ring := &countingRing{KeyRing: w.ring}
			w.service.Keys = ring
			if _, err := w.service.Sign(t.Context(), w.request("p256")); err != nil {
				t.Fatal(err)
			}
			old := w.service.Snapshot()
			revoke(w)
			if w.service.Snapshot() != old {
				t.Fatal("the service was told; the test tests nothing")
			}
			_, err := w.service.Sign(t.Context(), w.request("p256"))
			var p *wire.Problem
			if !errors.As(err, &p) || p.Status >= 500 {
				t.Errorf("got %v", err)
			}
			if ring.signatures.Load() != 1 {
				t.Error("the key was used")
			}
			if e := w.entries(); len(e) != 3 || e[2].Event.Type != EntryRefused {
				t.Errorf("%d entries", len(e))
			}
		})
	}
}

// What was granted on another replica holds at once, too.
func TestGrantHoldsAtOnce(t *testing.T) {
	w := newWorld(t, false)
	w.editPolicy("p256", func(p *model.SigningPolicy) { p.Active = false })
	if err := w.service.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.editPolicy("p256", func(*model.SigningPolicy) {})
	if _, err := w.service.Sign(t.Context(), w.request("p256")); err != nil {
		t.Error(err)
	}
}

func TestWatch(t *testing.T) {
	w := newWorld(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go w.service.Watch(ctx)
	old := w.service.Snapshot().Version()
	w.editPolicy("p256", func(*model.SigningPolicy) {})
	for range 300 {
		if w.service.Snapshot().Version() > old {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("a change was not seen within 3 s")
}

func TestKeyFailures(t *testing.T) {
	bad := func(context.Context, wire.Scheme, []byte) ([]byte, error) { return make([]byte, 64), nil }
	for _, c := range []struct {
		name   string
		ring   *countingRing
		status int
		text   string // in the audit entry
	}{
		{"cannot be opened", &countingRing{err: keys.ErrSealed}, 500, "does not open"},
		{"cannot sign", &countingRing{sign: func(context.Context, wire.Scheme, []byte) ([]byte, error) { return nil, errors.New("CKR_DEVICE_ERROR") }}, 500, "CKR_DEVICE_ERROR"},
		{"wrong signature", &countingRing{sign: bad}, 500, "does not verify"},
		{"hangs", &countingRing{sign: func(ctx context.Context, _ wire.Scheme, _ []byte) ([]byte, error) { return nil, errKeyTimeout }}, 503, "did not answer in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, false)
			c.ring.KeyRing = w.ring
			w.service.Keys = c.ring
			_, err := w.service.Sign(t.Context(), w.request("p256"))
			var p *wire.Problem
			if !errors.As(err, &p) || p.Status != c.status || strings.Contains(p.Detail, "CKR") {
				t.Errorf("got %v", err)
			}
			e := w.entries()
			if len(e) != 2 || e[1].Event.Type != EntryFailed || !strings.Contains(string(e[1].Event.Data), c.text) {
				t.Errorf("%s", e[len(e)-1].Event.Data)
			}
		})
	}
}

// wrongRing opens another key than asked for.
type wrongRing struct{ other keys.Signer }

func (r wrongRing) Signer(context.Context, model.Key) (keys.Signer, error) { return r.other, nil }
func (wrongRing) Forget(string)                                            {}

func TestWrongKeyIsNotUsed(t *testing.T) {
	w := newWorld(t, false)
	other, err := w.ring.Signer(t.Context(), w.keys["p384"])
	if err != nil {
		t.Fatal(err)
	}
	w.service.Keys = wrongRing{other}
	if _, err := w.service.Sign(t.Context(), w.request("p256")); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("got %v", err)
	}
}

// The client hangs up, or the code panics, after the intent: the outcome is on
// record all the same.
func TestOutcomeAfterHangUpAndPanic(t *testing.T) {
	w := newWorld(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	w.service.Keys = &countingRing{KeyRing: w.ring, sign: func(ctx context.Context, _ wire.Scheme, _ []byte) ([]byte, error) {
		cancel()
		return nil, ctx.Err()
	}}
	if _, err := w.service.Sign(ctx, w.request("p256")); !errors.Is(err, context.Canceled) {
		t.Errorf("hang-up: %v", err)
	}
	w.service.Keys = &countingRing{KeyRing: w.ring, sign: func(context.Context, wire.Scheme, []byte) ([]byte, error) { panic("fault") }}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = w.service.Sign(t.Context(), w.request("p256"))
	}()
	e := w.entries()
	if len(e) != 4 {
		t.Fatalf("%d entries", len(e))
	}
	failed := 0
	for _, e := range e {
		if e.Event.Type == EntryFailed {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%d outcomes", failed)
	}
}

func TestNewNeedsTheStore(t *testing.T) {
	w := newWorld(t, false)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), Config{Store: w.store, Log: w.log, Keys: w.ring}); err == nil {
		t.Error("started without a store")
	}
}

var _ KeyRing = (*keys.Ring)(nil)
