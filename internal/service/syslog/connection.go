package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

// How long a receiver may take.
const (
	dialTime  = 10 * time.Second
	writeTime = 10 * time.Second
	ackTime   = 20 * time.Second
	ackStep   = 5 * time.Millisecond
)

// connection is a way to the receiver.
type connection struct {
	conn     net.Conn
	tcp      *net.TCPConn // below conn; nil: it is none
	since    time.Time
	ended    atomic.Pointer[ending] // nil: it goes on
	datagram bool
	counting bool // octet counting; else, on a stream, a line feed ends a message
}

// ending is how a receiver ended a connection: io.EOF when it closed it in good
// order, else a refusal (an alert of TLS) or a break.
type ending struct {
	at  time.Time
	err error
}

func dial(ctx context.Context, t Target) (*connection, error) {
	d := net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}
	networks := []string{t.network}
	if t.network == "tls" {
		return dialTLS(ctx, d, t)
	}
	if t.network == "unix" {
		networks = []string{"unixgram", "unix"} // /dev/log is the first almost everywhere
	}
	var errs []error
	for _, network := range networks {
		conn, err := d.DialContext(ctx, network, t.address)
		if err == nil {
			c := &connection{conn: conn, since: time.Now(), datagram: network == "udp" || network == "unixgram", counting: network == "tcp"}
			c.tcp, _ = conn.(*net.TCPConn)
			if !c.datagram {
				go c.listen()
			}
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// dialTLS opens a connection and checks the receiver before anything is sent.
func dialTLS(ctx context.Context, d net.Dialer, t Target) (*connection, error) {
	config, err := t.tlsConfig()
	if err != nil {
		return nil, err
	}
	plain, err := d.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	c := &connection{counting: true}
	c.tcp, _ = plain.(*net.TCPConn)
	encrypted := tls.Client(plain, config)
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, fmt.Errorf("TLS with %s: %w", t.address, err)
	}
	c.conn, c.since = encrypted, time.Now()
	go c.listen()
	return c, nil
}

// listen notices that the receiver closed a stream, which a writer learns too
// late. A receiver says nothing of its own.
func (c *connection) listen() {
	var b [512]byte
	for {
		if _, err := c.conn.Read(b[:]); err != nil {
			c.ended.Store(&ending{time.Now(), err})
			_ = c.conn.Close() // the next write fails
			return
		}
	}
}

// limit is the longest message; 0: any.
func (c *connection) limit() int {
	if c.datagram {
		return maxDatagram
	}
	return 0
}

// send writes messages, a datagram each or all in one go on a stream, and tells
// how many are certainly on their way.
func (c *connection) send(ctx context.Context, messages [][]byte) (sent int, err error) {
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetWriteDeadline(time.Unix(1, 0)) })()
	if c.datagram {
		for i, m := range messages {
			if _, err := c.conn.Write(m); err != nil {
				return i, fmt.Errorf("sending a message: %w", err)
			}
		}
		return len(messages), nil
	}
	var b []byte
	for _, m := range messages {
		if c.counting {
			b = append(strconv.AppendInt(b, int64(len(m)), 10), ' ')
		}
		b = append(b, m...)
		if !c.counting {
			b = append(b, '\n')
		}
	}
	if _, err := c.conn.Write(b); err != nil {
		return 0, fmt.Errorf("sending messages: %w", err)
	}
	return len(messages), nil
}

// acknowledged waits until the receiver's machine has taken all that was sent,
// as far as the operating system can tell.
func (c *connection) acknowledged(ctx context.Context) error {
	if c.tcp == nil {
		return nil
	}
	for end := time.Now().Add(ackTime); ; {
		n, err := unacknowledged(c.tcp)
		switch {
		case err != nil:
			return fmt.Errorf("asking for the acknowledgement: %w", err)
		case n == 0:
			return nil
		case time.Now().After(end):
			return errors.New("the receiver does not acknowledge what was sent")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(ackStep):
		}
	}
}

func (c *connection) close() { _ = c.conn.Close() }
