package main

// #include <stdint.h>
// #include <stdlib.h>
import "C"

import (
	"io"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"unsafe"

	"signpath/internal/buildinfo"
	"signpath/internal/provider/cng"
)

// ksp is the provider of this process: a DLL has no place of its own but this.
var ksp = sync.OnceValue(func() *cng.KSP {
	// One thread for calls and one for the network; more would only be more threads
	// in somebody else's process.
	runtime.GOMAXPROCS(2)
	log.SetOutput(io.Discard) // the standard library's own complaints
	return cng.New(cng.Options{
		Version: buildinfo.Version(), Environ: os.Environ, Memory: memory{},
		PointerSize: int(unsafe.Sizeof(uintptr(0))),
	})
})

// spCall answers a call through the function table; the slot after the last is
// GetKeyStorageInterface.
//
//export spCall
func spCall(slot C.uint32_t, arguments *C.uintptr_t, count C.uint32_t) C.uint32_t {
	// A pointer of the host's that leads nowhere becomes a panic, which memory
	// catches; without this, Go would end the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	a := make([]uintptr, count)
	for i, v := range unsafe.Slice(arguments, count) {
		a[i] = uintptr(v)
	}
	return C.uint32_t(ksp().Call(int(slot), a))
}

// memory is the host's address space. An address that is wrong must never stand in a
// Go pointer longer than the moment of its use, in which a fault is caught.
type memory struct{}

// nowhere is the part of the address space in which Windows keeps nothing.
const nowhere = 64 << 10

// at makes an address a pointer.
func at(address uintptr, n int) []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), n)
}

func (memory) Read(address uintptr, b []byte) (ok bool) {
	if address < nowhere || guarded(address, len(b)) {
		return false
	}
	defer func() { ok = recover() == nil }()
	copy(b, at(address, len(b)))
	return true
}

func (memory) Write(address uintptr, b []byte) (ok bool) {
	if address < nowhere || guarded(address, len(b)) {
		return false
	}
	defer func() { ok = recover() == nil }()
	copy(at(address, len(b)), b)
	return true
}

func (memory) Alloc(size int) uintptr { return uintptr(C.calloc(1, C.size_t(size))) }

func (memory) Free(address uintptr) { C.free(*(*unsafe.Pointer)(unsafe.Pointer(&address))) }
