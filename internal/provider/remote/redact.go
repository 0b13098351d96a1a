package remote

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"signpath/internal/provider/redact"
	"signpath/internal/secret"
	"signpath/internal/wire"
)

const (
	maxLine     = 512 // runes of foreign text in an error or log line
	maxProblems = 20  // fields of an error document that are kept
)

// redactor makes text of the service, of proxies and of failed connections fit
// to be shown: without secrets (that is the package redact's work), in one line,
// bounded.
type redactor struct{ set *redact.Set }

func newRedactor(s ...secret.Secret) *redactor { return &redactor{redact.New(s...)} }

// text replaces the known secrets. What only looks like one stays, so that the
// service's own words reach the reader; the log is stricter.
func (r *redactor) text(s string) string { return r.set.Known(s) }

// line makes foreign text fit for one line: white space joined, control
// characters dropped, then secrets replaced (dropping characters may have put one
// together, and a cut must not leave half of one), then the length bounded.
func (r *redactor) line(s string) string {
	s = r.text(strings.ToValidUTF8(s, "�"))
	var b strings.Builder
	space := false
	for _, c := range s {
		switch {
		case unicode.IsSpace(c):
			space = b.Len() > 0
			continue
		case !unicode.IsPrint(c):
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(c)
	}
	s = r.text(b.String())
	if cut := []rune(s); len(cut) > maxLine {
		s = string(cut[:maxLine]) + "…"
	}
	return s
}

// problem cleans an error document.
func (r *redactor) problem(p *wire.Problem) *wire.Problem {
	if p == nil {
		return nil
	}
	q := &wire.Problem{Type: r.line(p.Type), Title: r.line(p.Title), Status: p.Status, Detail: r.line(p.Detail), TraceID: r.line(p.TraceID)}
	if len(p.Errors) == 0 {
		return q
	}
	q.Errors = map[string][]string{}
	fields := make([]string, 0, len(p.Errors))
	for f := range p.Errors {
		fields = append(fields, f)
	}
	slices.Sort(fields)
	for _, f := range fields[:min(len(fields), maxProblems)] {
		sentences := p.Errors[f]
		name := r.line(f)
		for _, s := range sentences[:min(len(sentences), maxProblems)] {
			q.Errors[name] = append(q.Errors[name], r.line(s))
		}
	}
	return q
}

// cause cleans an error's text. The chain of causes is kept unless its text
// held a secret.
func (r *redactor) cause(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := r.line(text)
	if clean == text {
		return err
	}
	c := &cleanError{text: clean}
	if r.text(text) == text {
		c.err = err
	}
	return c
}

type cleanError struct {
	text string
	err  error
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.err }

// addProxy registers the credentials in a proxy's URL.
func (r *redactor) addProxy(u *url.URL) {
	if password, ok := u.User.Password(); ok {
		r.set.Add(secret.New(password), secret.New(base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))))
	}
}
