package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
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
	datagram bool
	counting bool // octet counting; else, on a stream, a line feed ends a message
}

func dial(ctx context.Context, t Target) (*connection, error) {
	d := net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}
	networks := []string{t.network}
	if t.network == "unix" {
		networks = []string{"unixgram", "unix"} // /dev/log is the first almost everywhere
	}
	var errs []error
	for _, network := range networks {
		conn, err := d.DialContext(ctx, network, t.address)
		if err == nil {
			c := &connection{conn: conn, datagram: network == "udp" || network == "unixgram", counting: network == "tcp"}
			if !c.datagram {
				go c.listen()
			}
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// listen notices that the receiver closed a stream, which a writer learns too
// late. A receiver says nothing of its own.
func (c *connection) listen() {
	var b [512]byte
	for {
		if _, err := c.conn.Read(b[:]); err != nil {
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
	tcp, ok := c.conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	for end := time.Now().Add(ackTime); ; {
		n, err := unacknowledged(tcp)
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
