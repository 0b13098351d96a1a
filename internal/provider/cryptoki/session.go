package cryptoki

import (
	"bytes"
	"context"
	"fmt"
	"sync"
)

// SessionInfo is a CK_SESSION_INFO.
type SessionInfo struct{ SlotID, State, Flags, DeviceError uint64 }

// session is one open session. Its lock is held for moments only: a call that
// takes long marks its operation busy instead.
type session struct {
	handle, flags uint64
	ctx           context.Context // ends with the session
	end           context.CancelFunc

	mu         sync.Mutex
	find       *search
	operations [2]*operation // by operationKind
}

func (s *session) readWrite() bool { return s.flags&CKF_RW_SESSION != 0 }

// dropOperations forgets all that is active and not being worked on.
func (s *session) dropOperations() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find != nil && !s.find.busy {
		s.find = nil
	}
	for i, op := range s.operations {
		if op != nil && !op.busy {
			s.operations[i] = nil
		}
	}
}

// session finds an open session.
func (a *application) session(handle uint64) (*session, RV) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, ok := a.sessions[handle]; ok {
		return s, CKR_OK
	}
	return nil, CKR_SESSION_HANDLE_INVALID
}

func (a *application) countSessions() (all, readWrite uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions {
		all++
		if s.readWrite() {
			readWrite++
		}
	}
	return all, readWrite
}

// OpenSession answers C_OpenSession (PKCS #11 v2.40 section 5.6). The token is
// write protected: read/write sessions are refused unless the configuration
// says Cryptoki.DoNotFailOnReadWriteSessions; then they open, and every write is
// refused later.
func (m *Module) OpenSession(slot, flags uint64) (handle uint64, rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return 0, rv
	}
	defer app.trace("C_OpenSession", &rv, "slot", slot, "flags", flags, "session", &handle)
	if rv = checkSlot(slot); rv != CKR_OK {
		return 0, rv
	}
	if flags&CKF_SERIAL_SESSION == 0 {
		return 0, CKR_SESSION_PARALLEL_NOT_SUPPORTED
	}
	if flags&CKF_RW_SESSION != 0 && !app.settings.DoNotFailOnReadWriteSessions {
		app.warnOnce("read/write", "a read/write session was refused, because the token is write protected (CKR_TOKEN_WRITE_PROTECTED). If the tool gives up now, set Cryptoki.DoNotFailOnReadWriteSessions in the configuration file, or SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS, to true")
		return 0, CKR_TOKEN_WRITE_PROTECTED
	}
	s := &session{handle: m.newHandle(), flags: flags & (CKF_RW_SESSION | CKF_SERIAL_SESSION)}
	s.ctx, s.end = context.WithCancel(app.ctx)
	app.mu.Lock()
	defer app.mu.Unlock()
	app.sessions[s.handle] = s
	return s.handle, CKR_OK
}

// CloseSession answers C_CloseSession (PKCS #11 v2.40 section 5.6). A call that
// another thread is waiting for in this session ends with CKR_FUNCTION_CANCELED.
// Closing the last session logs the user out.
func (m *Module) CloseSession(handle uint64) (rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return rv
	}
	defer app.trace("C_CloseSession", &rv, "session", handle)
	app.mu.Lock()
	defer app.mu.Unlock()
	s, ok := app.sessions[handle]
	if !ok {
		return CKR_SESSION_HANDLE_INVALID
	}
	s.end()
	delete(app.sessions, handle)
	if len(app.sessions) == 0 {
		app.logout()
	}
	return CKR_OK
}

// CloseAllSessions answers C_CloseAllSessions (PKCS #11 v2.40 section 5.6).
func (m *Module) CloseAllSessions(slot uint64) (rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return rv
	}
	defer app.trace("C_CloseAllSessions", &rv, "slot", slot)
	if rv = checkSlot(slot); rv != CKR_OK {
		return rv
	}
	app.mu.Lock()
	defer app.mu.Unlock()
	for _, s := range app.sessions {
		s.end()
	}
	clear(app.sessions)
	app.logout()
	return CKR_OK
}

// sessionStates are the states of PKCS #11 v2.40 section 5.6, by read/write and
// logged in. The login belongs to the application, so all sessions change at once.
var sessionStates = map[[2]bool]uint64{
	{false, false}: CKS_RO_PUBLIC_SESSION,
	{false, true}:  CKS_RO_USER_FUNCTIONS,
	{true, false}:  CKS_RW_PUBLIC_SESSION,
	{true, true}:   CKS_RW_USER_FUNCTIONS,
}

// SessionInfo answers C_GetSessionInfo (PKCS #11 v2.40 section 5.6).
func (m *Module) SessionInfo(handle uint64) (info SessionInfo, rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return info, rv
	}
	defer app.trace("C_GetSessionInfo", &rv, "session", handle)
	app.mu.Lock()
	defer app.mu.Unlock()
	s, ok := app.sessions[handle]
	if !ok {
		return info, CKR_SESSION_HANDLE_INVALID
	}
	return SessionInfo{SlotID: slotID, State: sessionStates[[2]bool{s.readWrite(), app.loggedIn}], Flags: s.flags}, CKR_OK
}

// SessionCancel answers C_SessionCancel (PKCS #11 v3.0 section 5.6): it ends the
// active operations that flags name (CKF_SIGN, CKF_VERIFY, CKF_FIND_OBJECTS); all
// other flags are of operations that never are active here.
func (m *Module) SessionCancel(handle, flags uint64) (rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return rv
	}
	defer app.trace("C_SessionCancel", &rv, "session", handle, "flags", flags)
	s, rv := app.session(handle)
	if rv != CKR_OK {
		return rv
	}
	for kind, flag := range cancelFlags {
		if flags&flag != 0 && s.cancel(operationKind(kind)) == CKR_OPERATION_CANCEL_FAILED {
			rv = CKR_OPERATION_CANCEL_FAILED
		}
	}
	if flags&CKF_FIND_OBJECTS != 0 && !s.dropSearch() {
		rv = CKR_OPERATION_CANCEL_FAILED
	}
	return rv
}

// cancelFlags are the flags of C_SessionCancel by operationKind.
var cancelFlags = [...]uint64{signing: CKF_SIGN, verifying: CKF_VERIFY}

// dropSearch ends a search, unless another thread is at work on it.
func (s *session) dropSearch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find != nil && s.find.busy {
		return false
	}
	s.find = nil
	return true
}

// CopyRefused answers C_CopyObject (PKCS #11 v2.40 section 5.7): no object has
// CKA_COPYABLE. A copy on the token is a write, and refused as such.
func (m *Module) CopyRefused(handle uint64, template []Attribute) (rv RV) {
	rv = m.WriteRefused("C_CopyObject", handle)
	for _, a := range template {
		if (rv == CKR_SESSION_READ_ONLY || rv == CKR_TOKEN_WRITE_PROTECTED) && a.Type == CKA_TOKEN && bytes.Equal(a.Value, boolean(false)) {
			return CKR_ACTION_PROHIBITED
		}
	}
	return rv
}

// WriteRefused answers C_CreateObject, C_CopyObject, C_SetAttributeValue and
// C_DestroyObject (PKCS #11 v2.40 section 5.7): nothing can be written. function
// is the one that was called, for the log.
func (m *Module) WriteRefused(function string, handle uint64) (rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return rv
	}
	defer app.trace(function, &rv, "session", handle)
	s, rv := app.session(handle)
	switch {
	case rv != CKR_OK:
		return rv
	case s.readWrite():
		return CKR_TOKEN_WRITE_PROTECTED
	}
	return CKR_SESSION_READ_ONLY
}

// RandomRefused answers C_SeedRandom and C_GenerateRandom (PKCS #11 v2.40
// section 5.15): the token has no random generator.
func (m *Module) RandomRefused(function string, handle uint64) (rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return rv
	}
	defer app.trace(function, &rv, "session", handle)
	if _, rv = app.session(handle); rv != CKR_OK {
		return rv
	}
	return CKR_RANDOM_NO_RNG
}

// operationOf is the kind of operation that a function continues or ends. With
// arguments that cannot be used it fails, and a failing call ends the operation
// (PKCS #11 v2.40 sections 5.11 and 5.12).
var operationOf = map[string]operationKind{
	"C_Sign": signing, "C_SignUpdate": signing, "C_SignFinal": signing,
	"C_Verify": verifying, "C_VerifyUpdate": verifying, "C_VerifyFinal": verifying,
}

// Panicked takes note of a call that ended with a panic before it came here or
// after it left: most likely a pointer of the host's leads nowhere. handle is the
// call's first argument, in most functions a session.
func (m *Module) Panicked(function string, handle uint64, cause any) RV {
	app, rv := m.enter()
	if rv != CKR_OK {
		return rv
	}
	app.endOperation(function, handle)
	app.log.Error(function+" failed: a pointer among its arguments cannot be used, or this module has a fault", "cause", fmt.Sprint(cause), "rv", CKR_GENERAL_ERROR.String())
	return CKR_GENERAL_ERROR
}

// Answered takes note of a call that the shim answered by itself with rv: what
// is not supported, or has arguments that cannot be used. handle is the call's
// first argument, in most functions a session.
func (m *Module) Answered(function string, handle uint64, rv RV) RV {
	app, entered := m.enter()
	if entered != CKR_OK {
		return entered
	}
	defer app.trace(function, &rv)
	if rv == CKR_ARGUMENTS_BAD {
		app.endOperation(function, handle)
	}
	return rv
}

// endOperation ends the operation that a function would have continued.
func (a *application) endOperation(function string, handle uint64) {
	kind, continues := operationOf[function]
	if !continues {
		return
	}
	if s, found := a.session(handle); found == CKR_OK {
		_ = s.cancel(kind)
	}
}
