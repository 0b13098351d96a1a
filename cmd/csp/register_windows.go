package main

// #include <stdint.h>
import "C"

import (
	"errors"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"signpath/internal/provider/capi"
)

// spRegister writes what CryptoAPI needs to find this DLL. The answer is an HRESULT;
// only administrators may.
//
//export spRegister
func spRegister(module word) outcome {
	path := make([]uint16, windows.MAX_LONG_PATH)
	n, err := windows.GetModuleFileName(windows.Handle(module), &path[0], uint32(len(path)))
	if err != nil {
		return result(err)
	}
	k, _, err := registry.CreateKey(registry.LOCAL_MACHINE, capi.RegistryKey, registry.SET_VALUE)
	if err != nil {
		return result(err)
	}
	defer func() { _ = k.Close() }()
	for _, v := range capi.Registration(windows.UTF16ToString(path[:n])) {
		switch {
		case v.Text != "":
			err = k.SetStringValue(v.Name, v.Text)
		case v.Binary != nil:
			err = k.SetBinaryValue(v.Name, v.Binary)
		default:
			err = k.SetDWordValue(v.Name, v.Number)
		}
		if err != nil {
			return result(err)
		}
	}
	return 0
}

// spUnregister removes it. The answer is an HRESULT; what is not there is removed.
//
//export spUnregister
func spUnregister() outcome {
	if err := registry.DeleteKey(registry.LOCAL_MACHINE, capi.RegistryKey); err != nil && !errors.Is(err, registry.ErrNotExist) {
		return result(err)
	}
	return 0
}

// result is HRESULT_FROM_WIN32.
func result(err error) outcome {
	var code windows.Errno
	if errors.As(err, &code) && code != 0 {
		return outcome(0x80070000 | uint32(code)&0xFFFF)
	}
	return 0x80004005 // E_FAIL
}
