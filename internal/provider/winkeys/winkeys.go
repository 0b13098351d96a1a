// Package winkeys is what the two Windows interfaces share: the CNG key storage
// provider (package cng) and the CAPI cryptographic service provider (package
// capi). It is pure Go and knows no handle, no pointer and no blob.
//
// What enters are a process's environment and the names of key containers,
// "PROJECT/POLICY"; what leaves are keys that sign, and a Status, the number that a
// host sees, for every failure. An Application is the state of one DLL in one
// process. It reads the settings when the first call needs them, and again when
// the SIGNPATH_ and proxy variables or the configuration file have changed: a
// PowerShell window in which somebody corrects a token need not be closed.
//
// Rules kept here: nothing but Find, List and Key.Sign uses the network. A key is
// looked up with one small list request for its own name. Answers are kept for the
// life of the process and failures for some seconds, because tools ask four
// times: signtool opens a key as user's and machine's, for two purposes. Tools
// show one sentence for all failures ("No private key is available."), so that
// cause and cure stand in the log, once per failure.
//
// It never writes to standard output or error unless Log.Console.Level says so,
// never sends anything before a key is asked for, and lets no panic reach a host.
package winkeys

import (
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"signpath/internal/provider/logfile"
	"signpath/internal/provider/settings"
)

// Options describe a DLL.
type Options struct {
	Interface string          // "KSP" or "CSP": names the log file, and the product in requests
	Version   string          // of the DLL
	Environ   func() []string // the process's environment, NAME=value, as it is at the call
}

// Application is the state of one DLL in one process. All methods may be called
// from any thread.
type Application struct {
	opts Options

	mu      sync.Mutex
	made    [sha256.Size]byte // fingerprint of what current was made from
	current *Session
}

// New makes an Application. Nothing is read and nothing is written.
func New(o Options) *Application { return &Application{opts: o} }

// Session gives the keys of the configuration as it is now: the same Session as
// before, unless variables or file have changed. It never uses the network and
// never fails; with a mistake in the configuration its look-ups fail.
func (a *Application) Session() *Session {
	environ := a.opts.Environ()
	now := fingerprint(environ)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil || a.made != now {
		a.current, a.made = newSession(a.opts, environ, a.current != nil), now
	}
	return a.current
}

// known gives the present Session without a look at the environment.
func (a *Application) known() *Session {
	a.mu.Lock()
	s := a.current
	a.mu.Unlock()
	if s == nil {
		return a.Session()
	}
	return s
}

// Log is the log of the present Session.
func (a *Application) Log() *logfile.Logger { return a.known().log }

// Trace logs a call with its arguments and its answer; use it with defer. It ends
// a panic as NTE_FAIL: a fault of ours must not take the host with it. A pointer
// among the arguments (*Status, *uint32, *uintptr) is read at the end; a *[]any is
// further arguments.
func (a *Application) Trace(function string, st *Status, args ...any) {
	if p := recover(); p != nil {
		*st = NTE_FAIL
		stack := string(debug.Stack())
		func() {
			defer func() { _ = recover() }()
			a.Log().Error(function+" failed by a fault of this provider; please report it", "cause", fmt.Sprint(p), "stack", stack)
		}()
	}
	log := a.Log()
	if !log.Enabled(settings.LevelDebug) {
		return
	}
	var all []any
	for i := range args {
		switch p := args[i].(type) {
		case *Status:
			all = append(all, *p)
		case *uint32:
			all = append(all, *p)
		case *uintptr:
			all = append(all, *p)
		case *[]any:
			all = append(all, *p...)
		default:
			all = append(all, p)
		}
	}
	log.Named(function, placeOfCall()).Debug("returns "+st.String(), all...)
}

// placeOfCall is the place in the interface package that deferred Trace.
func placeOfCall() uintptr {
	var pcs [32]uintptr
	for _, pc := range pcs[:runtime.Callers(3, pcs[:])] {
		f := runtime.FuncForPC(pc - 1)
		if f != nil && !strings.HasPrefix(f.Name(), "runtime.") && !strings.Contains(f.Name(), "/winkeys.") {
			return pc
		}
	}
	return 0
}

// fingerprint stands for everything that the settings depend on.
func fingerprint(environ []string) [sha256.Size]byte {
	var lines []string
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		name = strings.ToUpper(name)
		if strings.HasPrefix(name, "SIGNPATH_") || strings.HasSuffix(name, "_PROXY") {
			lines = append(lines, line)
		}
		if name == settings.EnvConfigFile {
			if info, err := os.Stat(strings.TrimSpace(value)); err == nil {
				lines = append(lines, fmt.Sprint(info.Size(), info.ModTime().UnixNano()))
			}
		}
	}
	slices.Sort(lines)
	return sha256.Sum256([]byte(strings.Join(lines, "\x00")))
}

// Session is the keys under one configuration.
type Session struct {
	opts     Options
	settings settings.Settings
	err      error // why the configuration cannot be used; nil when it can
	log      *logfile.Logger

	mu    sync.Mutex // not held during network calls
	all   *source
	named map[string]*source
	told  map[string]bool // failures that stand in the log
}

func newSession(o Options, environ []string, again bool) *Session {
	s := &Session{opts: o, named: map[string]*source{}, told: map[string]bool{}}
	s.settings, s.err = settings.Load(environ, settings.Explicit{})
	s.log = logfile.Open(logfile.Options{Interface: o.Interface, Log: s.settings.Log, Secrets: s.settings.Secrets()})
	if s.err == nil {
		s.err = s.settings.Complete()
	}
	what := "SignPath " + o.Interface + " started"
	if again {
		what = "the configuration has changed"
	}
	s.log.Info(what, "version", o.Version, "service", s.address(), "organization", s.settings.OrganizationID, "configFile", s.settings.ConfigFile)
	for _, w := range s.settings.Warnings {
		s.log.Warning(w)
	}
	if s.err != nil {
		s.log.Error("the configuration cannot be used: no key will be found", "cause", s.err.Error(), "status", StatusOf(s.err).String())
	}
	return s
}

// address is the service's, for people.
func (s *Session) address() string {
	if s.settings.APIURL == nil {
		return ""
	}
	return s.settings.APIURL.Redacted()
}

// Log is the session's log.
func (s *Session) Log() *logfile.Logger { return s.log }
