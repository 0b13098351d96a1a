//go:build linux || windows || darwin

// Command cryptoki is the Go half ("core") of the PKCS #11 module; shim/port.h
// describes the line between it and the C half in shim/, which is what a host calls.
// For Linux it is built with -buildmode=c-shared, and carried by
// libSignPath.Cryptoki.so; for Windows it is built with -buildmode=c-archive and
// linked into SignPath.Cryptoki.dll, where it starts at the first C_Initialize; so it
// is for macOS, in libSignPath.Cryptoki.dylib.
//
// This package opens the core; core/ turns C memory into Go values and back, and
// all behaviour is in internal/provider/cryptoki.
package main

// #cgo CFLAGS: -I${SRCDIR}/shim
// #include "port.h"
import "C"

import (
	"io"
	"log"
	"runtime"
	"time"
	"unsafe"

	"signpath/cmd/cryptoki/core"
	"signpath/internal/buildinfo"
	"signpath/internal/provider/cryptoki"
)

// sp_core_start is all that the shim looks up. It runs in a throw-away thread
// of the shim (on Linux and macOS with every signal blocked), once per copy of the core.
//
//export sp_core_start
func sp_core_start(port *C.struct_sp_port) C.int {
	// A client needs one thread for calls and one for the network; more would
	// only be more threads in somebody else's process.
	runtime.GOMAXPROCS(2)
	// The first timer opens the poller's two descriptors. Now, while the shim
	// knows that there are some: without them, Go would end the process.
	time.AfterFunc(time.Hour, func() {}).Stop()
	// The standard library's own complaints would go to the host's standard error.
	log.SetOutput(io.Discard)
	core.Serve(unsafe.Pointer(port), cryptoki.New(cryptoki.Options{
		Version: buildinfo.Version(), ULongSize: int(unsafe.Sizeof(C.ulong(0))), Privileged: privileged(),
	}))
	return C.SP_VERSION
}

func main() {}
