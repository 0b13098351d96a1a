package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
)

// faultStore is a real store whose writes a test can hinder.
type faultStore struct {
	store.Store
	mu     sync.Mutex
	before func() error // runs before a write; its error prevents it
	after  func() error // runs after a write that was committed; its error hides that
	rows   func([]store.AuditRow) error
	writes int
}

func (f *faultStore) set(before, after func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *faultStore) Write(ctx context.Context, fn func(store.Tx) error) error {
	f.mu.Lock()
	f.writes++
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	if err := f.Store.Write(ctx, fn); err != nil {
		return err
	}
	if after != nil {
		return after()
	}
	return nil
}

func (f *faultStore) AuditRows(ctx context.Context, after uint64, limit int, filter store.AuditFilter) ([]store.AuditRow, error) {
	rows, err := f.Store.AuditRows(ctx, after, limit, filter)
	if err == nil && f.rows != nil {
		err = f.rows(rows)
	}
	return rows, err
}

func newStore(t testing.TB) *faultStore {
	st, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return &faultStore{Store: st}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func openLog(t testing.TB, st store.Store, o Options) *Log {
	o.Logger = quiet()
	l, err := Open(t.Context(), st, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.stop) // also for tests that leave intents open on purpose
	return l
}

func closeLog(t testing.TB, l *Log) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
}

func version(t testing.TB, st store.Store) uint64 {
	v, err := st.ConfigVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func verified(t testing.TB, st store.Store) *Report {
	r, err := VerifyStore(context.Background(), st, VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.StrayOutcomes) > 0 {
		t.Errorf("outcomes without intent: %v", r.StrayOutcomes)
	}
	return r
}

// types lists the types of the entries in order.
func types(t testing.TB, st store.Store) []string {
	var list []string
	for leaf, err := range Leaves(context.Background(), st) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := ParseLeaf(leaf)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Event.Type)
	}
	return list
}

var (
	intent   = Event{Type: "HashSigning.Intent", Actor: Actor{Type: "CiUser", Name: "Build"}, Data: json.RawMessage(`{"hash":"00"}`)}
	refusal  = Event{Type: "HashSigning.Refused"}
	complete = func(p Position) Event { return Event{Type: "HashSigning.Completed", Outcome: p.Seq} }
)

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within 5 s: %s", what)
}

func TestLogFlow(t *testing.T) {
	st := newStore(t)
	signer, vkey := testSigner(t, "log")
	l := openLog(t, st, Options{Signer: signer, Origin: "log"})
	p, err := l.Intent(t.Context(), version(t, st), intent)
	if err != nil || p.Seq != 1 {
		t.Fatal(p, err)
	}
	if head, _ := st.AuditHead(t.Context()); head.Size != 1 {
		t.Error("the intent was not durable when Intent returned")
	}
	l.Outcome(complete(p))
	if err := l.RecordLater(t.Context(), refusal); err != nil {
		t.Fatal(err)
	}
	if ps, err := l.Record(t.Context(), Event{Type: "A.B"}, Event{Type: "A.C"}); err != nil || len(ps) != 2 || ps[1].Seq != ps[0].Seq+1 {
		t.Fatal(ps, err)
	}
	signed, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	r := verified(t, st)
	if r.Size != 5 || len(r.OpenIntents) != 0 {
		t.Errorf("%+v %v", r, types(t, st))
	}
	var out bytes.Buffer
	if err := Export(t.Context(), st, &out, store.AuditFilter{}); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(Lines(&out), VerifyOptions{Anchors: [][]byte{signed}, VerifierKey: vkey}); err != nil || r.Size != 5 {
		t.Error(r, err)
	}
	out.Reset()
	if err := Export(t.Context(), st, &out, store.AuditFilter{Type: "A.B"}); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Errorf("filtered export: %s %v", out.Bytes(), err)
	}
	if _, err := l.Intent(t.Context(), 0, intent); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A lone outcome is written soon even when nothing follows.
func TestOutcomeAlone(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	p, err := l.Intent(t.Context(), version(t, st), intent)
	if err != nil {
		t.Fatal(err)
	}
	l.Outcome(complete(p))
	eventually(t, "the outcome is durable", func() bool { h, _ := st.AuditHead(t.Context()); return h.Size == 2 })
	closeLog(t, l)
}

func change(l *Log, id string) error {
	return l.Change(context.Background(), func(tx store.Tx) ([]Event, error) {
		return []Event{{Type: "Organization.Created"}}, tx.PutOrganization(model.Organization{ID: id, Name: id, Active: true, Created: time.UnixMilli(0).UTC()})
	})
}

func orgID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// An intent that was decided with an old configuration is not written, others
// of the same batch are.
func TestStaleIntent(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	old := version(t, st)
	if err := change(l, orgID(1)); err != nil {
		t.Fatal(err)
	}
	now := version(t, st)
	if now == old {
		t.Fatal("the change did not raise the version")
	}
	// Hold the writer so that both come into one batch.
	gate := make(chan struct{})
	st.set(func() error { <-gate; return nil }, nil)
	go func() { _, _ = l.Record(context.Background(), refusal) }()
	eventually(t, "the writer writes", func() bool { st.mu.Lock(); defer st.mu.Unlock(); return st.writes >= 2 })
	type answer struct {
		p   Position
		err error
	}
	answers := map[uint64]chan answer{old: make(chan answer, 1), now: make(chan answer, 1)}
	for v, c := range answers {
		go func() { p, err := l.Intent(context.Background(), v, intent); c <- answer{p, err} }()
	}
	eventually(t, "both wait", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.waiting) == 2 })
	st.set(nil, nil)
	close(gate)
	a := <-answers[old]
	var stale *StaleError
	if !errors.Is(a.err, ErrStale) || !errors.As(a.err, &stale) || stale.Current != now || stale.Have != old {
		t.Errorf("old version: %v", a.err)
	}
	b := <-answers[now]
	if b.err != nil {
		t.Fatal(b.err)
	}
	l.Outcome(complete(b.p))
	closeLog(t, l)
	if r := verified(t, st); r.Intents != 1 {
		t.Errorf("%d intents on record", r.Intents)
	}
}

func TestOpenEndsOpenIntents(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	for range 3 {
		if _, err := l.Intent(t.Context(), version(t, st), intent); err != nil {
			t.Fatal(err)
		}
	}
	crashed, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := l.Close(crashed); err == nil {
		t.Error("Close did not tell of the open intents")
	}
	closeLog(t, openLog(t, st, Options{UnknownAfter: time.Hour})) // another replica's may be under way
	if r := verified(t, st); len(r.OpenIntents) != 3 {
		t.Errorf("young intents were ended: %+v", r)
	}
	closeLog(t, openLog(t, st, Options{}))
	r := verified(t, st)
	if r.Size != 6 || r.Unknown != 3 || len(r.OpenIntents) != 0 {
		t.Errorf("%+v: %v", r, types(t, st))
	}
	if got := types(t, st)[5]; got != "HashSigning.OutcomeUnknown" {
		t.Error(got)
	}
	closeLog(t, openLog(t, st, Options{}))
	if r := verified(t, st); r.Size != 6 {
		t.Error("ended twice")
	}
}

// Several replicas: the intents of one that died are ended once, by those that
// live, and never those of a living one that waits for its key store.
func TestDeadReplica(t *testing.T) {
	st := newStore(t)
	const after = 300 * time.Millisecond
	dead := openLog(t, st, Options{UnknownAfter: time.Hour})
	for range 3 {
		if _, err := dead.Intent(t.Context(), version(t, st), intent); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := dead.Close(ended); err == nil {
		t.Fatal("Close did not tell of the open intents")
	}
	living := []*Log{openLog(t, st, Options{UnknownAfter: after}), openLog(t, st, Options{UnknownAfter: after})}
	time.Sleep(4 * after)
	r := verified(t, st)
	if r.Size != 6 || r.Unknown != 3 || len(r.OpenIntents) != 0 || len(r.StrayOutcomes) != 0 {
		t.Errorf("%+v: %v", r, types(t, st))
	}
	closeLog(t, living[1])
	slow, err := living[0].Intent(t.Context(), version(t, st), intent)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * after)
	living[0].Outcome(complete(slow))
	closeLog(t, living[0])
	if r := verified(t, st); r.Unknown != 3 || len(r.OpenIntents) != 0 || len(r.StrayOutcomes) != 0 {
		t.Errorf("%+v: %v", r, types(t, st))
	}
}

func TestOpenRefusesAChangedEnd(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	if _, err := l.Record(t.Context(), refusal); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	st.rows = func(rows []store.AuditRow) error { rows[0].Leaf[20] ^= 1; return nil }
	if _, err := Open(t.Context(), st, Options{}); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v", err)
	}
}

// Many writers, changes in between: one chain, nothing lost, nothing twice.
func TestConcurrentWriters(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	const writers, each = 40, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				var p Position
				for {
					v, err := st.ConfigVersion(context.Background())
					if err != nil {
						t.Error(err)
						return
					}
					p, err = l.Intent(context.Background(), v, intent)
					if errors.Is(err, ErrStale) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					break
				}
				if i%3 == 0 {
					if err := l.OutcomeWait(context.Background(), complete(p)); err != nil {
						t.Error(err)
					}
				} else {
					l.Outcome(complete(p))
				}
				if err := l.RecordLater(context.Background(), refusal); err != nil {
					t.Error(err)
				}
			}
			if w%10 == 0 {
				if err := change(l, orgID(w)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	r := verified(t, st)
	if r.Intents != writers*each || len(r.OpenIntents) != 0 || r.Size != 3*writers*each+writers/10 {
		t.Errorf("%+v", r)
	}
	if st.writes >= int(r.Size) {
		t.Errorf("%d transactions for %d entries: no group commit", st.writes, r.Size)
	}
}

// When the database fails, callers who wait are told; outcomes and refusals are
// kept and written once when it works again.
func TestFailureKeepsOutcomes(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	p, err := l.Intent(t.Context(), version(t, st), intent)
	if err != nil {
		t.Fatal(err)
	}
	q, err := l.Intent(t.Context(), version(t, st), intent)
	if err != nil {
		t.Fatal(err)
	}
	broken := fmt.Errorf("test: %w", store.ErrFull)
	st.set(func() error { return broken }, nil)
	l.Outcome(complete(p))
	if err := l.OutcomeWait(t.Context(), complete(q)); !errors.Is(err, store.ErrFull) {
		t.Errorf("OutcomeWait: %v", err)
	}
	if err := l.RecordLater(t.Context(), refusal); err != nil {
		t.Error(err)
	}
	if _, err := l.Intent(t.Context(), version(t, st), intent); !errors.Is(err, store.ErrFull) {
		t.Errorf("Intent: %v", err)
	}
	if _, err := l.Record(t.Context(), refusal); !errors.Is(err, store.ErrFull) {
		t.Errorf("Record: %v", err)
	}
	st.set(nil, nil)
	closeLog(t, l)
	r := verified(t, st)
	if r.Size != 5 || len(r.OpenIntents) != 0 {
		t.Errorf("%+v %v", r, types(t, st))
	}
}

// A full disk can still be read: to look at the head after a failure is no sign
// that the log can be written again.
func TestRecoveryIsToldOnceItIsTrue(t *testing.T) {
	st := &fullStore{Store: newStore(t)}
	l := openLog(t, st, Options{})
	var told syncBuffer
	l.log = slog.New(slog.NewTextHandler(&told, nil))
	st.full.Store(true)
	for range 2 {
		if _, err := l.Intent(t.Context(), version(t, st), intent); !errors.Is(err, store.ErrFull) {
			t.Errorf("Intent: %v", err)
		}
		time.Sleep(2*firstPause + 2*linger) // the look at the head
	}
	if s := told.String(); strings.Contains(s, "again") || strings.Count(s, "cannot be written") != 1 {
		t.Errorf("while the disk is full: %s", s)
	}
	st.full.Store(false)
	p, err := l.Intent(t.Context(), version(t, st), intent)
	if err != nil {
		t.Fatal(err)
	}
	l.Outcome(complete(p))
	closeLog(t, l)
	if s := told.String(); strings.Count(s, "can be written again") != 1 {
		t.Errorf("when there is room: %s", s)
	}
}

// fullStore is a real store whose disk can be full: a write fails at its end.
type fullStore struct {
	store.Store
	full atomic.Bool
}

func (f *fullStore) Write(ctx context.Context, fn func(store.Tx) error) error {
	return f.Store.Write(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if f.full.Load() {
			return store.ErrFull
		}
		return nil
	})
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestCloseTellsWhatIsLost(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	p, err := l.Intent(t.Context(), version(t, st), intent)
	if err != nil {
		t.Fatal(err)
	}
	st.set(func() error { return errors.New("broken") }, nil)
	l.Outcome(complete(p))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := l.Close(ctx); err == nil {
		t.Error("Close did not tell")
	}
	l.Outcome(complete(p)) // must neither hang nor panic
}

// The database commits but the answer is lost: nothing is written twice, and
// the intents whose callers were told of a failure are ended.
func TestCommitInDoubt(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	p, err := l.Intent(t.Context(), version(t, st), intent)
	if err != nil {
		t.Fatal(err)
	}
	lost := errors.New("connection lost")
	st.set(nil, func() error {
		if head, _ := st.AuditHead(context.Background()); head.Size < 3 {
			return nil // the outcome went alone, on a slow machine
		}
		st.set(nil, nil)
		return lost
	})
	l.Outcome(complete(p))
	if _, err := l.Intent(t.Context(), version(t, st), intent); !errors.Is(err, lost) {
		t.Error(err)
	}
	closeLog(t, l)
	r := verified(t, st)
	if len(r.OpenIntents) != 0 {
		t.Errorf("%+v %v", r, types(t, st))
	}
	if n := len(l.intents); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
	if got := types(t, st); len(got) != 4 || got[3] != "HashSigning.Abandoned" {
		t.Error(got)
	}
}

// A caller who goes away: queued entries are taken out, written ones ended.
func TestCallerGoesAway(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	gate := make(chan struct{})
	st.set(func() error { <-gate; return nil }, nil)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	go func() { _, err := l.Intent(ctx, 0, intent); results <- err }()
	eventually(t, "the writer writes", func() bool { st.mu.Lock(); defer st.mu.Unlock(); return st.writes == 1 })
	v := version(t, st)
	go func() { _, err := l.Intent(ctx, v, intent); results <- err }()
	eventually(t, "the second waits", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.waiting) == 1 })
	cancel()
	for range 2 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	st.set(nil, nil)
	close(gate)
	closeLog(t, l)
	if n := len(l.intents); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
	got := types(t, st)
	if v == 0 && (len(got) != 2 || got[1] != "HashSigning.Abandoned") || v != 0 && len(got) != 0 {
		t.Errorf("version %d: %v", v, got)
	}
	verified(t, st)
}

// Memory is bounded: a full queue makes callers wait, and says so in the end.
func TestBackPressure(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	st.set(func() error { return errors.New("broken") }, nil)
	for range maxLater {
		if err := l.RecordLater(t.Context(), refusal); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.RecordLater(ctx, refusal); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("refusal %d: %v", maxLater+1, err)
	}
	st.set(nil, nil)
	closeLog(t, l)
	if r := verified(t, st); r.Size != maxLater {
		t.Errorf("%d entries", r.Size)
	}
}

func TestOpenIntentsAreBounded(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	var wg sync.WaitGroup
	for range maxOpenIntents {
		wg.Go(func() {
			if _, err := l.Intent(context.Background(), version(t, st), intent); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Intent(ctx, version(t, st), intent); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for seq := range uint64(maxOpenIntents) {
		l.Outcome(Event{Type: "HashSigning.Failed", Outcome: seq + 1})
	}
	closeLog(t, l)
	verified(t, st)
}

func TestOutcomeIsNeverLostForItsData(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	p, err := l.Intent(t.Context(), version(t, st), intent)
	if err != nil {
		t.Fatal(err)
	}
	l.Outcome(Event{Type: "HashSigning.Completed", Outcome: p.Seq, Data: json.RawMessage(`no json`)})
	if err := l.OutcomeWait(t.Context(), complete(p)); err == nil {
		t.Error("a second outcome was accepted")
	}
	closeLog(t, l)
	if r := verified(t, st); r.Size != 2 {
		t.Error(types(t, st))
	}
}

func TestChange(t *testing.T) {
	st := newStore(t)
	l := openLog(t, st, Options{})
	failure := errors.New("failure")
	for name, fn := range map[string]func(tx store.Tx) ([]Event, error){
		"an error": func(tx store.Tx) ([]Event, error) {
			return []Event{{Type: "A.B"}}, errors.Join(tx.PutOrganization(model.Organization{ID: orgID(1), Name: "x"}), failure)
		},
		"a change without entry": func(tx store.Tx) ([]Event, error) {
			return nil, tx.PutOrganization(model.Organization{ID: orgID(1), Name: "x"})
		},
		"an entry of its own": func(tx store.Tx) ([]Event, error) { return nil, tx.AppendAudit(nil, store.AuditHead{}) },
		"an intent":           func(store.Tx) ([]Event, error) { return []Event{intent, {Type: "X.Intent", Intent: true}}, nil },
		"malformed data":      func(store.Tx) ([]Event, error) { return []Event{{Type: "A.B", Data: json.RawMessage(`"x"`)}}, nil },
	} {
		if err := l.Change(t.Context(), fn); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if c, err := st.Config(t.Context()); err != nil || len(c.Organizations) != 0 {
		t.Errorf("a refused change is there: %+v %v", c, err)
	}
	if err := change(l, orgID(2)); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	if r := verified(t, st); r.Size != 1 {
		t.Error(types(t, st))
	}
	if err := change(l, orgID(3)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestSignerMustBeCalledAsTheLog(t *testing.T) {
	signer, _ := testSigner(t, "a")
	if _, err := Open(t.Context(), newStore(t), Options{Signer: signer, Origin: "b"}); err == nil {
		t.Error("accepted")
	}
	l := openLog(t, newStore(t), Options{})
	if _, err := l.Checkpoint(t.Context()); err == nil {
		t.Error("a checkpoint without key")
	}
}
