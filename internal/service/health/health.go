// Package health tells whether a signature could be put on record now: a service
// that cannot write its audit log signs nothing, though its database still
// answers (a full disk, a disk that became read-only, a database that is a
// standby now).
//
// What enters is a way to write a little and what the audit log knows of its own
// writes; what leaves is nil or the cause. Asking is cheap: while the log is
// being written with success nothing else is done, else one durable write is
// made, at most once per Fresh, for all who ask. A failed write counts until a
// later one succeeded, and is tried again at most once per Again. The package
// never logs.
package health

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// The rhythm of probes.
const (
	Fresh = 10 * time.Second // how long a successful write counts
	Again = time.Second      // pause after a failed one
)

// limit bounds one probe; those who ask wait as long as they like.
const limit = 30 * time.Second

// Writes are the audit log's own: when the last one that succeeded and the last
// one that failed ended; zero: there was none. Cause is that of the failed one.
type Writes struct {
	Succeeded, Failed time.Time
	Cause             error
}

// Config is what a monitor needs.
type Config struct {
	// Probe writes about as much as a signature needs, durably.
	Probe func(ctx context.Context) error
	// Writes tells of the audit log. Nil: nothing is known.
	Writes func() Writes
	Now    func() time.Time // nil: time.Now
}

// Monitor is safe for concurrent use.
type Monitor struct {
	config Config

	mu      sync.Mutex
	begun   time.Time // of the last probe that has ended
	err     error     // its outcome
	running *probe
}

// probe is one that runs; those who ask meanwhile share it.
type probe struct {
	done chan struct{}
	err  error
}

// New makes a monitor. Nothing is written before somebody asks.
func New(c Config) *Monitor {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Writes == nil {
		c.Writes = func() Writes { return Writes{} }
	}
	return &Monitor{config: c}
}

// Check answers nil when a write succeeded a moment ago and none failed since.
func (m *Monitor) Check(ctx context.Context) error {
	p, err := m.known()
	if p == nil {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("the database has not taken a small write yet: %w", ctx.Err())
	}
}

// known answers from memory, or gives the probe to wait for.
func (m *Monitor) known() (*probe, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, log := m.config.Now(), m.config.Writes()
	failing := log.Failed.After(log.Succeeded) && !log.Failed.Before(m.begun)
	recent := func(at time.Time, d time.Duration) bool { return !at.IsZero() && now.Sub(at) < d }
	switch {
	case m.running != nil:
		return m.running, nil
	case failing && (recent(log.Failed, Again) || recent(m.begun, Again)):
		return nil, fmt.Errorf("the audit log could not be written: %w", log.Cause)
	case failing: // probe: nobody may come to sign while the service is called unhealthy
	case recent(log.Succeeded, Fresh) && log.Succeeded.After(m.begun):
		return nil, nil
	case m.err == nil && recent(m.begun, Fresh):
		return nil, nil
	case m.err != nil && recent(m.begun, Again):
		return nil, m.err
	}
	m.running = &probe{done: make(chan struct{})}
	go m.probe(m.running, now)
	return m.running, nil
}

func (m *Monitor) probe(p *probe, begun time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if p.err = m.config.Probe(ctx); p.err != nil {
		p.err = fmt.Errorf("a small write failed: %w", p.err)
	}
	m.mu.Lock()
	m.begun, m.err, m.running = begun, p.err, nil
	m.mu.Unlock()
	close(p.done)
}
