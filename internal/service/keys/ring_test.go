package keys

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// source is a store in memory that counts.
type source struct {
	mu     sync.Mutex
	sealed map[string][]byte
	reads  atomic.Int64
	err    error
}

func (s *source) SealedKey(_ context.Context, id string) ([]byte, error) {
	s.reads.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sealed[id], s.err
}

func newRingForTest(t *testing.T, n int) (*Ring, *source, []model.Key) {
	t.Helper()
	kek, err := parseKEKText("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	src := &source{sealed: map[string][]byte{}}
	ring := NewRing(src, map[string]Backend{SoftBackend: NewSoft(kek)})
	var made []model.Key
	for range n {
		key, sealed, err := ring.Generate(t.Context(), SoftBackend, wire.KeyECDSA, 256)
		if err != nil {
			t.Fatal(err)
		}
		src.sealed[key.ID] = sealed
		made = append(made, key)
	}
	return ring, src, made
}

func mustSigner(t *testing.T, r *Ring, key model.Key) Signer {
	t.Helper()
	s, err := r.Signer(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRingCaches(t *testing.T) {
	ring, src, made := newRingForTest(t, 2)
	first := mustSigner(t, ring, made[0])
	if mustSigner(t, ring, made[0]) != first || src.reads.Load() != 1 {
		t.Errorf("%d reads of one key", src.reads.Load())
	}
	mustSigner(t, ring, made[1])
	ring.Forget(made[0].ID)
	ring.Forget("unknown")
	if mustSigner(t, ring, made[0]) == first || src.reads.Load() != 3 {
		t.Errorf("Forget: %d reads", src.reads.Load())
	}
	if _, err := first.Sign(t.Context(), wire.Scheme{Algorithm: wire.ECDSA}, make([]byte, 32)); err != nil {
		t.Errorf("a signer in use died with Forget: %v", err)
	}
}

func TestRingLRU(t *testing.T) {
	ring, src, made := newRingForTest(t, 4)
	ring.size = 3
	for _, i := range []int{0, 1, 2, 0, 3} { // 3 drives out 1, the least recently used
		mustSigner(t, ring, made[i])
	}
	before := src.reads.Load()
	for _, i := range []int{0, 2, 3} {
		mustSigner(t, ring, made[i])
	}
	if got := src.reads.Load() - before; got != 0 {
		t.Errorf("%d kept keys were read again", got)
	}
	mustSigner(t, ring, made[1])
	if got := src.reads.Load() - before; got != 1 {
		t.Errorf("the driven-out key: %d reads, want 1", got)
	}
	if len(ring.entries) != 3 || ring.used.Len() != 3 {
		t.Errorf("the ring holds %d/%d keys, want 3", len(ring.entries), ring.used.Len())
	}
}

func TestRingVersions(t *testing.T) {
	ring, _, made := newRingForTest(t, 1)
	mustSigner(t, ring, made[0])
	next := made[0]
	next.Version = 2
	if _, err := ring.Signer(t.Context(), next); !errors.Is(err, ErrSealed) {
		t.Errorf("version 2 with the private part of version 1: %v, want ErrSealed", err)
	}
	mustSigner(t, ring, made[0])
}

func TestRingDeleted(t *testing.T) {
	ring, src, made := newRingForTest(t, 2)
	mustSigner(t, ring, made[0])
	deleted := made[0]
	deleted.Deleted = true
	for range 2 {
		if _, err := ring.Signer(t.Context(), deleted); !errors.Is(err, ErrKeyDeleted) {
			t.Errorf("deleted key in the cache: %v, want ErrKeyDeleted", err)
		}
	}
	if len(ring.entries) != 0 {
		t.Error("the deleted key stays in memory")
	}
	src.sealed[made[1].ID] = nil
	if _, err := ring.Signer(t.Context(), made[1]); !errors.Is(err, ErrKeyDeleted) {
		t.Errorf("no private part in the store: %v, want ErrKeyDeleted", err)
	}
}

func TestRingErrorsAreNotKept(t *testing.T) {
	ring, src, made := newRingForTest(t, 1)
	src.err = errors.New("database is down")
	if _, err := ring.Signer(t.Context(), made[0]); !errors.Is(err, src.err) {
		t.Errorf("Signer = %v", err)
	}
	src.err = nil
	mustSigner(t, ring, made[0])

	foreign := made[0]
	foreign.ID, foreign.Backend = "x", "hsm"
	if _, err := ring.Signer(t.Context(), foreign); err == nil {
		t.Error("a key of an unknown back end was opened")
	}
	if _, _, err := ring.Generate(t.Context(), "hsm", wire.KeyECDSA, 256); err == nil {
		t.Error("an unknown back end made a key")
	}
}

// slow is a source that waits until it is told to go on.
type slow struct {
	*source
	release chan struct{}
}

func (s *slow) SealedKey(ctx context.Context, id string) ([]byte, error) {
	select {
	case <-s.release:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.source.SealedKey(ctx, id)
}

func TestRingSingleFlight(t *testing.T) {
	ring, src, made := newRingForTest(t, 1)
	synctest.Test(t, func(t *testing.T) {
		gate := &slow{src, make(chan struct{})}
		ring.source = gate
		var wg sync.WaitGroup
		errs := make(chan error, 20)
		for range 20 {
			wg.Go(func() {
				_, err := ring.Signer(t.Context(), made[0])
				errs <- err
			})
		}
		// The first caller of all gives up: the others must not suffer from it.
		ctx, cancel := context.WithCancel(t.Context())
		synctest.Wait()
		cancel()
		if _, err := ring.Signer(ctx, made[0]); !errors.Is(err, context.Canceled) {
			t.Errorf("a canceled caller got %v", err)
		}
		close(gate.release)
		wg.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
	})
	if got := src.reads.Load(); got != 1 {
		t.Errorf("%d reads, want 1", got)
	}
}

func TestRingFirstCallerGivesUp(t *testing.T) {
	ring, src, made := newRingForTest(t, 1)
	synctest.Test(t, func(t *testing.T) {
		gate := &slow{src, make(chan struct{})}
		ring.source = gate
		ctx, cancel := context.WithCancel(t.Context())
		var first, second error
		var wg sync.WaitGroup
		wg.Go(func() { _, first = ring.Signer(ctx, made[0]) })
		synctest.Wait()
		wg.Go(func() { _, second = ring.Signer(t.Context(), made[0]) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(gate.release)
		wg.Wait()
		if !errors.Is(first, context.Canceled) || second != nil {
			t.Errorf("first %v, second %v", first, second)
		}
	})
}

// A store that hangs must not hold callers without a deadline for ever.
func TestRingTimeout(t *testing.T) {
	ring, src, made := newRingForTest(t, 1)
	synctest.Test(t, func(t *testing.T) {
		ring.source = &slow{src, make(chan struct{})}
		if _, err := ring.Signer(t.Context(), made[0]); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Signer = %v, want a deadline", err)
		}
	})
}

// A key that is deleted while it is being opened must not stay in memory.
func TestRingForgetDuringOpen(t *testing.T) {
	ring, src, made := newRingForTest(t, 1)
	synctest.Test(t, func(t *testing.T) {
		gate := &slow{src, make(chan struct{})}
		ring.source = gate
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = ring.Signer(t.Context(), made[0]) })
		synctest.Wait()
		ring.Forget(made[0].ID)
		close(gate.release)
		wg.Wait()
	})
	if len(ring.entries) != 0 {
		t.Error("the forgotten key stays in memory")
	}
}

func TestRingConcurrent(t *testing.T) {
	ring, _, made := newRingForTest(t, 6)
	ring.size = 3
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				key := made[(i+j)%len(made)]
				if _, err := ring.Signer(t.Context(), key); err != nil {
					t.Error(err)
				}
				if j%7 == 0 {
					ring.Forget(key.ID)
				}
			}
		})
	}
	wg.Wait()
	if len(ring.entries) != ring.used.Len() || len(ring.entries) > 3 {
		t.Errorf("the ring holds %d/%d keys", len(ring.entries), ring.used.Len())
	}
}

// The bound on running operations is respected and gives way to a canceled caller.
func TestTurns(t *testing.T) {
	ring, _, made := newRingForTest(t, 1)
	signer := mustSigner(t, ring, made[0]).(*softSigner)
	synctest.Test(t, func(t *testing.T) {
		n := 0
		for signer.soft.turns.TryAcquire(1) {
			n++
		}
		if n == 0 {
			t.Fatal("no turn at all")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := signer.Sign(ctx, wire.Scheme{Algorithm: wire.ECDSA}, make([]byte, 32))
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("signed beyond the bound: %v", err)
		default:
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Sign = %v", err)
		}
		signer.soft.turns.Release(int64(n))
		if _, err := signer.Sign(t.Context(), wire.Scheme{Algorithm: wire.ECDSA}, make([]byte, 32)); err != nil {
			t.Error(err)
		}
	})
}

func TestCheckSizeTellsSizes(t *testing.T) {
	err := CheckSize(wire.KeyRSA, 1024)
	if want := "unsupported key: Rsa with 1024 bits; the sizes are 2048, 3072, 4096"; fmt.Sprint(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}
