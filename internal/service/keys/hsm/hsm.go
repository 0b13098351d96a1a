// Package hsm keeps private keys on PKCS #11 tokens, each behind a worker
// process (cmd/signpath-hsm) that alone loads the vendor's module.
//
// What enters are digests and the configuration of tokens, what leaves are
// signatures, public keys and what a token says about its keys. The package is
// the parent's side, without cgo: it starts the worker over an inherited socket,
// hands it the PIN, and kills and starts it again when it crashes, hangs or
// loses the token. A token that is down answers *keys.UnavailableError at once;
// it holds up neither other tokens nor the start of the service.
//
// What it never does: give the PIN to anybody but the worker (no argument, no
// environment, no log), try a refused PIN a second time, or repeat an operation
// in which the private key may have been used already.
//
// Source: PKCS #11 v2.40, whose sections are named beside the code.
package hsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"signpath/internal/service/keys"
	"signpath/internal/service/keys/hsm/hsmwire"
)

// BackendPrefix begins the name of every HSM key store: "hsm:" and the
// configured name of the token.
const BackendPrefix = "hsm:"

// Times that are not configurable.
const (
	pingInterval    = 15 * time.Second // shorter than the idle limits of network HSMs, which begin at 15 to 40 s
	startTimeout    = time.Minute      // module, token, log-in, sessions
	startWait       = 5 * time.Second  // how long a request waits for a worker that is starting
	drainTime       = 2 * time.Second  // for what runs beside an operation that broke the connection
	pinCheck        = 2 * time.Second  // how often a refused PIN is compared with its source
	pinRetryAfter   = time.Minute
	shortRetryAfter = time.Second
	firstBackoff    = 100 * time.Millisecond
	maxBackoff      = 30 * time.Second
	absentPause     = 5 * time.Second
	generateFactor  = 10 // a key may take this many operation times
	lookAgain       = time.Minute
)

// Options are what all tokens of a service share.
type Options struct {
	Worker string    // path of signpath-hsm
	KEK    *keys.KEK // seals the references to keys
	Logger *slog.Logger
	// Environment is the service's own; the worker gets the few variables of it
	// that PassedVariables names and those of its configuration.
	Environment []string
}

// Token is one token with its worker process. It implements keys.Backend,
// keys.Adopter, keys.Attester and keys.Destroyer and is safe for concurrent use.
type Token struct {
	config  Config
	options Options
	log     *slog.Logger

	queue  chan struct{} // places for those who wait for a session
	start  sync.Once
	stop   context.CancelFunc
	ctx    context.Context
	closed sync.WaitGroup

	mu      sync.Mutex
	state   state
	worker  *worker // while up
	info    *hsmwire.Token
	reason  error         // while down
	stuck   bool          // while down: only the operator can change it
	retryAt time.Time     // while down
	changed chan struct{} // closed and replaced with every change
	looked  time.Time     // when a process was replaced because a key was missing
}

type state int

const (
	starting state = iota
	up
	down
)

// New gives a token. Nothing runs before Start or the first operation.
func New(config Config, options Options) *Token {
	config.setDefaults()
	t := &Token{config: config, options: options, log: options.Logger, changed: make(chan struct{})}
	if t.log == nil {
		t.log = slog.Default()
	}
	t.log = t.log.With(slog.String("key_store", t.Name()))
	t.queue = make(chan struct{}, config.Queue)
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// Name is the name of the back end in records of keys, e.g. "hsm:main".
func (t *Token) Name() string { return BackendPrefix + t.config.Name }

// Start begins to work, in the background.
func (t *Token) Start() {
	t.start.Do(func() { t.closed.Go(t.supervise) })
}

// Close ends the worker process. What is running on the token is given up.
func (t *Token) Close() {
	t.start.Do(func() {}) // never started: never will be
	t.stop()
	t.closed.Wait()
}

// Ready waits until the token works, or until it is clear that it does not now.
func (t *Token) Ready(ctx context.Context) error {
	t.Start()
	_, err := t.ready(ctx, startTimeout)
	return err
}

// Health tells at once whether the token works; the error says why not.
func (t *Token) Health() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch t.state {
	case up:
		return nil
	case starting:
		return t.unavailable("its worker process is starting", shortRetryAfter, nil)
	}
	return t.downError()
}

// Describe gives what the token says about itself.
func (t *Token) Describe(ctx context.Context) (hsmwire.Token, error) {
	a, err := t.do(ctx, &hsmwire.Request{Op: hsmwire.OpDescribe}, t.config.operationTimeout())
	if err != nil {
		return hsmwire.Token{}, err
	}
	return orEmpty(a.Token), nil
}

// List gives the private keys on the token; more says that there are further ones.
func (t *Token) List(ctx context.Context) (found []hsmwire.Key, more bool, err error) {
	a, err := t.do(ctx, &hsmwire.Request{Op: hsmwire.OpList}, generateFactor*t.config.operationTimeout())
	if err != nil {
		return nil, false, err
	}
	return a.Keys, a.More, nil
}

func orEmpty[T any](v *T) (out T) {
	if v != nil {
		out = *v
	}
	return out
}

func (t *Token) unavailable(reason string, after time.Duration, cause error) *keys.UnavailableError {
	return &keys.UnavailableError{Store: t.Name(), Reason: reason, RetryAfter: after, Cause: cause}
}

// downError needs the lock.
func (t *Token) downError() error {
	e := t.unavailable(t.reason.Error(), max(time.Until(t.retryAt).Round(time.Second), shortRetryAfter), nil)
	e.Operator = t.stuck
	return e
}

func (t *Token) set(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
	close(t.changed)
	t.changed = make(chan struct{})
}

// ready gives the worker. It waits while one is starting, but not for one that
// has failed and will be tried again later.
func (t *Token) ready(ctx context.Context, patience time.Duration) (*worker, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		t.mu.Lock()
		s, w, changed, err := t.state, t.worker, t.changed, error(nil)
		if s == down {
			err = t.downError()
		}
		t.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case s == up && !w.isRetired():
			return w, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.ctx.Done():
			return nil, t.unavailable("the service is stopping", 0, nil)
		case <-timer.C:
			return nil, t.unavailable("its worker process is still starting", shortRetryAfter, nil)
		}
	}
}

// mayLookAgain is true once in a while, so that a key that is really missing
// does not cost a process for each request.
func (t *Token) mayLookAgain() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.looked.IsZero() && time.Since(t.looked) < lookAgain {
		return false
	}
	t.looked = time.Now()
	return true
}

// maxTries bounds how often an operation is begun again after a failure that
// came before the private key was used.
const maxTries = 3

// do has one request done by the worker. It waits for a free session; the
// waiting and the operation itself are bounded by one timeout each. When ctx
// ends meanwhile, the operation goes on and its answer is dropped.
func (t *Token) do(ctx context.Context, r *hsmwire.Request, timeout time.Duration) (*hsmwire.Answer, error) {
	t.Start()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var last error // why it is begun again
	for range maxTries {
		w, err := t.turn(ctx)
		if err != nil {
			return nil, err
		}
		a, err := w.run(ctx, r, timeout)
		if err == nil {
			return a, nil
		}
		again := false
		if again, last = t.judge(w, err); !again {
			return nil, last
		}
	}
	return nil, last
}

// turn waits for a session of a worker.
func (t *Token) turn(ctx context.Context) (*worker, error) {
	select {
	case t.queue <- struct{}{}:
		defer func() { <-t.queue }()
	default:
		return nil, t.unavailable(fmt.Sprintf("%d requests are waiting for it already", cap(t.queue)), shortRetryAfter, nil)
	}
	timer := time.NewTimer(t.config.operationTimeout())
	defer timer.Stop()
	for {
		w, err := t.ready(ctx, startWait)
		if err != nil {
			return nil, err
		}
		select {
		case w.permits <- struct{}{}:
			return w, nil
		case <-w.retired:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, t.unavailable(fmt.Sprintf("no session became free within %s", t.config.operationTimeout()), shortRetryAfter, nil)
		}
	}
}

// judge turns a failure into the caller's error and tells whether the request
// may be begun again.
func (t *Token) judge(w *worker, err error) (again bool, _ error) {
	var e *hsmwire.Error
	var l *lostError
	switch {
	case errors.As(err, &l):
		if l.before {
			return true, t.unavailable("its worker process ended before it took the request", shortRetryAfter, l.cause)
		}
		return false, t.unavailable("its worker process ended during the operation; whatever the token did, no result was given out", shortRetryAfter, l.cause)
	case !errors.As(err, &e):
		return false, err // the caller's context
	case e.Class == hsmwire.ClassDevice:
		w.retire(fmt.Errorf("the connection to the token is broken: %w", e))
		return e.Before, t.unavailable("the connection to the token broke", shortRetryAfter, e)
	case e.Class == hsmwire.ClassFailed:
		return false, t.unavailable("the operation failed on the token", shortRetryAfter, e)
	case e.Class == hsmwire.ClassKey && e.Before && t.mayLookAgain():
		// Some modules show a removed token as an empty one, and a new key only to
		// new processes.
		w.retireGently(fmt.Errorf("a new process shall look: %w", e))
		return true, fmt.Errorf("key store %s: %w", t.Name(), e)
	}
	return false, fmt.Errorf("key store %s: %w", t.Name(), e)
}
