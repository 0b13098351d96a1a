// Package secret keeps values that must never be printed: API tokens, PINs,
// passwords, key-encryption keys.
//
// What enters is plain text, what leaves is "[redacted]" through every usual
// way out: fmt (all verbs), log/slog, encoding/json and encoding.TextMarshaler.
// Only Reveal gives the value back, so that each place where a secret is used
// can be found by searching for that one name. The package never logs and
// imports nothing of ours.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what every printed secret looks like.
const Redacted = "[redacted]"

// Secret is a confidential text. The zero value is empty. Secrets are
// comparable only through Equal; == is prevented on purpose.
type Secret struct {
	_     [0]func() // not comparable: == would not run in constant time
	value *string   // a pointer, so that %#v of an outer struct shows an address at most
}

// New wraps value.
func New(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal gives the plain text. Callers must not keep it longer than needed.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsEmpty tells whether no value is held.
func (s Secret) IsEmpty() bool { return s.value == nil }

// Equal compares in time that depends on the lengths only.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s.IsEmpty() {
		return ""
	}
	return Redacted
}

// Format implements fmt.Formatter, so that no verb (not even %#v or %x) shows the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler and thereby JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}
