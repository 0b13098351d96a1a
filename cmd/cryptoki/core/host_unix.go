//go:build !windows

package core

// #include "port.h"
import "C"

import "unsafe"

// entry is CK_ATTRIBUTE or CK_MECHANISM on Linux (natural alignment, section 2.1):
// a number that says what it is, a pointer to the value, its length in bytes.
type entry struct {
	what C.ulong
	at   unsafe.Pointer
	size C.ulong
}

func (e *entry) kind() uint64          { return uint64(e.what) }
func (e *entry) value() unsafe.Pointer { return e.at }
func (e *entry) length() uint64        { return uint64(e.size) }
func (e *entry) setLength(n uint64)    { e.size = C.ulong(n) }

// environment copies C's environ: NULL-terminated array of NUL-terminated texts.
func environment(p unsafe.Pointer) []string {
	var out []string
	for ; p != nil && *(**C.char)(p) != nil; p = unsafe.Add(p, unsafe.Sizeof(p)) {
		out = append(out, C.GoString(*(**C.char)(p)))
	}
	return out
}
