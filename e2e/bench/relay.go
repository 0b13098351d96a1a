package main

import (
	"net"
	"sync"
	"time"
)

// relay is a long way to a service: a TCP relay on loopback that holds every
// byte back for the same time in each direction, without narrowing the stream.
//
// The kernel finishes the TCP handshake with the relay at once. To make it cost
// what it costs on a real way, the first bytes of a connection wait for one
// round trip more, counted from when the connection was accepted; whoever has
// connected cannot tell a slow handshake from that.
type relay struct {
	listener net.Listener
	target   string
	delay    time.Duration
	open     sync.WaitGroup
}

func newRelay(target string, delay time.Duration) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, target: target, delay: delay}
	r.open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			accepted := time.Now()
			r.open.Go(func() { r.serve(c, accepted) })
		}
	})
	return r, nil
}

func (r *relay) address() string { return r.listener.Addr().String() }

// close waits for the connections, which end with their clients.
func (r *relay) close() {
	_ = r.listener.Close()
	r.open.Wait()
}

func (r *relay) serve(near net.Conn, accepted time.Time) {
	defer near.Close()
	far, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { r.carry(far, near, accepted.Add(2*r.delay)) })
	both.Go(func() { r.carry(near, far, time.Time{}) })
	both.Wait()
}

// carry copies from one end to the other; nothing counts as sent before notBefore.
func (r *relay) carry(to, from net.Conn, notBefore time.Time) {
	type chunk struct {
		data []byte
		due  time.Time
	}
	line := make(chan chunk, 4096)
	var sender sync.WaitGroup
	sender.Go(func() {
		broken := false
		for c := range line {
			time.Sleep(time.Until(c.due))
			if !broken {
				_, err := to.Write(c.data)
				broken = err != nil
			}
		}
		if t, ok := to.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	})
	for {
		data := make([]byte, 32<<10)
		n, err := from.Read(data)
		if n > 0 {
			sent := time.Now()
			if sent.Before(notBefore) {
				sent = notBefore
			}
			line <- chunk{data[:n], sent.Add(r.delay)}
		}
		if err != nil {
			break
		}
	}
	close(line)
	sender.Wait()
}
