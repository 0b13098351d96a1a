// Package cryptoki is the logic of a PKCS #11 module (v2.40, v3.0, v3.1): slot, token,
// sessions, login, objects, search, signing and verification. It is pure Go; the
// C ABI (argument pointers, structures, buffers, threads, fork) is the shim's.
//
// What enters are the calls of a host, one method of Module for each C_ function
// that is not answered in the shim, with CK_ULONG values and handles as uint64
// and bytes as slices. What leaves are the return values of the standard, as RV,
// and the bytes for the host's buffers. Every method may be called from any
// thread at any time.
//
// Only Login, FindObjectsInit, Sign and SignFinal use the network; no lock is
// held meanwhile, so every other method answers at once. Finalize waits up to
// two seconds for calls that it cancelled. The package never writes to the
// service, holds no private key, generates and stores nothing, and prints no PIN.
//
// The rules stand in tables: mechanisms.go (mechanisms), attributes.go
// (attributes by class), errors.go (failures of the service), rv.go (codes).
package cryptoki

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"signpath/internal/provider/settings"
	"signpath/internal/secret"
)

// Logger receives one line per event; args are name, value pairs as in log/slog.
// Nothing that is passed to it holds a secret.
type Logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warning(msg string, args ...any)
	Error(msg string, args ...any)
	// Call is Debug for the end of a C_ function.
	Call(function, text string, args ...any)
	// AddSecret names one more text that must never be written.
	AddSecret(secret.Secret)
}

// Options make a Module. Load, OpenLog and OpenRing are hooks for tests; nil
// means the real thing.
type Options struct {
	Version   string // of the module, for the log and the service
	ULongSize int    // bytes of a CK_ULONG in the host: 8 (also for 0), or 4 on Windows
	// Privileged says that the host has more rights than who started it (setuid,
	// setgid, file capabilities; elevated on Windows): then nothing is written where
	// the caller says. On Windows the log is, in a folder of that same user, for
	// there is none that does not depend on the environment.
	Privileged bool

	Load     func(environ []string, tool settings.Explicit) (settings.Settings, error)
	OpenLog  func(settings.Settings) (log Logger, closeLog func())
	OpenRing func(settings.Settings, Logger) (Ring, error)
}

// Module is the one Cryptoki library of a process.
type Module struct {
	opts       Options
	lastHandle atomic.Uint64

	mu  sync.RWMutex
	app *application // nil: not initialised
}

// finalizeLimit is how long C_Finalize waits for the calls that it cancelled.
const finalizeLimit = 2 * time.Second

// New makes a module that is not initialised. Handles start at a random number,
// so that those of a parent process are not taken for a child's.
func New(opts Options) *Module {
	if opts.ULongSize == 0 {
		opts.ULongSize = 8
	}
	if opts.Load == nil {
		opts.Load = settings.Load
	}
	if opts.OpenLog == nil {
		opts.OpenLog = openLog
	}
	if opts.OpenRing == nil {
		version := opts.Version
		opts.OpenRing = func(s settings.Settings, log Logger) (Ring, error) { return openRing(s, version, log) }
	}
	m := &Module{opts: opts}
	var start [4]byte
	_, _ = rand.Read(start[:]) // never fails
	m.lastHandle.Store(uint64(binary.LittleEndian.Uint32(start[:]) >> 2))
	return m
}

// newHandle gives a number that was never given before, neither to a session nor
// to an object: a mix-up of the two never works by chance. It is never 0
// (CK_INVALID_HANDLE).
func (m *Module) newHandle() uint64 { return m.lastHandle.Add(1) }

// Initialize answers C_Initialize (PKCS #11 v2.40 section 5.4). It reads the
// configuration from environ (NAME=value) and never uses the network. A mistake
// in the configuration is logged and makes C_Login fail, not this call: a module
// that every program of a machine loads must not break those that do not use it.
func (m *Module) Initialize(environ []string) (rv RV) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.app != nil {
		rv = CKR_CRYPTOKI_ALREADY_INITIALIZED
		m.app.trace("C_Initialize", &rv)
		return rv
	}
	s, err := m.opts.Load(environ, settings.Explicit{})
	if m.opts.Privileged {
		s.ListCacheFolder = ""
		if runtime.GOOS != "windows" {
			s.Log.FileDirectory = settings.SharedLogDirectory
		}
	}
	log, closeLog := m.opts.OpenLog(s)
	app := newApplication(m, s, err, log, closeLog)
	app.environ = slices.Clone(environ)
	m.app = app
	app.announce()
	app.trace("C_Initialize", &rv)
	return CKR_OK
}

// Finalize answers C_Finalize (PKCS #11 v2.40 section 5.4). Calls that other
// threads are waiting for end with CKR_FUNCTION_CANCELED, connections are closed.
// C_Initialize may follow.
func (m *Module) Finalize() RV {
	m.mu.Lock()
	app := m.app
	m.app = nil
	m.mu.Unlock()
	if app == nil {
		return CKR_CRYPTOKI_NOT_INITIALIZED
	}
	app.shutDown()
	return CKR_OK
}

// enter gives the application, which is nil unless RV is CKR_OK.
func (m *Module) enter() (*application, RV) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.app == nil {
		return nil, CKR_CRYPTOKI_NOT_INITIALIZED
	}
	return m.app, CKR_OK
}

// enterLong is enter for a call that may take long: C_Finalize waits for leave.
func (m *Module) enterLong() (app *application, leave func(), rv RV) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.app == nil {
		return nil, nil, CKR_CRYPTOKI_NOT_INITIALIZED
	}
	m.app.calls.Add(1) // under the lock, so never after shutDown began to wait
	return m.app, m.app.calls.Done, CKR_OK
}

// application is the state between C_Initialize and C_Finalize.
type application struct {
	module    *Module
	environ   []string
	settings  settings.Settings
	configErr error // why the configuration cannot be used; nil when it can
	encoding  encoding
	log       Logger
	closeLog  func()

	ctx    context.Context
	cancel context.CancelFunc
	calls  sync.WaitGroup

	loginTurn chan struct{} // holds one token: one login at a time
	patience  patience

	mu       sync.Mutex // never held during network calls
	sessions map[uint64]*session
	loggedIn bool
	ring     Ring // of the user who is logged in
	config   Ring // of the configured credentials, once needed
	handles  *registry
	set      *objectSet
	named    map[string]bool // keys whose name the tool searched for or read
	told     map[string]bool // warnings that were given once
}

func newApplication(m *Module, s settings.Settings, configErr error, log Logger, closeLog func()) *application {
	a := &application{
		module: m, settings: s, configErr: configErr, encoding: encoding(m.opts.ULongSize), log: log, closeLog: closeLog,
		loginTurn: make(chan struct{}, 1), sessions: map[uint64]*session{}, handles: newRegistry(m.newHandle),
		named: map[string]bool{}, told: map[string]bool{},
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// announce writes the first lines of a process.
func (a *application) announce() {
	a.log.Info("SignPath Cryptoki module started", "version", a.module.opts.Version, "service", a.address(),
		"organization", a.settings.OrganizationID, "configFile", a.settings.ConfigFile)
	for _, w := range a.settings.Warnings {
		a.log.Warning(w)
	}
	if a.configErr != nil {
		a.log.Error("the configuration cannot be used; C_Login will answer CKR_GENERAL_ERROR", "cause", a.configErr.Error())
	}
}

// address is the service's, for people. When the configured one cannot be read,
// the settings hold the default, which is not asked then.
func (a *application) address() string {
	var broken *settings.Error
	if errors.As(a.configErr, &broken) {
		for _, p := range broken.Problems {
			if p.Field == "ApiUrl" || p.Field == "" && a.settings.Source("ApiUrl") == "" {
				return "none, because the configuration cannot be used"
			}
		}
	}
	if a.settings.APIURL == nil {
		return ""
	}
	return a.settings.APIURL.Redacted()
}

func (a *application) shutDown() {
	a.cancel() // with the contexts of all sessions
	a.mu.Lock()
	clear(a.sessions)
	rings := []Ring{a.ring, a.config}
	a.ring, a.config, a.loggedIn = nil, nil, false
	a.mu.Unlock()

	closeRings(rings...)
	ended := make(chan struct{})
	go func() { a.calls.Wait(); close(ended) }()
	limit := time.NewTimer(finalizeLimit)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
	}
	rv := CKR_OK
	a.trace("C_Finalize", &rv)
	a.closeLog()
}

// closeRings closes each ring once; nil ones are passed over.
func closeRings(rings ...Ring) {
	closed := map[Ring]bool{nil: true}
	for _, r := range rings {
		if !closed[r] {
			closed[r] = true
			r.Close()
		}
	}
}

// trace logs a call with its arguments and its result; use it with defer. A
// *uint64 among the arguments is read at the end: it is a result. A panic ends
// here as CKR_GENERAL_ERROR: a fault of ours must not take the host with it.
func (a *application) trace(function string, rv *RV, args ...any) {
	if p := recover(); p != nil {
		*rv = CKR_GENERAL_ERROR
		a.log.Error(function+" failed by a fault of this module; please report it", "cause", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
	for i := range args {
		if p, ok := args[i].(*uint64); ok {
			args[i] = *p
		}
	}
	a.log.Call(function, "returns "+rv.String(), args...)
}

// warnOnce logs a warning the first time that it is given for the key.
func (a *application) warnOnce(key, msg string, args ...any) {
	a.mu.Lock()
	told := a.told[key]
	a.told[key] = true
	a.mu.Unlock()
	if !told {
		a.log.Warning(msg, args...)
	}
}
