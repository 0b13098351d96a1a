package health

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var errFull = errors.New("no space left on the device")

// world is a database and a clock.
type world struct {
	now    time.Time
	full   bool
	log    Writes
	probes atomic.Int32
	m      *Monitor
}

func newWorld() *world {
	w := &world{now: time.Unix(1_000_000, 0)}
	w.m = New(Config{
		Probe: func(context.Context) error {
			w.probes.Add(1)
			if w.full {
				return errFull
			}
			return nil
		},
		Writes: func() Writes { return w.log },
		Now:    func() time.Time { return w.now },
	})
	return w
}

func (w *world) later(d time.Duration) { w.now = w.now.Add(d) }

func (w *world) expect(t *testing.T, healthy bool, probes int32) {
	t.Helper()
	err := w.m.Check(t.Context())
	if (err == nil) != healthy {
		t.Errorf("after %d probes: %v, want healthy %v", w.probes.Load(), err, healthy)
	}
	if !healthy && !errors.Is(err, errFull) {
		t.Errorf("the cause is %v", err)
	}
	if n := w.probes.Load(); n != probes {
		t.Errorf("%d probes, want %d", n, probes)
	}
}

func TestProbesAreRateLimited(t *testing.T) {
	w := newWorld()
	w.expect(t, true, 1)
	w.full = true
	w.later(Fresh - 1)
	w.expect(t, true, 1)
	w.later(1)
	w.expect(t, false, 2)
	w.later(Again - 1)
	w.expect(t, false, 2)
	w.later(1)
	w.expect(t, false, 3)
	w.full = false
	w.later(Again)
	w.expect(t, true, 4)
	w.later(Fresh - 1)
	w.expect(t, true, 4)
}

// A busy service is not written to for its health.
func TestTheLogItselfIsEvidence(t *testing.T) {
	w := newWorld()
	for range 5 {
		w.log.Succeeded = w.now
		w.later(Fresh / 2)
		w.expect(t, true, 0)
	}
	w.later(Fresh)
	w.expect(t, true, 1)
}

// A failed group commit counts at once, and until a later write succeeds: also
// when nobody signs any more because the service was called unhealthy.
func TestFailedCommitSticks(t *testing.T) {
	w := newWorld()
	w.expect(t, true, 1)
	w.later(time.Millisecond)
	w.log.Failed, w.log.Cause, w.full = w.now, errFull, true
	w.expect(t, false, 1)
	w.later(Again)
	w.expect(t, false, 2)
	w.later(Again)
	w.expect(t, false, 3)
	w.full = false
	w.later(Again)
	w.expect(t, true, 4)
	w.later(Again)
	w.expect(t, true, 4)

	// small writes succeed, but the log's own do not
	w.log.Failed = w.now
	w.expect(t, false, 4)
	w.later(Again)
	w.expect(t, true, 5)
	w.log.Failed = w.now
	w.later(time.Millisecond)
	w.expect(t, false, 5)
	w.log.Succeeded = w.now
	w.expect(t, true, 5)
}

func TestManyAskOneProbe(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var probes atomic.Int32
	m := New(Config{Probe: func(context.Context) error {
		if probes.Add(1) == 1 {
			close(begun)
		}
		<-release
		return errFull
	}})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := m.Check(t.Context()); !errors.Is(err, errFull) {
				t.Errorf("got %v", err)
			}
		})
	}
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Check(ctx); err == nil || !strings.Contains(err.Error(), "not taken") {
		t.Errorf("a database that hangs: %v", err)
	}
	close(release)
	all.Wait()
	if n := probes.Load(); n != 1 {
		t.Errorf("%d probes, want 1", n)
	}
}
