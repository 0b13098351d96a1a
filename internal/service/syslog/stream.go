package syslog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/store"
)

// The rhythm of a stream.
const (
	pageSize   = 256
	pollEvery  = 500 * time.Millisecond // how late a message is at most, when all is well
	markEvery  = time.Second            // how often the mark is written while messages go out
	leaseTime  = 30 * time.Second       // how long a replica that died keeps the others waiting
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
	storeTime  = 10 * time.Second
	// again is how far back entries are sent again when the receiver ends the
	// connection: its machine may have taken what it never read.
	again = 2 * time.Second
)

// Stream sends the audit log of a store to one target.
type Stream struct {
	Store  store.Store
	Target Target
	Shared bool             // other processes may send the same log to the same target
	Logger *slog.Logger     // nil: slog.Default()
	Now    func() time.Time // nil: time.Now

	name    string // of the setting that holds the mark
	holder  string // who this process is
	sender  sender
	conn    *connection
	sent    uint64  // Seq of the last entry that the receiver has
	recent  []batch // what went out over conn lately, oldest first
	twice   uint64  // Seq up to which entries were sent again after a close in good order: never once more
	marked  mark    // as it was written last
	written bool    // this process has written it

	replaces string // holder of the mark that was taken over
}

// mark is how far the stream came, and who sends. It is kept in the store.
type mark struct {
	Seq    uint64    `json:"seq"`
	Holder string    `json:"holder,omitempty"`
	Until  time.Time `json:"until"`
}

// batch is what was sent at a time.
type batch struct {
	at     time.Time
	behind uint64 // Seq of the last entry before it
}

var errHeld = errors.New("another replica sends")

// Run sends until ctx ends. It tells the logger when the receiver or the
// database goes away and when it is back.
func (s *Stream) Run(ctx context.Context) {
	s.prepare()
	defer s.finish()
	pause, failing := firstPause, false
	for ctx.Err() == nil {
		more, err := s.round(ctx)
		wait := pollEvery
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errHeld):
		case err != nil:
			if !failing {
				s.Logger.Warn("the audit log does not reach syslog; it is sent when the receiver is back", slog.String("target", s.Target.String()), slog.Any("error", err))
			}
			failing, wait = true, pause
			pause = min(2*pause, lastPause)
		default:
			if s.settled() {
				if failing {
					s.Logger.Info("the audit log reaches syslog again", slog.String("target", s.Target.String()))
				}
				pause, failing = firstPause, false
			}
			if more {
				wait = 0
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// settled tells that the connection has lasted: a receiver that does not want
// this client may say so only after it was sent something.
func (s *Stream) settled() bool {
	return s.conn == nil || s.conn.datagram || time.Since(s.conn.since) > again
}

func (s *Stream) prepare() {
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	sum := sha256.Sum256([]byte(s.Target.String()))
	s.name = "audit.syslog." + hex.EncodeToString(sum[:8])
	s.holder = uuid.NewString()
	host, _ := os.Hostname() // "-" stands for none
	s.sender = sender{host, os.Getpid()}
}

// finish gives the mark to whoever comes next.
func (s *Stream) finish() {
	if s.conn != nil {
		s.conn.close()
	}
	if !s.written {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	if err := s.mark(ctx, true); err != nil && !errors.Is(err, errHeld) {
		s.Logger.Warn("how far the audit log was sent to syslog is not on record; the next start sends some entries again", slog.Any("error", err))
	}
}

// round sends what is new, at most one page.
func (s *Stream) round(ctx context.Context) (more bool, err error) {
	if !s.written || s.Shared && s.marked.Until.Sub(s.Now()) < leaseTime/2 {
		if err := s.take(ctx); err != nil {
			return false, err
		}
	}
	readCtx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	rows, err := s.Store.AuditRows(readCtx, s.sent, pageSize, store.AuditFilter{})
	if err != nil {
		return false, err
	}
	if s.conn != nil && s.conn.ended.Load() != nil { // before anything is written into the void
		end, unread := s.conn.ended.Load(), s.back()
		s.conn.close()
		s.conn = nil
		if unread || !errors.Is(end.err, io.EOF) {
			return false, fmt.Errorf("the receiver ended the connection: %w", end.err)
		}
		return true, nil // it was idle
	}
	s.forget()
	if len(rows) == 0 {
		return false, s.markSometimes(ctx)
	}
	if s.conn == nil {
		s.recent = nil
		if s.conn, err = dial(ctx, s.Target); err != nil {
			return false, err
		}
	}
	messages := make([][]byte, len(rows))
	for i, r := range rows {
		messages[i] = s.sender.message(r, s.conn.limit())
	}
	sent, err := s.conn.send(ctx, messages)
	if err == nil {
		err = s.conn.acknowledged(ctx)
	}
	if err == nil || s.conn.datagram && sent > 0 {
		s.recent = append(s.recent, batch{time.Now(), s.sent})
		s.sent = rows[sent-1].Seq
	}
	if err != nil {
		if e := s.conn.ended.Load(); e != nil && !errors.Is(e.err, net.ErrClosed) {
			err = fmt.Errorf("the receiver ended the connection: %w", e.err)
		}
		if ctx.Err() == nil {
			s.back()
		}
		s.conn.close()
		s.conn = nil
		return false, err
	}
	return len(rows) == pageSize, s.markSometimes(ctx)
}

// back makes the stream send again what the receiver may not have read, and
// tells whether there is any.
func (s *Stream) back() bool {
	end := ending{time.Now(), nil}
	if e := s.conn.ended.Load(); e != nil {
		end = *e
	}
	batches := s.recent
	s.recent = nil
	for _, b := range batches {
		if s.conn.datagram || !b.at.After(end.at.Add(-again)) {
			continue
		}
		from := b.behind
		if errors.Is(end.err, io.EOF) {
			// Some receivers close whatever is idle for a moment: they would get the
			// same for ever.
			from = max(from, s.twice)
			s.twice = max(s.twice, s.sent)
		}
		unread := from < s.sent
		s.sent = min(s.sent, from)
		return unread
	}
	return false
}

// forget drops batches that are too old to be sent again.
func (s *Stream) forget() {
	for len(s.recent) > 0 && time.Since(s.recent[0].at) > 2*again {
		s.recent = s.recent[1:]
	}
}

// markSometimes writes the mark at most every markEvery, so that the log's own
// writer hardly notices.
func (s *Stream) markSometimes(ctx context.Context) error {
	if s.marked.Seq == s.sent || s.Now().Sub(s.marked.Until.Add(-leaseTime)) < markEvery {
		return nil
	}
	return s.mark(ctx, false)
}

// take reads the mark, and takes it over when nobody holds it. The first time
// the whole log is sent.
func (s *Stream) take(ctx context.Context) error {
	if s.written {
		return s.mark(ctx, false) // extends it
	}
	value, err := s.Store.Setting(ctx, s.name)
	if err != nil {
		return err
	}
	m, err := readMark(value)
	if err != nil {
		return err
	}
	if s.Shared && m.Holder != "" && m.Until.After(s.Now()) {
		return errHeld
	}
	s.sent, s.replaces = m.Seq, m.Holder
	return s.mark(ctx, false)
}

// mark writes how far the stream came, unless another replica has taken over:
// what that one has sent counts then.
func (s *Stream) mark(ctx context.Context, last bool) error {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	now := s.Now()
	next := mark{Seq: s.sent, Holder: s.holder, Until: now.Add(leaseTime)}
	if last {
		next.Holder, next.Until = "", now
	}
	err := s.Store.Write(ctx, func(tx store.Tx) error {
		value, err := tx.Setting(s.name)
		if err != nil {
			return err
		}
		m, err := readMark(value)
		if err != nil {
			return err
		}
		other := m.Holder != s.holder && (s.written || m.Holder != s.replaces)
		if other && m.Until.After(now) || m.Holder != s.holder && m.Seq > s.sent {
			return errHeld
		}
		encoded, err := json.Marshal(next)
		if err != nil {
			return err
		}
		return tx.PutSetting(s.name, encoded)
	})
	if errors.Is(err, errHeld) {
		s.written = false
		return errHeld
	}
	if err != nil {
		return fmt.Errorf("keeping how far the audit log was sent: %w", err)
	}
	s.marked, s.written = next, !last
	return nil
}

func readMark(value []byte) (m mark, err error) {
	if value == nil {
		return m, nil
	}
	if err := json.Unmarshal(value, &m); err != nil {
		return m, fmt.Errorf("how far the audit log was sent cannot be read: %w", err)
	}
	return m, nil
}
