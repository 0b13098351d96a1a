package core

// #include "port.h"
import "C"

import (
	"math"
	"unsafe"

	"signpath/internal/provider/cryptoki"
)

// unavailable is CK_UNAVAILABLE_INFORMATION (section 3.1).
const unavailable = uint64(^C.ulong(0))

// arguments reads the arguments of a call that is still queued: after accept,
// the host's memory must not be touched.
type arguments struct{ c *C.struct_sp_call }

// number reads a CK_ULONG, which may be shorter than its register.
func (a arguments) number(i int) uint64 { return uint64(C.ulong(a.c.args[i])) }

// bool reads a CK_BBOOL: the upper bits of its register are undefined.
func (a arguments) bool(i int) bool { return a.c.args[i]&0xff != 0 }

// pointer goes through memory, because an integer is no pointer to the garbage
// collector; the host's memory is none of its business.
func (a arguments) pointer(i int) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&a.c.args[i]))
}

// Bounds of what is copied out of the host's memory: a length that a host never
// set must not make Go ask for terabytes, which would end the process.
const (
	maxAttributes = 4096    // in one template
	maxValue      = 1 << 20 // bytes of a value in a search template
	maxParameter  = 4096    // bytes of a mechanism's parameter; what is longer fits none
)

// pin copies a PIN, but no more than shows that it is too long.
func (a arguments) pin(pointer, length int) (pin []byte, null bool) {
	p := a.pointer(pointer)
	if p == nil {
		return nil, true
	}
	return append([]byte{}, unsafe.Slice((*byte)(p), min(a.number(length), cryptoki.MaxPINLength+1))...), false
}

// view is a buffer in place; not ok when it is NULL but has a length, or when it
// would go beyond the end of memory.
func (a arguments) view(pointer, length int) (b []byte, ok bool) {
	p, n := a.pointer(pointer), a.number(length)
	if p == nil {
		return nil, n == 0
	}
	if n > uint64(-uintptr(p)-1) || n > math.MaxInt {
		return nil, false
	}
	return unsafe.Slice((*byte)(p), n), true
}

// output describes an output buffer: its pointer, and behind it the pointer to its length.
func (a arguments) output(i int) cryptoki.Output {
	return cryptoki.Output{Null: a.pointer(i) == nil, Len: uint64(*(*C.ulong)(a.pointer(i + 1)))}
}

func (a arguments) mechanism(i int) cryptoki.Mechanism {
	m := (*entry)(a.pointer(i))
	out := cryptoki.Mechanism{Type: m.kind(), ParameterNull: m.value() == nil}
	if m.value() != nil {
		out.Parameter = append([]byte{}, unsafe.Slice((*byte)(m.value()), min(m.length(), maxParameter))...)
	}
	return out
}

// template copies a search template; not ok when a pointer is missing or a
// length cannot be meant.
func (a arguments) template(pointer, count int) ([]cryptoki.Attribute, bool) {
	p := a.pointer(pointer)
	if p == nil {
		return nil, a.number(count) == 0
	}
	if a.number(count) > maxAttributes {
		return nil, false
	}
	in := unsafe.Slice((*entry)(p), a.number(count))
	out := make([]cryptoki.Attribute, len(in))
	for i := range in {
		kind, value, length := in[i].kind(), in[i].value(), in[i].length()
		if value == nil && length != 0 || length > maxValue {
			return nil, false
		}
		out[i] = cryptoki.Attribute{Type: kind, Null: value == nil}
		if value != nil {
			out[i].Value = append([]byte{}, unsafe.Slice((*byte)(value), length)...)
		}
	}
	return out, true
}

func numbers(p unsafe.Pointer, n int) []C.ulong { return unsafe.Slice((*C.ulong)(p), n) }

func putNumbers(p unsafe.Pointer, values []uint64) {
	for i, to := 0, numbers(p, len(values)); i < len(values); i++ {
		to[i] = C.ulong(values[i])
	}
}

// list answers the functions that fill an array of CK_ULONG whose length stands
// behind the pointer after it (C_GetSlotList, C_GetMechanismList; section 5.2).
func list(a arguments, at int, values []uint64) cryptoki.RV {
	count := (*C.ulong)(a.pointer(at + 1))
	room := uint64(*count)
	*count = C.ulong(len(values))
	switch {
	case a.pointer(at) == nil:
		return cryptoki.CKR_OK
	case room < uint64(len(values)):
		return cryptoki.CKR_BUFFER_TOO_SMALL
	}
	putNumbers(a.pointer(at), values)
	return cryptoki.CKR_OK
}

// slotInfo is CK_SLOT_INFO (section 3.2); packed or not, it has no gaps.
type slotInfo struct {
	description        [64]byte
	manufacturer       [32]byte
	flags              C.ulong
	hardware, firmware [2]byte
}

func putSlotInfo(p unsafe.Pointer, i cryptoki.SlotInfo) {
	*(*slotInfo)(p) = slotInfo{i.Description, i.ManufacturerID, C.ulong(i.Flags), i.HardwareVersion, i.FirmwareVersion}
}

// tokenInfo is CK_TOKEN_INFO (section 3.2); no gaps either.
type tokenInfo struct {
	label, manufacturer       [32]byte
	model, serial             [16]byte
	flags                     C.ulong
	maxSessions, sessions     C.ulong
	maxRW, rw                 C.ulong
	maxPIN, minPIN            C.ulong
	totalPublic, freePublic   C.ulong
	totalPrivate, freePrivate C.ulong
	hardware, firmware        [2]byte
	utc                       [16]byte
}

func putTokenInfo(p unsafe.Pointer, i cryptoki.TokenInfo) {
	*(*tokenInfo)(p) = tokenInfo{
		label: i.Label, manufacturer: i.ManufacturerID, model: i.Model, serial: i.SerialNumber, flags: C.ulong(i.Flags),
		maxSessions: C.ulong(i.MaxSessionCount), sessions: C.ulong(i.SessionCount), maxRW: C.ulong(i.MaxRwSessionCount), rw: C.ulong(i.RwSessionCount),
		maxPIN: C.ulong(i.MaxPinLen), minPIN: C.ulong(i.MinPinLen),
		totalPublic: C.ulong(i.TotalPublicMemory), freePublic: C.ulong(i.FreePublicMemory),
		totalPrivate: C.ulong(i.TotalPrivateMemory), freePrivate: C.ulong(i.FreePrivateMemory),
		hardware: i.HardwareVersion, firmware: i.FirmwareVersion, utc: i.UTCTime,
	}
}
