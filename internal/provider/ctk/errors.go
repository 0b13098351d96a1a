package ctk

import (
	"context"
	"errors"

	"signpath/internal/provider/keyring"
	"signpath/internal/provider/remote"
)

// tkError is a TKErrorCode of CryptoTokenKit (TKError.h).
type tkError int8

// The codes that are used here.
const (
	tkCommunicationError   tkError = -2 // the service did not answer or has a problem
	tkCanceledByUser       tkError = -4 // nobody waits any more
	tkAuthenticationFailed tkError = -5 // the service refused the token or its user
	tkObjectNotFound       tkError = -6 // the signing policy is gone
	tkTokenNotFound        tkError = -7 // the app does not have this token (any more)
	tkBadParameter         tkError = -8 // algorithm, digest or configuration
)

// statusCodes is the table of refusals by the service, by HTTP status.
var statusCodes = map[int]tkError{
	400: tkBadParameter,
	401: tkAuthenticationFailed,
	403: tkAuthenticationFailed,
	404: tkObjectNotFound,
}

// classCodes is the table for whatever the table above does not name.
var classCodes = map[remote.Class]tkError{
	remote.Transient: tkCommunicationError,
	remote.Service:   tkCommunicationError,
	remote.User:      tkBadParameter,
	remote.Other:     tkCommunicationError,
	remote.Canceled:  tkCanceledByUser,
}

// codeOf finds the code of an error.
func codeOf(err error) tkError {
	var e *remote.Error
	switch {
	case errors.As(err, &e):
		if c, ok := statusCodes[e.Status]; ok {
			return c
		}
		return classCodes[e.Class]
	case errors.Is(err, keyring.ErrScheme), errors.Is(err, keyring.ErrKeyTooShort), errors.Is(err, keyring.ErrDigestLength):
		return tkBadParameter
	case errors.Is(err, context.Canceled):
		return tkCanceledByUser
	}
	return tkCommunicationError
}

// Exit codes of the app. With --foreground all of them, without only those for
// what stops it before it starts, and ExitOK.
const (
	ExitOK         = 0
	ExitFailed     = 1 // something that has no code of its own
	ExitUsage      = 2 // an argument, or a setting: environment, file
	ExitService    = 3 // the service cannot be reached or has a problem
	ExitRefused    = 4 // the service refused token, user or organization
	ExitNothing    = 5 // no signing policy has a certificate for these parameters
	ExitMacOS      = 6 // macOS did not take the extension or the tokens
	ExitNotVisible = 7 // the certificates did not appear in the keychain in time
	ExitRunning    = 8 // another SignPathCryptoTokenKit of this user runs
)

// exitHelp is the table as --help shows it.
const exitHelp = `  0  ended by its user
  1  failed
  2  an argument or a setting is wrong
  3  the service cannot be reached or has a problem
  4  the service refused the token, its user or the organization
  5  there is no certificate for these parameters
  6  macOS did not take the extension
  7  the certificates did not appear in the keychain within 20 seconds
  8  the app runs already`

// Problem is why the certificates are not there.
type Problem struct {
	Code int    // one of the Exit codes
	Text string // one or more sentences: what, and what to do
}

// Error is the text.
func (p *Problem) Error() string { return p.Text }

// listProblem explains a failed list request.
func listProblem(err error) *Problem {
	p := &Problem{Code: ExitService, Text: err.Error()}
	var e *remote.Error
	if errors.As(err, &e) {
		switch e.Class {
		case remote.User:
			p.Code = ExitRefused
		case remote.Other:
			if e.Status == 0 && e.Op == "" {
				p.Code = ExitUsage
			}
		}
	}
	return p
}
