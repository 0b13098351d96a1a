package notation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"signpath/internal/provider/keyring"
	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
)

// Code is an error code of the plug-in contract.
type Code string

// The codes of the contract ("Plugin Extensibility, Error codes").
const (
	CodeValidation Code = "VALIDATION_ERROR"             // the request, a setting or the key's name is wrong
	CodeContract   Code = "UNSUPPORTED_CONTRACT_VERSION" // notation speaks another version
	CodeAccess     Code = "ACCESS_DENIED"                // the service refused token or user
	CodeTimeout    Code = "TIMEOUT"                      // no answer after all retries; try again later
	CodeThrottled  Code = "THROTTLED"                    // the service limits the rate; try again later
	CodeGeneric    Code = "ERROR"                        // anything else
)

// Error is how every command fails. Its JSON is what the contract wants on
// standard error. It never holds a secret.
type Error struct {
	Code     Code              `json:"errorCode"`
	Message  string            `json:"errorMessage"`
	Metadata map[string]string `json:"errorMetadata,omitempty"` // logFile, httpStatus, traceId
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// JSON is the error document on one line.
func (e *Error) JSON() []byte {
	b, err := json.Marshal(e)
	if err != nil { // texts only: it cannot happen
		return []byte(`{"errorCode":"ERROR","errorMessage":"internal error"}`)
	}
	return b
}

func (e *Error) put(name, value string) {
	if e.Metadata == nil {
		e.Metadata = map[string]string{}
	}
	e.Metadata[name] = value
}

func newError(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}

// statusCodes is the table of refusals by the service, by HTTP status.
var statusCodes = map[int]Code{
	400: CodeValidation,
	401: CodeAccess,
	403: CodeAccess,
	422: CodeValidation,
	429: CodeThrottled,
}

// classCodes is the table for whatever the table above does not name.
var classCodes = map[remote.Class]Code{
	remote.Transient: CodeTimeout,
	remote.Service:   CodeGeneric,
	remote.User:      CodeGeneric,
	remote.Other:     CodeGeneric,
	remote.Canceled:  CodeGeneric,
}

// classify makes the contract's error of any other.
func classify(err error) *Error {
	var own *Error
	var configuration *settings.Error
	var e *remote.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &e) && e.Class != 0:
		code, known := statusCodes[e.Status]
		if !known {
			code = classCodes[e.Class]
		}
		if errors.As(err, &configuration) { // found when the ring was opened: nothing was sent
			code = CodeValidation
		}
		out := newError(code, "%s", err.Error())
		if e.Status != 0 {
			out.put("httpStatus", strconv.Itoa(e.Status))
		}
		if e.TraceID != "" {
			out.put("traceId", e.TraceID)
		}
		return out
	case errors.As(err, &configuration), errors.Is(err, keyring.ErrScheme), errors.Is(err, keyring.ErrKeyTooShort), errors.Is(err, keyring.ErrDigestLength):
		return newError(CodeValidation, "%s", err.Error())
	case errors.Is(err, context.Canceled):
		return newError(CodeGeneric, "stopped by a signal; nothing was signed")
	}
	return newError(CodeGeneric, "%s", err.Error())
}
