//go:build cgo && unix

package main

/*
#include <dlfcn.h>
#include <stdlib.h>
*/
import "C"

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"github.com/miekg/pkcs11"
)

// Flags of a try, which "signpath doctor" makes: does this machine load the
// module at all? It happens here because a module that crashes takes its
// process along.
const (
	tryFlag        = "--try-module"
	initializeFlag = "--initialize" // begin and end using it, too; not for vendors' modules, which may ask their devices
)

// tried is the answer of a try, the last line on stdout; the first one has the
// step begin.
type tried struct {
	Step    string `json:"step,omitempty"`    // that failed: load, functions, initialize
	Error   string `json:"error,omitempty"`   // what the loader or the module said
	Library string `json:"library,omitempty"` // what the module says it is
}

// try loads a module, every symbol at once, and gives the exit code.
func try(args []string) int {
	// What dies without a further line was brought down by the module.
	if err := json.NewEncoder(os.Stdout).Encode(tried{Step: "begin"}); err != nil {
		return exitProtocol
	}
	answer := tryModule(args[0], len(args) > 1 && args[1] == initializeFlag)
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil || answer.Error != "" {
		return exitProtocol
	}
	return exitEnded
}

func tryModule(path string, initialize bool) tried {
	path, err := filepath.Abs(path)
	if err != nil {
		return tried{Step: "load", Error: err.Error()}
	}
	runtime.LockOSThread() // dlerror(3) belongs to the thread
	defer runtime.UnlockOSThread()
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if C.dlopen(name, C.RTLD_NOW|C.RTLD_LOCAL) == nil {
		return tried{Step: "load", Error: C.GoString(C.dlerror())}
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return tried{Step: "functions", Error: "it has no C_GetFunctionList"}
	}
	if !initialize {
		return tried{}
	}
	if err := ctx.Initialize(); err != nil {
		return tried{Step: "initialize", Error: err.Error()}
	}
	info, err := ctx.GetInfo()
	if err != nil {
		return tried{Step: "initialize", Error: err.Error()}
	}
	if err := ctx.Finalize(); err != nil {
		return tried{Step: "initialize", Error: err.Error()}
	}
	return tried{Library: strings.TrimSpace(strings.TrimRight(info.LibraryDescription, "\x00 "))}
}
