// Package redact removes secrets from text that is about to leave the process:
// log lines, recorded command lines, error texts that a service echoes.
//
// What enters is text and a list of secrets, what leaves is the same text with
// "[redacted]" in place of every secret. Secrets are found as they are, with any
// of their bytes percent-encoded (once or twice), HTML-, JSON- or Go-escaped, as
// base64 in every alignment, as hexadecimal, and cut to their first 32 bytes (some
// tools cut a PIN there). Secrets that nobody told this package about are found
// by their marker: an Authorization header, pin-value of a PKCS #11 URI
// (RFC 7512), the password of a URL. The package does not log, never fails and
// knows nothing of settings. What else foreign text needs before it is shown (one
// line, no control characters, bounded) is up to those who show it.
package redact

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"signpath/internal/secret"
)

// The shortest texts that are searched for. A shorter "secret" would turn every
// line into a riddle and, by the number of marks, still give itself away.
const (
	minSecret  = 4
	minDerived = 8
	cutPIN     = 32 // libp11 and pkcs11-provider cut PINs there
)

// organizationPIN is the PIN form {OrganizationId}:{ApiToken}.
var organizationPIN = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}:`)
})

// Set is a growing list of secrets. The zero value is usable and knows none; a
// nil *Set too. All methods may be called from any goroutine.
type Set struct {
	mu    sync.RWMutex
	forms []string // what is searched for, without repetition
	first [256]bool
}

// New makes a Set.
func New(secrets ...secret.Secret) *Set {
	s := &Set{}
	s.Add(secrets...)
	return s
}

// Add makes further secrets known. Texts of less than four bytes and the word
// CONFIG, which as a PIN means "use the configuration", are no secrets. Of a PIN
// {OrganizationId}:{ApiToken} the token is a secret by itself too.
func (s *Set) Add(secrets ...secret.Secret) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range secrets {
		plain := x.Reveal()
		s.add(plain)
		if prefix := organizationPIN().FindString(plain); prefix != "" {
			s.add(plain[len(prefix):])
		} else if len(plain) > cutPIN {
			// Of an organization's PIN the first 32 bytes are a part of the
			// organization's identifier, which log lines need.
			s.form(plain[:cutPIN], minSecret)
		}
	}
}

func (s *Set) add(plain string) {
	if len(plain) < minSecret || plain == "CONFIG" {
		return
	}
	s.form(plain, minSecret)
	if trimmed := strings.TrimSpace(plain); trimmed != plain {
		s.form(trimmed, minSecret)
	}
	for shift := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			s.form(base64Core(enc, plain, shift), minDerived)
		}
	}
	// The end of a base64 text: its last character depends on the secret alone.
	s.form(base64.RawStdEncoding.EncodeToString([]byte(plain)), minDerived)
	s.form(base64.RawURLEncoding.EncodeToString([]byte(plain)), minDerived)
	s.form(hex.EncodeToString([]byte(plain)), minDerived)
	s.form(strings.ToUpper(hex.EncodeToString([]byte(plain))), minDerived)
}

// base64Core is the part of a base64 text that plain alone decides when shift
// bytes of something else stand before it and more may follow.
func base64Core(enc *base64.Encoding, plain string, shift int) string {
	text := enc.EncodeToString(append(make([]byte, shift), plain...))
	text = text[[3]int{0, 2, 3}[shift]:]
	if (shift+len(plain))%3 != 0 {
		text = text[:len(text)-1]
	}
	return text
}

func (s *Set) form(f string, shortest int) {
	if len(f) < shortest {
		return
	}
	for _, have := range s.forms {
		if have == f {
			return
		}
	}
	s.forms = append(s.forms, f)
	s.first[f[0]] = true
}

// Text gives text without the known secrets and without the values that follow
// a marker.
func (s *Set) Text(text string) string { return markers(s.Known(text)) }

// Known gives text without the known secrets.
func (s *Set) Known(text string) string {
	if s == nil {
		return text
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.forms) == 0 {
		return text
	}
	var out strings.Builder
	done := 0 // text[:done] is written
	for i := 0; i < len(text); {
		c := text[i]
		if !s.first[c] && c != '%' && c != '\\' && c != '+' && c != '&' {
			i++
			continue
		}
		end := i
		for _, f := range s.forms {
			end = max(end, match(text, i, f))
		}
		if end == i {
			i++
			continue
		}
		out.WriteString(text[done:i])
		out.WriteString(secret.Redacted)
		i, done = end, end
	}
	if done == 0 {
		return text
	}
	out.WriteString(text[done:])
	return out.String()
}

// match tells where form ends if text has it at position at, each byte as it is
// or escaped in some way; at itself if it does not.
func match(text string, at int, form string) int {
	var a, b [8]int
	now, next := append(a[:0], at), b[:0]
	for i := range len(form) {
		next = next[:0]
		for _, p := range now {
			next = step(text, p, form[i], next)
		}
		if len(next) == 0 {
			return at
		}
		now, next = next, now
	}
	end := at
	for _, p := range now {
		end = max(end, p)
	}
	return end
}

// step adds to ends every position that is reached from p by reading c.
func step(text string, p int, c byte, ends []int) []int {
	if p >= len(text) {
		return ends
	}
	add := func(n int) {
		for _, have := range ends {
			if have == n {
				return
			}
		}
		if len(ends) < 16 {
			ends = append(ends, n)
		}
	}
	rest := text[p:]
	if rest[0] == c {
		add(p + 1)
	}
	switch rest[0] {
	case '+':
		if c == ' ' {
			add(p + 1)
		}
	case '%':
		for n := 1; n+2 <= len(rest); n += 2 { // %2F, %252F, %25252F …
			if v, ok := hexByte(rest[n:]); ok && v == c {
				add(p + n + 2)
			}
			if n > 5 || rest[n] != '2' || rest[n+1] != '5' {
				break
			}
		}
	case '&':
		n := 1
		for range 4 { // &amp;#43; and deeper
			if !strings.HasPrefix(rest[n:], "amp;") {
				break
			}
			n += len("amp;")
			if c == '&' {
				add(p + n)
			}
		}
		if v, length := entity(rest[n:]); length > 0 && v == c {
			add(p + n + length)
		}
	case '\\':
		n := 1
		for n < len(rest) && rest[n] == '\\' && n < 8 { // quoted more than once
			n++
		}
		if n > 1 && c == '\\' {
			for k := 2; k <= n; k++ {
				add(p + k)
			}
		}
		if n < len(rest) {
			tail := rest[n:]
			switch {
			case tail[0] == c:
				add(p + n + 1)
			case len(tail) >= 3 && tail[0] == 'x':
				if v, ok := hexByte(tail[1:]); ok && v == c {
					add(p + n + 3)
				}
			case len(tail) >= 5 && tail[0] == 'u' && tail[1] == '0' && tail[2] == '0':
				if v, ok := hexByte(tail[3:]); ok && v == c {
					add(p + n + 5)
				}
			case tail[0] == 'n' && c == '\n', tail[0] == 'r' && c == '\r', tail[0] == 't' && c == '\t':
				add(p + n + 1)
			}
		}
	}
	return ends
}

// entities are the named characters of HTML that secrets may hold (tokens are
// base64, PINs anything that a keyboard has).
var entities = map[string]byte{"lt": '<', "gt": '>', "quot": '"', "apos": '\'', "plus": '+', "sol": '/', "equals": '=', "percnt": '%', "colon": ':'}

// entity reads what follows "&": a name, #43 or #x2B, and the semicolon. The
// length is 0 when that is no character of one byte.
func entity(s string) (c byte, length int) {
	end := strings.IndexByte(s[:min(len(s), 10)], ';')
	if end < 1 {
		return 0, 0
	}
	name, number := strings.CutPrefix(s[:end], "#")
	if !number {
		c, ok := entities[name]
		if !ok {
			return 0, 0
		}
		return c, end + 1
	}
	base := 10
	if name[:min(len(name), 1)] == "x" || name[:min(len(name), 1)] == "X" {
		name, base = name[1:], 16
	}
	v, err := strconv.ParseUint(name, base, 7)
	if err != nil {
		return 0, 0
	}
	return byte(v), end + 1
}

func hexByte(s string) (byte, bool) {
	var v byte
	for i := range 2 {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | (c - '0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | (c - 'a' + 10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | (c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return v, true
}
