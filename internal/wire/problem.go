package wire

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ProblemType is the media type of an error document.
const ProblemType = "application/problem+json"

// Problem is an error document (RFC 9457). Validation errors fill Errors and
// leave Detail empty; all others fill Detail.
type Problem struct {
	Type    string              `json:"type"`
	Title   string              `json:"title"`
	Status  int                 `json:"status"`
	Detail  string              `json:"detail,omitempty"`
	Errors  map[string][]string `json:"errors,omitempty"` // field name -> sentences; "" is the artifact's content
	TraceID string              `json:"traceId,omitempty"`
	// RetryAfter is for the Retry-After header (RFC 9110 section 10.2.3), in whole
	// seconds; zero: no header.
	RetryAfter time.Duration `json:"-"`
}

// problemSections are the sections of RFC 9110 (and RFC 6585) that define the statuses in use.
var problemSections = map[int]string{
	400: "rfc9110#section-15.5.1", 401: "rfc9110#section-15.5.2", 403: "rfc9110#section-15.5.4",
	404: "rfc9110#section-15.5.5", 405: "rfc9110#section-15.5.6", 406: "rfc9110#section-15.5.7",
	408: "rfc9110#section-15.5.9", 409: "rfc9110#section-15.5.10", 411: "rfc9110#section-15.5.12",
	413: "rfc9110#section-15.5.14", 414: "rfc9110#section-15.5.15", 415: "rfc9110#section-15.5.16", 429: "rfc6585#section-4",
	500: "rfc9110#section-15.6.1", 501: "rfc9110#section-15.6.2", 502: "rfc9110#section-15.6.3", 503: "rfc9110#section-15.6.4", 504: "rfc9110#section-15.6.5",
}

// NewProblem is an error document with a cause in one sentence.
func NewProblem(status int, detail string) *Problem {
	p := &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
	if s, ok := problemSections[status]; ok {
		p.Type = "https://tools.ietf.org/html/" + s
	}
	return p
}

// NewValidationProblem is the 400 document for errors in fields.
func NewValidationProblem(errors FieldErrors) *Problem {
	p := NewProblem(http.StatusBadRequest, "")
	p.Title = "One or more validation errors occurred."
	p.Errors = errors
	return p
}

// Error makes a Problem usable as an error: status, title and every cause in one line.
func (p *Problem) Error() string {
	parts := []string{strconv.Itoa(p.Status) + " " + p.Title}
	if p.Detail != "" {
		parts = append(parts, p.Detail)
	}
	if len(p.Errors) > 0 {
		parts = append(parts, FieldErrors(p.Errors).Error())
	}
	return strings.Join(parts, ": ")
}

// FieldErrors are validation errors by field; the empty name is the artifact's content.
type FieldErrors map[string][]string

// Field makes FieldErrors with one entry.
func Field(name, sentence string) FieldErrors { return FieldErrors{name: {sentence}} }

// Add appends a sentence to a field.
func (e FieldErrors) Add(name, sentence string) { e[name] = append(e[name], sentence) }

// Merge appends every sentence of other.
func (e FieldErrors) Merge(other FieldErrors) {
	for name, sentences := range other {
		e[name] = append(e[name], sentences...)
	}
}

// Error lists the fields in alphabetical order.
func (e FieldErrors) Error() string {
	names := make([]string, 0, len(e))
	for n := range e {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		if b.Len() > 0 {
			b.WriteString(" ")
		}
		if n != "" {
			b.WriteString(n + ": ")
		}
		b.WriteString(strings.Join(e[n], " "))
	}
	return b.String()
}
