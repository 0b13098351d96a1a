// Package cng is the logic of the key storage provider SignPathKSP of Windows'
// Cryptography API: Next Generation: providers, keys, enumerations, properties,
// public key blobs, signatures. It is pure Go and runs, and is tested, anywhere.
//
// What enters are the calls of a host as they cross the function table
// (NCRYPT_KEY_STORAGE_FUNCTION_TABLE, version 1.0): the number of the slot and its
// arguments as bare integers. The host's memory is reached through a Memory and
// nothing else, so that this package, not the shim, decides about NULL pointers,
// short buffers, pointers that lead nowhere and structures. What leaves is a
// SECURITY_STATUS (winkeys.Status) and what was written into that memory.
//
// Encodings: texts are UTF-16, little-endian, with a zero unit at the end; sizes are
// bytes; RSA signatures are big-endian blocks as long as the modulus, ECDSA ones
// r‖s; blobs are those of bcrypt.h. Handles are numbers, never pointers: one that
// was freed, made up, or is of another kind is NTE_INVALID_HANDLE. A key outlives
// the provider that it was opened with, as signtool frees the provider first.
//
// Only OpenKey, EnumKeys and SignHash use the network; a question for a size never
// does. The package creates, changes, exports and deletes no private key, shows no
// window, and a fault of its own ends as NTE_FAIL, not in the host.
//
// Source: "Cryptography API: Next Generation", NCrypt functions and "CNG Key
// Storage Provider"; bcrypt.h, ncrypt.h. The rules stand in tables: slots here,
// properties.go, blobs.go, padding.go, flags.go.
package cng

import (
	"crypto/rand"
	"encoding/binary"
	"sync"

	"signpath/internal/provider/winkeys"
)

// Status is a SECURITY_STATUS.
type Status = winkeys.Status

// ProviderName is the name under which the provider is registered.
const ProviderName = "SignPathKSP"

// Memory is the host's address space. A pointer that leads nowhere makes Read and
// Write false; it must not end the process.
type Memory interface {
	// Read fills b from an address.
	Read(address uintptr, b []byte) bool
	// Write puts b at an address.
	Write(address uintptr, b []byte) bool
	// Alloc gives zeroed memory for the host, 0 when there is none.
	Alloc(size int) uintptr
	// Free takes memory of Alloc back.
	Free(address uintptr)
}

// Options make a KSP.
type Options struct {
	Version     string          // of the DLL, "1.2.3"
	Environ     func() []string // the process's environment, NAME=value
	Memory      Memory
	PointerSize int // bytes: 4 or 8
}

// KSP is the provider in one process. Call may be used from any thread.
type KSP struct {
	opts Options
	app  *winkeys.Application

	mu      sync.Mutex // never held during network calls
	next    Handle
	objects map[Handle]any           // *provider, *key
	given   map[uintptr]*enumeration // memory that the host has; nil for plain buffers
}

// New makes a KSP. Nothing is read and nothing is written. Handles start at a
// random number, so that those of another provider are hardly taken for ours.
func New(o Options) *KSP {
	k := &KSP{
		opts: o, objects: map[Handle]any{}, given: map[uintptr]*enumeration{},
		app: winkeys.New(winkeys.Options{Interface: "KSP", Version: o.Version, Environ: o.Environ}),
	}
	var start [4]byte
	_, _ = rand.Read(start[:]) // never fails
	k.next = Handle(binary.LittleEndian.Uint32(start[:])>>2 | 1<<16)
	return k
}

// slot is one function of the table.
type slot struct {
	name string
	args int
	run  func(*call) Status
}

// slots is the function table in the order of the interface (ncrypt_provider.h,
// version 1.0).
var slots = [...]slot{
	{"OpenProvider", 3, (*call).openProvider},
	{"OpenKey", 5, (*call).openKey},
	{"CreatePersistedKey", 6, refuse(atProvider, "keys are made by the service's administrators")},
	{"GetProviderProperty", 6, (*call).getProviderProperty},
	{"GetKeyProperty", 7, (*call).getKeyProperty},
	{"SetProviderProperty", 5, (*call).setProviderProperty},
	{"SetKeyProperty", 6, (*call).setKeyProperty},
	{"FinalizeKey", 3, refuse(atKey, "keys are made by the service's administrators")},
	{"DeleteKey", 3, refuse(atKey, "keys are deleted by the service's administrators")},
	{"FreeProvider", 1, (*call).freeProvider},
	{"FreeKey", 2, (*call).freeKey},
	{"FreeBuffer", 1, (*call).freeBuffer},
	{"Encrypt", 9, refuse(atKey, "the keys of the service sign only")},
	{"Decrypt", 9, refuse(atKey, "the keys of the service sign only")},
	{"IsAlgSupported", 3, (*call).isAlgSupported},
	{"EnumAlgorithms", 5, (*call).enumAlgorithms},
	{"EnumKeys", 5, (*call).enumKeys},
	{"ImportKey", 8, refuse(atProvider, "keys are imported by the service's administrators")},
	{"ExportKey", 9, (*call).exportKey},
	{"SignHash", 9, (*call).signHash},
	{"VerifySignature", 8, (*call).verifySignature},
	{"PromptUser", 4, refuse(atKey, "this provider shows no window")},
	{"NotifyChangeKey", 3, refuse(atProvider, "this provider does not watch the keys")},
	{"SecretAgreement", 5, refuse(atKey, "the keys of the service sign only")},
	{"DeriveKey", 8, refuse(atProvider, "the keys of the service sign only")},
	{"FreeSecret", 2, refuse(atProvider, "the keys of the service sign only")},
	{"GetKeyStorageInterface", 4, (*call).keyStorageInterface}, // not in the table: it gives the table
}

// call is one call of the host.
type call struct {
	*KSP

	name string
	a    []uintptr
	log  []any // names and values for the trace
}

// Call answers a call through slot number n of the table, or of
// GetKeyStorageInterface, whose number is the next one; args are the arguments in order,
// those narrower than a pointer widened. It never panics.
func (k *KSP) Call(n int, args []uintptr) (st Status) {
	if n < 0 || n >= len(slots) || len(args) != slots[n].args {
		return winkeys.NTE_NOT_SUPPORTED
	}
	c := &call{KSP: k, name: slots[n].name, a: args}
	defer k.app.Trace(c.name, &st, &c.log)
	return slots[n].run(c)
}

// keyStorageInterface answers GetKeyStorageInterface(pszProviderName,
// ppFunctionTable, dwFlags) with the address of the table, which is the fourth argument.
func (c *call) keyStorageInterface() Status {
	if !c.write(c.a[1], c.pointer(c.a[3])) {
		return winkeys.NTE_INVALID_PARAMETER
	}
	return winkeys.OK
}

// note adds to the trace.
func (c *call) note(args ...any) { c.log = append(c.log, args...) }

// dword is an argument of 32 bits.
func (c *call) dword(i int) uint32 { return uint32(c.a[i]) } //nolint:gosec // the upper half of a widened argument means nothing

// What the first handle that counts is.
const (
	atProvider = 0
	atKey      = 1
)

// refuse answers a function that no key of the service can serve. A handle that is
// none comes first.
func refuse(what int, why string) func(*call) Status {
	return func(c *call) Status {
		h := Handle(c.a[what])
		c.note("handle", uint64(h), "cause", why)
		known := c.object(h)
		if _, ok := known.(*provider); ok && what == atProvider {
			return winkeys.NTE_NOT_SUPPORTED
		}
		if _, ok := known.(*key); ok && what == atKey {
			return winkeys.NTE_NOT_SUPPORTED
		}
		return winkeys.NTE_INVALID_HANDLE
	}
}
