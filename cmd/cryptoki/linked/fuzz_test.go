//go:build linux && cgo

package linked

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"signpath/internal/provider/cryptoki"
)

// guard is memory whose last byte stands before a forbidden page: what reads or
// writes too far faults. In C that ends the process, which the fuzzer reports; in Go
// it is CKR_GENERAL_ERROR, which no target allows for pointers that are good.
type guard struct{ Memory }

func newGuard() guard { return guard{Guarded(1 << 20)} }

// put is a buffer with exactly these bytes; it is valid until the next put.
func (g guard) put(b []byte) uint64 {
	m := g.End(len(b))
	copy(m.Bytes(), b)
	return m.Address()
}

// input cuts fuzzed bytes into numbers and pieces; at the end all is zero.
type input struct{ rest []byte }

func (in *input) byte() byte {
	if len(in.rest) == 0 {
		return 0
	}
	b := in.rest[0]
	in.rest = in.rest[1:]
	return b
}

func (in *input) take(n int) []byte {
	n = min(n, len(in.rest))
	b := in.rest[:n]
	in.rest = in.rest[n:]
	return b
}

// number is small, near a power of two, or any.
func (in *input) number() uint64 {
	switch b := in.byte(); {
	case b < 0x80:
		return uint64(b)
	case b < 0xC0:
		return 1<<(b&63) - 1
	case b < 0xE0:
		return ^uint64(b & 31)
	}
	var full [8]byte
	copy(full[:], in.take(8))
	return binary.LittleEndian.Uint64(full[:])
}

// unmapped is an address that no memory has.
const unmapped = 0x7ff0_0000_0000

// state is what a fuzz target starts from: a session that is logged in, and keys.
type state struct {
	host
	session, rsa, ec, rsaPublic, ecPublic, ed, edPublic uint64
}

func newState(f *testing.F) state {
	initialized(f)
	h := host{f, newArena(f)}
	s := h.open()
	h.login(s)
	return state{h, s, h.key(s, 3, rsaName), h.key(s, 3, ecName), h.key(s, 2, rsaName), h.key(s, 2, ecName), h.key(s, 3, edName), h.key(s, 2, edName)}
}

func allowed(t *testing.T, what string, rv cryptoki.RV, codes ...cryptoki.RV) {
	t.Helper()
	if !slices.Contains(codes, rv) {
		t.Errorf("%s: %v, allowed %v", what, rv, codes)
	}
}

// FuzzTemplateABI: any array of CK_ATTRIBUTE with any count. Search and attribute
// look-up answer with a code of their lists, and write only where they were allowed.
func FuzzTemplateABI(f *testing.F) {
	st := newState(f)
	f.Add([]byte("\x01\x00\x01\x08\x03\x00\x00\x00\x00\x00\x00\x00"), byte(0), byte(0))
	f.Add([]byte("\x02\x00\x01\x02hi\x7f\x02\x00\xff"), byte(1), byte(1))
	f.Add([]byte("\x03\x00\x03\x10\x10\x01\x05\x11\x02\x20"), byte(2), byte(3))
	f.Add([]byte("\x02\x03\x04\x02hi\x00\x04\x08\x03\x00\x00\x00\x00\x00\x00\x00"), byte(0), byte(0)) // a short CKA_LABEL at the forbidden page
	table, values, results := newGuard(), newGuard(), newGuard()
	f.Fuzz(func(t *testing.T, data []byte, count, object byte) {
		in := &input{data}
		n := int(in.byte() % 16)
		var raw []byte
		good := true
		type slot struct{ pointer, length uint64 }
		var slots []slot
		used := 0 // from the end: the first value stands before the forbidden page
		for range n {
			kind, form := in.number(), in.byte()%5
			v := in.take(int(in.byte() % 64))
			used += len(v)
			place := values.End(used)
			copy(place.Bytes(), v)
			s := slot{place.Address(), uint64(len(v))}
			switch form {
			case 0:
				s.pointer = 0
			case 1: // a length that is not meant
				s.length = in.number()
				good = false
			case 2:
				s = slot{unmapped, uint64(len(v))}
				good = good && len(v) == 0
			case 3:
				s = slot{0, 0}
			}
			good = good && (s.pointer != 0 || s.length == 0)
			slots = append(slots, s)
			raw = append(raw, long(kind, s.pointer, s.length)...)
		}
		at, claimed := table.put(raw), uint64(n)
		if count > 0 { // a count that goes beyond the array
			claimed, good = claimed+uint64(count), false
		}
		const ok = cryptoki.CKR_OK
		find := []cryptoki.RV{ok}
		if !good {
			find = append(find, cryptoki.CKR_ARGUMENTS_BAD, cryptoki.CKR_GENERAL_ERROR)
		}
		rv := call("C_FindObjectsInit", st.session, at, claimed)
		allowed(t, "C_FindObjectsInit", rv, find...)
		if rv == ok {
			list, found := results.put(make([]byte, 17*8)), newArena(t).longs(0)
			allowed(t, "C_FindObjects", call("C_FindObjects", st.session, list, 17, found.Address()), ok)
			allowed(t, "C_FindObjectsFinal", call("C_FindObjectsFinal", st.session), ok)
		}
		copyCodes := []cryptoki.RV{cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_ACTION_PROHIBITED}
		look := []cryptoki.RV{ok, cryptoki.CKR_ATTRIBUTE_SENSITIVE, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, cryptoki.CKR_BUFFER_TOO_SMALL}
		if !good {
			look = append(look, cryptoki.CKR_ARGUMENTS_BAD, cryptoki.CKR_GENERAL_ERROR)
			copyCodes = append(copyCodes, cryptoki.CKR_ARGUMENTS_BAD, cryptoki.CKR_GENERAL_ERROR)
		}
		key := []uint64{st.rsa, st.ec, st.rsaPublic, st.ecPublic}[object%4]
		allowed(t, "C_CopyObject", call("C_CopyObject", st.session, key, at, claimed, at), copyCodes...)
		rv = call("C_GetAttributeValue", st.session, key, at, claimed)
		if n == 0 && claimed == 0 {
			look = append(look, cryptoki.CKR_ARGUMENTS_BAD)
		}
		allowed(t, "C_GetAttributeValue", rv, look...)
		if good && rv != cryptoki.CKR_ARGUMENTS_BAD {
			for i, s := range slots {
				got := binary.LittleEndian.Uint64(table.End(len(raw)).Bytes()[24*i+16:])
				if s.pointer != 0 && got != ^uint64(0) && got > s.length {
					t.Errorf("attribute %d: %d bytes in a buffer of %d", i, got, s.length)
				}
			}
		}
	})
}

// FuzzMechanismABI: any mechanism, parameter, data and lengths. A signature appears
// only in full, of the right length, and verifies; what fails ends the operation.
func FuzzMechanismABI(f *testing.F) {
	st := newState(f)
	pss := long(0x250, 2, 32)
	info := append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, make([]byte, 32)...)
	f.Add(uint64(0x1), []byte{}, uint64(0), info, uint64(len(info)), uint64(rsaSize), byte(0))
	f.Add(uint64(0xD), pss, uint64(24), make([]byte, 32), uint64(32), uint64(rsaSize), byte(0))
	f.Add(uint64(0x43), pss, uint64(24), []byte("abc"), uint64(3), uint64(1000), byte(2))
	f.Add(uint64(0x1041), []byte{}, uint64(0), make([]byte, 32), uint64(32), uint64(ecSize), byte(1))
	f.Add(uint64(0x1044), []byte{}, uint64(0), []byte("abc"), uint64(1<<62), uint64(63), byte(1))
	f.Add(uint64(0x40), []byte(nil), ^uint64(0), []byte(nil), uint64(5), uint64(0), byte(4))
	f.Add(uint64(0x1057), []byte(nil), uint64(0), []byte("abc"), uint64(3), uint64(ecSize), byte(9))
	parameters, inputs, outputs, mechanisms := newGuard(), newGuard(), newGuard(), newGuard()
	f.Fuzz(func(t *testing.T, mechanism uint64, parameter []byte, parameterLen uint64, data []byte, dataLen, room uint64, form byte) {
		if len(parameter) > 4096 || len(data) > 1<<16 {
			return
		}
		room %= 1 << 12
		key, public, size := st.rsa, st.rsaPublic, uint64(rsaSize)
		if form&1 != 0 {
			key, public, size = st.ec, st.ecPublic, ecSize
			if form&8 != 0 {
				key, public = st.ed, st.edPublic
			}
		}
		p, in := parameters.put(parameter), inputs.put(data)
		if form&2 != 0 {
			p, in = 0, 0
		}
		m := mechanisms.put(long(mechanism, p, parameterLen))
		honest := parameterLen <= uint64(len(parameter)) && p != 0
		codes := []cryptoki.RV{cryptoki.CKR_OK, cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_MECHANISM_PARAM_INVALID, cryptoki.CKR_KEY_TYPE_INCONSISTENT}
		if !honest {
			codes = append(codes, cryptoki.CKR_GENERAL_ERROR)
		}
		rv := call("C_SignInit", st.session, m, key)
		allowed(t, "C_SignInit", rv, codes...)
		idle := func() {
			t.Helper()
			allowed(t, "C_SignUpdate afterwards", call("C_SignUpdate", st.session, 0, 0), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
		}
		if rv != cryptoki.CKR_OK {
			idle()
			return
		}
		buffer := bytes.Repeat([]byte{0xA5}, int(room))
		sig, n := outputs.put(buffer), newArena(t).longs(room)
		if form&4 != 0 {
			sig = 0
		}
		codes = []cryptoki.RV{cryptoki.CKR_OK, cryptoki.CKR_BUFFER_TOO_SMALL, cryptoki.CKR_DATA_INVALID, cryptoki.CKR_DATA_LEN_RANGE}
		if in == 0 && dataLen != 0 || dataLen > uint64(len(data)) {
			codes = append(codes, cryptoki.CKR_ARGUMENTS_BAD, cryptoki.CKR_GENERAL_ERROR)
		}
		rv = call("C_Sign", st.session, in, dataLen, sig, n.Address())
		allowed(t, "C_Sign", rv, codes...)
		made := rv == cryptoki.CKR_OK && sig != 0
		if (rv == cryptoki.CKR_OK || rv == cryptoki.CKR_BUFFER_TOO_SMALL) && value(n) != size {
			t.Errorf("the length is %d, not %d", value(n), size)
		}
		if rv == cryptoki.CKR_OK && sig != 0 && room < size || rv == cryptoki.CKR_BUFFER_TOO_SMALL && (sig == 0 || room >= size) {
			t.Errorf("%v for a buffer of %d bytes", rv, room)
		}
		after := outputs.End(int(room)).Bytes()
		switch {
		case made && !bytes.Equal(after[size:], buffer[size:]), !made && !bytes.Equal(after, buffer):
			t.Error("bytes were written that are not the signature's")
		case made:
			idle()
			allowed(t, "C_VerifyInit", call("C_VerifyInit", st.session, m, public), cryptoki.CKR_OK)
			allowed(t, "C_Verify", call("C_Verify", st.session, in, dataLen, sig, size), cryptoki.CKR_OK)
		case rv == cryptoki.CKR_OK || rv == cryptoki.CKR_BUFFER_TOO_SMALL: // still active
			allowed(t, "C_SignInit to end it", call("C_SignInit", st.session, 0, 0), cryptoki.CKR_OK)
		default:
			idle()
		}
	})
}

// skipped are functions that FuzzCallsABI does not call: what ends the library, and
// what reads through pointers that it gives up on purpose.
var skipped = map[string]bool{"C_Initialize": true, "C_Finalize": true, "C_GetFunctionList": true, "C_GetInterface": true}

// FuzzCallsABI: any sequence of calls of all functions with arguments of all kinds.
// Memory is good or NULL, so no call may end the process, hang, or answer
// CKR_GENERAL_ERROR.
func FuzzCallsABI(f *testing.F) {
	st := newState(f)
	f.Add([]byte{43, 1, 1, 2, 44, 1, 3, 3, 3, 3})
	f.Add(append([]byte{byte(number["C_SignInit"]), 0x10, 0x30, 0x20}, byte(number["C_Sign"]), 0x10, 0x40, 3, 0x41, 0x50))
	f.Add(append([]byte{byte(number["C_FindObjectsInit"]), 0x10, 0, 0}, byte(number["C_FindObjects"]), 0x10, 0x40, 4, 0x50))
	memory := make([]guard, 6) // one per argument, so that none overlap
	for i := range memory {
		memory[i] = newGuard()
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &input{data}
		h := host{t, newArena(t)}
		sessions := []uint64{h.open(), h.open()}
		h.login(sessions[0])
		for calls := 0; len(in.rest) > 0 && calls < 64; calls++ {
			fn := int(in.byte()) % int(Functions)
			name := Name(fn)
			if skipped[name] {
				continue
			}
			var args []uint64
			for i := range 6 {
				var a uint64
				switch b := in.byte(); b >> 4 {
				case 1:
					a = sessions[b&1]
				case 2:
					a = []uint64{st.rsa, st.ec, st.rsaPublic, st.ecPublic}[b&3]
				case 3: // a mechanism, or the start of a template: in both, no pointer leads anywhere
					a = memory[i].put(slices.Concat(long([]uint64{0x1, 0x40, 0xD, 0x43, 0x1041, 0x1044, 0, 0x102}[b&7], 0, 0), make([]byte, 8<<10)))
				case 4, 6: // zeros: any output, count, template of empty attributes
					a = memory[i].put(make([]byte, 8<<10))
				case 5: // a length of 4096, and room for more
					a = memory[i].put(slices.Concat(long(4096), make([]byte, 8<<10)))
				case 7, 8, 9, 10, 11, 12, 13, 14, 15:
					a = uint64(b) & 15
				default:
					a = uint64(b & 3)
				}
				args = append(args, a)
			}
			if !pointersGood(name, args) {
				continue
			}
			if rv := call(name, args...); rv == cryptoki.CKR_GENERAL_ERROR || rv == cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED {
				t.Errorf("%s%x: %v", name, args, rv)
			}
		}
		call("C_CloseAllSessions", 1)
		// and all is as it was
		fresh := h.open()
		h.login(fresh)
		st.rsa, st.ec, st.rsaPublic, st.ecPublic = h.key(fresh, 3, rsaName), h.key(fresh, 3, ecName), h.key(fresh, 2, rsaName), h.key(fresh, 2, ecName)
		h.round(fresh, 1)
		h.ok("C_CloseSession", fresh)
	})
}

// pointerArguments are the arguments that have to be memory or NULL, by function; in
// the others any number will do.
var pointerArguments = map[string][]int{
	"C_GetInfo": {0}, "C_GetSlotList": {1, 2}, "C_GetSlotInfo": {1}, "C_GetTokenInfo": {1}, "C_GetMechanismList": {1, 2}, "C_GetMechanismInfo": {2},
	"C_OpenSession": {4}, "C_GetSessionInfo": {1}, "C_Login": {2}, "C_CopyObject": {2}, "C_GetObjectSize": {2}, "C_GetAttributeValue": {2},
	"C_FindObjectsInit": {1}, "C_FindObjects": {1, 3}, "C_SignInit": {1}, "C_Sign": {1, 3, 4}, "C_SignUpdate": {1}, "C_SignFinal": {1, 2},
	"C_VerifyInit": {1}, "C_Verify": {1, 3}, "C_VerifyUpdate": {1}, "C_VerifyFinal": {1}, "C_GetInterfaceList": {0, 1}, "C_LoginUser": {2, 4},
	"C_WaitForSlotEvent": {1, 2},
}

// pointersGood tells whether every pointer is memory or NULL, and no length is longer
// than all memory here has.
func pointersGood(name string, args []uint64) bool {
	pointers := pointerArguments[name]
	for i, a := range args {
		isMemory := a > 1<<32
		if slices.Contains(pointers, i) != isMemory && (isMemory || a != 0 && slices.Contains(pointers, i)) {
			return false
		}
	}
	return true
}
