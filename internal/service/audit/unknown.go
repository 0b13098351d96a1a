package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"signpath/internal/service/store"
)

// sweepEvery is how often a log that shares its store looks for intents of dead
// replicas, unless Options.UnknownAfter is shorter.
const sweepEvery = time.Minute

// sweep ends the intents of dead replicas until ctx ends.
func (l *Log) sweep(ctx context.Context) {
	t := time.NewTicker(min(sweepEvery, l.opts.UnknownAfter))
	defer t.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := l.endOpenIntents(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			l.log.Warn("Intents of replicas that ended are not closed yet.", "error", err)
		}
		failing = err != nil
	}
}

// endOpenIntents writes the unknown outcomes.
func (l *Log) endOpenIntents(ctx context.Context) error {
	for {
		ended, err := l.endSomeIntents(ctx)
		if err != nil || ended < maxBatch {
			return err
		}
	}
}

// endSomeIntents ends at most maxBatch intents. What is open is read inside of
// the write transaction, which no other process can write beside: two replicas
// must not end the same intent.
func (l *Log) endSomeIntents(ctx context.Context) (ended int, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	// Most of the time there is nothing: find that out without a transaction.
	if rows, err := l.unknownIntents(ctx); err != nil || len(rows) == 0 {
		return 0, err
	}
	err = l.st.Write(ctx, func(tx store.Tx) error {
		rows, err := l.unknownIntents(ctx)
		if err != nil {
			return err
		}
		rows = rows[:min(len(rows), maxBatch)]
		ended = len(rows)
		ends := make([]encoded, 0, len(rows))
		for _, r := range rows {
			e, err := encode(endOf(r.Seq, r.Type, r.OrganizationID, unknownSuffix, "The service ended before it could record the outcome. A signature may have been made and delivered."), l.now())
			if err != nil {
				return err
			}
			e.inherit(r.Subject)
			ends = append(ends, e)
		}
		return appendEncoded(tx, ends)
	})
	if err != nil {
		return 0, fmt.Errorf("ending the open intents of the audit log: %w", err)
	}
	return ended, nil
}

// unknownIntents are the open intents that are old enough and not this log's own.
func (l *Log) unknownIntents(ctx context.Context) ([]store.AuditRow, error) {
	rows, err := l.st.OpenIntents(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the open intents of the audit log: %w", err)
	}
	limit := l.now().Add(-l.opts.UnknownAfter).UnixMilli()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(rows, func(r store.AuditRow) bool {
		_, own := l.open[r.Seq]
		return own || l.opts.UnknownAfter > 0 && r.TimeMillis > limit
	}), nil
}

// endOf is an outcome that the log itself writes.
func endOf(seq uint64, intentType, org, suffix, reason string) Event {
	data, _ := json.Marshal(map[string]string{"reason": reason}) // cannot fail
	return Event{Type: intentType[:len(intentType)-len(intentSuffix)] + suffix, OrganizationID: org, Actor: Actor{Type: "System"}, Outcome: seq, Data: data}
}
