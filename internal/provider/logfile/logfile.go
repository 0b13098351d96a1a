// Package logfile writes the log of a provider: one file for all processes of a
// user, and lines on the console when asked for.
//
// What enters are messages with a level and slog-like attributes, what leaves is
// one line each,
//
//	2024-04-12 07:34:00.926 DEBUG [807] [C_GetAttributeValue@563] text key=value
//
// that is local time, level, process, [function@line], text. (The original has
// the thread in the first brackets. Calls run on goroutines here, whose threads
// say nothing, so it is the process.) Line breaks and control characters in the
// text are escaped, secrets are replaced by [redacted].
//
// The code runs inside other people's programs. It never panics, never fails a
// call, never waits for long, never follows a symbolic link, never writes
// through os.Stdout or os.Stderr (Go ends the process when they are broken
// pipes). Whatever goes wrong costs a log line at most. Sources: SignPath crypto
// providers, "Logging settings", and its changelog.
package logfile

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"signpath/internal/provider/redact"
	"signpath/internal/provider/settings"
	"signpath/internal/secret"
)

// Options says where and how to log.
type Options struct {
	Interface string // "Cryptoki", "KSP", "CSP", "Notation", "CTK": a part of the file's name
	Log       settings.Log
	Secrets   []secret.Secret  // never to be written; more by AddSecret
	Now       func() time.Time // nil for time.Now
}

// Logger writes lines. All methods may be called from any goroutine, and on a
// nil Logger, which writes nothing.
type Logger struct {
	*shared
	attrs    string  // rendered attributes of With, each with a leading space
	group    string  // prefix of attribute names, "" or ending in a point
	function string  // replaces the caller's name when set
	pc       uintptr // replaces the caller's place when set
}

// shared is what a Logger and its descendants have in common.
type shared struct {
	level   settings.Level // the more talkative of file and console
	options Options
	pid     string
	redact  *redact.Set

	mu         sync.Mutex
	file       *rotatingFile // nil when no file log is wanted or after Close
	console    *console      // nil when no console log is wanted
	fileFailed bool          // the console was told
}

// Open makes a Logger. Nothing is created on disk before the first line.
func Open(o Options) *Logger {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &shared{level: max(o.Log.FileLevel, o.Log.ConsoleLevel), options: o, pid: strconv.Itoa(os.Getpid()), redact: redact.New(o.Secrets...)}
	if o.Log.FileLevel > settings.LevelNone && o.Log.FileDirectory != "" {
		directory := o.Log.FileDirectory
		if absolute, err := filepath.Abs(directory); err == nil {
			directory = absolute // the host may change its working folder later
		}
		s.file = &rotatingFile{directory: directory, base: "SignPath.CryptoProviders." + o.Interface, limit: maxSize, now: o.Now}
	}
	if o.Log.ConsoleLevel > settings.LevelNone {
		s.console = newConsole(o.Log.ConsoleStdout)
	}
	return &Logger{shared: s}
}

// AddSecret makes a further text known that must not be written.
func (l *Logger) AddSecret(s secret.Secret) {
	if l != nil {
		l.redact.Add(s)
	}
}

// Enabled tells whether a line of this level would be written anywhere.
func (l *Logger) Enabled(level settings.Level) bool {
	return l != nil && level > settings.LevelNone && level <= l.level
}

// Path is the file that lines go to, "" when there is none (yet).
func (l *Logger) Path() string {
	if l == nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return ""
	}
	return l.file.path()
}

// Close closes the file. Later lines are dropped.
func (l *Logger) Close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.close()
		l.file = nil
	}
	l.console = nil
}

// With gives a Logger that adds attributes to each line.
func (l *Logger) With(args ...any) *Logger {
	if l == nil || len(args) == 0 {
		return l
	}
	d := *l
	func() {
		defer dropPanic()
		d.attrs += l.render(args)
	}()
	return &d
}

// Named gives a Logger whose lines show function in place of the Go function
// that logs, e.g. the PKCS #11 name of an entry point, and the line of pc, a
// program counter as of runtime.Callers (0: the line that logs).
func (l *Logger) Named(function string, pc uintptr) *Logger {
	if l == nil {
		return nil
	}
	d := *l
	d.function, d.pc = function, pc
	return &d
}

// Fatal logs what keeps the provider from working at all. It ends nothing.
func (l *Logger) Fatal(msg string, args ...any) { l.log(settings.LevelFatal, msg, args) }

// Error logs a failed call.
func (l *Logger) Error(msg string, args ...any) { l.log(settings.LevelError, msg, args) }

// Warning logs what went wrong and was mended.
func (l *Logger) Warning(msg string, args ...any) { l.log(settings.LevelWarning, msg, args) }

// Info logs what a person wants to read afterwards.
func (l *Logger) Info(msg string, args ...any) { l.log(settings.LevelInfo, msg, args) }

// Debug logs calls, arguments and results.
func (l *Logger) Debug(msg string, args ...any) { l.log(settings.LevelDebug, msg, args) }

// Verbose logs everything else.
func (l *Logger) Verbose(msg string, args ...any) { l.log(settings.LevelVerbose, msg, args) }

// callerDepth is the number of frames from runtime.Callers to who called Info.
const callerDepth = 3

func (l *Logger) log(level settings.Level, msg string, args []any) {
	if !l.Enabled(level) {
		return
	}
	defer dropPanic()
	l.write(level, l.options.Now(), callerPC(callerDepth), msg, l.render(args))
}

// dropPanic keeps a broken value's methods from ending the host process.
func dropPanic() { _ = recover() }

// write sends one line to file and console.
func (l *Logger) write(level settings.Level, at time.Time, pc uintptr, msg, attrs string) {
	line := l.line(level, at, pc, msg, attrs)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil && level <= l.options.Log.FileLevel {
		if err := l.file.write(line); err != nil && !l.fileFailed {
			l.fileFailed = true
			if l.console != nil && l.options.Log.ConsoleLevel >= settings.LevelWarning {
				l.console.write(l.line(settings.LevelWarning, at, pc, "there is no log file: "+err.Error(), " directory="+quote(l.options.Log.FileDirectory)))
			}
		}
	}
	if l.console != nil && level <= l.options.Log.ConsoleLevel {
		l.console.write(line)
	}
}
