package auth

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"
)

func TestUses(t *testing.T) {
	var u Uses
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	var written []map[string]time.Time
	fail := errors.New("full")
	var failing error
	write := func(_ context.Context, m map[string]time.Time) error {
		if failing != nil {
			return failing
		}
		written = append(written, m)
		return nil
	}
	flush := func(want map[string]time.Time) {
		t.Helper()
		written = nil
		if err := u.Flush(t.Context(), write); err != nil {
			t.Fatal(err)
		}
		switch {
		case want == nil && len(written) > 0:
			t.Errorf("wrote %v", written)
		case want != nil && (len(written) != 1 || !maps.Equal(written[0], want)):
			t.Errorf("wrote %v, want %v", written, want)
		}
	}
	flush(nil)
	u.Used("a", at(10))
	u.Used("b", at(11))
	u.Used("a", at(12))
	u.Used("a", at(9)) // requests overtake each other
	failing = fail
	if err := u.Flush(t.Context(), write); !errors.Is(err, fail) {
		t.Error(err)
	}
	failing = nil
	flush(map[string]time.Time{"a": at(12), "b": at(11)}) // what failed is written next time
	flush(nil)
	u.Used("b", at(20))
	flush(map[string]time.Time{"b": at(20)})
	if u.Last("a") != at(12) || !u.Last("c").IsZero() {
		t.Error(u.Last("a"), u.Last("c"))
	}
}

// The end of the service writes what is left.
func TestUsesRun(t *testing.T) {
	var u Uses
	ctx, cancel := context.WithCancel(t.Context())
	wrote := make(chan map[string]time.Time, 1)
	var done sync.WaitGroup
	done.Go(func() {
		u.Run(ctx, slog.New(slog.DiscardHandler), func(ctx context.Context, m map[string]time.Time) error {
			wrote <- m
			return ctx.Err()
		})
	})
	u.Used("a", time.Unix(1, 0))
	cancel()
	done.Wait()
	if len(<-wrote) != 1 {
		t.Error("not written")
	}
}

func BenchmarkUsed(b *testing.B) {
	var u Uses
	now := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			u.Used("a", now)
		}
	})
}
