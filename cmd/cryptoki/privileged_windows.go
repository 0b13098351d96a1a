package main

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// elevationTypeFull is TokenElevationTypeFull of TOKEN_ELEVATION_TYPE.
const elevationTypeFull = 2

// privileged tells whether this process has more rights than the ordinary programs
// of its user ("run as administrator"), which may have set its environment.
func privileged() bool {
	var kind, size uint32
	err := windows.GetTokenInformation(windows.GetCurrentProcessToken(), windows.TokenElevationType, (*byte)(unsafe.Pointer(&kind)), uint32(unsafe.Sizeof(kind)), &size)
	return err == nil && kind == elevationTypeFull
}
