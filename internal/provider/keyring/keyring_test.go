package keyring

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
	"signpath/internal/secret"
	"signpath/internal/wire"
)

func names(s *Snapshot) string {
	var n []string
	for _, k := range s.Keys() {
		n = append(n, k.Name())
	}
	return strings.Join(n, " ")
}

func TestSnapshot(t *testing.T) {
	s := newService(t)
	rsa, ec := testKeys(t, "rsa2048"), testKeys(t, "p256")
	long := "p/" + strings.Repeat("x", 98)
	s.add(t, "p/rsa", rsa)
	s.add(t, "a/ec", ec)
	s.add(t, "p/rsa2", rsa, func(p *wire.SigningPolicy) { p.CertificateChain = [][]byte{certificate(t, ec)} })
	s.add(t, "p/broken-chain", rsa, func(p *wire.SigningPolicy) { p.CertificateChain = [][]byte{p.CertificateBytes, []byte("broken")} })
	s.add(t, "p/gpg", rsa, func(p *wire.SigningPolicy) { p.CertificateType, p.CertificateBytes = "gpg", nil })
	s.add(t, "p/future", rsa, func(p *wire.SigningPolicy) { p.KeyType = "Mldsa" })
	s.add(t, "p/other-certificate", rsa, func(p *wire.SigningPolicy) { p.CertificateBytes = certificate(t, ec) })
	s.add(t, "p/no-key", rsa, func(p *wire.SigningPolicy) {
		p.RSAParameters, p.PublicKeyBytes, p.CertificateBytes = nil, nil, nil
	})
	s.add(t, long, ec)
	s.add(t, "p/rsa", ec) // a second one of that name
	r := s.ring(t)
	snap := keysOf(t, r)
	if got, want := names(snap), "a/ec p/gpg p/rsa p/rsa2 "+long; got != want {
		t.Fatalf("keys %q, want %q", got, want)
	}
	k := snap.ByName("p/rsa")
	if k != snap.At(2) || k.ProjectSlug() != "p" || k.PolicySlug() != "rsa" || k.PolicyID() != "id-p/rsa" || k.Type() != wire.KeyRSA || k.Bits() != 2048 ||
		k.IsGPG() || len(k.Certificate()) == 0 || k.SignatureSize(wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA256}) != 256 || k.SignatureSize(wire.Scheme{Algorithm: wire.ECDSA}) != 0 {
		t.Errorf("%+v", k)
	}
	if k := snap.ByName("p/rsa2"); len(k.Chain()) != 1 {
		t.Errorf("%d chain certificates", len(k.Chain()))
	}
	if k := snap.ByName("p/gpg"); !k.IsGPG() || k.Certificate() != nil {
		t.Errorf("%+v", k)
	}
	if k := snap.ByName("a/ec"); k.SignatureSize(wire.Scheme{Algorithm: wire.ECDSA}) != 64 || k.Bits() != 256 {
		t.Errorf("%+v", k)
	}
	if snap.ByName("P/RSA") != nil || snap.ByName("") != nil {
		t.Error("names are matched loosely")
	}
	for part, want := range map[string]int{"WARNING a signing policy with broken data": 3, "longer than 99 bytes": 1, "same name": 1, "Mldsa": 0} {
		if n := s.log.Count("", part); n != want {
			t.Errorf("%q logged %d times, want %d\n%s", part, n, want, s.log.Text())
		}
	}
	if again := keysOf(t, r); again != snap || s.lists != 1 {
		t.Errorf("%d lists", s.lists)
	}
}

func TestFilter(t *testing.T) {
	s := newService(t)
	s.add(t, "p/a", testKeys(t, "p256"))
	s.add(t, "p/b", testKeys(t, "p384"))
	s.settings.ProjectSlug, s.settings.SigningPolicySlug = "p", "b"
	if got := names(keysOf(t, s.ring(t))); got != "p/b" || s.queries[0] != "projectSlug=p&signingPolicySlug=b" {
		t.Errorf("%q by %q", got, s.queries)
	}
}

func TestSingleFlight(t *testing.T) {
	s := newService(t)
	s.add(t, "p/a", testKeys(t, "p256"))
	s.delay = 200 * time.Millisecond
	r := s.ring(t)
	var wg sync.WaitGroup
	var first sync.Map
	for range 16 {
		wg.Go(func() {
			snap, err := r.Keys(context.Background(), Lookup{})
			if err != nil {
				t.Error(err)
			}
			first.Store(snap, true)
		})
	}
	wg.Wait()
	n := 0
	first.Range(func(any, any) bool { n++; return true })
	if s.lists != 1 || n != 1 {
		t.Errorf("%d requests, %d snapshots", s.lists, n)
	}
}

// One who goes away does not take the request from the others; the last one does.
func TestWaitersComeAndGo(t *testing.T) {
	s := newService(t)
	s.add(t, "p/a", testKeys(t, "p256"))
	s.delay = 400 * time.Millisecond
	r := s.ring(t)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	done := make(chan error, 1)
	go func() {
		_, err := r.Keys(ctx, Lookup{})
		done <- err
	}()
	time.Sleep(30 * time.Millisecond)
	if _, err := r.Keys(context.Background(), Lookup{}); err != nil {
		t.Error(err)
	}
	if err := <-done; classOf(err) != remote.Canceled || s.lists != 1 {
		t.Errorf("%v, %d lists", err, s.lists)
	}
	r2 := s.ring(t)
	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := r2.Keys(ctx, Lookup{}); classOf(err) != remote.Canceled {
		t.Error(err)
	}
	if _, err := r2.Keys(context.Background(), Lookup{}); err != nil {
		t.Errorf("a look-up after a cancelled one: %v", err)
	}
}

func TestOnceBeforeLogin(t *testing.T) {
	s := newService(t)
	s.add(t, "p/a", testKeys(t, "p256"))
	s.status = 503
	r := s.ring(t)
	for range 2 { // libp11 searches twice
		if _, err := r.Keys(context.Background(), Lookup{Once: true, Limit: 5 * time.Second}); classOf(err) != remote.Transient {
			t.Fatal(err)
		}
	}
	if s.lists != 1 {
		t.Errorf("%d requests before login", s.lists)
	}
	if _, err := r.Keys(context.Background(), Lookup{}); classOf(err) != remote.Transient || s.lists != 4 {
		t.Errorf("after login: %v after %d requests", err, s.lists)
	}
	s.set(func(s *service) { s.status = 0 })
	if _, err := r.Keys(context.Background(), Lookup{}); err != nil {
		t.Error(err)
	}
	if _, err := r.Keys(context.Background(), Lookup{Once: true}); err != nil {
		t.Error(err)
	}
}

func TestLimitOfALookup(t *testing.T) {
	s := newService(t)
	s.add(t, "p/a", testKeys(t, "p256"))
	s.delay = 10 * time.Second
	r := s.ring(t)
	for i := range 2 {
		start := time.Now()
		_, err := r.Keys(context.Background(), Lookup{Once: true, Limit: 300 * time.Millisecond})
		if took := time.Since(start); classOf(err) != remote.Transient || took > 600*time.Millisecond || i == 1 && took > 100*time.Millisecond {
			t.Errorf("%v after %s", err, took)
		}
	}
	// A patient look-up does not inherit the failure of a hasty one under way.
	r = s.ring(t)
	s.set(func(s *service) { s.delay = 500 * time.Millisecond })
	go func() { _, _ = r.Keys(context.Background(), Lookup{Once: true, Limit: 200 * time.Millisecond}) }()
	time.Sleep(50 * time.Millisecond)
	if _, err := r.Keys(context.Background(), Lookup{}); err != nil {
		t.Error(err)
	}
}

// A host that gave up before it asked gets that answer every time, also when
// somebody else's request has just been answered, and nothing is begun for it.
func TestGivenUpBefore(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	done := make(chan struct{})
	close(done)
	others := &flight{done: done, snap: &Snapshot{}, cancel: func() {}, waiters: 1}
	for what, r := range map[string]*Ring{"alone": {}, "beside another": {flight: others}} {
		var e *remote.Error
		if _, err := r.Keys(ended, Lookup{}); !errors.As(err, &e) || e.Class != remote.Canceled {
			t.Errorf("%s: %v", what, err)
		}
	}
	if others.waiters != 1 {
		t.Errorf("%d wait", others.waiters)
	}
	known := &Ring{snapshot: &Snapshot{}}
	if snap, err := known.Keys(ended, Lookup{}); err != nil || snap != known.snapshot {
		t.Errorf("what is in memory: %v %v", snap, err)
	}
}

func TestRefresh(t *testing.T) {
	s := newService(t)
	s.add(t, "p/a", testKeys(t, "p256"))
	r := s.ring(t)
	old := keysOf(t, r)
	s.add(t, "p/b", testKeys(t, "p384"))
	if snap, err := r.Refresh(context.Background()); err != nil || snap != old || s.lists != 1 {
		t.Errorf("refreshed at once: %v, %d lists", err, s.lists)
	}
	age := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.listed = time.Now().Add(-refreshInterval)
	}
	age()
	snap, err := r.Refresh(context.Background())
	if err != nil || names(snap) != "p/a p/b" || snap.ByName("p/a") != old.ByName("p/a") || old.Len() != 1 || s.lists != 2 {
		t.Errorf("%v %q, %d lists", err, names(snap), s.lists)
	}
	age()
	s.set(func(s *service) { s.status = 401 })
	for range 3 {
		if kept, err := r.Refresh(context.Background()); kept != snap || err != nil && classOf(err) != remote.User {
			t.Errorf("%v %v", kept, err)
		}
	}
	if s.lists != 3 {
		t.Errorf("%d lists", s.lists)
	}
}

// What can never work is refused at once.
func TestOpenRefuses(t *testing.T) {
	s := newService(t)
	for name, spoil := range map[string]func(*settings.Settings){
		"no organization":    func(x *settings.Settings) { x.OrganizationID = "" },
		"wrong organization": func(x *settings.Settings) { x.OrganizationID = "nonsense" },
		"no token":           func(x *settings.Settings) { x.APIToken = secret.Secret{} },
		"no address":         func(x *settings.Settings) { x.APIURL = nil },
		"no CA file":         func(x *settings.Settings) { x.TrustedCAFile += ".none" },
	} {
		x := s.settings
		spoil(&x)
		if r, err := Open(x, Options{}); r != nil || classOf(err) != remote.Other {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCloseEndsLookups(t *testing.T) {
	s := newService(t)
	s.delay = 10 * time.Second
	r := s.ring(t)
	time.AfterFunc(100*time.Millisecond, r.Close)
	start := time.Now()
	if _, err := r.Keys(context.Background(), Lookup{}); classOf(err) != remote.Canceled || time.Since(start) > time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
	if _, err := r.Keys(context.Background(), Lookup{}); classOf(err) != remote.Canceled {
		t.Error(err)
	}
}

func TestMetadata(t *testing.T) {
	for name, tc := range map[string]struct {
		f    func() json.RawMessage
		want string
		log  int
	}{
		"none":    {nil, "", 0},
		"good":    {func() json.RawMessage { return json.RawMessage(`{"CreatingProcess":{"User":"u"}}`) }, `{"CreatingProcess":{"User":"u"}}`, 0},
		"nil":     {func() json.RawMessage { return nil }, "", 0},
		"invalid": {func() json.RawMessage { return json.RawMessage(`{`) }, "", 1},
		"long":    {func() json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", maxMetadata) + `"`) }, "", 1},
		"panic":   {func() json.RawMessage { panic("boom") }, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			s.add(t, "p/a", testKeys(t, "p256"))
			calls := 0
			f := tc.f
			if f != nil {
				f = func() json.RawMessage { calls++; return tc.f() }
			}
			r, err := Open(s.settings, Options{Log: s.log, Metadata: f})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for i := range 2 {
				if _, err := keysOf(t, r).At(0).Sign(context.Background(), wire.Scheme{Algorithm: wire.ECDSA}, make([]byte, 32)); err != nil {
					t.Fatal(err)
				}
				if s.metadata[i] != tc.want {
					t.Errorf("sent %q", s.metadata[i])
				}
			}
			if calls > 1 || s.log.Count("", "without metadata") != tc.log {
				t.Errorf("%d calls, %d warnings", calls, s.log.Count("", "without metadata"))
			}
		})
	}
}
