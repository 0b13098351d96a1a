// Package hostprocess describes the program that a provider runs in, for the
// audit trail of a signature.
//
// What enters are the operating system's answers about this process, what leaves
// is its command line and the name of its user, both free of secrets: options
// that are known to carry passwords, PINs in PKCS #11 URIs, Authorization
// headers and every secret the caller knows. The package never fails and never
// waits; what cannot be found out is left out. Source: SignPath crypto providers,
// changelog (metadata CreatingProcess).
package hostprocess

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"signpath/internal/provider/redact"
	"signpath/internal/secret"
)

// Process describes the host process. Empty means unknown.
type Process struct {
	// CommandLine is the redacted command line with all arguments, quoted for
	// sh (on Windows for CommandLineToArgvW); at most 8 KiB, the end is marked
	// with " [cut]" when there was more.
	CommandLine string `json:"CommandLine,omitempty"`
	// User is the login name of the effective user; DOMAIN\user on Windows; the
	// number of the user when it has no name.
	User string `json:"User,omitempty"`
}

const (
	maxCommandLine = 8 << 10
	maxRead        = 64 << 10 // bytes of the raw command line that are looked at
	cutMark        = " [cut]"
)

// Describe looks at the process it runs in. Every one of secrets is removed,
// wherever it stands and also when percent-encoded.
func Describe(secrets []secret.Secret) (p Process) {
	defer func() { _ = recover() }() // never a reason for a signature to fail
	p.User = userName()
	p.CommandLine = commandLine(arguments(), redact.New(secrets...))
	return p
}

// Metadata is the JSON of the classic form,
// {"CreatingProcess":{"CommandLine":"…","User":"…"}}; nil when nothing is known.
func (p Process) Metadata() json.RawMessage {
	if p == (Process{}) {
		return nil
	}
	data, err := json.Marshal(map[string]Process{"CreatingProcess": p})
	if err != nil {
		return nil
	}
	return data
}

// commandLine redacts, quotes and cuts.
func commandLine(args []string, hide *redact.Set) string {
	args = redactArguments(args, hide)
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quoteArgument(strings.ToValidUTF8(a, "\uFFFD")))
	}
	line := hide.Known(b.String()) // whatever quoting may have put together
	if len(line) <= maxCommandLine {
		return line
	}
	n := maxCommandLine - len(cutMark)
	for n > 0 && !utf8.RuneStart(line[n]) {
		n--
	}
	return line[:n] + cutMark
}

// splitZeros takes a list of zero-terminated arguments apart. whole is false
// when the list was read in part: then its last argument is dropped, which might
// be the first half of a secret.
func splitZeros(data string, whole bool) []string {
	if !whole {
		data = data[:strings.LastIndexByte(data, 0)+1]
		if data == "" {
			return nil
		}
		return append(splitZeros(data, true), strings.TrimSpace(cutMark))
	}
	data = strings.TrimRight(data, "\x00") // hosts that rewrite their title leave many
	if data == "" {
		return nil
	}
	return strings.Split(data, "\x00")
}

// shellQuote quotes an argument for sh so that it reads back as it is.
func shellQuote(a string) string {
	if a != "" && strings.IndexFunc(a, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("%+,-./:=@_", r))
	}) < 0 {
		return a
	}
	if a == secret.Redacted || a == strings.TrimSpace(cutMark) {
		return a
	}
	return "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
}
