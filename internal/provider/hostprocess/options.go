package hostprocess

import (
	"path"
	"slices"
	"strings"

	"signpath/internal/provider/redact"
	"signpath/internal/secret"
)

// option is one row of the table.
type option struct {
	name     string
	suffix   bool     // every option whose name ends so, e.g. deststorepass
	programs []string // nil: every program; else only these
	attached bool     // the value may follow at once, as in -p1234
	places   bool     // a value such as env:NAME or file:path names a place and stays
}

// options is the table of options whose value is a secret. Names are compared
// without leading "-", "--" or "/", without "-", "_" and "." inside and without
// regard to case, so --so-pin, -SoPin and /so_pin are one. The value is the next
// argument, or what follows "=" or ":" in the same one.
var options = []option{
	{name: "pin"},                       // pkcs11-tool, p11tool, ours
	{name: "sopin"},                     // pkcs11-tool
	{name: "newpin"},                    // pkcs11-tool
	{name: "puk"},                       // pkcs11-tool
	{name: "pinvalue"},                  // URI attribute as an option
	{name: "apitoken", suffix: true},    // ours, samples, notation --plugin-config
	{name: "usertoken", suffix: true},   // CIUserToken
	{name: "accesstoken", suffix: true}, // CI tools
	{name: "authtoken", suffix: true},
	{name: "token", programs: []string{"signpath"}},
	{name: "storepass", suffix: true, places: true}, // keytool, jarsigner, jsign: also src…, dest…
	{name: "keypass", suffix: true, places: true},
	{name: "passphrase", suffix: true, places: true}, // gpg; -Dgpg.passphrase=
	{name: "password", suffix: true, places: true},   // -CertificatePassword, -Password
	{name: "passwd", suffix: true, places: true},
	{name: "pass", suffix: true, places: true}, // openssl, osslsigncode
	{name: "passin", places: true},
	{name: "passout", places: true},
	{name: "pwd"},
	{name: "secret", suffix: true},
	{name: "p", programs: []string{"pkcs11-tool"}, attached: true},
	{name: "p", programs: []string{"signtool", "security"}},
	{name: "s", programs: []string{"jsign"}},
	{name: "k", programs: []string{"openssl"}}, // enc -k password
	{name: "u", programs: []string{"curl"}, attached: true},
	{name: "user", programs: []string{"curl"}},
}

// placeForms are how a value begins that says where the secret is: openssl's
// pass phrase arguments and jsign's storepass.
var placeForms = []string{"env:", "file:", "fd:", "stdin"}

// harmless are options that end like one of the table but carry no secret.
var harmless = []string{"askpass", "readpass", "bypass"}

// maxNesting is how deep command lines inside arguments (sh -c '…') are looked at.
const maxNesting = 4

// redactArguments gives args without secrets.
func redactArguments(args []string, hide *redact.Set) []string {
	if len(args) == 0 {
		return nil
	}
	return redactWords(args, addPrograms(nil, args), hide, 0)
}

// addPrograms adds the programs of the table that words name. Any word may be
// one: java -jar jsign.jar, sudo pkcs11-tool, sh -c ….
func addPrograms(programs, words []string) []string {
	programs = slices.Clone(programs)
	for _, w := range words {
		name := programName(unquote(w))
		known := slices.ContainsFunc(options, func(o option) bool { return slices.Contains(o.programs, name) })
		if known && !slices.Contains(programs, name) {
			programs = append(programs, name)
		}
	}
	return programs
}

func programName(arg string) string {
	if len(arg) > 4096 {
		return ""
	}
	name := strings.ToLower(path.Base(strings.ReplaceAll(arg, `\`, "/")))
	for _, ext := range []string{".exe", ".jar"} {
		name = strings.TrimSuffix(name, ext)
	}
	return name
}

func redactWords(words, programs []string, hide *redact.Set, depth int) []string {
	out := make([]string, len(words))
	secretNext, places := false, false
	for i, w := range words {
		switch {
		case secretNext && !(places && isPlace(w)) && unquote(w) != "CONFIG":
			// An option name in place of a value is left, if it is one for sure,
			// so that its own value is found as well.
			out[i] = secret.Redacted
			secretNext = false
			if _, ok, next := optionOf(w, programs); ok && next {
				out[i], secretNext = w, true
				out[i] = redactText(out[i], programs, hide, depth)
			}
			continue
		case secretNext:
			secretNext = false
			out[i] = redactText(w, programs, hide, depth)
			continue
		}
		row, ok, next := optionOf(w, programs)
		if !ok {
			out[i] = redactText(w, programs, hide, depth)
			continue
		}
		places = options[row].places
		if next {
			out[i] = redactText(w, programs, hide, depth)
			secretNext = true
			continue
		}
		out[i] = redactInline(w, row, hide)
	}
	return out
}

// optionOf finds the table row of an argument that is an option with a secret.
// next tells that the value is the next argument.
func optionOf(word string, programs []string) (row int, ok, next bool) {
	word = unquote(word)
	bare := strings.TrimLeft(word, "-/")
	dashes := len(word) - len(bare)
	if dashes == 0 || dashes > 2 || bare == "" {
		return 0, false, false
	}
	name, _, inline := cutValue(bare)
	if inline && strings.ContainsAny(name, `/\ ?&;`) {
		return 0, false, false
	}
	folded := fold(name)
	if strings.HasSuffix(folded, ":env") || strings.HasSuffix(folded, ":file") || slices.Contains(harmless, folded) {
		return 0, false, false
	}
	for i := range options {
		o := &options[i]
		if o.programs != nil && !slices.ContainsFunc(o.programs, func(p string) bool { return slices.Contains(programs, p) }) {
			continue
		}
		if len(o.name) == 1 { // single letters have case, except behind "/"
			if dashes == 1 && (bare == o.name || word[0] == '/' && strings.EqualFold(bare, o.name)) {
				return i, true, true
			}
			if o.attached && word[0] == '-' && dashes == 1 && strings.HasPrefix(bare, o.name) && len(bare) > 1 {
				return i, true, false
			}
			continue
		}
		if folded == o.name || o.suffix && strings.HasSuffix(folded, o.name) {
			return i, true, !inline
		}
	}
	return 0, false, false
}

// cutValue splits name=value or name:value. jarsigner's -storepass:env NAME and
// -storepass:file NAME are options of their own, with a value that stays.
func cutValue(bare string) (name, value string, inline bool) {
	i := strings.IndexAny(bare, "=:")
	if i < 0 {
		return bare, "", false
	}
	if rest := strings.ToLower(bare[i+1:]); bare[i] == ':' && (rest == "env" || rest == "file") {
		return bare, "", false
	}
	return bare[:i], bare[i+1:], true
}

func fold(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", ".", "").Replace(name))
}

func redactInline(word string, row int, hide *redact.Set) string {
	if options[row].attached && !strings.ContainsAny(word, "=:") {
		return word[:strings.IndexByte(word, options[row].name[0])+1] + secret.Redacted
	}
	i := strings.IndexAny(word, "=:")
	if len(options[row].name) == 1 {
		i = strings.IndexByte(word, options[row].name[0])
	}
	if v := word[i+1:]; v == "" || unquote(v) == "CONFIG" || options[row].places && isPlace(v) {
		return hide.Text(word)
	}
	return hide.Known(word[:i+1]) + secret.Redacted
}

func isPlace(w string) bool {
	w = unquote(w)
	return slices.ContainsFunc(placeForms, func(p string) bool { return strings.HasPrefix(w, p) })
}

func unquote(w string) string { return strings.Trim(w, `"'`) }

// redactText redacts one argument that is no option of the table: known secrets,
// values with a marker, and command lines inside it.
func redactText(text string, programs []string, hide *redact.Set, depth int) string {
	text = hide.Text(text)
	if depth < maxNesting && strings.ContainsAny(text, " \t\n") {
		words, gaps := splitWords(text)
		if len(words) > 1 {
			words = redactWords(words, addPrograms(programs, words), hide, depth+1)
			var b strings.Builder
			for i, w := range words {
				b.WriteString(gaps[i])
				b.WriteString(w)
			}
			b.WriteString(gaps[len(words)])
			return b.String()
		}
		// One quoted word: look inside.
		if inner := unquote(text); inner != text && inner != "" {
			at := strings.Index(text, inner)
			return text[:at] + redactText(inner, programs, hide, depth+1) + text[at+len(inner):]
		}
	}
	return text
}

// splitWords takes a text apart at white space outside of quotes. gaps[i] stands
// before words[i], the last one behind all.
func splitWords(text string) (words, gaps []string) {
	for {
		n := len(text) - len(strings.TrimLeft(text, " \t\r\n"))
		gaps = append(gaps, text[:n])
		if text = text[n:]; text == "" {
			return words, gaps
		}
		end, quote := 0, byte(0)
		for end < len(text) {
			c := text[end]
			switch {
			case c == '\\' && quote != '\'' && end+1 < len(text):
				end++
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case c == '"' || c == '\'':
				if strings.IndexByte(text[end+1:], c) >= 0 { // else a lone apostrophe
					quote = c
				}
			case strings.IndexByte(" \t\r\n", c) >= 0:
				words = append(words, text[:end])
				text = text[end:]
				end = -1
			}
			if end < 0 {
				break
			}
			end++
		}
		if end >= 0 {
			return append(words, text), append(gaps, "")
		}
	}
}
