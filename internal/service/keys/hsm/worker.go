package hsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"signpath/internal/service/keys/hsm/hsmwire"
)

// worker is one worker process, from start to end.
type worker struct {
	process *process
	conn    *hsmwire.Conn
	permits chan struct{} // one per session; who holds one has a request under way
	useful  atomic.Bool   // it has done something after its start
	retired chan struct{} // closed: takes no further requests
	done    chan struct{} // closed: the connection has ended

	mu      sync.Mutex
	next    uint64
	pending map[uint64]chan<- *hsmwire.Answer
	cause   error // why it was retired; the first one counts
	gentle  bool  // its connection works: what runs may end
}

// lostError says that the worker ended while a request was under way.
type lostError struct {
	before bool // the request did not reach it
	cause  error
}

func (e *lostError) Error() string { return e.cause.Error() }
func (e *lostError) Unwrap() error { return e.cause }

func newWorker(p *process) *worker {
	w := &worker{
		process: p, conn: hsmwire.NewConn(p.socket), permits: make(chan struct{}, 1),
		retired: make(chan struct{}), done: make(chan struct{}), pending: map[uint64]chan<- *hsmwire.Answer{},
	}
	go w.read()
	return w
}

// read hands answers to those who wait for them, until the connection ends.
func (w *worker) read() {
	defer close(w.done)
	for {
		a := &hsmwire.Answer{}
		id, err := w.conn.Receive(a)
		if err != nil {
			w.lost(err)
			return
		}
		w.mu.Lock()
		waiting, ok := w.pending[id]
		delete(w.pending, id)
		w.mu.Unlock()
		if ok {
			waiting <- a // has room for one
		}
	}
}

// lost ends the worker after its connection broke; how the process ended is
// the better cause.
func (w *worker) lost(err error) {
	exited, known := w.process.kill(time.Second)
	switch {
	case known && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		err = fmt.Errorf("the worker process ended (%s)", exited)
	case errors.Is(err, io.EOF):
		err = errors.New("the worker process closed its socket")
	default:
		err = fmt.Errorf("reading from the worker process: %w", err)
	}
	w.retire(err)
}

// retire makes the worker take no further requests; the supervisor replaces it.
func (w *worker) retire(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause == nil {
		w.cause = cause
		close(w.retired)
	}
}

// retireGently is retire for a worker that is only out of date.
func (w *worker) retireGently(cause error) {
	w.mu.Lock()
	w.gentle = w.cause == nil
	w.mu.Unlock()
	w.retire(cause)
}

func (w *worker) isGentle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gentle
}

func (w *worker) isRetired() bool {
	select {
	case <-w.retired:
		return true
	default:
		return false
	}
}

func (w *worker) reason() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cause
}

// end retires the worker and kills its process.
func (w *worker) end(cause error) {
	w.retire(cause)
	_ = w.conn.Close()
	w.process.kill(0)
}

// drain ends a retired worker when its last request is answered, or after some time.
func (w *worker) drain(ctx context.Context, patience time.Duration) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(w.permits) > 0 {
		select {
		case <-tick.C:
			continue
		case <-w.done:
		case <-ctx.Done():
		case <-deadline.C:
		}
		break
	}
	w.end(nil)
}

// run is call for a caller who holds a permit and may leave before the answer.
func (w *worker) run(ctx context.Context, r *hsmwire.Request, timeout time.Duration) (*hsmwire.Answer, error) {
	type result struct {
		answer *hsmwire.Answer
		err    error
	}
	results := make(chan result, 1)
	go func() {
		defer func() { <-w.permits }()
		a, err := w.call(r, timeout)
		if err == nil {
			w.useful.Store(true)
		}
		results <- result{a, err}
	}()
	select {
	case r := <-results:
		return r.answer, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// call sends a request and waits for its answer. A worker that does not answer
// in time is killed: a call that hangs in a vendor's module cannot be ended otherwise.
func (w *worker) call(r *hsmwire.Request, timeout time.Duration) (*hsmwire.Answer, error) {
	answers := make(chan *hsmwire.Answer, 1)
	w.mu.Lock()
	w.next++
	id := w.next
	w.pending[id] = answers
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.pending, id)
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	_ = w.conn.SetWriteDeadline(time.Now().Add(timeout))
	if err := w.conn.Send(id, r); err != nil {
		gone := errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
		if !gone {
			w.end(fmt.Errorf("writing to the worker process: %w", err))
		}
		<-w.done
		return nil, &lostError{before: gone, cause: w.reason()}
	}
	select {
	case a := <-answers:
		return w.answered(a)
	case <-w.done:
		select {
		case a := <-answers:
			return w.answered(a)
		default:
			return nil, &lostError{cause: w.reason()}
		}
	case <-timer.C:
		err := fmt.Errorf("no answer to %q within %s; the worker process was killed", r.Op, timeout)
		w.end(err)
		return nil, &lostError{cause: err}
	}
}

func (w *worker) answered(a *hsmwire.Answer) (*hsmwire.Answer, error) {
	if a.Error != nil {
		return nil, a.Error
	}
	return a, nil
}

// ping keeps idle sessions alive and notices a dead token before a signature does.
func (w *worker) ping(interval, timeout time.Duration) {
	go func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-w.retired:
				return
			case <-t.C:
			}
			if _, err := w.call(&hsmwire.Request{Op: hsmwire.OpPing}, timeout); err != nil {
				w.retire(fmt.Errorf("the token does not answer a ping: %w", err))
				return
			}
			w.useful.Store(true)
		}
	}()
}
