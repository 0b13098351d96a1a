package main

import (
	"io"
	"net"
	"testing"
	"time"
)

// The first answer costs a handshake and a round trip, the next a round trip.
func TestRelayDelays(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		c, err := echo.Accept()
		if err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	const way = 20 * time.Millisecond
	r, err := newRelay(echo.Addr().String(), way)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	begin := time.Now()
	c, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, trips := range []time.Duration{2, 1} {
		answer := make([]byte, 4)
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "ping" {
			t.Fatalf("answer %d: %q, %v", i, answer, err)
		}
		// A millisecond for when the relay sees the connection before Dial returns.
		if took := time.Since(begin); took < 2*trips*way-time.Millisecond {
			t.Errorf("answer %d came after %v, sooner than %d round trips of %v", i, took, trips, 2*way)
		}
		begin = time.Now()
	}
}
