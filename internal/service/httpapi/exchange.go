package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"signpath/internal/service/auth"
	"signpath/internal/service/authz"
	"signpath/internal/service/signing"
)

// statusClientGone is logged, never sent: the client hung up.
const statusClientGone = 499

// exchange is one request with its answer.
type exchange struct {
	w      *recorder
	r      *http.Request
	route  *route            // nil: none found
	params map[string]string // of the path
	caller signing.Caller
	// bodyCut: the body ended before its announced length. The context has ended
	// then as after a hang-up, but a client that closed its own half only listens.
	bodyCut bool
	flood   bool // one of too many: not logged by itself

	// Set for routes that need a token.
	organizationID string
	principal      *authz.Principal
	snapshot       *authz.Snapshot // that the principal was found in
}

// ServeHTTP surrounds every request: trace id, headers, panics, access log.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{w: &recorder{ResponseWriter: w}, r: r}
	x.caller = signing.Caller{IP: callerIP(r, a.TrustForwardedFor), UserAgent: userAgent(r), TraceID: newTraceID(r.Header)}
	h := w.Header()
	h.Set(traceHeader, x.caller.TraceID)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")

	err, aborted := a.serve(x)
	if err != nil && !aborted {
		aborted = a.fail(x, err)
	}
	a.logAccess(x, time.Since(start))
	if aborted {
		panic(http.ErrAbortHandler) // closes the connection: an answer that broke off must not look whole
	}
}

// serve finds the route, checks the token and runs the handler. A panic becomes
// an error, except that of a handler that wants the connection closed.
func (a *api) serve(x *exchange) (err error, aborted bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			aborted = true
		default:
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	found, params, allow, err := a.find(x.r)
	if err != nil {
		if allow != nil {
			x.w.Header().Set("Allow", strings.Join(allow, ", "))
		}
		return err, false
	}
	x.route, x.params = found, params
	if found.access == tokenFor {
		if err := a.authenticate(x); err != nil {
			return err, false
		}
	}
	return found.handler(x), false
}

func (a *api) authenticate(x *exchange) error {
	id, problem := auth.ParseOrganizationID(x.params["organizationId"])
	if problem != nil {
		return problem
	}
	x.organizationID = id
	snapshot := a.Signing.Snapshot()
	p, err := auth.Authenticate(snapshot, id, x.authorization(), x.caller.IP, time.Now())
	if err != nil {
		if limited := a.limitFailures(x); limited != nil {
			return limited
		}
	}
	// A token that another replica has just made is not in this snapshot yet. If
	// there is no newer one, or none to be had, the refusal stands.
	if err != nil && x.authorization() != "" && a.Signing.NewerThan(x.r.Context(), snapshot) {
		snapshot = a.Signing.Snapshot()
		p, err = auth.Authenticate(snapshot, id, x.authorization(), x.caller.IP, time.Now())
	}
	x.principal, x.snapshot = p, snapshot
	if err == nil && a.TokenUsed != nil {
		a.TokenUsed(p.Token.ID, time.Now())
	}
	if err == nil {
		return a.limitRequests(x)
	}
	return err
}

// authorization is the header's value. Several are joined by commas, which no
// token has, and so refused: proxies and servers disagree about which one counts.
func (x *exchange) authorization() string {
	return strings.Join(x.r.Header.Values("Authorization"), ", ")
}

// fail answers with the error's document, and records causes that are ours. It
// tells whether the connection must be closed instead.
func (a *api) fail(x *exchange, err error) (abort bool) {
	var panicked *panicError
	isPanic := errors.As(err, &panicked)
	if !isPanic && !x.bodyCut && errors.Is(x.r.Context().Err(), context.Canceled) {
		if x.w.status == 0 {
			x.w.status = statusClientGone
		}
		return true
	}
	p := problemOf(err)
	if p.Status >= 500 {
		attrs := []slog.Attr{slog.String("trace_id", x.caller.TraceID), slog.String("error", err.Error())}
		if isPanic {
			attrs = append(attrs, slog.String("stack", string(panicked.stack)))
		}
		a.log.LogAttrs(x.r.Context(), slog.LevelError, "request failed", attrs...)
	}
	if x.w.status != 0 {
		return true // part of another answer is under way
	}
	p.TraceID = x.caller.TraceID
	if p.Status == http.StatusUnauthorized {
		x.w.Header().Set("WWW-Authenticate", challenge(x.authorization() != "", p.Detail))
	}
	if p.RetryAfter > 0 {
		x.w.Header().Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	x.problem(p)
	return false
}

func (a *api) logAccess(x *exchange, took time.Duration) {
	pattern, user := "none", ""
	if x.route != nil {
		pattern = x.route.pattern
	}
	if a.Observe != nil {
		a.Observe(logMethod(x.r.Method), pattern, x.w.status, took)
	}
	if x.flood {
		a.floods.log(a.log, x.caller.IP)
		return
	}
	if x.principal != nil {
		user = x.principal.User.ID
	}
	a.log.LogAttrs(x.r.Context(), slog.LevelInfo, "request",
		slog.String("method", logMethod(x.r.Method)),
		slog.String("route", pattern), // never the path itself: it may hold anything
		slog.Int("status", x.w.status),
		slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.Int64("bytes", x.w.bytes),
		slog.String("trace_id", x.caller.TraceID),
		slog.String("ip", x.caller.IP),
		slog.String("user_agent", x.caller.UserAgent),
		slog.String("user", user),
	)
}

// logMethod keeps invented methods out of the log.
func logMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return m
	}
	return "other"
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int // 0: nothing yet
	bytes  int64
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// panicError is a panic of a handler.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }
