//go:build linux

// Package linked puts both halves of the PKCS #11 module, the C shim and the Go core,
// into one Go program, for tests only: so the race detector, the address sanitizer and
// the fuzzer see everything between a host's arguments and its answers. What enters
// are calls of C_ functions with arguments in C memory; what leaves are return values
// and what the module wrote there. Keys, settings and log come from the test, through
// Options. It never is part of the product.
package linked

// #cgo CFLAGS: -I${SRCDIR}/../shim
// #cgo LDFLAGS: -ldl -lpthread
// #include "port.h"
// #include "functions.h"
// #include <stdlib.h>
// #include <string.h>
// #include <sys/mman.h>
//
// #define DECLARE(n, c, k, m) extern unsigned long C_##n();
// SP_FUNCTIONS(DECLARE)
// SP_FUNCTIONS_3(DECLARE)
// static unsigned long call(unsigned fn, const unsigned long *a) {
//	static unsigned long (*const table[])() = {
// #define ADDRESS_OF(n, c, k, m) C_##n,
//		SP_FUNCTIONS(ADDRESS_OF) SP_FUNCTIONS_3(ADDRESS_OF)
//	};
//	return ((unsigned long (*)(unsigned long, unsigned long, unsigned long, unsigned long, unsigned long, unsigned long, unsigned long, unsigned long, unsigned long))table[fn])(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]);
// }
// static void *pages(size_t n) {
//	char *p = mmap(0, n + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
//	return p == MAP_FAILED || mprotect(p + n, 4096, PROT_NONE) ? 0 : p;
// }
import "C"

import (
	"unsafe"

	"signpath/internal/provider/cryptoki"
)

// Functions is the number of functions; Name and Call take numbers below it.
const Functions = C.FN_COUNT

// Name is the name of a function in the standard.
func Name(fn int) string { return C.GoString(C.sp_name(C.uint(fn))) }

// Call calls a function with C memory and numbers as its arguments; missing ones are 0.
func Call(fn int, args ...uint64) cryptoki.RV {
	var a [9]C.ulong
	for i, v := range args {
		a[i] = C.ulong(v)
	}
	return cryptoki.RV(C.call(C.uint(fn), &a[0]))
}

// Memory is C memory of a test.
type Memory struct {
	at   unsafe.Pointer
	size int
}

// Malloc gives memory that the address sanitizer watches on both sides.
func Malloc(size int) Memory { return Memory{C.malloc(C.size_t(size)), size} }

// Free ends what Malloc began.
func (m Memory) Free() { C.free(m.at) }

// Guarded gives memory that ends at a page which nobody may touch. size is a multiple
// of 4096.
func Guarded(size int) Memory { return Memory{C.pages(C.size_t(size)), size} }

// End is the last n bytes.
func (m Memory) End(n int) Memory { return Memory{unsafe.Add(m.at, m.size-n), n} }

// Bytes is the memory in place.
func (m Memory) Bytes() []byte { return unsafe.Slice((*byte)(m.at), m.size) }

// Address is the memory as an argument.
func (m Memory) Address() uint64 { return uint64(uintptr(m.at)) }
