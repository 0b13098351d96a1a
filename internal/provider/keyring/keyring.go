// Package keyring turns the signing policies of a service into keys that sign.
//
// What enters are settings, credentials and digests; what leaves are immutable
// snapshots of keys and signatures that have been verified with the key's
// public half. It is the one way for the interface packages (PKCS #11, CNG, …)
// to the network. It knows nothing of their handles, codes and states, and it
// holds no private key: those never leave the service.
//
// Rules kept here: one list request serves everybody who waits for it; a
// request that failed is not repeated at once by a tool that tries again; what
// can be refused without the network is refused without it.
package keyring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"signpath/internal/provider/listcache"
	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
	"signpath/internal/wire"
)

const (
	refreshInterval = 5 * time.Second        // between two list requests for look-ups that missed
	refreshLimit    = 10 * time.Second       // for one of them
	onceMemory      = 10 * time.Second       // how long a failed look-up of the kind Once is remembered
	maxMargin       = 250 * time.Millisecond // by which a request ends before those who wait, so that they learn its error
	maxMetadata     = 256 << 10              // bytes
	maxName         = 99                     // bytes of project/policy that old tools can carry
)

// Options say who is calling.
type Options struct {
	Product string // see remote.Options
	Version string
	Log     remote.Logger // nil: nothing is logged
	// Metadata describes the calling process as JSON; it is asked at the first
	// signature, once. nil, an empty or an invalid answer: none is sent.
	Metadata func() json.RawMessage
}

// Lookup bounds one look-up; see remote.Attempt.
type Lookup struct {
	Once  bool          // a single attempt
	Limit time.Duration // for the whole look-up; 0: the settings' total (with Once: the settings' time for one request)
}

// Ring is the keys of one user of one organization. It is safe for use by many
// threads.
type Ring struct {
	settings settings.Settings
	opts     Options
	log      remote.Logger
	client   *remote.Client
	disk     *listcache.Store // nil: no list is kept on disk
	diskID   listcache.ID
	metadata func() json.RawMessage
	failures failures

	mu       sync.Mutex
	snapshot *Snapshot
	tag      string    // the service's name for the state that snapshot shows, "" for none
	listed   time.Time // when the last list request ended
	flight   *flight
	onceErr  error // the last failure of a look-up of the kind Once
	onceAt   time.Time
	warned   map[string]bool // names that were warned about
	closed   bool
}

// Open makes the ring of the configured user. It does not use the network. The
// error is a *remote.Error of class Other: without an organization, a token and
// an address there are no keys.
func Open(s settings.Settings, opts Options) (*Ring, error) {
	r := &Ring{settings: s, opts: opts, log: opts.Log, warned: map[string]bool{}}
	if r.log == nil {
		r.log = silent{}
	}
	r.metadata = sync.OnceValue(r.readMetadata)
	var err error
	if r.client, err = remote.New(s, remote.Options{Product: opts.Product, Version: opts.Version, Log: opts.Log}); err != nil {
		return nil, err
	}
	if s.ListCache > 0 && s.ListCacheFolder != "" {
		r.disk = listcache.At(s.ListCacheFolder)
		r.diskID = listcache.ID{URL: s.APIURL.String(), Organization: s.OrganizationID, Token: s.APIToken, ProjectSlug: s.ProjectSlug, SigningPolicySlug: s.SigningPolicySlug}
	}
	return r, nil
}

// Close ends all look-ups and signatures with class Canceled and closes the
// connections. It does not wait.
func (r *Ring) Close() {
	r.mu.Lock()
	r.closed = true
	f := r.flight
	r.mu.Unlock()
	if f != nil {
		f.cancel()
	}
	r.client.Close()
}

// Cached gives the snapshot without any wait, nil when there is none yet.
func (r *Ring) Cached() *Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snapshot
}

// Keys gives the keys: from memory, or by one list request that all who wait
// share. Errors are *remote.Error. A failed look-up of the kind Once answers
// further ones of that kind for a few seconds.
func (r *Ring) Keys(ctx context.Context, l Lookup) (*Snapshot, error) {
	return r.list(ctx, l, false)
}

// Refresh lists again because a look-up missed, at most once in a few seconds
// and without retries; otherwise it gives what is known. When the request fails
// it gives what is known together with the error.
func (r *Ring) Refresh(ctx context.Context) (*Snapshot, error) {
	r.mu.Lock()
	known, fresh := r.snapshot, time.Since(r.listed) < refreshInterval
	r.mu.Unlock()
	if known != nil && fresh {
		return known, nil
	}
	s, err := r.list(ctx, Lookup{Once: true, Limit: refreshLimit}, known != nil)
	if err != nil {
		return known, err
	}
	return s, nil
}

// flight is a list request under way.
type flight struct {
	lookup  Lookup
	again   bool // what is known does not do
	cancel  context.CancelFunc
	done    chan struct{} // closed when snap and err are set
	snap    *Snapshot
	err     error
	waiters int // guarded by Ring.mu; the last one to leave cancels
}

// asGoodAs tells whether the failure of a look-up l answers one of the kind m.
func (l Lookup) asGoodAs(m Lookup) bool {
	return (!l.Once || m.Once) && (l.Limit == 0 || m.Limit != 0 && l.Limit >= m.Limit)
}

func (r *Ring) list(ctx context.Context, l Lookup, again bool) (*Snapshot, error) {
	if l.Once && l.Limit <= 0 {
		l.Limit = r.settings.Timeouts.Request
	}
	host := ctx
	if l.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.Limit)
		defer cancel()
	}
	for {
		f, snap, err := r.join(host, l, again)
		if f == nil {
			return snap, err
		}
		select {
		case <-f.done:
			r.leave(f)
		case <-ctx.Done():
			select {
			case <-f.done: // both at once: the answer counts
				r.leave(f)
			default:
				err := r.overdue(host, l)
				r.leave(f)
				return nil, err
			}
		}
		if f.err == nil {
			return f.snap, nil
		}
		if host.Err() != nil {
			return nil, r.overdue(host, l)
		}
		var e *remote.Error
		canceled := errors.As(f.err, &e) && e.Class == remote.Canceled
		if !canceled && f.lookup.asGoodAs(l) || r.isClosed() {
			return nil, f.err
		}
		// The request was given up by those who started it, or tried less hard than this caller wants.
	}
}

// join finds the answer in memory, or the request under way, or starts one; for a
// host that has given up already it does the first only.
func (r *Ring) join(host context.Context, l Lookup, again bool) (*flight, *Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, nil, &remote.Error{Class: remote.Canceled, Op: "list signing policies", Err: errors.New("the keys were closed by this program")}
	}
	if r.snapshot != nil && !again {
		return nil, r.snapshot, nil
	}
	if host.Err() != nil {
		return nil, nil, r.overdue(host, l)
	}
	if r.flight == nil {
		if l.Once && r.onceErr != nil && time.Since(r.onceAt) < onceMemory {
			return nil, nil, r.onceErr
		}
		ctx, cancel := context.WithCancel(context.Background())
		r.flight = &flight{lookup: l, again: again, cancel: cancel, done: make(chan struct{})}
		go r.fly(ctx, r.flight)
	}
	r.flight.waiters++
	return r.flight, nil, nil
}

func (r *Ring) leave(f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if r.flight == f { // nobody may join a request that is being cancelled
			r.flight = nil
		}
	}
}

// fly asks the service and publishes the outcome.
func (r *Ring) fly(ctx context.Context, f *flight) {
	found, err := r.ask(ctx, f.lookup, f.again)
	r.mu.Lock()
	defer r.mu.Unlock()
	f.snap, f.err = found.snapshot, err
	if r.flight == f {
		r.flight = nil
	}
	now := time.Now()
	if err != nil || !found.snapshot.kept { // who misses a key in a kept list may ask at once
		r.listed = now
	}
	switch {
	case err == nil:
		r.snapshot, r.tag, r.onceErr = found.snapshot, found.tag, nil
	case f.lookup.Once && ctx.Err() == nil:
		r.onceErr, r.onceAt = err, now
	}
	close(f.done)
}

// state is a snapshot and the service's name for it.
type state struct {
	snapshot *Snapshot
	tag      string
}

func (r *Ring) ask(ctx context.Context, l Lookup, again bool) (found state, err error) {
	defer func() {
		if p := recover(); p != nil { // a goroutine of ours must never end the host
			found, err = state{}, &remote.Error{Class: remote.Other, Op: "list signing policies", Err: fmt.Errorf("internal error: %v", p)}
		}
	}()
	kept := r.keptList()
	if found, ok := r.fresh(kept, again); ok {
		return found, nil
	}
	r.mu.Lock()
	known := state{r.snapshot, r.tag}
	r.mu.Unlock()
	tag := ""
	switch {
	case known.snapshot != nil && !known.snapshot.kept && known.tag != "":
		tag = known.tag
	case kept != nil:
		known, tag = state{}, kept.Tag
	}
	list, err := r.fetch(ctx, l, tag)
	switch {
	case err != nil:
		return state{}, err
	case list.Same && known.snapshot != nil:
		return known, nil
	case list.Same:
		if list.Policies, err = r.usable(r.client.ParsePolicies(kept.Body)); err != nil { // not reached: only readable lists are kept
			r.disk.Drop(r.diskID)
			return state{}, &remote.Error{Class: remote.Other, Op: "list signing policies", Err: err}
		}
		list.Body = kept.Body
	}
	r.keep(list)
	return state{r.newSnapshot(list.Policies), list.Tag}, nil
}

// fetch asks the service; tag names a state that is known.
func (r *Ring) fetch(ctx context.Context, l Lookup, tag string) (remote.List, error) {
	list, err := r.client.List(ctx, remote.Filter{ProjectSlug: r.settings.ProjectSlug, SigningPolicySlug: r.settings.SigningPolicySlug},
		remote.Attempt{Once: l.Once, Limit: l.Limit - min(l.Limit/10, maxMargin)}, tag)
	list.Policies, err = r.usable(list.Policies, err)
	return list, err
}

// usable warns of what is broken in a list and goes on with the rest.
func (r *Ring) usable(policies []wire.SigningPolicy, err error) ([]wire.SigningPolicy, error) {
	var malformed *wire.MalformedPoliciesError
	if !errors.As(err, &malformed) {
		return policies, err
	}
	for _, e := range malformed.Entries {
		r.warnOnce(e.Name, "a signing policy with broken data was left out", "key", e.Name, "cause", e.Err.Error())
	}
	return policies, nil
}

// overdue is the error of a caller who stops waiting.
func (r *Ring) overdue(host context.Context, l Lookup) error {
	e := &remote.Error{Class: remote.Transient, Op: "list signing policies", Err: fmt.Errorf("no answer within %s", l.Limit)}
	if host.Err() != nil {
		e.Class, e.Err = remote.Canceled, context.Cause(host)
		return e
	}
	if l.Once {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.onceErr, r.onceAt = e, time.Now()
	}
	return e
}

func (r *Ring) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// readMetadata asks the caller for the description of its process.
func (r *Ring) readMetadata() (m json.RawMessage) {
	if r.opts.Metadata == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			m = nil
			r.log.Warning("signatures go without metadata of this process", "cause", fmt.Sprint(p))
		}
	}()
	m = r.opts.Metadata()
	switch {
	case len(m) == 0:
		return nil
	case len(m) > maxMetadata:
		r.log.Warning("signatures go without metadata of this process", "cause", "it is too long", "bytes", len(m))
		return nil
	case !json.Valid(m):
		r.log.Warning("signatures go without metadata of this process", "cause", "it is not valid JSON")
		return nil
	}
	return m
}

type silent struct{}

func (silent) Debug(string, ...any)   {}
func (silent) Info(string, ...any)    {}
func (silent) Warning(string, ...any) {}
