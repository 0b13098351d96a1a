package standard

import (
	"encoding/binary"
	"os"
)

// layout is how the standard's values and structures lie in a host's memory (section
// 2.1): sizes and offsets in bytes.
type layout struct {
	long    uint64 // CK_ULONG
	pointer uint64

	entry, value, length                         uint64 // CK_ATTRIBUTE, CK_MECHANISM: its size, offsets of its pointer and length
	info, infoFlags, infoDescription             uint64 // CK_INFO: size, flags, libraryDescription
	slot, token, session, mechanism              uint64 // sizes of CK_SLOT_INFO, CK_TOKEN_INFO, CK_SESSION_INFO, CK_MECHANISM_INFO
	functions                                    uint64 // CK_FUNCTION_LIST: offset of the first function
	face, faceList, faceFlags                    uint64 // CK_INTERFACE: size, offsets of pFunctionList and flags
	arguments, argumentsFlags, argumentsReserved uint64 // CK_C_INITIALIZE_ARGS
}

var (
	// lp64 has natural alignment: Linux, macOS.
	lp64 = layout{8, 8, 24, 8, 16, 88, 40, 48, 112, 208, 32, 24, 8, 24, 8, 16, 48, 32, 40}
	// packed is that of 64-bit Windows: packed by one byte, CK_ULONG of 32 bits.
	packed = layout{4, 8, 16, 4, 12, 72, 34, 38, 104, 160, 16, 12, 2, 20, 8, 16, 44, 32, 36}
)

// windows says that the modules are Windows' and run under Wine: another layout, and
// no forks. It is the mode of a whole run: scripts/parts/windows.sh.
var windows = os.Getenv("E2E_STANDARD_WINDOWS") == "1"

// in is the layout of this run.
var in = map[bool]layout{false: lp64, true: packed}[windows]

// unavailable is CK_UNAVAILABLE_INFORMATION.
var unavailable = ^uint64(0) >> (64 - 8*in.long)

func number(b []byte, size uint64, v uint64) []byte {
	if size == 4 {
		return binary.LittleEndian.AppendUint32(b, uint32(v)) //nolint:gosec // what does not fit is a test's -1
	}
	return binary.LittleEndian.AppendUint64(b, v)
}

func read(b []byte) uint64 {
	if len(b) == 4 {
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

// long are CK_ULONGs.
func long(v ...uint64) (b []byte) {
	for _, n := range v {
		b = number(b, in.long, n)
	}
	return b
}

// entry are CK_ATTRIBUTEs or CK_MECHANISMs: type, pointer, length for each.
func entry(v ...uint64) (b []byte) {
	for i, n := range v {
		size := in.long
		if i%3 == 1 {
			size = in.pointer
		}
		b = number(b, size, n)
	}
	return b
}

func (r *run) long(at uint64) uint64    { return read(r.read(at, int(in.long))) }
func (r *run) pointer(at uint64) uint64 { return read(r.read(at, int(in.pointer))) }

// longs is an array of CK_ULONG in the process, place one for a pointer, entries an
// array of CK_ATTRIBUTE or a CK_MECHANISM.
func (r *run) longs(v ...uint64) uint64   { return r.bytes(long(v...)) }
func (r *run) place() uint64              { return r.bytes(make([]byte, in.pointer)) }
func (r *run) entries(v ...uint64) uint64 { return r.bytes(entry(v...)) }

// arguments is a CK_C_INITIALIZE_ARGS: four functions, flags, pReserved.
func (r *run) arguments(v ...uint64) uint64 {
	b := make([]byte, in.arguments)
	at := []uint64{0, in.pointer, 2 * in.pointer, 3 * in.pointer, in.argumentsFlags, in.argumentsReserved}
	for i, n := range v {
		size := in.pointer
		if i == 4 {
			size = in.long
		}
		copy(b[at[i]:], number(nil, size, n))
	}
	return r.bytes(b)
}

// outPointer calls what has to work and fills in one pointer at the end of its arguments.
func (r *run) outPointer(function string, args ...uint64) uint64 {
	at := r.place()
	r.ok(function, append(args, at)...)
	return r.pointer(at)
}

// forks says whether the host can.
func forking(*token) bool { return !windows }
