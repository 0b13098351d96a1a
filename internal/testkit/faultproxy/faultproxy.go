// Package faultproxy stands between a client and a service on loopback and
// breaks the connection in every way that networks and services do.
//
// What enters are the client's connections, what leaves are the service's
// answers, whole or spoilt as the test says. TCP relays bytes unseen, so that TLS
// ends at the service; HTTP ends TLS itself, with a certificate of its own CA,
// and so can spoil single answers. Faults are set from outside at any time, for
// all that comes or for the next few. For tests only; it never leaves loopback.
package faultproxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Kind is a way to fail.
type Kind int

// The faults. TCP knows None, Refuse, Reset, Close, Stall, Slow and Garbage; the
// unit there is the connection, chosen when it is accepted. HTTP knows all; the
// unit there is the request, but for Refuse.
const (
	None              Kind = iota
	Refuse                 // nobody listens (until another fault is set with Set)
	Reset                  // RST after After bytes of the answer
	Close                  // FIN after After bytes of the answer (half an answer, or with 0 none)
	Stall                  // nothing more after After bytes of the answer, connection open
	Slow                   // the answer in pieces of Chunk bytes, Pause in between
	Garbage                // Body instead of an answer; default: bytes that are neither TLS nor HTTP
	Status                 // an answer with Status, Header and Body; the service is not asked
	LostAnswer             // the service gets the request, the client a closed connection
	CloseAfterRequest      // the connection is closed when the request has been read; the service is not asked
	WrongLength            // the service's answer with a Content-Length that is Delta off
	CloseAnswered          // the whole answer as if kept alive, then the connection is closed without a word
)

// Fault is a way to fail, with its particulars.
type Fault struct {
	Kind   Kind
	After  int           // bytes of the answer that pass first (TLS records in TCP mode)
	Chunk  int           // Slow; default 1
	Pause  time.Duration // Slow: between pieces; all others in HTTP mode: before the answer
	Status int           // Status; default 503
	Header http.Header   // Status
	Body   string        // Status, Garbage
	Delta  int           // WrongLength
}

const garbage = "\x00\xff\xfegarbage that nobody asked for\r\n\r\n\r\n"

// Proxy is one listener with its faults.
type Proxy struct {
	target string // host:port
	addr   string
	tls    *tls.Config // HTTP mode with TLS
	http   *http.Transport
	base   *url.URL // HTTP mode
	ca     []byte

	mu       sync.Mutex
	listener net.Listener
	standing Fault
	queue    []Fault
	conns    map[net.Conn]bool
	accepted int
	arrived  []time.Time // of requests
	closed   bool
	ctx      context.Context // ends with Close
	end      context.CancelFunc
	done     sync.WaitGroup
}

// TCP relays to target, a host:port.
func TCP(target string) (*Proxy, error) {
	p := &Proxy{target: target}
	return p, p.start()
}

// HTTP relays requests to target, an address with scheme https or http. Clients
// speak to the proxy with the same scheme; for https they must trust CA. The
// transport reaches the service (its certificate has to be trusted there).
func HTTP(target *url.URL, service *http.Transport) (*Proxy, error) {
	p := &Proxy{base: target, target: target.Host, http: service}
	if target.Scheme == "https" {
		cfg, ca, err := certificate()
		if err != nil {
			return nil, err
		}
		p.tls, p.ca = cfg, ca
	}
	return p, p.start()
}

func (p *Proxy) start() error {
	p.conns = map[net.Conn]bool{}
	p.ctx, p.end = context.WithCancel(context.Background())
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listenLocked("127.0.0.1:0")
}

func (p *Proxy) listenLocked(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("fault proxy: %w", err)
	}
	p.listener, p.addr = l, l.Addr().String()
	p.done.Add(1)
	go p.accept(l)
	return nil
}

// Addr is the proxy's host:port. It stays the same for the proxy's life.
func (p *Proxy) Addr() string { return p.addr }

// URL is what a client gives instead of the target's address; path is added.
func (p *Proxy) URL(path string) *url.URL {
	u := &url.URL{Scheme: "https", Host: p.addr, Path: path}
	if p.base != nil {
		u.Scheme = p.base.Scheme
	}
	return u
}

// CA is the PEM of the CA of the proxy's own certificate (HTTP mode with TLS).
func (p *Proxy) CA() []byte { return p.ca }

// Set makes a fault stand until the next Set. Connections that are relayed
// already go on.
func (p *Proxy) Set(f Fault) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.standing = f
	if f.Kind == Refuse {
		if p.listener != nil {
			_ = p.listener.Close()
			p.listener = nil
		}
		return nil
	}
	if p.listener == nil {
		return p.listenLocked(p.addr)
	}
	return nil
}

// Next lets the next n connections (TCP) or requests (HTTP) fail, behind those
// that were announced before. Refuse does not work here.
func (p *Proxy) Next(n int, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range n {
		p.queue = append(p.queue, f)
	}
}

// fault takes the fault of one connection or request.
func (p *Proxy) fault() Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		f := p.queue[0]
		p.queue = p.queue[1:]
		return f
	}
	return p.standing
}

// Connections is how many were accepted so far.
func (p *Proxy) Connections() int { return p.count(&p.accepted) }

// Requests is how many were read so far (HTTP mode).
func (p *Proxy) Requests() int { return len(p.Arrived()) }

// Arrived is when each request had been read (HTTP mode).
func (p *Proxy) Arrived() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.arrived)
}

// Open is how many client connections are open now.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *Proxy) count(n *int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *n
}

// Close ends everything and waits for it.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.end()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
	if p.http != nil {
		p.http.CloseIdleConnections()
	}
	return nil
}

func (p *Proxy) accept(l net.Listener) {
	defer p.done.Done()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			_ = c.Close()
			return
		}
		p.conns[c] = true
		p.accepted++
		p.done.Add(1)
		p.mu.Unlock()
		go func() {
			defer p.done.Done()
			defer func() {
				_ = c.Close()
				p.mu.Lock()
				delete(p.conns, c)
				p.mu.Unlock()
			}()
			if p.base != nil {
				p.serveHTTP(c)
			} else {
				p.serveTCP(c)
			}
		}()
	}
}

// pause waits unless the proxy is closed.
func (p *Proxy) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.ctx.Done():
	}
}

// reset closes with RST instead of FIN.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
