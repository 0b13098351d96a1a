package remote

import (
	"fmt"
	"strings"

	"signpath/internal/wire"
)

// Class says what kind of failure a call ended with; each interface maps it to
// its own codes by one table (spec: providers, errors).
type Class int

// The classes of failure.
const (
	Transient Class = iota + 1 // time-out, refused, reset, DNS, 408, 429, 502, 503, 504: still failing after the last retry
	Service                    // 500 and other 5xx, redirects, unreadable or oversized answers, a signature that does not verify
	User                       // 4xx: the service refused; the caller can mend it
	Other                      // configuration, untrusted certificate, wrong host name, anything else
	Canceled                   // the host ended the call
)

// String names the class for logs.
func (c Class) String() string {
	return [...]string{"?", "transient", "service", "user", "other", "canceled"}[c]
}

// Error is how every call of this package fails.
type Error struct {
	Class   Class
	Op      string        // "list signing policies", "sign"
	Status  int           // HTTP status of the last attempt, 0 when there was none
	Problem *wire.Problem // the service's error document, nil when there was none
	TraceID string
	Hint    string // what the user can do about it; one sentence
	Err     error  // the cause, if not an HTTP status
}

// Error is one line: what failed, why, what to do. It never holds a secret.
func (e *Error) Error() string {
	s := e.Op + " failed"
	switch {
	case e.Problem != nil:
		s += ": " + e.Problem.Error()
	case e.Status != 0:
		s += fmt.Sprintf(": HTTP status %d", e.Status)
	}
	if e.Err != nil {
		s = strings.TrimSuffix(s, ".") + ": " + e.Err.Error()
	}
	if e.TraceID != "" {
		s += " (trace " + e.TraceID + ")"
	}
	if e.Hint != "" {
		s += ". " + e.Hint
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
