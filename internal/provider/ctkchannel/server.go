package ctkchannel

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	maxConnections = 64              // at once; see accept for further ones
	messageTime    = 5 * time.Second // for each message of the other side
	graceTime      = time.Second / 4 // for the first two of them, when others wait
	lookAgain      = time.Second / 10
	quietTime      = 10 * time.Second // between two warnings of strangers
)

// Handler signs. The context ends when the extension hangs up or the server closes.
type Handler func(ctx context.Context, instance string, algorithm byte, digest []byte) (signature []byte, refusal *Refusal)

// Logger receives what happens; args are name, value pairs as in log/slog.
type Logger interface {
	Debug(msg string, args ...any)
	Warning(msg string, args ...any)
}

// Server is the app's side.
type Server struct {
	listener net.Listener
	handle   Handler
	log      Logger
	life     context.Context
	end      context.CancelFunc
	slots    chan struct{}
	patience time.Duration // messageTime
	grace    time.Duration // graceTime
	stranger Key           // for instances that do not exist: a peer cannot tell them from a wrong key
	running  sync.WaitGroup

	mu        sync.Mutex
	keys      map[string]Key
	strangers []stranger // in the order of their coming
	warned    time.Time
}

// stranger is a connection whose other side has not proved yet that it knows a key.
type stranger struct {
	net.Conn
	since time.Time
}

// Listen opens the channel on a free port of 127.0.0.1.
func Listen(handle Handler, log Logger) (*Server, error) {
	return open(handle, log, messageTime, graceTime)
}

func open(handle Handler, log Logger, patience, grace time.Duration) (*Server, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{listener: l, handle: handle, log: log, slots: make(chan struct{}, maxConnections), patience: patience, grace: grace, stranger: newKey(), keys: map[string]Key{}}
	s.life, s.end = context.WithCancel(context.Background())
	s.running.Add(1)
	go s.accept()
	return s, nil
}

// Port is where the server listens.
func (s *Server) Port() uint16 { return uint16(s.listener.Addr().(*net.TCPAddr).Port) } //nolint:gosec // a port has 16 bits

// Admit makes a fresh key for a token and gives what its extension must know. A
// key that the token had before is of no use any more.
func (s *Server) Admit(instance string, algorithms []byte) Configuration {
	k := newKey()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[instance] = k
	return Configuration{Port: s.Port(), Key: k, Algorithms: algorithms}
}

// Expel forgets a token.
func (s *Server) Expel(instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, instance)
}

// Close ends all connections and waits for them.
func (s *Server) Close() {
	s.end()
	_ = s.listener.Close()
	s.running.Wait()
}

func (s *Server) key(instance string) Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.keys[instance]; ok {
		return k
	}
	return s.stranger
}

// accept takes connections. Any program of this machine can connect: when there
// are too many, the stranger that was here longest has to go, when it had time to
// prove who it is, so that strangers cannot keep the extension out. Signatures
// under way stay.
func (s *Server) accept() {
	defer s.running.Done()
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if s.life.Err() != nil {
				return
			}
			s.log.Warning("the channel to the extension cannot take a connection", "cause", err.Error())
			select { // too many open files, say
			case <-time.After(100 * time.Millisecond):
			case <-s.life.Done():
				return
			}
			continue
		}
		if !s.slot() {
			_ = c.Close()
			return
		}
		s.mu.Lock()
		s.strangers = append(s.strangers, stranger{c, time.Now()})
		s.mu.Unlock()
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			defer func() { <-s.slots }()
			stop := context.AfterFunc(s.life, func() { _ = c.Close() })
			defer stop()
			defer func() { _ = c.Close() }()
			defer s.known(c)
			if err := s.serve(c); err != nil && s.life.Err() == nil {
				s.warn(err)
			}
		}()
	}
}

// slot waits for a place for one more connection; false at the server's end.
func (s *Server) slot() bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	for {
		timer := time.NewTimer(s.dismiss())
		select {
		case s.slots <- struct{}{}:
			timer.Stop()
			return true
		case <-s.life.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// dismiss closes the connection of the stranger that came first when its time of
// grace is over, and tells how long to wait for the place.
func (s *Server) dismiss() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.strangers) == 0 {
		return lookAgain
	}
	if left := s.grace - time.Since(s.strangers[0].since); left > 0 {
		return left
	}
	_ = s.strangers[0].Close()
	s.strangers = s.strangers[1:]
	return lookAgain
}

// known takes a connection out of the strangers; false when it was dismissed, or is
// known already.
func (s *Server) known(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.strangers, func(o stranger) bool { return o.Conn == c })
	if i < 0 {
		return false
	}
	s.strangers = slices.Delete(s.strangers, i, i+1)
	return true
}

// warn logs that a connection failed, not more often than a log can bear.
func (s *Server) warn(err error) {
	s.mu.Lock()
	quiet := time.Since(s.warned) < quietTime
	if !quiet {
		s.warned = time.Now()
	}
	s.mu.Unlock()
	switch {
	case quiet:
	case errors.Is(err, errUnknown), errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		s.log.Warning("somebody connected to the channel to the extension without knowing the key of a token; nothing was signed. A token of an earlier run does that, too: it goes away with the next start of the app", "cause", err.Error())
	default:
		s.log.Warning("a request of the extension could not be read or answered", "cause", err.Error())
	}
}

// serve is one signature.
func (s *Server) serve(c net.Conn) error {
	t := &talk{}
	id, err := s.shake(c, t)
	if err != nil {
		return err
	}
	algorithm, digest, err := readRequest(c, t)
	if err != nil {
		return err
	}
	if !s.known(c) {
		return net.ErrClosed
	}
	ctx, cancel := context.WithCancel(s.life)
	defer cancel()
	go func() { // the extension says nothing more: a byte or an end means that nobody waits
		_ = c.SetReadDeadline(time.Time{})
		_, _ = c.Read(make([]byte, 1))
		cancel()
	}()
	signature, refusal := s.handle(ctx, id, algorithm, digest)
	code, body := int8(0), signature
	if refusal != nil {
		code, body = refusal.Code, []byte(refusal.Message)
	}
	message := t.answer(code, body)
	if err := c.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
		return err
	}
	if _, err := c.Write(message); err != nil {
		if ctx.Err() != nil { // it hung up, which is its right
			s.log.Debug("the extension did not wait for the answer", "instance", id)
			return nil
		}
		return err
	}
	return nil
}

// shake is messages 1 and 2.
func (s *Server) shake(c net.Conn, t *talk) (id string, err error) {
	if err := c.SetDeadline(time.Now().Add(s.patience)); err != nil {
		return "", err
	}
	if id, err = readHello(c, t); err != nil {
		return "", err
	}
	t.key = s.key(id)
	nonce := newKey() // as many random bytes
	t.add(nonce[:]...)
	if _, err := c.Write(append(nonce[:], t.mac(labelApp)...)); err != nil {
		return "", err
	}
	return id, c.SetDeadline(time.Now().Add(s.patience))
}
