package jobs

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
)

type world struct {
	t     *testing.T
	store store.Store
	org   string
	now   time.Time
	mu    sync.Mutex
	done  []string
}

func newWorld(t *testing.T) *world {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &world{t: t, store: st, org: uuid.NewString(), now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	w.write(func(tx store.Tx) error { return tx.PutOrganization(model.Organization{ID: w.org, Active: true}) })
	return w
}

func (w *world) write(fn func(store.Tx) error) {
	w.t.Helper()
	if err := w.store.Write(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(subject string, due time.Time) {
	w.t.Helper()
	w.write(func(tx store.Tx) error { return tx.PutJob(New("k", w.org, subject, due)) })
}

func (w *world) runner(h Handler) *Runner {
	return &Runner{Store: w.store, Handlers: map[string]Handler{"k": h}, Now: func() time.Time { return w.now }, Logger: slog.New(slog.DiscardHandler)}
}

// finish is a handler that ends its job.
func (w *world) finish(ctx context.Context, j model.Job) error {
	w.mu.Lock()
	w.done = append(w.done, j.Subject)
	w.mu.Unlock()
	return w.store.Write(ctx, func(tx store.Tx) error { return tx.DeleteJob(j.ID, j.Lease) })
}

func (w *world) due(r *Runner) int {
	w.t.Helper()
	n, err := r.RunDue(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestDueOnly(t *testing.T) {
	w := newWorld(t)
	r := w.runner(w.finish)
	w.put("now", w.now)
	w.put("later", w.now.Add(time.Minute))
	if w.due(r) != 1 || w.due(r) != 0 || !slices.Equal(w.done, []string{"now"}) {
		t.Error(w.done)
	}
	w.now = w.now.Add(time.Minute)
	if w.due(r) != 1 {
		t.Error(w.done)
	}
}

// What fails is tried again, later and later; a panic is a failure.
func TestBackoff(t *testing.T) {
	w := newWorld(t)
	var attempts []int
	r := w.runner(func(ctx context.Context, j model.Job) error {
		attempts = append(attempts, j.Attempts)
		switch len(attempts) {
		case 1:
			return errors.New("trouble")
		case 2:
			panic("trouble")
		}
		return w.finish(ctx, j)
	})
	w.put("a", w.now)
	for _, pause := range []time.Duration{0, time.Second, 2 * time.Second} {
		w.now = w.now.Add(pause - time.Millisecond)
		if pause > 0 && w.due(r) != 0 {
			t.Errorf("too early after %d attempts", len(attempts))
		}
		w.now = w.now.Add(time.Millisecond)
		if w.due(r) != 1 {
			t.Errorf("not tried again after %v", pause)
		}
	}
	if !slices.Equal(attempts, []int{1, 2, 3}) || len(w.done) != 1 {
		t.Error(attempts, w.done)
	}
}

// The job of a process that died is taken up after its lease, or at the start
// of one that has the store for itself.
func TestTakenUpAgain(t *testing.T) {
	w := newWorld(t)
	w.put("a", w.now)
	claim := func() {
		w.write(func(tx store.Tx) error {
			jobs, err := tx.ClaimJobs([]string{"k"}, "the dead", w.now, w.now.Add(LeaseTime), 1)
			if len(jobs) != 1 {
				t.Error("nothing to claim")
			}
			return err
		})
	}
	claim()
	r := w.runner(w.finish)
	if w.due(r) != 0 {
		t.Error("a leased job was taken")
	}
	w.now = w.now.Add(LeaseTime)
	if w.due(r) != 1 {
		t.Error("the job was not taken up again")
	}
	w.put("b", w.now)
	claim()
	if err := r.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.due(r) != 1 || !slices.Equal(w.done, []string{"a", "b"}) {
		t.Error(w.done)
	}
}

// Two replicas on one store: every job is done once.
func TestReplicas(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.put(strings.Repeat("x", i+1), w.now)
	}
	var all sync.WaitGroup
	for range 3 {
		r := w.runner(w.finish)
		all.Go(func() {
			for {
				n, err := r.RunDue(context.Background())
				if err != nil {
					t.Error(err)
				}
				if n == 0 {
					return
				}
			}
		})
	}
	all.Wait()
	slices.Sort(w.done)
	if len(w.done) != 40 || len(slices.Compact(w.done)) != 40 {
		t.Errorf("%d jobs were done", len(w.done))
	}
}

func TestRunAndWake(t *testing.T) {
	w := newWorld(t)
	got := make(chan struct{}, 8)
	r := w.runner(func(ctx context.Context, j model.Job) error {
		defer func() { got <- struct{}{} }()
		return w.finish(ctx, j)
	})
	r.Exclusive = true
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(ended)
	}()
	for _, subject := range []string{"a", "b"} {
		w.put(subject, w.now)
		r.Wake()
		select {
		case <-got:
		case <-time.After(10 * time.Second):
			t.Fatal("the job was not done")
		}
	}
	stop()
	<-ended
}
