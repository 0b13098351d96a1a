//go:build cgo && unix

package main

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
*/
import "C"

import (
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/miekg/pkcs11"

	"signpath/internal/service/keys/hsm/hsmwire"
)

// loadModule opens the vendor's library. The library binding drops the loader's
// sentence, so it is opened here first: the loader gives the same handle again.
func loadModule(path string) (*pkcs11.Ctx, error) {
	if !filepath.IsAbs(path) {
		return nil, &hsmwire.Error{Class: hsmwire.ClassSetup, Before: true, Text: "the path of the PKCS #11 module is not absolute: " + path}
	}
	runtime.LockOSThread() // dlerror(3) belongs to the thread
	defer runtime.UnlockOSThread()
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if C.dlopen(name, C.RTLD_LAZY|C.RTLD_LOCAL) == nil {
		return nil, &hsmwire.Error{Class: hsmwire.ClassSetup, Before: true, Text: "the PKCS #11 module cannot be loaded: " + C.GoString(C.dlerror())}
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, &hsmwire.Error{Class: hsmwire.ClassSetup, Before: true, Text: path + " is no PKCS #11 module: it has no C_GetFunctionList"}
	}
	return ctx, nil
}
