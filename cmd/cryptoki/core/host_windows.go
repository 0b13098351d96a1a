package core

import (
	"syscall"
	"unsafe"
)

// entry is CK_ATTRIBUTE or CK_MECHANISM as Windows hosts have it (packed by one byte,
// section 2.1 of v2.40; CK_ULONG of 32 bits): a number that says what it is, a pointer
// to the value, its length in bytes. Every processor that Go knows for Windows reads
// words at odd addresses.
type entry [entrySize]byte

const (
	pointerSize = unsafe.Sizeof(unsafe.Pointer(nil))
	valueAt     = 4
	lengthAt    = valueAt + pointerSize
	entrySize   = lengthAt + 4
)

func (e *entry) kind() uint64          { return uint64(*(*uint32)(unsafe.Pointer(&e[0]))) }
func (e *entry) value() unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&e[valueAt])) }
func (e *entry) length() uint64        { return uint64(*(*uint32)(unsafe.Pointer(&e[lengthAt]))) }
func (e *entry) setLength(n uint64)    { *(*uint32)(unsafe.Pointer(&e[lengthAt])) = uint32(n) }

// environment is that of the process as it is now (GetEnvironmentStringsW): on
// Windows, nothing of it is frozen at the start, so the shim hands nothing over.
func environment(unsafe.Pointer) []string { return syscall.Environ() }
