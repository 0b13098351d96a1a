// Package testlog keeps what providers log, for tests that look into it.
//
// What enters are log lines, what leaves is their text; nothing is filtered, so
// that a secret in a line is found. It is for tests only.
package testlog

import (
	"fmt"
	"strings"
	"sync"

	"signpath/internal/secret"
)

// Log has the methods of every Logger of the providers. The zero value is
// empty and ready; it is safe for concurrent use.
type Log struct {
	mu    sync.Mutex
	lines []string
}

func (l *Log) add(level, msg string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level+" "+msg+" "+fmt.Sprintln(args...))
}

// Debug, Info, Warning and Error keep a line with their level in capitals.
func (l *Log) Debug(msg string, args ...any) { l.add("DEBUG", msg, args) }

// Info is as Debug.
func (l *Log) Info(msg string, args ...any) { l.add("INFO", msg, args) }

// Warning is as Debug.
func (l *Log) Warning(msg string, args ...any) { l.add("WARNING", msg, args) }

// Error is as Debug.
func (l *Log) Error(msg string, args ...any) { l.add("ERROR", msg, args) }

// Call keeps the trace of a function.
func (l *Log) Call(function, text string, args ...any) { l.add("DEBUG", function+" "+text, args) }

// AddSecret does nothing: a test wants to see what should not be there.
func (l *Log) AddSecret(secret.Secret) {}

// Reset forgets all lines.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

// Text is everything, a line each.
func (l *Log) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// Count counts the lines of a level ("" for all) that contain part.
func (l *Log) Count(level, part string) (n int) {
	for line := range strings.Lines(l.Text()) {
		if strings.HasPrefix(line, level) && strings.Contains(line, part) {
			n++
		}
	}
	return n
}
