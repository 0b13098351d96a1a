package redact

import (
	"regexp"
	"strings"
	"sync"

	"signpath/internal/secret"
)

// markerRule says that what the second group of pattern holds is a secret. hint
// is a lower-case text without which the pattern cannot match: regular
// expressions are run only on lines that have it.
type markerRule struct {
	hint, pattern string
	places        bool   // a value like file:/path, env:NAME or env (as in -storepass:env NAME) names a place and stays
	unless        string // lower-case text beside which the marker means something else
}

// markerRules is the table of texts that announce a secret.
var markerRules = []markerRule{
	// HTTP header or JSON member: Authorization: Bearer x, "authorization":"Basic x", Proxy-Authorization=x
	{"authorization", `(?i)(authorization\\?["']?\s*[:=]\s*\\?["']?(?:(?:bearer|basic|negotiate|ntlm|digest)\s+)?)([^\s"'\\,;]+)`, false, ""},
	{"bearer", `(?i)(\bbearer(?:\s+|%20|\+))([^\s"'\\,;]{4,})`, false, ""},
	// PKCS #11 URI, RFC 7512 section 2.3; "-" and "=" may be percent-encoded
	{"pin", `(?i)(\bpin(?:-|%2d)(?:value|source)(?:=|%3d))([^\s"';&?|<>]+)`, false, ""},
	// PIN=x, PIN:x (openssl engine -pre PIN:x)
	{"pin", `(?i)(\bpin(?:=|%3d|:))([^\s"';&?|<>]+)`, false, ""},
	// token=x, but not the label of a token in a PKCS #11 URI
	{"token", `(?i)(\btoken(?:=|%3d))([^\s"'\\;&,<>|]+)`, false, "pkcs11:"},
	// key=value in any text: ApiToken=x, SIGNPATH_API_TOKEN=x, passphrase=x, access_token%3Dx
	{"token", `(?i)((?:api|user|access|refresh|auth|bearer|id|client)[-_. ]?token\\?["']?(?:=|%3d|:\s*|\s*=\s*)\\?["']?)([^\s"'\\;&,<>|]+)`, false, ""},
	{"pass", `(?i)((?:password|passwd|passphrase|storepass|keypass)\\?["']?(?:=|%3d|:\s*|\s*=\s*)\\?["']?)([^\s"'\\;&,<>|]+)`, true, ""},
	// user:password@ of a URL, RFC 3986 section 3.2.1
	{"://", `(://[^\s/@:"'<>]*:)([^\s/"'<>]+)@`, false, ""},
}

type marker struct {
	hint    string
	pattern *regexp.Regexp
}

var compiled = sync.OnceValue(func() []marker {
	m := make([]marker, len(markerRules))
	for i, r := range markerRules {
		m[i] = marker{r.hint, regexp.MustCompile(r.pattern)}
	}
	return m
})

// places are how a value begins that says where a password is.
var places = []string{"env:", "file:", "fd:", "stdin"}

// markers redacts what follows a marker.
func markers(text string) string {
	low := ""
	for i, r := range markerRules {
		if low == "" {
			low = strings.ToLower(text)
		}
		if !strings.Contains(low, r.hint) || r.unless != "" && strings.Contains(low, r.unless) {
			continue
		}
		text = replaceValues(compiled()[i].pattern, text, r.places)
		low = ""
	}
	return text
}

func replaceValues(p *regexp.Regexp, text string, keepPlaces bool) string {
	var out strings.Builder
	done := 0
	for _, m := range p.FindAllStringSubmatchIndex(text, -1) {
		if kept(text[m[4]:m[5]], keepPlaces) {
			continue
		}
		out.WriteString(text[done:m[4]])
		out.WriteString(secret.Redacted)
		done = m[5]
	}
	if done == 0 {
		return text
	}
	out.WriteString(text[done:])
	return out.String()
}

// kept tells whether value is no secret: redacted already, the word that stands
// for the configuration, or a place.
func kept(value string, keepPlaces bool) bool {
	if value == secret.Redacted || value == "CONFIG" {
		return true
	}
	for _, k := range places {
		if keepPlaces && (strings.HasPrefix(value, k) || value+":" == k) {
			return true
		}
	}
	return false
}
