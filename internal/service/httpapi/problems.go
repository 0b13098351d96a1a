package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"signpath/internal/wire"
)

// bodyError is a failure to read the request's body.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "reading the request: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// bodyReader marks the errors of a body, and notes one that ended too early.
type bodyReader struct {
	r   io.Reader
	cut *bool
}

func (b bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		*b.cut = *b.cut || errors.Is(err, io.ErrUnexpectedEOF)
		err = &bodyError{err}
	}
	return n, err
}

// problemOf is the one place where errors become documents. The result is the
// caller's own copy. What it does not know is a 500 that tells no cause: the
// log does, under the trace id.
func problemOf(err error) *wire.Problem {
	var (
		problem   *wire.Problem
		fields    wire.FieldErrors
		body      *bodyError
		tooLarge  *http.MaxBytesError
		timeout   net.Error
		unhealthy *unhealthyError
	)
	switch {
	case errors.As(err, &problem):
		p := *problem
		return &p
	case errors.As(err, &fields):
		return wire.NewValidationProblem(fields)
	case errors.As(err, &tooLarge):
		return wire.NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The request body is larger than %d bytes.", tooLarge.Limit))
	case errors.As(err, &body) && errors.As(err, &timeout) && timeout.Timeout():
		return wire.NewProblem(http.StatusRequestTimeout, "The request body did not arrive in time. Send the request again.")
	case errors.As(err, &body):
		return wire.NewProblem(http.StatusBadRequest, "The request body ended before its announced length.")
	case errors.Is(err, wire.ErrMediaType):
		return wire.NewProblem(http.StatusUnsupportedMediaType, "Send the signing request as multipart/form-data with a boundary, or use SigningRequests/SignHash for JSON.")
	case errors.Is(err, errNotJSON):
		return wire.NewProblem(http.StatusUnsupportedMediaType, "Send the request with Content-Type: application/json.")
	case errors.As(err, &unhealthy):
		return wire.NewProblem(http.StatusServiceUnavailable, "The service cannot sign at the moment. Its log tells the cause.")
	case errors.Is(err, context.DeadlineExceeded):
		return wire.NewProblem(http.StatusGatewayTimeout, "The service did not finish in time. Send the request again.")
	case errors.Is(err, context.Canceled):
		return wire.NewProblem(http.StatusServiceUnavailable, "The service is shutting down. Send the request again.")
	}
	return wire.NewProblem(http.StatusInternalServerError, "The service failed. Its log tells the cause under the trace id of this answer.")
}

// challenge is the WWW-Authenticate header of a 401 (RFC 6750 section 3): error
// codes only when credentials were sent.
func challenge(sent bool, cause string) string {
	const scheme = `Bearer realm="SignPath"`
	if !sent {
		return scheme
	}
	cause = strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~': // RFC 6750 allows printable ASCII
			return -1
		}
		return r
	}, cause)
	return scheme + `, error="invalid_token", error_description="` + cause + `"`
}
