package httpapi

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
)

// traceHeader carries the trace id of every answer, in the form of an error
// document's traceId.
const traceHeader = "X-Trace-Id"

// newTraceID is the trace id of one request: 00-{trace}-{span}-00, the trace
// taken from a valid traceparent header (W3C Trace Context level 1, section
// 3.2), else new; the span always new. The flags are zero: nothing is sampled here.
func newTraceID(h http.Header) string {
	var random [24]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	trace := hex.EncodeToString(random[:16])
	if parents := h.Values("Traceparent"); len(parents) == 1 {
		if t, ok := parseTraceparent(parents[0]); ok {
			trace = t
		}
	}
	return "00-" + trace + "-" + hex.EncodeToString(random[16:]) + "-00"
}

// parseTraceparent gives the trace of a traceparent header. Later versions may
// be longer; version ff, zero ids and upper case are invalid.
func parseTraceparent(s string) (trace string, ok bool) {
	parts := strings.Split(strings.TrimSpace(s), "-")
	if len(parts) < 4 || parts[0] == "ff" || (parts[0] == "00" && len(parts) != 4) {
		return "", false
	}
	for i, length := range [...]int{2, 32, 16, 2} {
		if len(parts[i]) != length || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return "", false
		}
	}
	if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return "", false
	}
	return parts[1], true
}
