package remote

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Why not http.Transport. It would save about two hundred lines, but:
//
//   - It dials, reads and writes in goroutines of its own, where a panic ends the
//     host. Here all of it happens under the caller's recover.
//   - A dial outlives the request that wanted it: when a kept connection becomes
//     free first, the new one is opened nevertheless and kept, so there are more
//     connections than threads. MaxConnsPerHost bounds their number only; no
//     fixed number is that of the host's threads.
//   - DialTLSContext is not asked for the TLS inside a proxy's tunnel, so trust in
//     two steps (roots.go) would need InsecureSkipVerify and verification by hand.
//   - It turns a cut connection and an unreadable answer into errors that differ
//     in their text alone; one of them is tried again, the other is not.
//   - It adds 0.75 MB to a module that one-shot tools copy into memory for every
//     file: about half a millisecond of nine.
//
// What is needed is little: requests one after another on a connection of one's
// own, with net/http's own reading and writing of messages.

const (
	maxLanes     = 64               // connections, and so calls that wait for an answer, at one time
	idleTimeout  = 90 * time.Second // after which an unused connection is closed
	maxHeader    = 256 << 10        // bytes of an answer's header
	maxEarlyHint = 8                // 1xx answers before the real one
)

// lanes hands out lanes, the one used last first. There are never more
// connections than calls that ran side by side.
type lanes struct {
	dialer *dialer
	slots  chan struct{}

	mu     sync.Mutex
	free   []*lane
	closed bool
}

func newLanes(d *dialer) *lanes { return &lanes{dialer: d, slots: make(chan struct{}, maxLanes)} }

// acquire waits for a lane.
func (l *lanes) acquire(ctx context.Context) (*lane, error) {
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.free)
	if n == 0 {
		return &lane{dialer: l.dialer}, nil
	}
	x := l.free[n-1]
	l.free = l.free[:n-1]
	x.expiry.Stop()
	return x, nil
}

// release gives a lane back; one without a connection is forgotten.
func (l *lanes) release(x *lane) {
	l.mu.Lock()
	if x.conn != nil && !l.closed {
		x.expiry = time.AfterFunc(idleTimeout, func() { l.expire(x) })
		l.free = append(l.free, x)
		x = nil
	}
	l.mu.Unlock()
	if x != nil {
		x.hangUp()
	}
	<-l.slots
}

// expire closes a lane that is still unused.
func (l *lanes) expire(x *lane) {
	l.mu.Lock()
	i := slices.Index(l.free, x)
	if i >= 0 {
		l.free = slices.Delete(l.free, i, i+1)
	}
	l.mu.Unlock()
	if i >= 0 {
		x.hangUp()
	}
}

// close closes unused connections now, and those in use when they are released.
func (l *lanes) close() {
	l.mu.Lock()
	free := l.free
	l.free, l.closed = nil, true
	l.mu.Unlock()
	for _, x := range free {
		x.expiry.Stop()
		x.hangUp()
	}
}

// lane is one connection, or the place for one. It is used by one call at a time.
type lane struct {
	dialer *dialer
	conn   net.Conn // nil: none yet
	proxy  string   // the proxy it goes through, "" for none
	in     *source
	br     *bufio.Reader
	expiry *time.Timer // set while the lane is unused
}

func (x *lane) connect(ctx context.Context, target, proxy *url.URL) error {
	conn, err := x.dialer.connect(ctx, target, proxy)
	if err != nil {
		return err
	}
	x.conn, x.proxy = conn, proxyName(proxy)
	x.in = &source{r: conn}
	x.br = bufio.NewReader(x.in)
	return nil
}

func proxyName(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

func (x *lane) hangUp() {
	if x.conn != nil {
		_ = x.conn.Close()
		x.conn = nil
	}
}

// do sends a request and gives the answer to read, which tells whether it took
// the whole body. A connection that turns out to be closed although it was kept
// is replaced once: the request was not answered, and it carries an
// Idempotency-Key or changes nothing (RFC 9110 section 9.2.2).
func (x *lane) do(ctx context.Context, proxy *url.URL, build func() (*http.Request, error), read func(*http.Response, io.Reader) (bool, error)) error {
	if x.conn != nil && x.proxy != proxyName(proxy) {
		x.hangUp()
	}
	for {
		r, err := build()
		if err != nil {
			return err
		}
		kept := x.conn != nil
		if !kept {
			if err := x.connect(ctx, r.URL, proxy); err != nil {
				return err
			}
		}
		answered, err := x.exchange(ctx, r, proxy, read)
		if err == nil {
			return nil
		}
		x.hangUp()
		if !kept || answered || ctx.Err() != nil || isTimeout(err) {
			return err
		}
	}
}

// exchange is one request and its answer on the connection there is. It tells
// whether anything of an answer came.
func (x *lane) exchange(ctx context.Context, r *http.Request, proxy *url.URL, read func(*http.Response, io.Reader) (bool, error)) (answered bool, err error) {
	conn := x.conn
	stop := context.AfterFunc(ctx, func() { cut(conn) })
	defer stop()

	out := bufio.NewWriterSize(conn, 16<<10)
	if proxy != nil && r.URL.Scheme == "http" {
		setProxyUser(r.Header, proxy.User)
		err = r.WriteProxy(out)
	} else {
		err = r.Write(out)
	}
	if err == nil {
		err = out.Flush()
	}
	// A service may answer and hang up before it has read everything.
	x.in.left = maxHeader
	if _, perr := x.br.Peek(1); perr != nil {
		if err == nil {
			err = perr
		}
		return false, err
	}
	resp, err := x.header(r)
	if err != nil {
		return true, x.in.explain(err)
	}
	x.in.left = unlimited
	body := io.Reader(resp.Body)
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		body = &gunzip{src: resp.Body}
		resp.ContentLength = -1
	}
	whole, err := read(resp, body)
	if !stop() {
		// The connection was being cut meanwhile: this may be what the service
		// answers to the hang-up, not to the request.
		return true, ctx.Err()
	}
	if err != nil {
		return true, x.in.explain(err)
	}
	if !whole || !atEnd(resp.Body) || resp.Close || x.br.Buffered() > 0 {
		x.hangUp()
	}
	return true, nil
}

// cut ends a connection in use. Reading ends first, because closing TLS says
// goodbye, which may take a moment.
func cut(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	_ = conn.Close()
}

// header reads the answer up to its body.
func (x *lane) header(r *http.Request) (*http.Response, error) {
	for range maxEarlyHint {
		resp, err := http.ReadResponse(x.br, r)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
	return nil, fmt.Errorf("more than %d provisional answers", maxEarlyHint)
}

// atEnd tells whether a body has been read to its very end (behind gzip there may be more).
func atEnd(body io.Reader) bool {
	var b [1]byte
	n, err := body.Read(b[:])
	return n == 0 && errors.Is(err, io.EOF)
}

const unlimited = -1

// source reads a connection, bounds the header and keeps the connection's error,
// which tells a broken connection from an unreadable answer.
type source struct {
	r    io.Reader
	left int64 // bytes; unlimited or less: no bound
	err  error
}

var errHeaderTooLong = fmt.Errorf("the header is longer than %d KiB", maxHeader>>10)

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, errHeaderTooLong
	}
	if s.left > 0 {
		p = p[:min(int64(len(p)), s.left)]
	}
	n, err := s.r.Read(p)
	if s.left > 0 {
		s.left -= int64(n)
	}
	if err != nil {
		s.err = err
	}
	return n, err
}

// explain gives the connection's error if there was one: a header that is cut
// looks malformed. Else the other side wrote something unreadable.
func (s *source) explain(err error) error {
	switch {
	case isA[*unreadableError](err):
		return err
	case errors.Is(s.err, io.EOF):
		return io.ErrUnexpectedEOF
	case s.err != nil:
		return s.err
	}
	return &unreadableError{err}
}

// gunzip opens the stream at the first byte, so that an empty body is no error.
type gunzip struct {
	src io.Reader
	z   *gzip.Reader
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.z == nil {
		z, err := gzip.NewReader(g.src)
		if err != nil {
			return 0, err
		}
		g.z = z
	}
	return g.z.Read(p)
}
