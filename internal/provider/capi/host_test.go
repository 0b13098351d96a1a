package capi

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"signpath/internal/provider/winkeys"
	"signpath/internal/testkit/fakeservice"
)

const (
	ok       = winkeys.OK
	moreData = winkeys.ERROR_MORE_DATA
)

// host is a program that uses the provider.
type host struct {
	*Provider
	testing.TB
	service *fakeservice.Service

	mu      sync.Mutex
	environ []string
}

// newHost has a service with the keys app/rsa (2048 bits), app/long (3072) and app/ec.
func newHost(tb testing.TB, environ ...string) *host {
	tb.Helper()
	s := fakeservice.New(tb)
	s.Add(tb, "app/rsa", "rsa2048")
	s.Add(tb, "app/ec", "p256")
	s.Add(tb, "app/long", "rsa3072")
	h := &host{TB: tb, service: s, environ: s.Environ(environ...)}
	h.Provider = New(Options{Version: "6.1.2", Environ: func() []string {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.environ
	}})
	return h
}

// want asserts a status.
func (h *host) want(what string, got, want Status) {
	h.Helper()
	if got != want {
		h.Errorf("%s: %v, want %v", what, got, want)
	}
}

// counts asserts how many lists and signatures the service was asked for.
func (h *host) counts(what string, lists, signs int) {
	h.Helper()
	if l, n := h.service.Counts(); l != lists || n != signs {
		h.Errorf("%s: %d lists and %d signatures were asked for, want %d and %d", what, l, n, lists, signs)
	}
}

// open acquires a context; "" is NULL.
func (h *host) open(container string, flags uint32) Handle {
	h.Helper()
	var name *string
	if container != "" {
		name = &container
	}
	c, st := h.AcquireContext(name, flags, Registered{})
	if st != ok {
		h.Fatalf("AcquireContext %q: %v", container, st)
	}
	return c
}

// hash makes a hash of some data.
func (h *host) hash(context Handle, alg uint32, data string) Handle {
	h.Helper()
	d, st := h.CreateHash(context, alg, 0, 0)
	if st == ok {
		st = h.HashData(context, d, []byte(data), 0)
	}
	if st != ok {
		h.Fatalf("a hash: %v", st)
	}
	return d
}

// get runs a call with a buffer of any length, after a question for the length.
func (h *host) get(what string, call func(*Output) Status) []byte {
	h.Helper()
	ask := &Output{LengthOnly: true}
	h.want(what+", length", call(ask), ok)
	if ask.Data != nil {
		h.Errorf("%s: data for a question for the length", what)
	}
	if ask.Length > 0 {
		short := &Output{Room: ask.Length - 1}
		h.want(what+", short", call(short), moreData)
		if short.Length != ask.Length || short.Data != nil {
			h.Errorf("%s: %d bytes are needed for a short buffer, %d for none", what, short.Length, ask.Length)
		}
	}
	out := &Output{Room: ask.Length + 7}
	h.want(what, call(out), ok)
	if out.Length != ask.Length || len(out.Data) != int(out.Length) {
		h.Errorf("%s: %d bytes of %d, announced %d", what, len(out.Data), out.Length, ask.Length)
	}
	h.want(what+" without a place for the length", call(nil), winkeys.ERROR_INVALID_PARAMETER)
	return out.Data
}

func (h *host) number(what string, call func(*Output) Status) uint32 {
	h.Helper()
	b := h.get(what, call)
	if len(b) != 4 {
		h.Fatalf("%s: %x is no DWORD", what, b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (h *host) provParam(c Handle, param uint32) func(*Output) Status {
	return func(o *Output) Status { return h.GetProvParam(c, param, o, 0) }
}

// sign signs with AT_SIGNATURE and gives the signature as it stands in the host's buffer.
func (h *host) sign(c, d Handle) []byte {
	h.Helper()
	return h.get("SignHash", func(o *Output) Status { return h.SignHash(c, d, AT_SIGNATURE, false, 0, o) })
}

// value is the place of a host's own digest.
func value(b []byte) Input {
	return func(n int) ([]byte, bool) { return b, n == len(b) }
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}
