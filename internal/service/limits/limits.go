// Package limits bounds how often the service is used: requests per token and
// refused requests per source address (token buckets, in the memory of one
// process), and signatures per organization and year (quotas, counted in memory
// and reconciled with the audit log, so that replicas and restarts agree).
//
// What enters are names and times, what leaves is "go on" or "not before". The
// package knows no HTTP and writes nothing.
package limits

import (
	"math"
	"sync"
	"time"
)

// Rate is how often something may happen.
type Rate struct {
	PerSecond float64 // in the long run; 0: without limit
	Burst     int     // at once; at least 1
}

// maxBuckets bounds the memory: names beyond that share one bucket.
const maxBuckets = 1 << 16

// Limiter has a bucket per name. It is safe for concurrent use; a nil Limiter
// allows everything.
type Limiter struct {
	rate Rate

	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	tokens float64
	at     time.Time
}

// NewLimiter makes a limiter; nil when the rate has no limit.
func NewLimiter(r Rate) *Limiter {
	if r.PerSecond <= 0 {
		return nil
	}
	r.Burst = max(r.Burst, 1)
	return &Limiter{rate: r, buckets: map[string]*bucket{}}
}

// Take takes one of a name's turns. When there is none it tells how long to wait.
func (l *Limiter) Take(name string, now time.Time) (wait time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(name, now)
	if b.tokens >= 1 {
		b.tokens--
		return 0, true
	}
	return time.Duration((1 - b.tokens) / l.rate.PerSecond * float64(time.Second)), false
}

// Empty tells, without taking anything, whether a name has no turn left.
func (l *Limiter) Empty(name string, now time.Time) (wait time.Duration, empty bool) {
	if l == nil {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(name, now)
	if b.tokens >= 1 {
		return 0, false
	}
	return time.Duration((1 - b.tokens) / l.rate.PerSecond * float64(time.Second)), true
}

// bucket finds a bucket and fills it up to now.
func (l *Limiter) bucket(name string, now time.Time) *bucket {
	l.sweep(now)
	b, ok := l.buckets[name]
	if !ok && len(l.buckets) >= maxBuckets {
		name = ""
		b, ok = l.buckets[name]
	}
	if !ok {
		b = &bucket{tokens: float64(l.rate.Burst), at: now}
		l.buckets[name] = b
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = math.Min(float64(l.rate.Burst), b.tokens+d.Seconds()*l.rate.PerSecond)
		b.at = now
	}
	return b
}

// sweep forgets full buckets now and then.
func (l *Limiter) sweep(now time.Time) {
	full := time.Duration(float64(l.rate.Burst) / l.rate.PerSecond * float64(time.Second))
	if now.Sub(l.swept) < max(full, time.Minute) {
		return
	}
	l.swept = now
	for name, b := range l.buckets {
		if now.Sub(b.at) >= full {
			delete(l.buckets, name)
		}
	}
}
