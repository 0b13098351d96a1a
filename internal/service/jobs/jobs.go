// Package jobs does work that must survive a restart.
//
// What enters are jobs in the store, which other rooms put there in the same
// transaction as the change that makes them necessary; what leaves are calls of
// the handler of each kind. A job is taken with a lease: as long as that lasts
// nobody else works on it, on no replica; when a process dies, its jobs are
// taken up again after the lease, or at the next start of a store that one
// process has for itself. So a job is done at least once, and what it changes
// is changed once, because a handler ends it in the transaction of its result:
// store.Tx.DeleteJob refuses when the lease has gone to somebody else.
//
// The package knows nothing of what the jobs are about.
package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// The rhythm.
const (
	LeaseTime = 3 * time.Minute  // how long one attempt may take at most
	margin    = 15 * time.Second // of it, left for writing the result
	poll      = time.Second      // how often other replicas' jobs are looked for
	retryLook = 5 * time.Second  // after the database could not be read
)

// Handler works on a job. When it returns nil the job must be gone: ended by
// DeleteJob, or put again with a later time and an empty lease. After an error
// the job is tried again when its back-off has passed. ctx ends before the
// lease does.
type Handler func(ctx context.Context, job model.Job) error

// Runner takes up the jobs of some kinds. Its fields must not change after the
// first call.
type Runner struct {
	Store    store.Store
	Handlers map[string]Handler // by kind
	// Backoff is how long a job waits after its nth attempt failed (from 1);
	// nil: a second, doubled each time, at most five minutes.
	Backoff func(attempt int) time.Duration
	// Exclusive tells that no other process works on the store: leases that are
	// there at the start belong to one that died.
	Exclusive   bool
	Concurrency int              // jobs at a time; 0: 4
	Now         func() time.Time // nil: time.Now
	Logger      *slog.Logger     // nil: slog.Default()

	once  sync.Once
	lease string
	kinds []string
	wake  chan struct{}
}

func (r *Runner) init() {
	r.once.Do(func() {
		r.lease, r.wake = uuid.NewString(), make(chan struct{}, 1)
		for kind := range r.Handlers {
			r.kinds = append(r.kinds, kind)
		}
		if r.Now == nil {
			r.Now = time.Now
		}
		if r.Logger == nil {
			r.Logger = slog.Default()
		}
		if r.Concurrency == 0 {
			r.Concurrency = 4
		}
		if r.Backoff == nil {
			r.Backoff = func(n int) time.Duration { return min(time.Second<<min(n-1, 20), 5*time.Minute) }
		}
	})
}

// Wake makes Run look for jobs now. It never waits.
func (r *Runner) Wake() {
	r.init()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends; what is under way then is told to end and awaited.
func (r *Runner) Run(ctx context.Context) {
	r.init()
	released, failing := !r.Exclusive, false
	for ctx.Err() == nil {
		pause := poll
		err := error(nil)
		if !released {
			err = r.Release(ctx)
			released = err == nil
		}
		if err == nil {
			var n int
			if n, err = r.RunDue(ctx); n > 0 {
				continue
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			r.Logger.Error("The jobs cannot be read; asynchronous work waits until they can.", "error", err)
			pause = retryLook
		case err == nil && failing:
			r.Logger.Info("The jobs can be read again.")
		}
		failing = err != nil
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// Release ends the leases of a process that died; for exclusive stores only.
func (r *Runner) Release(ctx context.Context) error {
	r.init()
	return r.Store.Write(ctx, func(tx store.Tx) error { return tx.ReleaseJobs(r.kinds) })
}

// RunDue takes up what is due, works on it, and tells how many jobs it were.
func (r *Runner) RunDue(ctx context.Context) (int, error) {
	r.init()
	next, err := r.Store.NextJob(ctx, r.kinds) // reading disturbs nobody
	if err != nil || next.IsZero() || next.After(r.Now()) {
		return 0, err
	}
	// The real clock bounds the work, the given one the lease: both begin now.
	work, cancel := context.WithTimeout(ctx, LeaseTime-margin)
	defer cancel()
	var claimed []model.Job
	err = r.Store.Write(ctx, func(tx store.Tx) error {
		now := r.Now()
		claimed, err = tx.ClaimJobs(r.kinds, r.lease, now, now.Add(LeaseTime), r.Concurrency)
		return err
	})
	if err != nil {
		return 0, err
	}
	var all sync.WaitGroup
	for _, j := range claimed {
		all.Go(func() { r.do(work, j) })
	}
	all.Wait()
	return len(claimed), nil
}

// do runs a handler; a panic of it is an error of the job.
func (r *Runner) do(ctx context.Context, j model.Job) {
	err := errors.New("the handler panicked")
	defer func() {
		p := recover()
		if err == nil {
			return
		}
		if ctx.Err() == nil || p != nil {
			r.Logger.Warn("A job failed and will be tried again.", "kind", j.Kind, "subject", j.Subject, "attempt", j.Attempts, "error", err, "panic", p)
		}
		r.again(context.WithoutCancel(ctx), j)
	}()
	err = r.Handlers[j.Kind](ctx, j)
}

// again gives a job back, unless its lease has gone to somebody else. If that
// fails the lease runs out by itself.
func (r *Runner) again(ctx context.Context, j model.Job) {
	ctx, cancel := context.WithTimeout(ctx, margin)
	defer cancel()
	err := r.Store.Write(ctx, func(tx store.Tx) error {
		if err := tx.DeleteJob(j.ID, j.Lease); err != nil {
			return err
		}
		j.Lease, j.LeaseUntil, j.Due = "", time.Time{}, r.Now().Add(r.Backoff(j.Attempts))
		return tx.PutJob(j)
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		r.Logger.Warn("A job could not be given back; it is taken up again when its lease ends.", "kind", j.Kind, "subject", j.Subject, "error", err)
	}
}

// New makes a job that is due at a time.
func New(kind, organizationID, subject string, due time.Time) model.Job {
	return model.Job{ID: uuid.NewString(), Kind: kind, OrganizationID: organizationID, Subject: subject, Due: due}
}
