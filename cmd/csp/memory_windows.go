package main

import (
	"bytes"
	"runtime/debug"
	"unsafe"

	"signpath/internal/provider/capi"
)

// Addresses of the host come as numbers: one that is wrong must never stand in a Go
// pointer longer than the moment of its use, in which a fault is caught.

// nowhere is the part of the address space in which Windows keeps nothing.
const nowhere = 64 << 10

const (
	page    = 4 << 10   // bytes that can be read if one of them can
	chunk   = 256 << 10 // bytes that are copied at once
	longest = 64 << 10  // bytes of a blob, a signature or a name
)

// pointer makes an address a pointer.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// touch runs f, which uses n bytes at an address of the host; false when it is wrong.
func touch(address uintptr, n int, f func(unsafe.Pointer)) (ok bool) {
	if address < nowhere || guarded(address, n) {
		return false
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil }()
	f(pointer(address))
	return true
}

// read copies what stands at an address.
func read(address uintptr, n int) ([]byte, bool) {
	if n == 0 {
		return nil, true
	}
	b := make([]byte, n)
	return b, touch(address, n, func(p unsafe.Pointer) { copy(b, unsafe.Slice((*byte)(p), n)) })
}

// write copies to an address.
func write(address uintptr, b []byte) bool {
	return len(b) == 0 || touch(address, len(b), func(p unsafe.Pointer) { copy(unsafe.Slice((*byte)(p), len(b)), b) })
}

// name reads a text that ends with NUL, no page more of it than it has; nil for a NULL.
func name(address uintptr) (s *string, ok bool) {
	if address == 0 {
		return nil, true
	}
	var text []byte
	for len(text) < longest {
		b, ok := read(address, page-int(address%page))
		if !ok {
			return nil, false
		}
		if before, _, ended := bytes.Cut(b, []byte{0}); ended {
			whole := string(append(text, before...))
			return &whole, true
		}
		text = append(text, b...)
		address += uintptr(len(b))
	}
	return nil, false
}

// described tells whether a text of 16-bit characters is there and is not empty.
func described(address uintptr) bool {
	if address == 0 {
		return false
	}
	b, ok := read(address, 2)
	return !ok || b[0] != 0 || b[1] != 0
}

// table is a VTableProvStruc (wincrypt.h).
type table struct {
	version                   uint32
	verifyImage, returnWindow uintptr
	provType                  uint32
	info                      uintptr
	infoLength                uint32
	provName                  uintptr // from version 3 on
}

// registered is what CryptoAPI tells of the registration.
func registered(address uintptr) (r capi.Registered) {
	var t table
	if !touch(address, 4, func(p unsafe.Pointer) { t.version = *(*uint32)(p) }) || t.version < 2 {
		return r
	}
	size := unsafe.Offsetof(t.provName)
	if t.version >= 3 {
		size = unsafe.Sizeof(t)
	}
	b, ok := read(address, int(size))
	if !ok {
		return r
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&t)), unsafe.Sizeof(t)), b)
	r.Type = t.provType
	if s, ok := name(t.provName); ok && s != nil {
		r.Name = *s
	}
	return r
}

// answer runs a call that gives bytes to a buffer of the host.
func answer(data, length uintptr, call func(*capi.Output) capi.Status) capi.Status {
	out := &capi.Output{LengthOnly: data == 0}
	if !touch(length, 4, func(p unsafe.Pointer) { out.Room = *(*uint32)(p) }) {
		out = nil
	}
	st := call(out)
	if st != capi.OK && st != capi.ERROR_MORE_DATA {
		return st
	}
	if !write(data, out.Data) || !touch(length, 4, func(p unsafe.Pointer) { *(*uint32)(p) = out.Length }) {
		return capi.ERROR_INVALID_PARAMETER
	}
	return st
}

// handle runs a call that gives a handle to the host.
func handle(place uintptr, call func() (capi.Handle, capi.Status)) capi.Status {
	put := func(h capi.Handle) bool {
		return touch(place, int(unsafe.Sizeof(h)), func(p unsafe.Pointer) { *(*capi.Handle)(p) = h })
	}
	if !put(0) {
		return capi.ERROR_INVALID_PARAMETER
	}
	h, st := call()
	if st == capi.OK {
		put(h)
	}
	return st
}
