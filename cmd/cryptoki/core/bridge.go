// Package core is the Go end of the line that cmd/cryptoki/shim/port.h describes:
// it takes the calls of a host's threads out of the queue, turns C memory into Go
// values and back, and decides nothing. What enters are a queue and a
// cryptoki.Module; what leaves are answers in the host's buffers. It never reads a
// host's memory after it accepted a call, and a pointer that leads nowhere ends as
// CKR_GENERAL_ERROR.
//
// One goroutine takes calls out of the queue. It answers from memory at once.
// Whatever may use the network, take long or wait for another call runs in a
// goroutine of its own, so that the queue never stands still.
package core

// #cgo CFLAGS: -I${SRCDIR}/../shim
// #include "port.h"
// #include "functions.h"
import "C"

import (
	"runtime/debug"
	"unsafe"

	"signpath/internal/provider/cryptoki"
)

// bridge hands calls to the module.
type bridge struct{ module *cryptoki.Module }

// Serve answers the calls of a queue, a struct sp_port of port.h, from now on.
func Serve(port unsafe.Pointer, module *cryptoki.Module) {
	b := &bridge{module}
	go func() {
		// A pointer of the host's that leads nowhere becomes a panic, and so an
		// error code; without this, Go would end the process.
		debug.SetPanicOnFault(true)
		for {
			b.serve(C.sp_next((*C.struct_sp_port)(port))) // sleeps in C; one thread for all callers
		}
	}()
}

// largePart is the size in bytes from which hashing a part is worth a goroutine
// of its own: 16 threads would otherwise hash on the one that serves the queue.
const largePart = 16 << 10

// reply is a call's way back to the host's thread, to be used exactly once.
type reply struct{ c *C.struct_sp_call }

// accept tells the host's thread that its memory is not needed any more; from
// then on it waits under its own signal mask, and its arguments are out of bounds.
func (r reply) accept() { C.sp_step(r.c, C.SP_ACCEPTED) }

// done answers a call. The call's memory may be gone before done returns.
func (r reply) done(rv cryptoki.RV) {
	r.c.rv = C.ulong(rv)
	C.sp_step(r.c, C.SP_DONE)
}

// doneOutput answers a call that has an output buffer (section 5.2): the shim
// copies the bytes, or tells the length only.
func (r reply) doneOutput(out []byte, length uint64, rv cryptoki.RV) {
	r.c.outlen = C.ulong(length)
	if rv == cryptoki.CKR_OK && len(out) > 0 {
		r.c.out = C.CBytes(out)
		r.c.outlen = C.ulong(len(out))
	}
	r.done(rv)
}

// guard turns a panic of the glue into CKR_GENERAL_ERROR: neither a defect of ours
// nor a wrong pointer may end the host.
func (b *bridge) guard(r reply) {
	if p := recover(); p != nil {
		r.done(b.module.Panicked(functionName(uint64(r.c.fn)), arguments(r).number(0), p))
	}
}

// serve answers one call, or starts the goroutine that will.
func (b *bridge) serve(c *C.struct_sp_call) {
	r := reply{c}
	defer b.guard(r)
	a := arguments{c}
	m := b.module
	switch c.fn {
	case C.FN_ANSWERED:
		r.done(m.Answered(functionName(a.number(0)), a.number(1), cryptoki.RV(a.number(2))))
	case C.FN_Initialize:
		r.done(m.Initialize(environment(a.pointer(0))))
	case C.FN_Finalize:
		r.accept()
		b.async(r, func() { r.done(m.Finalize()) })
	case C.FN_GetSlotList:
		r.done(list(a, 1, m.SlotList(a.bool(0))))
	case C.FN_GetSlotInfo:
		info, rv := m.SlotInfo(a.number(0))
		if rv == cryptoki.CKR_OK {
			putSlotInfo(a.pointer(1), info)
		}
		r.done(rv)
	case C.FN_GetTokenInfo:
		info, rv := m.TokenInfo(a.number(0))
		if rv == cryptoki.CKR_OK {
			putTokenInfo(a.pointer(1), info)
		}
		r.done(rv)
	case C.FN_GetMechanismList:
		mechanisms, rv := m.MechanismList(a.number(0))
		if rv == cryptoki.CKR_OK {
			rv = list(a, 1, mechanisms)
		}
		r.done(rv)
	case C.FN_GetMechanismInfo:
		info, rv := m.MechanismInfo(a.number(0), a.number(1))
		if rv == cryptoki.CKR_OK {
			copy(numbers(a.pointer(2), 3), []C.ulong{C.ulong(info.MinKeySize), C.ulong(info.MaxKeySize), C.ulong(info.Flags)})
		}
		r.done(rv)
	case C.FN_OpenSession:
		session, rv := m.OpenSession(a.number(0), a.number(1))
		if rv == cryptoki.CKR_OK {
			*(*C.ulong)(a.pointer(4)) = C.ulong(session)
		}
		r.done(rv)
	case C.FN_CloseSession:
		r.done(m.CloseSession(a.number(0)))
	case C.FN_CloseAllSessions:
		r.done(m.CloseAllSessions(a.number(0)))
	case C.FN_GetSessionInfo:
		info, rv := m.SessionInfo(a.number(0))
		if rv == cryptoki.CKR_OK {
			copy(numbers(a.pointer(1), 4), []C.ulong{C.ulong(info.SlotID), C.ulong(info.State), C.ulong(info.Flags), C.ulong(info.DeviceError)})
		}
		r.done(rv)
	case C.FN_Login:
		session, user := a.number(0), a.number(1)
		pin, null := a.pin(2, 3)
		r.accept()
		b.async(r, func() { r.done(m.Login(session, user, pin, null)) })
	case C.FN_LoginUser:
		session, user := a.number(0), a.number(1)
		pin, null := a.pin(2, 3)
		name, noName := a.pin(4, 5)
		if noName && a.number(5) != 0 {
			b.refuse(r)
			return
		}
		r.accept()
		b.async(r, func() { r.done(m.LoginUser(session, user, pin, null, name)) })
	case C.FN_SessionCancel:
		r.done(m.SessionCancel(a.number(0), a.number(1)))
	case C.FN_Logout:
		r.done(m.Logout(a.number(0)))
	case C.FN_CopyObject:
		template, ok := a.template(2, 3)
		if !ok {
			b.refuse(r)
			return
		}
		r.done(m.CopyRefused(a.number(0), template))
	case C.FN_CreateObject, C.FN_DestroyObject, C.FN_SetAttributeValue:
		r.done(m.WriteRefused(functionName(uint64(c.fn)), a.number(0)))
	case C.FN_SeedRandom, C.FN_GenerateRandom:
		r.done(m.RandomRefused(functionName(uint64(c.fn)), a.number(0)))
	case C.FN_GetObjectSize:
		size, rv := m.ObjectSize(a.number(0), a.number(1))
		if rv == cryptoki.CKR_OK {
			*(*C.ulong)(a.pointer(2)) = C.ulong(size)
		}
		r.done(rv)
	case C.FN_GetAttributeValue:
		if a.number(3) > maxAttributes {
			b.refuse(r)
			return
		}
		r.done(b.attributes(a))
	default:
		b.serveOperation(r, a)
	}
}

// serveOperation answers the functions that find, sign and verify.
func (b *bridge) serveOperation(r reply, a arguments) {
	m := b.module
	session := a.number(0)
	switch a.c.fn {
	case C.FN_FindObjectsInit:
		template, ok := a.template(1, 2)
		if !ok {
			b.refuse(r)
			return
		}
		r.accept()
		b.async(r, func() { r.done(m.FindObjectsInit(session, template)) })
	case C.FN_FindObjects:
		found, rv := m.FindObjects(session, a.number(2))
		if rv == cryptoki.CKR_OK {
			putNumbers(a.pointer(1), found)
			*(*C.ulong)(a.pointer(3)) = C.ulong(len(found))
		}
		r.done(rv)
	case C.FN_FindObjectsFinal:
		r.done(m.FindObjectsFinal(session))
	case C.FN_SignInit:
		if a.pointer(1) == nil {
			r.done(m.SignCancel(session))
		} else {
			r.done(m.SignInit(session, a.mechanism(1), a.number(2)))
		}
	case C.FN_VerifyInit:
		if a.pointer(1) == nil {
			r.done(m.VerifyCancel(session))
		} else {
			r.done(m.VerifyInit(session, a.mechanism(1), a.number(2)))
		}
	case C.FN_Sign:
		data, ok := a.view(1, 2)
		if !ok {
			b.refuse(r)
			return
		}
		out := a.output(3)
		b.async(r, func() { r.doneOutput(m.Sign(session, data, out, r.accept)) }) // hashed in place, then accepted
	case C.FN_SignFinal:
		out := a.output(1)
		r.accept()
		b.async(r, func() { r.doneOutput(m.SignFinal(session, out)) })
	case C.FN_SignUpdate, C.FN_VerifyUpdate:
		update := m.SignUpdate
		if a.c.fn == C.FN_VerifyUpdate {
			update = m.VerifyUpdate
		}
		part, ok := a.view(1, 2)
		if !ok {
			b.refuse(r)
		} else if len(part) < largePart {
			r.done(update(session, part))
		} else {
			b.async(r, func() { r.done(update(session, part)) }) // not accepted: the host's buffer is read in place
		}
	case C.FN_Verify:
		data, ok := a.view(1, 2)
		signature, ok2 := a.view(3, 4)
		if !ok || !ok2 {
			b.refuse(r)
			return
		}
		b.async(r, func() { r.done(m.Verify(session, data, signature)) })
	case C.FN_VerifyFinal:
		signature, ok := a.view(1, 2)
		if !ok {
			b.refuse(r)
			return
		}
		b.async(r, func() { r.done(m.VerifyFinal(session, signature)) })
	default:
		r.done(cryptoki.CKR_FUNCTION_NOT_SUPPORTED)
	}
}

// refuse answers a call whose arguments cannot be used.
func (b *bridge) refuse(r reply) {
	r.done(b.module.Answered(functionName(uint64(r.c.fn)), arguments(r).number(0), cryptoki.CKR_ARGUMENTS_BAD))
}

// functionName is the name in the standard of a function of functions.h.
func functionName(fn uint64) string { return C.GoString(C.sp_name(C.uint(fn))) }

// async runs the rest of a call beside the queue.
func (b *bridge) async(r reply, rest func()) {
	go func() {
		debug.SetPanicOnFault(true) // as in Serve
		defer b.guard(r)
		rest()
	}()
}

// attributes is C_GetAttributeValue (section 5.7): every attribute of the
// template gets its value or its length, or CK_UNAVAILABLE_INFORMATION; the code
// tells of the last one that failed.
func (b *bridge) attributes(a arguments) cryptoki.RV {
	template := unsafe.Slice((*entry)(a.pointer(2)), a.number(3))
	types := make([]uint64, len(template))
	for i := range template {
		types[i] = template[i].kind()
	}
	values, result := b.module.AttributeValues(a.number(0), a.number(1), types)
	if len(values) != len(template) {
		return result // the session or the object is wrong: nothing was looked up
	}
	for i, v := range values {
		t := &template[i]
		switch {
		case v.RV != cryptoki.CKR_OK:
			t.setLength(unavailable)
			result = v.RV
		case t.value() == nil:
			t.setLength(uint64(len(v.Value)))
		case t.length() < uint64(len(v.Value)):
			t.setLength(unavailable)
			result = cryptoki.CKR_BUFFER_TOO_SMALL
		default:
			copy(unsafe.Slice((*byte)(t.value()), len(v.Value)), v.Value)
			t.setLength(uint64(len(v.Value)))
		}
	}
	return result
}
