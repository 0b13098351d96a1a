package limits

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/audit"
	"signpath/internal/service/model"
	"signpath/internal/service/store/sqlite"
)

func TestLimiter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	l := NewLimiter(Rate{PerSecond: 2, Burst: 3})
	take := func(name string, want bool) time.Duration {
		t.Helper()
		wait, ok := l.Take(name, now)
		if ok != want {
			t.Errorf("%s at %v: %v", name, now, ok)
		}
		return wait
	}
	for range 3 {
		take("a", true)
	}
	if wait := take("a", false); wait != 500*time.Millisecond {
		t.Errorf("wait %v", wait)
	}
	take("b", true) // its own bucket
	now = now.Add(499 * time.Millisecond)
	take("a", false)
	if _, empty := l.Empty("a", now); !empty {
		t.Error("not empty")
	}
	now = now.Add(time.Millisecond)
	if _, empty := l.Empty("a", now); empty {
		t.Error("empty")
	}
	take("a", true)
	take("a", false)
	now = now.Add(-time.Hour) // a clock that was set back fills nothing
	take("a", false)
	now = now.Add(3 * time.Hour)
	for range 3 {
		take("a", true)
	}
	take("a", false)
	if len(l.buckets) != 1 {
		t.Errorf("%d buckets: full ones are forgotten", len(l.buckets))
	}
	for i := range 2 * maxBuckets {
		l.Take(fmt.Sprint(i), now)
	}
	if len(l.buckets) > maxBuckets+1 {
		t.Errorf("%d buckets", len(l.buckets))
	}
	var none *Limiter
	if _, ok := none.Take("a", now); !ok || NewLimiter(Rate{}) != nil {
		t.Error("no limit is a limit")
	}
}

func TestPeriod(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ start, now, from, to string }{
		{"2024-05-01", "2026-04-30", "2025-05-01", "2026-05-01"},
		{"2024-05-01", "2026-05-01", "2026-05-01", "2027-05-01"},
		{"2024-05-01", "2024-05-01", "2024-05-01", "2025-05-01"},
		{"2024-02-29", "2025-03-01", "2025-03-01", "2026-03-01"},
		{"2027-01-01", "2026-05-01", "2026-01-01", "2027-01-01"},
	} {
		from, to := Period(at(c.start), at(c.now))
		if !from.Equal(at(c.from)) || !to.Equal(at(c.to)) {
			t.Errorf("%+v: %v to %v", c, from, to)
		}
	}
}

// The audit log is the truth: restarts and replicas agree on what was used.
func TestQuotas(t *testing.T) {
	ctx := t.Context()
	st, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var clock atomic.Pointer[time.Time] // the log reads it at any time
	start := now
	clock.Store(&start)
	log, err := audit.Open(ctx, st, audit.Options{Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return *clock.Load() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close(ctx) })
	o := &model.Organization{ID: uuid.NewString(), YearlySignatures: 4, QuotaStart: now.AddDate(-1, -1, 0)}
	record := func(types ...string) {
		t.Helper()
		at := now
		clock.Store(&at)
		for _, typ := range types {
			if _, err := log.Record(ctx, audit.Event{Type: typ, OrganizationID: o.ID, Actor: audit.Actor{Type: "System"}, Data: json.RawMessage(`{}`)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	q := NewQuotas(st)
	q.CountedType, q.FailedTypes = "Made", []string{"Failed"}
	take := func(want bool) func() {
		t.Helper()
		giveBack, p := q.Take(o, now)
		if (p == nil) != want || p != nil && p.Status != http.StatusForbidden {
			t.Errorf("%+v", p)
		}
		return giveBack
	}
	now = now.AddDate(-2, 0, 0)
	record("Made") // of another year
	now = now.AddDate(2, 0, 0)
	record("Made", "Other")
	take(true)()
	take(true)
	record("Made")
	take(true)
	take(true)
	take(false)
	// Of the three taken one was made and recorded, two never will be.
	if err := q.Reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	if used, _, _, err := q.Used(ctx, o, now); err != nil || used != 2 {
		t.Errorf("used %d, %v", used, err)
	}
	take(true)
	record("Made", "Failed", "Made") // another replica's
	if err := q.Reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	take(true)
	take(false)
	again := NewQuotas(st)
	again.CountedType, again.FailedTypes = q.CountedType, q.FailedTypes
	q = again // a restart forgets what was taken and not recorded
	take(true)
	take(false)
	now = now.AddDate(0, 11, 0)
	take(true) // a new year
}
