package audit

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"signpath/internal/service/store"
)

// The rhythm of group commits.
const (
	maxBatch     = 512                    // items of each queue in one transaction
	busyIntents  = 8                      // that many intents in the last batch: wait a moment for company
	window       = 2 * time.Millisecond   // how long at most
	linger       = 20 * time.Millisecond  // how long entries that nobody waits for wait for others
	writeTimeout = 30 * time.Second       // one transaction
	firstPause   = 100 * time.Millisecond // after a failed write of entries that nobody waits for
	lastPause    = 5 * time.Second
)

type kind uint8

const (
	kindIntent  kind = iota // a place in intents; a caller waits
	kindOutcome             // takes over the place of its intent
	kindRecord              // a caller waits
	kindLater               // a place in laters
)

// item is what one call wants written.
type item struct {
	kind    kind
	events  []encoded
	version uint64      // intents: the configuration that was decided with
	result  chan result // nil: nobody waits; else capacity 1

	// Under Log.mu:
	finished  bool // result has been sent
	abandoned bool // the caller of an intent went away while it was written

	// The writer's own:
	stale     *StaleError
	positions []Position
}

type result struct {
	positions []Position
	err       error
}

// writerState belongs to the writer's goroutine.
type writerState struct {
	lastIntents int
	pause       time.Duration // after failures
	doubt       *attempt      // a write that failed and may have happened all the same
}

// attempt is what is needed to find out whether a failed write happened.
type attempt struct {
	first store.AuditRow
	items []*item
}

// poke wakes the writer; Log.mu is held or need not be.
func (l *Log) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Log) enqueue(it *item) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing || l.stopped {
		return false
	}
	if it.result != nil {
		l.waiting = append(l.waiting, it)
	} else {
		l.later = append(l.later, it)
	}
	l.poke()
	return true
}

// wait is the caller's side of intents and records.
func (l *Log) wait(ctx context.Context, it *item) result {
	select {
	case r := <-it.result:
		return r
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if it.finished {
		return <-it.result
	}
	if i := slices.Index(l.waiting, it); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		it.finished = true
		l.release(it)
	} else {
		it.abandoned = true
	}
	return result{err: ctx.Err()}
}

// release gives back the place of an item that will not be written, or that is
// durable; outcomes hold the place of their intent.
func (l *Log) release(it *item) {
	switch it.kind {
	case kindIntent, kindOutcome:
		<-l.intents
	case kindLater:
		<-l.laters
	case kindRecord:
	}
}

// run is the one writer.
func (l *Log) run(ctx context.Context) {
	defer close(l.done)
	for l.await(ctx) {
		l.round(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	for _, it := range l.waiting {
		if it.kind == kindOutcome {
			l.later = append(l.later, it) // for the count in Close
		} else {
			l.release(it)
		}
		it.finish(result{err: ErrClosed})
	}
	l.waiting = nil
}

// await returns when it is time to write, false when the writer must end.
func (l *Log) await(ctx context.Context) bool {
	var alone <-chan time.Time // when entries that nobody waits for go without company
	for {
		l.mu.Lock()
		waiting, closing, open := len(l.waiting), l.closing, len(l.open)
		unhurried := len(l.later) > 0 || l.writer.doubt != nil
		l.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return false
		case waiting > 0:
			l.company(ctx)
			return true
		case unhurried && alone == nil:
			d := linger
			if l.writer.pause > 0 {
				d = l.writer.pause
			} else if closing {
				d = 0
			}
			t := time.NewTimer(d)
			defer t.Stop()
			alone = t.C
		case !unhurried && closing && open == 0:
			return false
		}
		select {
		case <-l.wake:
		case <-alone:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// company waits, when many intents come at a time, until as many as the last
// time are there again, at most for the window.
func (l *Log) company(ctx context.Context) {
	if l.writer.lastIntents < busyIntents {
		return
	}
	t := time.NewTimer(window)
	defer t.Stop()
	for {
		l.mu.Lock()
		n := len(l.waiting)
		l.mu.Unlock()
		if n >= min(l.writer.lastIntents, maxBatch) {
			return
		}
		select {
		case <-l.wake:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// round writes one batch and tells everyone concerned.
func (l *Log) round(ctx context.Context) {
	err := l.settle(ctx)
	l.mu.Lock()
	batch := take(&l.waiting)
	if err == nil {
		batch = append(batch, take(&l.later)...)
	}
	l.mu.Unlock()
	if err == nil {
		err = l.commit(ctx, batch)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.lastFailure, l.lastCause = l.now(), err
		l.failed(batch, err)
		if l.writer.pause == 0 {
			l.log.Error("The audit log cannot be written; nothing is signed until it can.", "error", err)
		}
		l.writer.pause = min(max(2*l.writer.pause, firstPause), lastPause)
		return
	}
	l.writer.lastIntents = 0
	for _, it := range batch {
		if it.kind == kindIntent {
			l.writer.lastIntents++
		}
		l.written(it)
	}
	if len(batch) == 0 {
		return // nothing was written: a full disk can still be read
	}
	l.lastWrite = l.now()
	if l.writer.pause > 0 {
		l.log.Info("The audit log can be written again.")
	}
	l.writer.pause = 0
}

// take removes a batch from a queue.
func take(queue *[]*item) []*item {
	n := min(len(*queue), maxBatch)
	batch := slices.Clone((*queue)[:n])
	*queue = slices.Delete(*queue, 0, n)
	return batch
}

// commit writes a batch in one transaction. On failure it remembers what it
// tried in writer.doubt.
func (l *Log) commit(ctx context.Context, batch []*item) error {
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	var rows []store.AuditRow
	err := l.st.Write(ctx, func(tx store.Tx) error {
		rows = rows[:0] // the store may run this again
		head, version := tx.AuditHead(), tx.ConfigVersion()
		for _, it := range batch {
			it.stale, it.positions = nil, it.positions[:0]
			if it.kind == kindIntent && it.version != version {
				it.stale = &StaleError{Have: it.version, Current: version}
				continue
			}
			for _, e := range it.events {
				row, err := seal(&head, e)
				if err != nil {
					return err
				}
				rows = append(rows, row)
				it.positions = append(it.positions, Position{Seq: row.Seq, Time: e.time})
			}
		}
		if len(rows) == 0 {
			return nil
		}
		return tx.AppendAudit(rows, head)
	})
	if err != nil {
		if len(rows) > 0 {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.writer.doubt = &attempt{first: rows[0], items: batch}
		}
		return fmt.Errorf("writing the audit log: %w", err)
	}
	return nil
}

// settle finds out whether the last failed write happened: the connection may
// have broken after the database had committed. Without that, a retry would
// write outcomes twice. The first row holds time and predecessor, so no other
// attempt has the same one.
func (l *Log) settle(ctx context.Context) error {
	d := l.writer.doubt
	if d == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	rows, err := l.st.AuditRows(ctx, d.first.Seq-1, 1, store.AuditFilter{})
	if err != nil {
		return fmt.Errorf("reading the audit log after a failed write: %w", err)
	}
	happened := len(rows) == 1 && bytes.Equal(rows[0].Leaf, d.first.Leaf)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writer.doubt = nil
	for _, it := range d.items {
		i := slices.Index(l.later, it)
		switch {
		case it.kind == kindIntent && !happened:
			l.release(it)
		case it.kind == kindIntent:
			it.abandoned = true // its caller was told of the failure
			l.written(it)
		case i >= 0 && happened:
			l.later = slices.Delete(l.later, i, i+1)
			l.written(it)
		}
	}
	return nil
}

// written tells an item's caller that it is durable. Log.mu is held.
func (l *Log) written(it *item) {
	switch {
	case it.stale != nil:
		l.release(it)
		it.finish(result{err: it.stale})
	case it.kind == kindIntent:
		seq := it.positions[0].Seq
		l.open[seq] = it.events[0].subject
		if it.abandoned {
			l.abandon(seq, it)
		} else {
			l.promise[seq] = struct{}{}
		}
		it.finish(result{positions: it.positions})
	case it.kind == kindOutcome:
		delete(l.open, it.events[0].outcome)
		l.release(it)
		it.finish(result{positions: it.positions})
	default:
		l.release(it)
		it.finish(result{positions: it.positions})
	}
}

// abandon ends an intent whose caller never learned of it. Log.mu is held.
func (l *Log) abandon(seq uint64, it *item) {
	e, err := encode(endOf(seq, it.events[0].typ, it.events[0].org, abandonedSuffix, "The caller went away or was told of a failure before this was on record. No key was used."), l.now())
	if err != nil { // not possible: the intent itself could be encoded
		l.log.Error("An abandoned audit intent could not be ended.", "intent", seq, "error", err)
		return
	}
	e.inherit(l.open[seq])
	l.later = append(l.later, &item{kind: kindOutcome, events: []encoded{e}})
	l.poke()
}

// failed tells the callers who wait that the write failed, and keeps what
// nobody waits for, and outcomes, for the next try. Intents of a write in doubt
// keep their place until settle knows more. Log.mu is held.
func (l *Log) failed(batch []*item, err error) {
	var keep []*item
	for _, it := range batch {
		switch it.kind {
		case kindOutcome, kindLater:
			keep = append(keep, it)
		case kindIntent:
			if l.writer.doubt == nil || !slices.Contains(l.writer.doubt.items, it) {
				l.release(it)
			}
		case kindRecord:
		}
		it.finish(result{err: err})
	}
	l.later = append(keep, l.later...)
}

// finish sends the result once; Log.mu is held.
func (it *item) finish(r result) {
	if it.finished || it.result == nil {
		return
	}
	it.finished = true
	it.result <- r
}

// appendEncoded writes events at the end of the log within a transaction.
func appendEncoded(tx store.Tx, events []encoded) error {
	if len(events) == 0 {
		return nil
	}
	head := tx.AuditHead()
	rows := make([]store.AuditRow, 0, len(events))
	for _, e := range events {
		row, err := seal(&head, e)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	return tx.AppendAudit(rows, head)
}
