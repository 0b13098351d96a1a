package wire

import (
	"errors"
	"fmt"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseClassicAnswer reads the answer of a fast signing request. The signature
// is RSA the modulus-length big-endian block, EC in the requested format; the
// id is "" when the service sends none.
func ParseClassicAnswer(data []byte) (signature []byte, signingRequestID string, err error) {
	var a struct {
		Signature        *string
		SigningRequestID string `json:"SigningRequestId"`
	}
	if err := DecodeJSON(data, &a); err != nil {
		return nil, "", fmt.Errorf("the answer is not the signed payload: %w", err)
	}
	if value(a.Signature) == "" {
		return nil, "", errors.New("the answer holds no Signature")
	}
	signature, err = DecodeBase64(*a.Signature)
	if err != nil {
		return nil, "", fmt.Errorf("the Signature in the answer is %w", err)
	}
	return signature, a.SigningRequestID, nil
}

const (
	maxProblemBytes = 64 << 10 // what is looked at
	maxProblemText  = 500      // what of a foreign text is kept, in runes
	maxProblemItems = 20       // how many fields and sentences of Errors are kept
)

// ParseProblem makes the best of the body of a 4xx or 5xx answer: an error
// document, any other JSON with those members, or plain text (older services,
// proxies). The result is bounded, on one line and never nil; its Status is 0
// unless the document names one. contentType may be empty.
func ParseProblem(contentType string, body []byte) *Problem {
	if len(body) > maxProblemBytes {
		body = body[:maxProblemBytes]
	}
	mediaType, _, _ := mime.ParseMediaType(contentType) // a broken one is as good as none
	if p := problemDocument(body); p != nil {
		return p
	}
	text := string(body)
	if strings.Contains(mediaType, "html") || strings.HasPrefix(strings.TrimSpace(text), "<") {
		text = stripTags(text)
	}
	return &Problem{Detail: oneLine(text)}
}

// problemDocument reads member by member, so that one of an unexpected type
// does not cost the others; nil when body is no JSON object.
func problemDocument(body []byte) *Problem {
	var m map[string]any
	if err := DecodeJSON(body, &m); err != nil || m == nil {
		return nil
	}
	p := &Problem{}
	for name, v := range m {
		text, _ := v.(string)
		switch strings.ToLower(name) {
		case "type":
			p.Type = oneLine(text)
		case "title":
			p.Title = oneLine(text)
		case "detail":
			p.Detail = oneLine(text)
		case "message", "error": // other frameworks' names for detail
			if p.Detail == "" {
				p.Detail = oneLine(text)
			}
		case "traceid":
			p.TraceID = oneLine(text)
		case "status":
			if f, ok := v.(float64); ok && f >= 100 && f <= 599 {
				p.Status = int(f)
			}
		case "errors":
			p.Errors = problemErrors(v)
		}
	}
	return p
}

func problemErrors(v any) map[string][]string {
	fields, _ := v.(map[string]any)
	out := map[string][]string{}
	for name, list := range fields {
		if len(out) == maxProblemItems {
			break
		}
		var sentences []string
		switch list := list.(type) {
		case string:
			sentences = []string{oneLine(list)}
		case []any:
			for _, s := range list[:min(len(list), maxProblemItems)] {
				if s, ok := s.(string); ok {
					sentences = append(sentences, oneLine(s))
				}
			}
		}
		if len(sentences) > 0 {
			out[oneLine(name)] = sentences
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// oneLine makes foreign text safe to print: valid UTF-8, no control
// characters, single spaces, bounded.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r): // also bidirectional overrides
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxProblemText {
		return string(r[:maxProblemText]) + "…"
	}
	return s
}

// stripTags keeps the text of a proxy's HTML error page.
func stripTags(s string) string {
	lower := asciiLower(s) // same length, so that positions fit
	var b strings.Builder
	for i := 0; ; {
		tag := strings.IndexByte(s[i:], '<')
		if tag < 0 {
			b.WriteString(s[i:])
			return b.String()
		}
		b.WriteString(s[i:i+tag] + " ")
		i += tag
		for _, element := range []string{"style", "script"} {
			if strings.HasPrefix(lower[i+1:], element) {
				end := strings.Index(lower[i:], "</"+element)
				if end < 0 {
					return b.String()
				}
				i += end
			}
		}
		end := strings.IndexByte(s[i:], '>')
		if end < 0 {
			return b.String()
		}
		i += end + 1
	}
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
