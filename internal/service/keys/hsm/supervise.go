package hsm

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"signpath/internal/secret"
	"signpath/internal/service/keys/hsm/hsmwire"
)

// supervise keeps one worker running until Close.
func (t *Token) supervise() {
	failures := 0 // workers in a row that did nothing useful
	for t.ctx.Err() == nil {
		t.set(func() { t.state = starting })
		pin, w, info, err := t.open()
		if t.ctx.Err() != nil {
			if w != nil {
				w.end(errClosed)
			}
			break
		}
		if err != nil {
			failures++
			t.waitAfterStart(err, pin, failures)
			continue
		}
		t.log.Info("the token is in use", slog.String("label", info.Label), slog.String("serial_number", info.Serial), slog.Int("sessions", info.Sessions), slog.Int("pid", w.process.pid()))
		t.set(func() { t.state, t.worker, t.info, t.reason = up, w, info, nil })
		w.ping(pingInterval, t.config.operationTimeout())
		select {
		case <-w.retired:
		case <-t.ctx.Done():
			w.end(errClosed)
			continue
		}
		reason := w.reason()
		if failures++; w.useful.Load() {
			failures = 0
		}
		patience := drainTime
		if w.isGentle() {
			failures, patience = 0, generateFactor*t.config.operationTimeout()
		}
		pause := backoff(failures)
		t.log.Warn("the worker process of the token is replaced", slog.String("error", reason.Error()), slog.Duration("pause", pause), slog.Int("pid", w.process.pid()))
		t.set(func() {
			t.worker, t.reason, t.stuck, t.retryAt = nil, reason, false, time.Now().Add(pause)
			if t.state = down; pause == 0 {
				t.state = starting // requests may wait for it
			}
		})
		t.closed.Go(func() { w.drain(t.ctx, patience) }) // a hung process must not delay the next one
		t.sleep(pause)
	}
	t.set(func() { t.state, t.worker, t.reason, t.retryAt = down, nil, errClosed, time.Now() })
}

var errClosed = errors.New("the service is stopping")

// backoff is the pause before the next worker: none after one that was useful.
func backoff(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return min(firstBackoff<<min(failures-1, 20), maxBackoff)
}

func (t *Token) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
	}
}

// open starts a worker and opens the token. The PIN comes back, with its
// origin's state, to recognize a new one.
func (t *Token) open() (pin pinState, w *worker, info *hsmwire.Token, err error) {
	if pin, err = t.config.readPIN(); err != nil {
		return pin, nil, nil, &hsmwire.Error{Class: hsmwire.ClassSetup, Text: err.Error()}
	}
	p, err := startProcess(t.options.Worker, t.config.environment(t.options.Environment), &output{log: t.log, secret: pin.value})
	if err != nil {
		return pin, nil, nil, &hsmwire.Error{Class: hsmwire.ClassSetup, Text: "the worker process cannot be started: " + err.Error()}
	}
	w = newWorker(p)
	request := &hsmwire.Request{Op: hsmwire.OpOpen, Open: &hsmwire.Open{
		Module: t.config.Module, Label: t.config.TokenLabel, Serial: t.config.Serial,
		PIN: []byte(pin.value.Reveal()), Sessions: t.config.Sessions, Attributes: t.config.attributes(),
	}}
	a, err := w.call(request, startTimeout)
	clear(request.Open.PIN)
	if err == nil && (a.Token == nil || a.Token.Sessions < 1 || a.Token.Sessions > maxSessions) {
		err = errors.New("the worker process did not describe the token")
	}
	if err != nil {
		w.end(err)
		return pin, nil, nil, err
	}
	w.permits = make(chan struct{}, a.Token.Sessions)
	return pin, w, a.Token, nil
}

// waitAfterStart tells why the token cannot be used and waits until another
// try makes sense. After a refused PIN that is when its source was written
// again: trying the same PIN once more could lock the token.
func (t *Token) waitAfterStart(err error, tried pinState, failures int) {
	var e *hsmwire.Error
	if errors.As(err, &e) && e.Class == hsmwire.ClassPIN {
		reason := fmt.Errorf("the token did not take the PIN of %s (%s); it is not tried again before that is written anew", t.config.pinName(), e.Text)
		t.log.Error("the token cannot be used", slog.String("error", reason.Error()))
		t.set(func() { t.state, t.reason, t.stuck, t.retryAt = down, reason, true, time.Now().Add(pinRetryAfter) })
		for t.ctx.Err() == nil {
			t.sleep(pinCheck)
			if now, err := t.config.readPIN(); err == nil && !now.same(tried) {
				return
			}
			t.set(func() { t.retryAt = time.Now().Add(pinRetryAfter) })
		}
		return
	}
	pause := backoff(failures)
	if e != nil && e.Class == hsmwire.ClassAbsent {
		pause = min(pause, absentPause) // a person may be plugging it in
	}
	attrs := []any{slog.String("error", err.Error()), slog.Duration("pause", pause)}
	t.mu.Lock()
	again := t.reason != nil && t.reason.Error() == err.Error()
	t.mu.Unlock()
	if again {
		t.log.Debug("the token cannot be used yet", attrs...)
	} else {
		t.log.Error("the token cannot be used; it is tried again and again", attrs...)
	}
	t.set(func() { t.state, t.reason, t.stuck, t.retryAt = down, err, false, time.Now().Add(pause) })
	t.sleep(pause)
}

// output puts what a vendor's module prints into the log, cut and without the PIN.
type output struct {
	log    *slog.Logger
	secret secret.Secret
	line   []byte
	lines  int
}

// Bounds of a module's chatter, per process.
const (
	maxLines = 200
	maxLine  = 500 // bytes
)

// Write implements io.Writer; one goroutine calls it.
func (o *output) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n':
			o.flush()
		case len(o.line) < maxLine:
			o.line = append(o.line, c)
		}
	}
	return len(p), nil
}

func (o *output) flush() {
	text := printable(o.line)
	o.line = o.line[:0]
	if text == "" || o.lines > maxLines {
		return
	}
	if o.lines++; o.lines > maxLines {
		text = "further output of this process is not logged"
	}
	if pin := o.secret.Reveal(); pin != "" {
		text = redact(text, pin)
	}
	o.log.Warn("the worker process said", slog.String("text", text))
}
