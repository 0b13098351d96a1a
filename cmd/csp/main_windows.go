package main

// #include <stdint.h>
import "C"

import (
	"io"
	"log"
	"os"
	"runtime"
	"sync"

	"signpath/internal/buildinfo"
	"signpath/internal/provider/capi"
)

// csp is the provider of this process: a DLL has no place of its own but this.
var csp = sync.OnceValue(func() *capi.Provider {
	// One thread for calls and one for the network; more would only be more threads
	// in somebody else's process.
	runtime.GOMAXPROCS(2)
	log.SetOutput(io.Discard) // the standard library's own complaints
	return capi.New(capi.Options{Version: buildinfo.Version(), Environ: os.Environ})
})

type (
	word    = C.uintptr_t // a handle or an address
	dword   = C.uint32_t
	outcome = C.uint32_t
)

//export spAcquireContext
func spAcquireContext(place, container word, flags dword, table word) outcome {
	text, ok := name(uintptr(container))
	if !ok {
		return outcome(capi.ERROR_INVALID_PARAMETER)
	}
	return outcome(handle(uintptr(place), func() (capi.Handle, capi.Status) {
		return csp().AcquireContext(text, uint32(flags), registered(uintptr(table)))
	}))
}

//export spReleaseContext
func spReleaseContext(context word, flags dword) outcome {
	return outcome(csp().ReleaseContext(capi.Handle(context), uint32(flags)))
}

//export spGetProvParam
func spGetProvParam(context word, param dword, data, length word, flags dword) outcome {
	return outcome(answer(uintptr(data), uintptr(length), func(out *capi.Output) capi.Status {
		return csp().GetProvParam(capi.Handle(context), uint32(param), out, uint32(flags))
	}))
}

//export spSetProvParam
func spSetProvParam(context word, param dword) outcome {
	return outcome(csp().SetProvParam(capi.Handle(context), uint32(param)))
}

//export spGetUserKey
func spGetUserKey(context word, spec dword, place word) outcome {
	return outcome(handle(uintptr(place), func() (capi.Handle, capi.Status) {
		return csp().GetUserKey(capi.Handle(context), uint32(spec))
	}))
}

//export spDestroyKey
func spDestroyKey(context, key word) outcome {
	return outcome(csp().DestroyKey(capi.Handle(context), capi.Handle(key)))
}

//export spDuplicateKey
func spDuplicateKey(context, key, reserved word, flags dword, place word) outcome {
	return outcome(handle(uintptr(place), func() (capi.Handle, capi.Status) {
		return csp().DuplicateKey(capi.Handle(context), capi.Handle(key), reserved != 0, uint32(flags))
	}))
}

//export spExportKey
func spExportKey(context, key, with word, kind, flags dword, data, length word) outcome {
	return outcome(answer(uintptr(data), uintptr(length), func(out *capi.Output) capi.Status {
		return csp().ExportKey(capi.Handle(context), capi.Handle(key), capi.Handle(with), uint32(kind), uint32(flags), out)
	}))
}

//export spImportKey
func spImportKey(context, data word, length dword, with word, flags dword, place word) outcome {
	blob, ok := read(uintptr(data), int(min(uint32(length), longest)))
	if !ok {
		return outcome(capi.ERROR_INVALID_PARAMETER)
	}
	return outcome(handle(uintptr(place), func() (capi.Handle, capi.Status) {
		return csp().ImportKey(capi.Handle(context), blob, capi.Handle(with), uint32(flags))
	}))
}

//export spGetKeyParam
func spGetKeyParam(context, key word, param dword, data, length word, flags dword) outcome {
	return outcome(answer(uintptr(data), uintptr(length), func(out *capi.Output) capi.Status {
		return csp().GetKeyParam(capi.Handle(context), capi.Handle(key), uint32(param), out, uint32(flags))
	}))
}

//export spCreateHash
func spCreateHash(context word, algorithm dword, key word, flags dword, place word) outcome {
	return outcome(handle(uintptr(place), func() (capi.Handle, capi.Status) {
		return csp().CreateHash(capi.Handle(context), uint32(algorithm), capi.Handle(key), uint32(flags))
	}))
}

//export spDestroyHash
func spDestroyHash(context, hash word) outcome {
	return outcome(csp().DestroyHash(capi.Handle(context), capi.Handle(hash)))
}

//export spDuplicateHash
func spDuplicateHash(context, hash, reserved word, flags dword, place word) outcome {
	return outcome(handle(uintptr(place), func() (capi.Handle, capi.Status) {
		return csp().DuplicateHash(capi.Handle(context), capi.Handle(hash), reserved != 0, uint32(flags))
	}))
}

//export spHashData
func spHashData(context, hash, data word, length, flags dword) outcome {
	at, left := uintptr(data), uint64(length)
	for {
		b, ok := read(at, int(min(left, chunk)))
		if !ok {
			return outcome(capi.ERROR_INVALID_PARAMETER)
		}
		st := csp().HashData(capi.Handle(context), capi.Handle(hash), b, uint32(flags))
		at, left = at+uintptr(len(b)), left-uint64(len(b))
		if st != capi.OK || left == 0 {
			return outcome(st)
		}
	}
}

//export spGetHashParam
func spGetHashParam(context, hash word, param dword, data, length word, flags dword) outcome {
	return outcome(answer(uintptr(data), uintptr(length), func(out *capi.Output) capi.Status {
		return csp().GetHashParam(capi.Handle(context), capi.Handle(hash), uint32(param), out, uint32(flags))
	}))
}

//export spSetHashParam
func spSetHashParam(context, hash word, param dword, data word, flags dword) outcome {
	value := func(n int) ([]byte, bool) { return read(uintptr(data), n) }
	return outcome(csp().SetHashParam(capi.Handle(context), capi.Handle(hash), uint32(param), value, uint32(flags)))
}

//export spSignHash
func spSignHash(context, hash word, spec dword, description word, flags dword, data, length word) outcome {
	return outcome(answer(uintptr(data), uintptr(length), func(out *capi.Output) capi.Status {
		return csp().SignHash(capi.Handle(context), capi.Handle(hash), uint32(spec), described(uintptr(description)), uint32(flags), out)
	}))
}

//export spVerifySignature
func spVerifySignature(context, hash, data word, length dword, key, description word, flags dword) outcome {
	signature, ok := read(uintptr(data), int(min(uint32(length), longest)))
	if !ok {
		return outcome(capi.ERROR_INVALID_PARAMETER)
	}
	return outcome(csp().VerifySignature(capi.Handle(context), capi.Handle(hash), signature, capi.Handle(key), described(uintptr(description)), uint32(flags)))
}

//export spGenRandom
func spGenRandom(context, data word, length dword) outcome {
	at, left := uintptr(data), uint64(length)
	for {
		b := make([]byte, min(left, chunk))
		if st := csp().GenRandom(capi.Handle(context), b); st != capi.OK {
			return outcome(st)
		}
		if !write(at, b) {
			return outcome(capi.ERROR_INVALID_PARAMETER)
		}
		at, left = at+uintptr(len(b)), left-uint64(len(b))
		if left == 0 {
			return outcome(capi.OK)
		}
	}
}

//export spRefuse
func spRefuse(function *C.char, context word) outcome {
	return outcome(csp().Refuse(capi.Function(C.GoString(function)), capi.Handle(context)))
}
