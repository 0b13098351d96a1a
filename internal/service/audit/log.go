package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// Bounds on what waits in memory. An entry is rarely above 20 KiB.
const (
	maxOpenIntents = 1024 // intents on their way or without outcome; each holds the place of its outcome
	maxLater       = 1024 // entries of RecordLater that are not durable yet
)

// ErrStale means that the configuration changed since the caller decided; see StaleError.
var ErrStale = errors.New("the configuration has changed")

// ErrClosed means that the log does not accept entries any more.
var ErrClosed = errors.New("the audit log is closed")

// StaleError tells which version the decision must be made with. It is ErrStale.
type StaleError struct {
	Have, Current uint64
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("the configuration has changed from version %d to %d", e.Have, e.Current)
}

// Is makes errors.Is(err, ErrStale) true.
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// Options say how a log works.
type Options struct {
	// Strict is what callers ask for by Log.Strict: nothing is answered before
	// the outcome is durable too.
	Strict bool
	// Signer signs checkpoints; nil: there are none.
	Signer note.Signer
	// Origin names the log in checkpoints; it must be the signer's name (the
	// C2SP rule) and may be empty, which means just that.
	Origin string
	// UnknownAfter is how old an open intent must be to be ended as unknown.
	// Zero, right for a store that one process has for itself, means all of them
	// at Open; with several replicas it must be longer than a signature takes, and
	// the log looks for such intents of dead replicas as long as it is open.
	UnknownAfter time.Duration
	Now          func() time.Time // nil: time.Now
	Logger       *slog.Logger     // nil: slog.Default()
}

// Log is the audit log, open for writing. It is safe for concurrent use.
type Log struct {
	st   store.Store
	opts Options
	now  func() time.Time
	log  *slog.Logger

	intents chan struct{} // a place per intent, from Intent until its outcome is durable
	laters  chan struct{} // a place per entry of RecordLater until it is durable

	mu      sync.Mutex
	waiting []*item                       // entries that a caller waits for
	later   []*item                       // outcomes and refusals, that nobody waits for
	open    map[uint64]store.AuditSubject // durable intents whose outcome is not durable
	promise map[uint64]struct{}           // those of open whose outcome has not been told yet
	closing bool
	stopped bool

	lastWrite, lastFailure time.Time // of group commits, for Writes
	lastCause              error

	wake  chan struct{} // capacity 1: there is something new
	done  chan struct{} // the writer has ended
	stop  context.CancelFunc
	swept sync.WaitGroup // the search for intents of dead replicas has ended

	writer writerState
}

// Open opens the log in the store, checks that its end fits its head, and ends
// every intent without outcome by an explicit entry ("….OutcomeUnknown"): the
// process that wrote it died before it could tell whether a signature was made.
func Open(ctx context.Context, st store.Store, opts Options) (*Log, error) {
	if opts.Signer != nil && opts.Origin != "" && opts.Origin != opts.Signer.Name() {
		return nil, fmt.Errorf("the audit log is called %q but its key %q; both must be the same", opts.Origin, opts.Signer.Name())
	}
	l := &Log{
		st: st, opts: opts, now: opts.Now, log: opts.Logger,
		intents: make(chan struct{}, maxOpenIntents), laters: make(chan struct{}, maxLater),
		open: map[uint64]store.AuditSubject{}, promise: map[uint64]struct{}{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	if err := checkEnd(ctx, st); err != nil {
		return nil, err
	}
	if err := l.endOpenIntents(ctx); err != nil {
		return nil, err
	}
	var run context.Context
	run, l.stop = context.WithCancel(context.Background())
	go l.run(run)
	if opts.UnknownAfter > 0 {
		l.swept.Go(func() { l.sweep(run) })
	}
	return l, nil
}

// checkEnd compares the last row with the head, so that nothing is appended to
// a log whose end was cut off or changed. The whole log is Verify's business.
func checkEnd(ctx context.Context, st store.Store) error {
	head, err := st.AuditHead(ctx)
	if err != nil {
		return fmt.Errorf("reading the end of the audit log: %w", err)
	}
	if head.Size == 0 {
		return nil
	}
	rows, err := st.AuditRows(ctx, head.Size-1, 1, store.AuditFilter{})
	if err != nil {
		return fmt.Errorf("reading the end of the audit log: %w", err)
	}
	if len(rows) != 1 || rows[0].Seq != head.Size || LeafHash(rows[0].Leaf) != head.LastHash {
		return &VerifyError{Seq: head.Size, Err: ErrChanged, Text: "the last entry of the audit log is not the one that was written; restore a backup or ask who changed the database"}
	}
	return nil
}

// Strict tells whether callers must use OutcomeWait in place of Outcome.
func (l *Log) Strict() bool { return l.opts.Strict }

// Intent writes an entry that announces an act, and returns when it is durable.
// configVersion is the version that the decision to act was made with: when the
// store has another one, nothing is written and the error is a *StaleError.
// Every intent that was returned without error must be ended by Outcome or
// OutcomeWait.
//
// After any error the act must not be done. The entry may be on record all the
// same when the database failed at the wrong moment or ctx ended while it was
// written; the log then ends it itself ("….Abandoned"). An ended ctx takes an
// entry that is still queued out of the queue.
func (l *Log) Intent(ctx context.Context, configVersion uint64, ev Event) (Position, error) {
	ev.Intent = true
	e, err := encode(ev, l.now())
	if err != nil {
		return Position{}, err
	}
	if err := l.reserve(ctx, l.intents); err != nil {
		return Position{}, err
	}
	it := &item{kind: kindIntent, events: []encoded{e}, version: configVersion, result: make(chan result, 1)}
	if !l.enqueue(it) {
		<-l.intents
		return Position{}, ErrClosed
	}
	r := l.wait(ctx, it)
	if r.err != nil {
		return Position{}, r.err
	}
	return r.positions[0], nil
}

// Outcome ends an intent: ev.Outcome is the intent's Seq. It does not wait: the
// entry joins the next group commit and is kept until the database has taken
// it. Its place in memory was reserved by the intent. If the process dies
// before, the next Open writes an unknown outcome.
func (l *Log) Outcome(ev Event) {
	if err := l.outcome(ev, nil); err != nil {
		l.log.Error("An audit outcome could not be recorded.", "type", ev.Type, "intent", ev.Outcome, "error", err)
	}
}

// OutcomeWait is Outcome for strict operation: it returns when the entry is
// durable. After an error the entry is still kept and written when the database
// works again, but the caller must not give away what it made.
func (l *Log) OutcomeWait(ctx context.Context, ev Event) error {
	it := &item{result: make(chan result, 1)}
	if err := l.outcome(ev, it); err != nil {
		return err
	}
	select {
	case r := <-it.result:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) outcome(ev Event, it *item) error {
	ev.Intent = false
	e, err := encode(ev, l.now())
	if err != nil {
		// An outcome is never lost: rather one without its data.
		data, _ := json.Marshal(map[string]string{"error": "The outcome could not be written in full: " + cut(err.Error(), 500)})
		ev.Data = data
		var again error
		if e, again = encode(ev, l.now()); again != nil {
			return errors.Join(err, again)
		}
	}
	if it == nil {
		it = &item{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.inherit(l.open[ev.Outcome])
	it.kind, it.events = kindOutcome, []encoded{e}
	if _, ok := l.promise[ev.Outcome]; !ok {
		return fmt.Errorf("the audit intent %d does not wait for an outcome", ev.Outcome)
	}
	if l.stopped {
		return ErrClosed
	}
	delete(l.promise, ev.Outcome)
	if it.result != nil {
		l.waiting = append(l.waiting, it)
	} else {
		l.later = append(l.later, it)
	}
	l.poke()
	return nil
}

// Record writes entries and returns when they are durable, all or none. After
// an error they may be on record all the same, see Intent.
func (l *Log) Record(ctx context.Context, evs ...Event) ([]Position, error) {
	it := &item{kind: kindRecord, result: make(chan result, 1)}
	for _, ev := range evs {
		e, err := l.plain(ev)
		if err != nil {
			return nil, err
		}
		it.events = append(it.events, e)
	}
	if len(it.events) == 0 {
		return nil, nil
	}
	if !l.enqueue(it) {
		return nil, ErrClosed
	}
	r := l.wait(ctx, it)
	return r.positions, r.err
}

// RecordLater hands over an entry that nobody has to wait for. It is kept until
// the database has taken it. When too many are kept already it waits for a
// place until ctx ends: an error means that the entry will not be written, and
// the caller must not go on as if it were.
func (l *Log) RecordLater(ctx context.Context, ev Event) error {
	e, err := l.plain(ev)
	if err != nil {
		return err
	}
	if err := l.reserve(ctx, l.laters); err != nil {
		return err
	}
	if !l.enqueue(&item{kind: kindLater, events: []encoded{e}}) {
		<-l.laters
		return ErrClosed
	}
	return nil
}

// plain encodes an event that is neither intent nor outcome.
func (l *Log) plain(ev Event) (encoded, error) {
	if ev.Intent || ev.Outcome != 0 {
		return encoded{}, fmt.Errorf("the audit event %s is an intent or an outcome and must be recorded as such", ev.Type)
	}
	return encode(ev, l.now())
}

// Change runs fn in the store's write transaction and appends the entries that
// it returns to the log in the same transaction: the change and its record
// become durable together or not at all. fn must not keep tx, may be run again
// when the database asks for it, and must return at least one event if it
// changed anything.
func (l *Log) Change(ctx context.Context, fn func(tx store.Tx) ([]Event, error)) error {
	l.mu.Lock()
	closing := l.closing
	l.mu.Unlock()
	if closing {
		return ErrClosed
	}
	return l.st.Write(ctx, func(tx store.Tx) error {
		watched := &changeTx{Tx: tx}
		evs, err := fn(watched)
		if err != nil {
			return err
		}
		if watched.changed && len(evs) == 0 {
			return errors.New("a change without an audit entry was refused")
		}
		ends := make([]encoded, 0, len(evs))
		for _, ev := range evs {
			e, err := l.plain(ev)
			if err != nil {
				return err
			}
			ends = append(ends, e)
		}
		return appendEncoded(tx, ends)
	})
}

// ErrNoSigner says that the log was opened without the key of its checkpoints.
var ErrNoSigner = errors.New("the audit log has no key to sign checkpoints with")

// Checkpoint is the signed checkpoint of everything that is durable now. Error: ErrNoSigner.
func (l *Log) Checkpoint(ctx context.Context) ([]byte, error) {
	if l.opts.Signer == nil {
		return nil, ErrNoSigner
	}
	head, err := l.st.AuditHead(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the end of the audit log: %w", err)
	}
	return SignCheckpoint(head, l.opts.Signer)
}

// Close refuses new entries, waits for the outcomes of the intents that are
// under way, and returns when everything is durable. When ctx ends before, the
// error tells how much is not on record.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closing = true
	l.poke()
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-ctx.Done():
		l.stop()
		<-l.done
	}
	l.stop()
	l.swept.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost, open := len(l.later), len(l.open); lost > 0 || open > 0 {
		return fmt.Errorf("the audit log was closed with %d entries not written and %d intents without outcome; the next start records those as unknown", lost, open)
	}
	return nil
}

// reserve takes a place.
func (l *Log) reserve(ctx context.Context, places chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	select {
	case places <- struct{}{}:
		return nil
	case <-l.done:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("the audit log cannot keep up: %w", ctx.Err())
	}
}

// changeTx notices whether a change was made and keeps its writer from the log.
type changeTx struct {
	store.Tx
	changed bool
}

func (t *changeTx) AppendAudit([]store.AuditRow, store.AuditHead) error {
	return errors.New("only the audit log itself appends to it")
}
func (t *changeTx) PutOrganization(o model.Organization) error {
	t.changed = true
	return t.Tx.PutOrganization(o)
}
func (t *changeTx) PutUser(u model.User) error   { t.changed = true; return t.Tx.PutUser(u) }
func (t *changeTx) PutToken(k model.Token) error { t.changed = true; return t.Tx.PutToken(k) }
func (t *changeTx) PutUserGroup(g model.UserGroup) error {
	t.changed = true
	return t.Tx.PutUserGroup(g)
}
func (t *changeTx) DeleteUserGroup(organizationID, id string) error {
	t.changed = true
	return t.Tx.DeleteUserGroup(organizationID, id)
}
func (t *changeTx) PutProject(p model.Project) error {
	t.changed = true
	return t.Tx.PutProject(p)
}
func (t *changeTx) PutArtifactConfiguration(a model.ArtifactConfiguration) error {
	t.changed = true
	return t.Tx.PutArtifactConfiguration(a)
}
func (t *changeTx) PutSigningPolicy(p model.SigningPolicy) error {
	t.changed = true
	return t.Tx.PutSigningPolicy(p)
}
func (t *changeTx) PutCertificate(c model.Certificate) error {
	t.changed = true
	return t.Tx.PutCertificate(c)
}
func (t *changeTx) PutKey(k model.Key, sealed []byte) error {
	t.changed = true
	return t.Tx.PutKey(k, sealed)
}
func (t *changeTx) PutSigningRequest(r model.SigningRequest) error {
	t.changed = true
	return t.Tx.PutSigningRequest(r)
}
func (t *changeTx) PutWebhook(w model.Webhook) error {
	t.changed = true
	return t.Tx.PutWebhook(w)
}
func (t *changeTx) DeleteWebhook(organizationID, id string) error {
	t.changed = true
	return t.Tx.DeleteWebhook(organizationID, id)
}
func (t *changeTx) PutSetting(name string, value []byte) error {
	t.changed = true
	return t.Tx.PutSetting(name, value)
}
