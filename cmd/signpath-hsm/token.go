//go:build cgo && unix

package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"

	"signpath/internal/service/keys/hsm/hsmwire"
)

// defaultSessions is used when the request names no number.
const defaultSessions = 4

// maxFailures is after how many failures in a row the connection to the token
// counts as broken although the token answers pings.
const maxFailures = 3

// pingIdle is how long a session must have been idle to be touched by a ping.
const pingIdle = 10 * time.Second

// token is a token with its open sessions. It is safe for concurrent use.
type token struct {
	p11        *pkcs11.Ctx
	slot       uint
	info       hsmwire.Token
	attributes []uint64
	random     bool // the token has a random generator, which pings use

	pool     chan *openSession
	failures atomic.Int32 // in a row

	mu      sync.Mutex
	handles map[string]pkcs11.ObjectHandle // private keys that were found, by reference
}

// openSession is a session that one caller at a time uses.
type openSession struct {
	handle pkcs11.SessionHandle
	used   time.Time
}

func setup(format string, args ...any) error {
	return &hsmwire.Error{Class: hsmwire.ClassSetup, Before: true, Text: fmt.Sprintf(format, args...)}
}

// openToken loads the module, finds the token, logs in once and opens the sessions.
func openToken(o *hsmwire.Open) (*token, error) {
	if o.Label == "" && o.Serial == "" {
		return nil, setup("neither label nor serial number of the token is given")
	}
	p11, err := loadModule(o.Module)
	if err != nil {
		return nil, err
	}
	if err := call("C_Initialize", p11.Initialize()); err != nil {
		return nil, setup("the PKCS #11 module does not start: %v", err)
	}
	t := &token{p11: p11, attributes: o.Attributes, handles: map[string]pkcs11.ObjectHandle{}}
	info, err := t.choose(o)
	if err != nil {
		return nil, err
	}
	n := o.Sessions
	if n <= 0 {
		n = defaultSessions
	}
	// CK_EFFECTIVELY_INFINITE is 0, CK_UNAVAILABLE_INFORMATION is all ones.
	if limit := info.MaxSessionCount; limit > 0 && limit < uint(n) {
		n = int(limit)
	}
	t.pool = make(chan *openSession, n)
	if err := t.openSessions(n, info, o.PIN); err != nil {
		return nil, err
	}
	t.info.Sessions = len(t.pool)
	return t, nil
}

// choose finds the one token that is meant.
func (t *token) choose(o *hsmwire.Open) (pkcs11.TokenInfo, error) {
	slots, err := t.p11.GetSlotList(true)
	if err := call("C_GetSlotList", err); err != nil {
		return pkcs11.TokenInfo{}, err
	}
	var found []pkcs11.TokenInfo
	var others []string
	for _, s := range slots {
		info, err := t.p11.GetTokenInfo(s)
		if err != nil {
			others = append(others, fmt.Sprintf("slot %d cannot be read (%v)", s, call("C_GetTokenInfo", err)))
			continue
		}
		label, serial := trim(info.Label), trim(info.SerialNumber)
		if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue
		}
		if o.Label != "" && o.Label != label || o.Serial != "" && o.Serial != serial {
			others = append(others, fmt.Sprintf("%q with serial number %q", label, serial))
			continue
		}
		t.slot = s
		found = append(found, info)
	}
	switch {
	case len(found) == 0:
		text := fmt.Sprintf("the token %s is not there", describeToken(o))
		if len(others) > 0 {
			text += "; the module shows " + strings.Join(others[:min(len(others), 10)], ", ")
		}
		return pkcs11.TokenInfo{}, &hsmwire.Error{Class: hsmwire.ClassAbsent, Before: true, Text: text}
	case len(found) > 1:
		return pkcs11.TokenInfo{}, setup("%d tokens are called %s: name the serial number too", len(found), describeToken(o))
	}
	info := found[0]
	t.info = hsmwire.Token{
		Label: trim(info.Label), Manufacturer: trim(info.ManufacturerID), Model: trim(info.Model), Serial: trim(info.SerialNumber),
		HardwareVersion: version(info.HardwareVersion), FirmwareVersion: version(info.FirmwareVersion),
	}
	if lib, err := t.p11.GetInfo(); err == nil {
		t.info.Library = strings.TrimSpace(trim(lib.ManufacturerID) + " " + trim(lib.LibraryDescription) + " " + version(lib.LibraryVersion))
	}
	t.random = info.Flags&pkcs11.CKF_RNG != 0
	return info, nil
}

func describeToken(o *hsmwire.Open) string {
	switch {
	case o.Serial == "":
		return fmt.Sprintf("%q", o.Label)
	case o.Label == "":
		return fmt.Sprintf("with serial number %q", o.Serial)
	}
	return fmt.Sprintf("%q with serial number %q", o.Label, o.Serial)
}

// trim takes the padding off, blanks by the standard and zero bytes in practice.
func trim(s string) string { return strings.ToValidUTF8(strings.TrimRight(s, " \x00"), "?") }

func version(v pkcs11.Version) string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// openSessions opens the first session, logs in, and opens the others.
func (t *token) openSessions(n int, info pkcs11.TokenInfo, pin []byte) error {
	for i := range n {
		h, err := t.newSession()
		if err != nil {
			if i > 0 && hasCode(err, pkcs11.CKR_SESSION_COUNT) {
				return nil // fewer will do
			}
			return err
		}
		t.pool <- &openSession{h, time.Now()}
		if i > 0 {
			continue
		}
		if err := t.login(h, info, pin); err != nil {
			return err
		}
	}
	return nil
}

// login gives the PIN to the token, once. A token that would lock itself after
// one more wrong PIN is left alone: the last try is the operator's.
func (t *token) login(h pkcs11.SessionHandle, info pkcs11.TokenInfo, pin []byte) error {
	switch {
	case info.Flags&pkcs11.CKF_LOGIN_REQUIRED == 0 && len(pin) == 0:
		return nil
	case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return &hsmwire.Error{Class: hsmwire.ClassPIN, Before: true, Text: "the token's PIN is locked: unlock it with the vendor's tools"}
	case info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return &hsmwire.Error{Class: hsmwire.ClassPIN, Before: true, Text: "one more wrong PIN would lock the token, so the PIN was not tried: log in once with the vendor's tools, which resets the counter"}
	}
	err := call("C_Login", t.p11.Login(h, pkcs11.CKU_USER, string(pin)))
	if hasCode(err, pkcs11.CKR_USER_ALREADY_LOGGED_IN) {
		return nil
	}
	return err
}

func (t *token) newSession() (pkcs11.SessionHandle, error) {
	h, err := t.p11.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION)
	return h, call("C_OpenSession", err)
}

// use runs f in a session of the pool. After a failure the session is replaced,
// because the token may keep the operation in it active; when the failure came
// before the key was used and a new session helps, f runs once more.
func (t *token) use(f func(pkcs11.SessionHandle) error) error {
	s := <-t.pool
	defer func() {
		s.used = time.Now()
		t.pool <- s
	}()
	err := f(s.handle)
	if err == nil {
		t.failures.Store(0)
		return nil
	}
	var rule rule
	if c, ok := asCall(err); ok {
		rule = c.rule()
	}
	if e := t.replace(s); e != nil {
		return device(e, rule.before)
	}
	if rule.remedy == session && rule.before {
		if err = f(s.handle); err == nil {
			t.failures.Store(0)
			return nil
		}
		if c, ok := asCall(err); ok {
			rule = c.rule()
		}
		if e := t.replace(s); e != nil {
			return device(e, rule.before)
		}
	}
	if rule.remedy != check {
		return err
	}
	// The value says nothing: does the token work at all?
	if e := t.touch(s.handle); e != nil || t.failures.Add(1) >= maxFailures {
		return device(err, rule.before)
	}
	return err
}

// device makes an error one of a broken connection.
func device(err error, before bool) error {
	e := *describe(err)
	e.Class, e.Before = hsmwire.ClassDevice, before
	return &e
}

// replace gives s a new session that is logged in.
func (t *token) replace(s *openSession) error {
	_ = t.p11.CloseSession(s.handle) // it may be gone already
	h, err := t.newSession()
	if err != nil {
		return err
	}
	s.handle = h
	info, err := t.p11.GetSessionInfo(h)
	if err := call("C_GetSessionInfo", err); err != nil {
		return err
	}
	if info.State != pkcs11.CKS_RO_USER_FUNCTIONS && info.State != pkcs11.CKS_RW_USER_FUNCTIONS {
		return &callError{"C_GetSessionInfo", pkcs11.CKR_USER_NOT_LOGGED_IN} // with the last session went the log-in
	}
	return nil
}

// touch asks for something that the device itself must answer.
func (t *token) touch(h pkcs11.SessionHandle) error {
	if _, err := t.p11.GetSessionInfo(h); err != nil {
		return call("C_GetSessionInfo", err)
	}
	if t.random {
		_, err := t.p11.GenerateRandom(h, 8)
		return call("C_GenerateRandom", err)
	}
	_, err := t.p11.GetTokenInfo(t.slot)
	return call("C_GetTokenInfo", err)
}

// ping touches every session that has been idle, so that none dies of it.
func (t *token) ping() error {
	for range cap(t.pool) {
		var s *openSession
		select {
		case s = <-t.pool:
		default:
			return nil // the others are in use
		}
		var err error
		if time.Since(s.used) >= pingIdle {
			if err = t.touch(s.handle); err != nil {
				err = t.replace(s)
			}
			s.used = time.Now()
		}
		t.pool <- s
		if err != nil {
			return device(err, true)
		}
	}
	if _, err := t.p11.GetTokenInfo(t.slot); err != nil {
		return device(call("C_GetTokenInfo", err), true)
	}
	return nil
}
