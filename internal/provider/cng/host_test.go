package cng

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"signpath/internal/provider/winkeys"
	"signpath/internal/testkit/fakeservice"
)

// space is a host's memory: whole pages with nothing between them, so that every
// access beyond them is seen.
type space struct {
	mu    sync.Mutex
	next  uintptr
	parts map[uintptr][]byte
	ours  map[uintptr]bool // what Alloc gave
	full  bool             // Alloc gives nothing
	panic bool             // every access is a fault of ours
}

func newSpace() *space {
	return &space{next: 1 << 20, parts: map[uintptr][]byte{}, ours: map[uintptr]bool{}}
}

func (s *space) find(address uintptr, n int) []byte {
	if s.panic {
		panic("broken on purpose")
	}
	for base, p := range s.parts {
		if address >= base && address-base <= uintptr(len(p)) && uintptr(n) <= uintptr(len(p))-(address-base) {
			return p[address-base:][:n]
		}
	}
	return nil
}

func (s *space) Read(address uintptr, b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(address, len(b))
	copy(b, p)
	return p != nil
}

func (s *space) Write(address uintptr, b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(address, len(b))
	copy(p, b)
	return p != nil
}

// Alloc gives memory as a heap does: the address is not that of a page.
func (s *space) Alloc(size int) uintptr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return 0
	}
	p := s.pages(16+size) + 16
	s.ours[p] = true
	return p
}

func (s *space) Free(address uintptr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ours[address] {
		panic("Free of what Alloc did not give")
	}
	delete(s.ours, address)
	delete(s.parts, address-16)
}

func (s *space) pages(size int) uintptr {
	base := s.next
	n := uintptr((size + page) / page * page)
	s.parts[base] = make([]byte, n)
	s.next += n + page
	return base
}

// put makes memory of the host's own with these bytes.
func (s *space) put(b []byte) uintptr {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.pages(len(b))
	copy(s.parts[at], b)
	return at
}

func (s *space) get(address uintptr, n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.find(address, n))
}

// blocks counts what the host has not freed.
func (s *space) blocks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ours)
}

// nowhere is an address without memory.
const nowhere = uintptr(0x7FFF0000)

// host is a program that has loaded the provider.
type host struct {
	*space
	*KSP

	t       testing.TB
	service *fakeservice.Service
	size    int // of a pointer
}

// newHost loads a provider for a service with all test keys.
func newHost(t testing.TB, pointerSize int, environ ...string) *host {
	t.Helper()
	s := fakeservice.New(t)
	for _, k := range []string{"rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521"} {
		s.Add(t, "app/"+k, k)
	}
	h := &host{space: newSpace(), t: t, service: s, size: pointerSize}
	h.load(s.Environ(environ...))
	return h
}

func (h *host) load(environ []string) {
	h.KSP = New(Options{Version: "3.14.15", Environ: func() []string { return environ }, Memory: h.space, PointerSize: h.size})
}

// put makes memory of the host's own with these bytes.
func (h *host) put(b []byte) uintptr { return h.space.put(b) }

// number is the slot of a function.
func number(name string) int {
	return slices.IndexFunc(slots[:], func(s slot) bool { return s.name == name })
}

// do calls a function.
func (h *host) do(name string, args ...uintptr) Status {
	h.t.Helper()
	n := number(name)
	if n < 0 || len(args) != slots[n].args {
		h.t.Fatalf("%s with %d arguments", name, len(args))
	}
	return h.Call(n, args)
}

// ok calls a function that has to succeed.
func (h *host) ok(name string, args ...uintptr) {
	h.t.Helper()
	if st := h.do(name, args...); st != winkeys.OK {
		h.t.Fatalf("%s: %v\n%s", name, st, h.service.Log(h.t, "KSP"))
	}
}

// is calls a function that has to answer st.
func (h *host) is(st Status, name string, args ...uintptr) {
	h.t.Helper()
	if got := h.do(name, args...); got != st {
		h.t.Errorf("%s: %v, want %v", name, got, st)
	}
}

// text puts a text; NULL for none is 0.
func (h *host) text(s string) uintptr { return h.put(wide(s)) }

// room is memory for n bytes.
func (h *host) room(n int) uintptr { return h.put(make([]byte, n)) }

// pointerAt reads a pointer or a handle.
func (h *host) pointerAt(address uintptr) uintptr { return pointerOf(h.get(address, h.size)) }

func (h *host) dwordAt(address uintptr) uint32 { return binary.LittleEndian.Uint32(h.get(address, 4)) }

// textAt reads a text.
func (h *host) textAt(address uintptr) string {
	c := &call{KSP: h.KSP}
	s, ok := c.textAt(address)
	if !ok {
		h.t.Fatalf("no text at %x", address)
	}
	return s
}

// open gives a provider.
func (h *host) open() uintptr {
	h.t.Helper()
	at := h.room(h.size)
	h.ok("OpenProvider", at, h.text(ProviderName), 0)
	return h.pointerAt(at)
}

// key gives a key.
func (h *host) key(provider uintptr, name string) uintptr {
	h.t.Helper()
	at := h.room(h.size)
	h.ok("OpenKey", provider, at, h.text(name), 0, 0)
	return h.pointerAt(at)
}

// pkcs1 and pss are padding infos.
func (h *host) pkcs1(alg string) uintptr {
	return h.put(append(h.pointerBytes(h.text(alg)), 0, 0, 0, 0))
}

func (h *host) pss(alg string, salt uint32) uintptr {
	return h.put(append(h.pointerBytes(h.text(alg)), dwords(salt)...))
}

func (h *host) pointerBytes(p uintptr) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(p))[:h.size]
}

// output calls a function that fills a buffer: first for the size, then with one
// that is too short, then for the bytes. with makes the arguments.
func (h *host) output(name string, with func(buffer, size, result uintptr) []uintptr) []byte {
	h.t.Helper()
	result := h.room(4)
	h.ok(name, with(0, 0, result)...)
	n := uintptr(h.dwordAt(result))
	if n > 0 {
		buffer := h.put([]byte{0xAA, 0xAA})
		h.Write(result, dwords(0))
		h.is(winkeys.NTE_BUFFER_TOO_SMALL, name, with(buffer, n-1, result)...)
		if got := uintptr(h.dwordAt(result)); got != n || h.get(buffer, 1)[0] != 0xAA {
			h.t.Errorf("%s with a short buffer says %d bytes instead of %d, or wrote into it", name, got, n)
		}
	}
	buffer := h.put(append(make([]byte, n), 0xAA))
	h.ok(name, with(buffer, n, result)...)
	if got := uintptr(h.dwordAt(result)); got != n || h.get(buffer+n, 1)[0] != 0xAA {
		h.t.Errorf("%s wrote %d bytes after it said %d", name, got, n)
	}
	return h.get(buffer, int(n))
}

func (h *host) property(provider, key uintptr, name string, flags uintptr) []byte {
	h.t.Helper()
	if key == 0 {
		return h.output("GetProviderProperty", func(b, n, r uintptr) []uintptr { return []uintptr{provider, h.text(name), b, n, r, flags} })
	}
	return h.output("GetKeyProperty", func(b, n, r uintptr) []uintptr { return []uintptr{provider, key, h.text(name), b, n, r, flags} })
}

func (h *host) counts(what string, lists, signs int) {
	h.t.Helper()
	if l, n := h.service.Counts(); l != lists || n != signs {
		h.t.Errorf("%s: %d lists and %d signatures were asked for, want %d and %d", what, l, n, lists, signs)
	}
}
