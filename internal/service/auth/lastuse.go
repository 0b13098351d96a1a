package auth

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// usesInterval is how often the last uses of tokens are written: a token that
// is used all the time costs one write in that time, whatever it does.
const usesInterval = time.Minute

// Uses remembers in memory when each token was used last, and writes that down
// now and then, apart from everything that a request waits for. What was not
// written when the process died is lost: a last use is information, no record.
// It is safe for concurrent use; the zero value is ready.
type Uses struct {
	tokens sync.Map // token ID → *use
}

type use struct {
	at      atomic.Int64 // Unix milliseconds
	written atomic.Int64
}

// Used notes a use.
func (u *Uses) Used(tokenID string, at time.Time) {
	v, ok := u.tokens.Load(tokenID)
	if !ok {
		v, _ = u.tokens.LoadOrStore(tokenID, &use{})
	}
	ms, entry := at.UnixMilli(), v.(*use)
	for {
		old := entry.at.Load()
		if old >= ms || entry.at.CompareAndSwap(old, ms) {
			return
		}
	}
}

// Last is when a token was used last in this process; the zero time: not at all.
func (u *Uses) Last(tokenID string) time.Time {
	v, ok := u.tokens.Load(tokenID)
	if !ok {
		return time.Time{}
	}
	return time.UnixMilli(v.(*use).at.Load()).UTC()
}

// Flush writes the uses that are not written yet.
func (u *Uses) Flush(ctx context.Context, write func(context.Context, map[string]time.Time) error) error {
	due := map[string]time.Time{}
	u.tokens.Range(func(id, v any) bool {
		if e := v.(*use); e.at.Load() > e.written.Load() {
			due[id.(string)] = time.UnixMilli(e.at.Load()).UTC()
		}
		return true
	})
	if len(due) == 0 {
		return nil
	}
	if err := write(ctx, due); err != nil {
		return err
	}
	for id, at := range due {
		if v, ok := u.tokens.Load(id); ok {
			v.(*use).written.Store(at.UnixMilli())
		}
	}
	return nil
}

// Run flushes once a minute, and a last time when ctx ends.
func (u *Uses) Run(ctx context.Context, logger *slog.Logger, write func(context.Context, map[string]time.Time) error) {
	const limit = 10 * time.Second
	t := time.NewTicker(usesInterval)
	defer t.Stop()
	for {
		ended := false
		select {
		case <-ctx.Done():
			ended = true
		case <-t.C:
		}
		writeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		err := u.Flush(writeCtx, write)
		cancel()
		if err != nil {
			logger.Warn("the last uses of API tokens cannot be written", slog.Any("error", err))
		}
		if ended {
			return
		}
	}
}
