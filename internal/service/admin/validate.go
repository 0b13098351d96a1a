package admin

import (
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// Limits of what people type in.
const (
	maxName        = 200  // characters
	maxDescription = 2000 // characters
	maxApprovals   = 100
	// maxKeyName is what libp11 can carry: PKCS #11 tools that use it cut longer key IDs.
	maxKeyName = 99 // bytes of "project/policy"
)

var slugPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// input collects the errors of all fields before anything is decided.
type input struct{ errs wire.FieldErrors }

func newInput() *input { return &input{errs: wire.FieldErrors{}} }

func (in *input) fail(field, format string, args ...any) {
	in.errs.Add(field, fmt.Sprintf(format, args...))
}

// err is nil when every field was fine.
func (in *input) err() error {
	if len(in.errs) == 0 {
		return nil
	}
	return in.errs
}

// slug checks the short name of an object as it stands in URLs and key names.
func (in *input) slug(field, value string) string {
	switch {
	case value == "":
		in.fail(field, "A slug is missing.")
	case len(value) > 100:
		in.fail(field, "The slug has %d characters; 100 are allowed.", len(value))
	case !slugPattern.MatchString(value):
		in.fail(field, "%q is not a slug: letters, digits, dot, underscore and hyphen are allowed.", clip(value))
	case strings.Trim(value, ".") == "":
		in.fail(field, "%q is not a slug: a path segment of dots only means something else in a URL.", value)
	}
	return value
}

// name checks a name for people and takes white space away from its ends.
func (in *input) name(field, value string) string {
	value = strings.TrimSpace(value)
	if value == "" {
		in.fail(field, "A name is missing.")
		return value
	}
	in.text(field, value, maxName)
	return value
}

// text checks a line of free text.
func (in *input) text(field, value string, limit int) {
	if n := utf8.RuneCountInString(value); n > limit {
		in.fail(field, "The text has %d characters; %d are allowed.", n, limit)
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) }) {
		in.fail(field, "The text has control characters.")
	}
}

// url checks the address of a web page; the empty one is none.
func (in *input) url(field, value string) string {
	value = strings.TrimSpace(value)
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		in.fail(field, "%q is not an address of the form https://host/path, without user and password.", clip(value))
	}
	in.text(field, value, maxDescription)
	return value
}

func (in *input) email(field, value string) string {
	value = strings.TrimSpace(value)
	if value == "" {
		in.fail(field, "An e-mail address is missing.")
		return value
	}
	address, err := mail.ParseAddress(value)
	if err != nil || address.Address != value {
		in.fail(field, "%q is not an e-mail address.", clip(value))
	}
	return value
}

// roles are the global roles by name, without regard to case.
func (in *input) roles(field string, names []string) []model.Role {
	known := model.Roles()
	var roles []model.Role
	for _, name := range names {
		found := false
		for _, r := range known {
			if strings.EqualFold(string(r), strings.TrimSpace(name)) {
				found = true
				if !contains(roles, r) {
					roles = append(roles, r)
				}
			}
		}
		if !found {
			in.fail(field, "%q is not a role; the roles are %s.", clip(name), join(known))
		}
	}
	return roles
}

// hashes are digest algorithms by their names on the wire, weakest first.
func (in *input) hashes(field string, names []string) []wire.Hash {
	var set []wire.Hash
	for _, name := range names {
		plain := strings.ReplaceAll(strings.TrimSpace(name), "-", "")
		h, ok := wire.HashByName(plain)
		if !ok {
			in.fail(field, "%q is not a digest algorithm; they are %s.", clip(name), join(wire.Hashes()))
			continue
		}
		if !contains(set, h) {
			set = append(set, h)
		}
	}
	return sorted(set)
}

func (in *input) approvals(field string, n int) {
	if n < 0 || n > maxApprovals {
		in.fail(field, "%d is not a number of approvals; 0 to %d are allowed.", n, maxApprovals)
	}
}

// defaultHashes are what a policy allows for RSA keys unless it says otherwise:
// SHA-1 because Apple's productsign still needs it, never MD5.
func defaultHashes() []wire.Hash {
	return []wire.Hash{wire.SHA1, wire.SHA256, wire.SHA384, wire.SHA512}
}

// sorted gives set in the order of the wire's table: weakest first.
func sorted(set []wire.Hash) []wire.Hash {
	var out []wire.Hash
	for _, h := range wire.Hashes() {
		if contains(set, h) {
			out = append(out, h)
		}
	}
	return out
}

func contains[T comparable](set []T, v T) bool {
	for _, s := range set {
		if s == v {
			return true
		}
	}
	return false
}

func join[T any](set []T) string {
	names := make([]string, len(set))
	for i, s := range set {
		names[i] = fmt.Sprint(s)
	}
	return strings.Join(names, ", ")
}

// clip keeps foreign text in error sentences short.
func clip(s string) string {
	const limit = 60
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
