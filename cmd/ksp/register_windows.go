package main

// #include <stdint.h>
import "C"

import (
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"

	"signpath/internal/provider/cng"
)

// providerRegistration is CRYPT_PROVIDER_REG (bcrypt.h), with what it points to.
type providerRegistration struct {
	aliases    uint32
	aliasNames **uint16
	user       *imageRegistration
	kernel     *imageRegistration
}

// imageRegistration is CRYPT_IMAGE_REG.
type imageRegistration struct {
	image      *uint16
	interfaces uint32
	list       **interfaceRegistration
}

// interfaceRegistration is CRYPT_INTERFACE_REG.
type interfaceRegistration struct {
	id        uint32
	flags     uint32
	functions uint32
	names     **uint16
}

// registrar calls bcrypt.dll. What it passes lies still while it lives: the structures
// point to each other, and bcrypt.dll sees bare addresses.
type registrar struct{ pinned runtime.Pinner }

// still pins a value and gives its address.
func still[T any](r *registrar, p *T) uintptr {
	r.pinned.Pin(p)
	return uintptr(unsafe.Pointer(p))
}

// text is one of our own names in UTF-16.
func (r *registrar) text(s string) *uint16 {
	p, _ := windows.UTF16PtrFromString(s) // has no zero byte
	r.pinned.Pin(p)
	return p
}

// call calls a function; the answer is an NTSTATUS.
func (r *registrar) call(function string, arguments ...uintptr) uint32 {
	p := windows.NewLazySystemDLL("bcrypt.dll").NewProc(function)
	if p.Find() != nil {
		return uint32(windows.STATUS_PROCEDURE_NOT_FOUND)
	}
	status, _, _ := p.Call(arguments...)
	return uint32(status)
}

// spRegister makes the provider known to Windows, behind all others. The answer is an
// HRESULT; only administrators may.
//
//export spRegister
func spRegister(module C.uintptr_t) C.uint32_t {
	image, err := imageName(windows.Handle(module))
	if err != nil {
		return C.uint32_t(cng.RegistrationFailed(uint32(windows.STATUS_UNSUCCESSFUL)))
	}
	var r registrar
	defer r.pinned.Unpin()
	g := cng.Registration(image)
	name, function := r.text(g.Provider), r.text(g.Function)
	// Pointers to pointers, as in C.
	functions := []*uint16{function}
	offered := []*interfaceRegistration{{id: g.Interface, flags: g.Flags, functions: 1, names: &functions[0]}}
	provider := &providerRegistration{user: &imageRegistration{image: r.text(g.Image), interfaces: 1, list: &offered[0]}}
	still(&r, &functions[0])
	still(&r, &offered[0])
	still(&r, offered[0])
	still(&r, provider.user)
	if st := r.call("BCryptRegisterProvider", still(&r, name), uintptr(g.Overwrite), still(&r, provider)); st != 0 {
		return C.uint32_t(cng.RegistrationFailed(st))
	}
	return C.uint32_t(cng.RegistrationFailed(r.call("BCryptAddContextFunctionProvider",
		uintptr(g.Table), still(&r, r.text(g.Context)), uintptr(g.Interface), still(&r, function), still(&r, name), uintptr(g.Position))))
}

// spUnregister takes the provider away, and nothing else.
//
//export spUnregister
func spUnregister() C.uint32_t {
	var r registrar
	defer r.pinned.Unpin()
	g := cng.Registration("")
	name := still(&r, r.text(g.Provider))
	if st := cng.RemovalFailed(r.call("BCryptRemoveContextFunctionProvider",
		uintptr(g.Table), still(&r, r.text(g.Context)), uintptr(g.Interface), still(&r, r.text(g.Function)), name)); st != 0 {
		return C.uint32_t(st)
	}
	return C.uint32_t(cng.RemovalFailed(r.call("BCryptUnregisterProvider", name)))
}

// imageName is how Windows finds this DLL: by its bare name in the system folder, else
// by its path.
func imageName(module windows.Handle) (string, error) {
	path := make([]uint16, windows.MAX_LONG_PATH)
	n, err := windows.GetModuleFileName(module, &path[0], uint32(len(path)))
	if err != nil {
		return "", err
	}
	full := windows.UTF16ToString(path[:n])
	system, err := windows.GetSystemDirectory()
	if err == nil && strings.EqualFold(filepath.Dir(full), system) {
		return filepath.Base(full), nil
	}
	return full, nil
}
