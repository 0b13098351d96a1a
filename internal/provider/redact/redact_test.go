package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"signpath/internal/secret"
)

const token = "AIk/65sl23lA1nVV+pgSqk96SvHFsSw3xitmp5Qhr+F/"

func percentAll(s string, upper bool) string {
	f := "%%%02x"
	if upper {
		f = "%%%02X"
	}
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, f, s[i])
	}
	return b.String()
}

func jsonText(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Every way in which a known secret may stand in a text.
func TestForms(t *testing.T) {
	forms := map[string]string{
		"plain":           token,
		"query-escaped":   url.QueryEscape(token),
		"path-escaped":    url.PathEscape(token),
		"twice escaped":   url.QueryEscape(url.QueryEscape(token)),
		"all, lower":      percentAll(token, false),
		"all, upper":      percentAll(token, true),
		"JSON":            jsonText(token),
		"JSON, slashes":   strings.ReplaceAll(token, "/", `\/`),
		"JSON, all \\u":   strings.NewReplacer("+", `\u002B`, "/", `\u002F`).Replace(token),
		"JSON, lower \\u": strings.NewReplacer("+", `\u002b`, "/", `\u002f`).Replace(token),
		"Go":              strconv.Quote(token),
		"HTML, hex":       strings.NewReplacer("+", "&#x2B;", "/", "&#x2f;").Replace(token),
		"HTML, decimal":   strings.NewReplacer("+", "&#43;", "/", "&#047;").Replace(token),
		"HTML, names":     strings.NewReplacer("+", "&plus;", "/", "&sol;").Replace(token),
		"HTML, twice":     strings.NewReplacer("+", "&amp;#x2B;", "/", "&amp;amp;#47;").Replace(token),
		"base64":          base64.StdEncoding.EncodeToString([]byte(token)),
		"base64, user":    base64.StdEncoding.EncodeToString([]byte("u:" + token)),
		"base64, user 2":  base64.StdEncoding.EncodeToString([]byte("us:" + token)),
		"base64, around":  base64.StdEncoding.EncodeToString([]byte("abcd:" + token + "xyz")),
		"base64url":       base64.URLEncoding.EncodeToString([]byte(token)),
		"base64, escaped": url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(token))),
		"hex":             hex.EncodeToString([]byte(token)),
		"cut to 32 bytes": token[:32],
	}
	s := New(secret.New(token))
	for name, form := range forms {
		got := s.Known("before " + form + " after")
		if !strings.Contains(got, "[redacted]") || strings.Contains(got, form) || strings.Contains(got, form[8:len(form)-8]) {
			t.Errorf("%s: %q", name, got)
		}
		if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
			t.Errorf("%s: too much is gone: %q", name, got)
		}
	}
}

func TestKnown(t *testing.T) {
	const org = "7f3c2d10-5c3e-4b7a-9d52-0e6f1a2b3c4d"
	tests := []struct{ name, secret, text, want string }{
		{"none", "", "text", "text"},
		{"the word CONFIG", "CONFIG", "use CONFIG", "use CONFIG"},
		{"too short", "abc", "abc", "abc"},
		{"shortest", "1234", "pin 1234 pin", "pin [redacted] pin"},
		{"twice", "hunter22", "hunter22hunter22", "[redacted][redacted]"},
		{"PIN of an organization", org + ":geheim-geheim", "PIN " + org + ":geheim-geheim", "PIN [redacted]"},
		{"its token alone", org + ":geheim-geheim", "token geheim-geheim", "token [redacted]"},
		{"its organization stays", org + ":geheim-geheim", "org " + org, "org " + org},
		{"cut PIN", strings.Repeat("x9", 20), "cut " + strings.Repeat("x9", 16), "cut [redacted]"},
		{"with spaces", "a b c d", "q=a+b+c%20d", "q=[redacted]"},
		{"percent sign", "50%25off", "get 50%25off, 50%2525off", "get [redacted], [redacted]"},
		{"HTML signs", `a<b>"c'&d`, html.EscapeString(`x a<b>"c'&d x`), "x [redacted] x"},
		{"no entity", "geh&;&#;&#x;im", "geh&;&#;&#x;im", "[redacted]"},
		{"trimmed", " geheim \n", "x geheim x", "x [redacted] x"},
	}
	for _, tt := range tests {
		if got := New(secret.New(tt.secret)).Known(tt.text); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	var none *Set
	if none.Add(secret.New("geheim")); none.Text("geheim") != "geheim" {
		t.Error("a nil set changes text")
	}
}

func TestMarkers(t *testing.T) {
	tests := []struct{ text, want string }{
		{"Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"},
		{`{"authorization":"Basic dTpw","x":1}`, `{"authorization":"Basic [redacted]","x":1}`},
		{"proxy-authorization=xyz", "proxy-authorization=[redacted]"},
		{"sent bearer abcdef", "sent bearer [redacted]"},
		{"pkcs11:token=SignPath;id=p/q;pin-value=1234?x", "pkcs11:token=SignPath;id=p/q;pin-value=[redacted]?x"},
		{"pkcs11:id=x;pin%2Dvalue%3D12%3B34;y=z", "pkcs11:id=x;pin%2Dvalue%3D[redacted];y=z"},
		{"pkcs11:id=x;pin-value=CONFIG;y=z", "pkcs11:id=x;pin-value=CONFIG;y=z"},
		{"pin-source=file:/etc/pin", "pin-source=[redacted]"},
		{"engine -pre PIN:1234", "engine -pre PIN:[redacted]"},
		{"SIGNPATH_API_TOKEN=abc jarsigner", "SIGNPATH_API_TOKEN=[redacted] jarsigner"},
		{"ApiToken=abc", "ApiToken=[redacted]"},
		{`{"apiToken": "abc", "x": 2}`, `{"apiToken": "[redacted]", "x": 2}`},
		{"https://u:p%40ss@proxy:3128/", "https://u:[redacted]@proxy:3128/"},
		{"https://u@proxy:3128/", "https://u@proxy:3128/"},
		{"passin=env:NAME password=env:NAME", "passin=env:NAME password=env:NAME"},
		{"gpg.passphrase=abc", "gpg.passphrase=[redacted]"},
		{"https://h/?token=abc&x=1", "https://h/?token=[redacted]&x=1"},
		{"wrong PIN: form", "wrong PIN: form"},
		{"the token is not known", "the token is not known"},
	}
	for _, tt := range tests {
		got := (&Set{}).Text(tt.text)
		if got != tt.want {
			t.Errorf("%q\n got %q\nwant %q", tt.text, got, tt.want)
		}
		if again := (&Set{}).Text(got); again != got {
			t.Errorf("not stable: %q", again)
		}
	}
}

func FuzzKnown(f *testing.F) {
	f.Add(token, "a", "b")
	f.Add("50%25off", "%", "25")
	f.Add(`a\b"c`, `\`, "x")
	f.Fuzz(func(t *testing.T, s, before, after string) {
		if len(s) < minSecret || s == "CONFIG" || strings.TrimSpace(s) != s || strings.Contains(secret.Redacted, s) {
			return
		}
		set := New(secret.New(s))
		for _, form := range []string{s, url.QueryEscape(s), percentAll(s, false), strconv.QuoteToASCII(s), html.EscapeString(s)} {
			// The context may itself make the secret with a part of the mark.
			if got := set.Known(before + form + after); strings.Contains(strings.ReplaceAll(got, secret.Redacted, "\x00"), s) && !strings.Contains(s, "\x00") {
				t.Fatalf("%q is still in %q", s, got)
			}
			if got := set.Known(form); form == s && got != secret.Redacted {
				t.Fatalf("%q became %q", form, got)
			}
		}
	})
}
