package main

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// region is MEMORY_BASIC_INFORMATION (winnt.h) on all processors; that of x/sys/windows is
// of 64 bits.
type region struct {
	base, allocation  uintptr
	allocationProtect uintptr // a DWORD, and what follows it up to the next field
	size              uintptr
	state, protect    uint32
	kind              uint32
}

// guarded tells whether a guard page is among n bytes. Windows answers the first touch of
// one with an exception that Go does not know as a wrong address, and that would end the
// host.
func guarded(address uintptr, n int) bool {
	for end := address + uintptr(n); address < end; {
		var r region
		err := windows.VirtualQuery(address, (*windows.MemoryBasicInformation)(unsafe.Pointer(&r)), unsafe.Sizeof(r))
		if err != nil || r.base+r.size <= address {
			return false // no memory of this process: the touch itself tells
		}
		if r.protect&windows.PAGE_GUARD != 0 {
			return true
		}
		address = r.base + r.size
	}
	return false
}
