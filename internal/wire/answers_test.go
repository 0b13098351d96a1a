package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseClassicAnswer(t *testing.T) {
	for _, c := range []struct{ name, body, signature, id, says string }{
		{"recorded form", `{"Base64EncodedHash":"kSBZhCng","SignatureAlgorithm":"RsaPkcs1","RsaHashAlgorithm":"2.16.840.1.101.3.4.2.1","Signature":"CzDTijE0"}`, "\x0b\x30\xd3\x8a\x31\x34", "", ""},
		{"ours", `{"Signature":"AQI=","SigningRequestId":"a","WebLink":"b","KeyVersion":3}`, "\x01\x02", "a", ""},
		{"camel case", `{"signature":"AQI=","signingRequestId":"a"}`, "\x01\x02", "a", ""},
		{"null id", `{"Signature":"AQI=","SigningRequestId":null}`, "\x01\x02", "", ""},
		{"no signature", `{"SigningRequestId":"a"}`, "", "", "holds no Signature"},
		{"null", `{"Signature":null}`, "", "", "holds no Signature"},
		{"empty", `{"Signature":""}`, "", "", "holds no Signature"},
		{"no base64", `{"Signature":"A"}`, "", "", "not standard base64"},
		{"a line break", `{"Signature":"AQI=\n"}`, "", "", "line breaks"},
		{"twice", `{"Signature":"AQI=","signature":"AQI="}`, "", "", "twice"},
		{"a number", `{"Signature":1}`, "", "", "must not be a JSON number"},
		{"cut", `{"Signature":"AQI="`, "", "", "ends too early"},
		{"nothing", ``, "", "", "ends too early"},
		{"a page", `<html>`, "", "", "malformed"},
	} {
		signature, id, err := ParseClassicAnswer([]byte(c.body))
		if string(signature) != c.signature || id != c.id || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %x %q %v", c.name, signature, id, err)
		}
	}
}

func TestParseProblem(t *testing.T) {
	for _, c := range []struct {
		name, contentType, body string
		want                    Problem
	}{
		{"SignPath's form", "application/problem+json", `{"errors":{"":["The file has an invalid format."]},"type":"https://tools.ietf.org/html/rfc9110#section-15.5.1","title":"One or more validation errors occurred.","status":400,"traceId":"00-86053f40a6b6a300753783e0fee3565c-3a41be3de95bf49e-00"}`,
			Problem{Type: "https://tools.ietf.org/html/rfc9110#section-15.5.1", Title: "One or more validation errors occurred.", Status: 400, Errors: map[string][]string{"": {"The file has an invalid format."}}, TraceID: "00-86053f40a6b6a300753783e0fee3565c-3a41be3de95bf49e-00"}},
		{"JSON under a wrong name", "text/plain", `{"Title":"T","Detail":"D"}`, Problem{Title: "T", Detail: "D"}},
		{"another framework", "application/json", `{"message":"M"}`, Problem{Detail: "M"}},
		{"errors as text", "application/json", `{"errors":{"A":"x"}}`, Problem{Errors: map[string][]string{"A": {"x"}}}},
		{"members of unexpected types", "application/json", `{"title":7,"detail":"D","status":"x","errors":[1],"traceId":{}}`, Problem{Detail: "D"}},
		{"status out of range", "application/json", `{"status":1e9,"detail":"D"}`, Problem{Detail: "D"}},
		{"plain text", "text/plain; charset=utf-8", "The token is  wrong.\r\n", Problem{Detail: "The token is wrong."}},
		{"no type", "", "x", Problem{Detail: "x"}},
		{"malformed type", "/;;", "x", Problem{Detail: "x"}},
		{"nothing", "", "", Problem{}},
		{"a page", "text/html", "<!doctype html><html><head><style>b{}</style><title>502 Bad Gateway</title></head><body><script>alert(1)</script><h1>nginx</h1></body>", Problem{Detail: "502 Bad Gateway nginx"}},
		{"a page that never ends", "text/html", "<p>a<script>b", Problem{Detail: "a"}},
		{"terminal control", "text/plain", "a\x1b[31mb\u202ec\x00\xff", Problem{Detail: "a[31mbc?"}},
		{"array", "application/json", `["a"]`, Problem{Detail: `["a"]`}},
	} {
		if got := ParseProblem(c.contentType, []byte(c.body)); !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: %+v", c.name, *got)
		}
	}
	long := ParseProblem("text/plain", bytes.Repeat([]byte("ä"), 1<<20))
	if n := utf8.RuneCountInString(long.Detail); n > maxProblemText+1 {
		t.Errorf("%d characters", n)
	}
}

func TestProblemText(t *testing.T) {
	p := NewValidationProblem(FieldErrors{"B": {"b1.", "b2."}, "": {"content."}})
	if got := p.Error(); got != "400 One or more validation errors occurred.: content. B: b1. b2." {
		t.Error(got)
	}
	if got := NewProblem(403, "No.").Error(); got != "403 Forbidden: No." {
		t.Error(got)
	}
	if got := NewProblem(418, "").Type; got != "about:blank" {
		t.Error(got)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add("application/json", []byte(`{"Signature":"AQI=","SigningRequestId":"a"}`))
	f.Add("text/html", []byte("<style></style><script><p>x"))
	f.Add("application/problem+json", []byte(`{"errors":{"a":["b"]},"status":400}`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		if signature, _, err := ParseClassicAnswer(body); (err == nil) != (len(signature) > 0) {
			t.Fatalf("%x, %v", signature, err)
		}
		text := ParseProblem(contentType, body).Error()
		if strings.ContainsAny(text, "\n\r\x1b\x00") || !utf8.ValidString(text) {
			t.Fatalf("%q", text)
		}
	})
}
