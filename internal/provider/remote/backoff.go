package remote

import (
	"context"
	"math"
	"math/rand/v2"
	"time"
)

// maxDelay bounds one delay when only the number of retries is limited.
const maxDelay = time.Hour

// backoff is exponential with decorrelated jitter ("version 2": Polly's
// documentation, "Retry with jitter"). With t = i + rand and
// n(t) = 2^t · tanh(√(4t)), delay i is (n(t) − n(previous t)) / 1.4 · first, so
// that first is the median of the first delay and ten delays sum up to about
// 530 times first.
type backoff struct {
	first time.Duration
	rand  func() float64
	i     int
	prev  float64
}

// next gives the following delay.
func (b *backoff) next() time.Duration {
	t := float64(b.i) + b.rand()
	b.i++
	n := math.Pow(2, t) * math.Tanh(math.Sqrt(4*t))
	d := (n - b.prev) / 1.4 * float64(b.first)
	b.prev = n
	switch {
	case d >= float64(maxDelay) || math.IsNaN(d): // NaN: infinity minus infinity, far beyond the bound
		return maxDelay
	case d < 0:
		return 0
	}
	return time.Duration(d)
}

// sleep waits for d or the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func random() float64 { return rand.Float64() }
