//go:build linux

package linked

// #include "port.h"
import "C"

import (
	"unsafe"

	"signpath/cmd/cryptoki/core"
	"signpath/internal/provider/cryptoki"
)

// Options are those of the module that the first C_Initialize makes.
var Options cryptoki.Options

// sp_core_start is what the shim calls at the first C_Initialize.
//
//export sp_core_start
func sp_core_start(port *C.struct_sp_port) C.int {
	core.Serve(unsafe.Pointer(port), cryptoki.New(Options))
	return C.SP_VERSION
}
