package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"signpath/internal/service/auth"
	"signpath/internal/service/model"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

var pkcs1 = wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}

func TestPaths(t *testing.T) {
	b := newBench(t)
	org := b.org
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/Api/healthz", 200},
		{"GET", "/API/HEALTHZ", 200},
		{"GET", "/api/healthz/", 200},
		{"HEAD", "/api/healthz", 200},
		{"GET", "/Api//healthz", 200}, // ApiUrl with a slash at its end
		{"GET", "/Api/%68ealthz", 200},
		{"GET", "/Api/%2568ealthz", 404}, // decoded once
		{"GET", "/Api/v1/meta/systeminfo", 200},
		{"GET", "/Api/swagger/index.html", 200},
		{"GET", "/Api//v1/" + org + "/Cryptoki/MySigningPolicies", 200},
		{"GET", "/api/V1/" + strings.ToUpper(org) + "/cryptoki/mysigningpolicies", 200},
		{"HEAD", "/Api/v1/" + org + "/Cryptoki/MySigningPolicies", 200},
		{"GET", "/Api/v1/" + org + "//Cryptoki/MySigningPolicies", 404},
		{"GET", "/Api/v1/" + org + "/Cryptoki//MySigningPolicies", 404},
		{"GET", "/Api/v1//Cryptoki/MySigningPolicies", 400}, // no organization
		{"GET", "/Api/v1/x/Cryptoki/MySigningPolicies", 400},
		{"GET", "/Api/v1/00000000-0000-0000-0000-000000000000/Cryptoki/MySigningPolicies", 400},
		{"GET", "/Api/v1/{" + org + "}/Cryptoki/MySigningPolicies", 400},
		{"GET", "/Api/v1/" + org + "/../" + org + "/Cryptoki/MySigningPolicies", 404},
		{"GET", "/Api/v1/" + org + "/Projects/a%2Fb/SigningPolicies/c", 403},
		{"GET", "/Api/v1/" + org + "/Projects/a/b/SigningPolicies/c", 404},
		{"GET", "/", 404},
		{"GET", "//", 404},
		{"GET", "/Api", 404},
		{"GET", "/Api/", 404},
		{"GET", "/Apix/healthz", 404},
		{"GET", "/Api/v2/" + org + "/Cryptoki/MySigningPolicies", 404},
		{"POST", "/Api/healthz", 405},
		{"OPTIONS", "/Api/healthz", 405},
		{"BREW", "/Api/healthz", 405},
		{"PUT", "/Api/v1/" + org + "/SigningRequests", 405},
		{"GET", "/Api/v1/" + org + "/SigningRequests", 200},
		{"GET", "/Api/v1/" + org + "/SigningRequests/SignHash", 405}, // no request with that ID
		{"HEAD", "/Api/v1/" + org + "/SigningRequests/SignHash", 405},
		{"DELETE", "/Api/v1/" + org + "/Cryptoki/MySigningPolicies", 405},
	} {
		w := b.do(t, c.method, c.path, nil)
		if w.Code != c.status {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, w.Code, c.status, w.Body)
		}
		if w.Code >= 400 && c.method != "HEAD" {
			problemIn(t, w)
		}
		if (w.Code == 405) != (w.Header().Get("Allow") != "") {
			t.Errorf("%s %s: Allow %q", c.method, c.path, w.Header().Get("Allow"))
		}
		if c.method == "HEAD" && w.Body.Len() > 0 {
			t.Errorf("HEAD %s has a body", c.path)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") == "" {
			t.Errorf("%s %s: headers %v", c.method, c.path, w.Header())
		}
	}
	if got := b.do(t, "POST", "/Api/healthz", nil).Header().Get("Allow"); got != "GET, HEAD" {
		t.Errorf("Allow: %s", got)
	}
}

func TestTokens(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		header string
		status int
		error  bool // of RFC 6750
	}{
		{"", 401, false},
		{"Bearer", 401, true},
		{"Bearer wrong", 401, true},
		{"Basic dXNlcjpwYXNz", 401, true},
		{b.token.Reveal(), 401, true},
		{"bearer " + b.token.Reveal(), 200, false},
		{"Bearer " + b.token.Reveal() + ":tbs", 401, true},
	} {
		w := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, "Authorization: "+c.header)
		if w.Code != c.status {
			t.Errorf("%d, want %d: %s", w.Code, c.status, w.Body)
		}
		challenge := w.Header().Get("WWW-Authenticate")
		if (w.Code == 401) != strings.HasPrefix(challenge, `Bearer realm="SignPath"`) || strings.Contains(challenge, "error_description") != c.error {
			t.Errorf("WWW-Authenticate %q", challenge)
		}
		if w.Code == 401 && problemIn(t, w).Detail == "" {
			t.Error("401 without a cause")
		}
	}
	r := b.request(t, "GET", "Cryptoki/MySigningPolicies", nil)
	r.Header.Add("Authorization", "Bearer x")
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	if w.Code != 401 || !strings.Contains(problemIn(t, w).Detail, "characters that no token has") {
		t.Errorf("two Authorization headers: %d %s", w.Code, w.Body)
	}
	if w := b.do(t, "GET", "/Api/v1/7f1c5a3e-33dd-4b0a-9a4c-6c1f54cf2f6d/Cryptoki/MySigningPolicies", nil); w.Code != 401 {
		t.Errorf("another organization: %d", w.Code)
	}
}

// A token that another replica has made is known at once.
func TestTokenOfAnotherReplica(t *testing.T) {
	b := newBench(t)
	service := b.service
	b.service = nil // the change is not told to this replica
	secretToken, hash := auth.NewToken()
	token := secretToken.Reveal()
	b.change(t, func(tx store.Tx) error {
		return tx.PutToken(model.Token{ID: "11111111-2222-4333-8444-555555555555", OrganizationID: b.org, UserID: b.submitter.ID, Name: "new", Hash: hash, Active: true, Created: time.Now().UTC().Truncate(time.Millisecond)})
	})
	b.service = service
	if w := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, "Authorization: Bearer "+token); w.Code != 200 {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestMySigningPoliciesQuery(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		query  string
		status int
		slugs  []string
	}{
		{"", 200, []string{"approval", "gpg-rsa3072", "p256", "rsa2048"}},
		{"?projectSlug=&signingPolicySlug=", 200, []string{"approval", "gpg-rsa3072", "p256", "rsa2048"}},
		{"?projectSlug=hash-signing", 200, []string{"approval", "gpg-rsa3072", "p256", "rsa2048"}},
		{"?PROJECTSLUG=hash-signing&SigningPolicySlug=p256", 200, []string{"p256"}},
		{"?signingPolicySlug=p256&other=1", 200, []string{"p256"}},
		{"?signingPolicySlug=p25", 200, []string{}},
		{"?projectSlug=nowhere", 200, []string{}},
		{"?projectSlug=a&projectSlug=b", 400, nil},
		{"?projectSlug=a&ProjectSlug=b", 400, nil},
		{"?projectSlug=%zz", 400, nil},
		{"?projectSlug=a;b", 400, nil},
	} {
		w := b.do(t, "GET", "Cryptoki/MySigningPolicies"+c.query, nil)
		if w.Code != c.status {
			t.Errorf("%s: %d: %s", c.query, w.Code, w.Body)
			continue
		}
		if w.Code != 200 {
			problemIn(t, w)
			continue
		}
		list, err := wire.ParseSigningPolicies(w.Body.Bytes())
		must(t, err)
		slugs := []string{}
		for _, p := range list {
			slugs = append(slugs, p.SigningPolicySlug)
		}
		if !slices.Equal(slugs, c.slugs) {
			t.Errorf("%s: %v, want %v", c.query, slugs, c.slugs)
		}
	}
	if w := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, "Authorization: Bearer "+b.otherToken.Reveal()); w.Body.String() != `{"signingPolicies":[]}`+"\n" {
		t.Errorf("no policies: %s", w.Body)
	}
}

func TestGzip(t *testing.T) {
	b := newBench(t)
	plain := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil)
	for _, c := range []struct {
		accept string
		want   bool
	}{
		{"gzip", true}, {"br, gzip;q=0.5", true}, {"*", true}, {"GZIP ; Q=1", true}, {"", false}, {"identity", false}, {"gzip;q=0", false}, {"gzip;q=0.0, *", false}, {"br", false}, {"*;q=0", false}, {"gzip;q=x", false},
	} {
		w := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, "Accept-Encoding: "+c.accept)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != c.want {
			t.Errorf("%q: compressed %v", c.accept, got)
			continue
		}
		body := w.Body.Bytes()
		if c.want {
			z, err := gzip.NewReader(w.Body)
			must(t, err)
			body, err = io.ReadAll(z)
			must(t, err)
		}
		if !bytes.Equal(body, plain.Body.Bytes()) || !strings.Contains(w.Header().Get("Vary"), "Accept-Encoding") {
			t.Errorf("%q: another answer, headers %v", c.accept, w.Header())
		}
	}
	if w := b.do(t, "GET", "Cryptoki/MySigningPolicies?projectSlug=x", nil, "Accept-Encoding: gzip"); w.Header().Get("Content-Encoding") != "" {
		t.Error("a short answer is compressed")
	}
}

// The compact list is for those who ask for it; it holds the same policies.
func TestPreferCompact(t *testing.T) {
	b := newBench(t)
	plain := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil)
	want, err := wire.ParseSigningPolicies(plain.Body.Bytes())
	must(t, err)
	if strings.Contains(plain.Body.String(), "sharedCertificates") || plain.Header().Get("Preference-Applied") != "" {
		t.Errorf("compact without being asked for: %s", plain.Body)
	}
	for _, c := range []struct {
		prefer string
		want   bool
	}{
		{wire.PreferCompact, true}, {"respond-async, Compact-Signing-Policies; x=1", true}, {"compact-signing-policies=yes", true}, {"", false}, {"return=minimal", false}, {"x-compact-signing-policies", false},
	} {
		w := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, "Prefer: "+c.prefer)
		if got := strings.Contains(w.Body.String(), "sharedCertificates"); got != c.want || (w.Header().Get("Preference-Applied") == wire.PreferCompact) != c.want {
			t.Errorf("%q: compact %v, headers %v", c.prefer, got, w.Header())
		}
		got, err := wire.ParseSigningPolicies(w.Body.Bytes())
		if err != nil || len(got) != len(want) {
			t.Fatalf("%q: %d policies, %v", c.prefer, len(got), err)
		}
		for i := range got {
			a, _ := got[i].PublicKey()
			if p, _ := want[i].PublicKey(); !p.(interface{ Equal(crypto.PublicKey) bool }).Equal(a) || got[i].Name() != want[i].Name() ||
				!bytes.Equal(got[i].CertificateBytes, want[i].CertificateBytes) || !slices.EqualFunc(got[i].CertificateChain, want[i].CertificateChain, bytes.Equal) {
				t.Errorf("%q: policy %d differs", c.prefer, i)
			}
		}
	}
}

// Who has the list already gets no second one; each form has a name of its own.
func TestNotModified(t *testing.T) {
	b := newBench(t)
	plain := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil)
	compact := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, "Prefer: "+wire.PreferCompact)
	tag, other := plain.Header().Get("ETag"), compact.Header().Get("ETag")
	if tag == "" || tag == other || plain.Header().Get("Cache-Control") != "private, no-cache" {
		t.Fatalf("%v", plain.Header())
	}
	for _, c := range []struct {
		header []string
		status int
	}{
		{[]string{"If-None-Match: " + tag}, 304},
		{[]string{"If-None-Match: " + tag, "Accept-Encoding: gzip"}, 304},
		{[]string{"If-None-Match: \"x\", " + strings.TrimPrefix(tag, "W/")}, 304},
		{[]string{"If-None-Match: " + other, "Prefer: " + wire.PreferCompact}, 304},
		{[]string{"If-None-Match: " + other}, 200},
		{[]string{"If-None-Match: W/\"x\""}, 200},
		{[]string{"If-None-Match: *"}, 304},
		{[]string{"If-None-Match: " + tag, "Authorization: Bearer " + b.otherToken.Reveal()}, 200},
		{[]string{"If-None-Match: " + tag, "Authorization: Bearer wrong"}, 401},
	} {
		w := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, c.header...)
		if w.Code != c.status || c.status == 304 && (w.Body.Len() > 0 || w.Header().Get("ETag") == "") {
			t.Errorf("%v: %d, %d bytes, %v", c.header, w.Code, w.Body.Len(), w.Header())
		}
	}
}

func TestRequestBodies(t *testing.T) {
	b := newBench(t)
	contentType, body := classic(t, "rsa2048", pkcs1, "")
	good, err := io.ReadAll(body)
	must(t, err)
	big := bytes.Repeat([]byte("x"), maxBody+1)
	for _, c := range []struct {
		name, path, contentType string
		body                    io.Reader
		more                    string
		status                  int
		field                   string // of a validation error
	}{
		{"classic", "SigningRequests", contentType, bytes.NewReader(good), "", 200, ""},
		{"any Accept", "SigningRequests", contentType, bytes.NewReader(good), "Accept: text/html", 200, ""},
		{"no content type", "SigningRequests", "Content-Type: ", bytes.NewReader(good), "", 415, ""},
		{"JSON on the multipart route", "SigningRequests/SubmitWithArtifact", "Content-Type: application/json", strings.NewReader(signHashBody("rsa2048")), "", 415, ""},
		{"compressed", "SigningRequests", contentType, bytes.NewReader(good), "Content-Encoding: gzip", 415, ""},
		{"announced too large", "SigningRequests", contentType, bytes.NewReader(big), "", 413, ""},
		{"too large", "SigningRequests", contentType, io.MultiReader(bytes.NewReader(good[:len(good)-10]), bytes.NewReader(big)), "", 413, ""},
		{"too large behind the form", "SigningRequests", contentType, io.MultiReader(bytes.NewReader(good), bytes.NewReader(big)), "", 413, ""},
		{"cut", "SigningRequests", contentType, bytes.NewReader(good[:len(good)-10]), "", 400, ""},
		{"empty", "SigningRequests", contentType, strings.NewReader(""), "", 400, ""},
		{"no flag", "SigningRequests", contentType, strings.NewReader(strings.Replace(string(good), "IsFastSigningRequest", "Description", 1)), "", 201, ""},
		{"unknown field", "SigningRequests", contentType, strings.NewReader(strings.Replace(string(good), "SigningPolicySlug", "Policy", 1)), "", 400, "Policy"},
		{"artifact of another kind", "SigningRequests", contentType, strings.NewReader(strings.Replace(string(good), "{", "MZ", 1)), "", 400, ""},
		{"SignHash", "SigningRequests/SignHash", "Content-Type: application/json", strings.NewReader(signHashBody("rsa2048")), "", 200, ""},
		{"vendor JSON", "SigningRequests/SignHash", "Content-Type: application/vnd.x+json; charset=UTF-8", strings.NewReader(signHashBody("rsa2048")), "", 200, ""},
		{"another charset", "SigningRequests/SignHash", "Content-Type: application/json; charset=iso-8859-1", strings.NewReader(signHashBody("rsa2048")), "", 415, ""},
		{"multipart on the JSON route", "SigningRequests/SignHash", contentType, bytes.NewReader(good), "", 415, ""},
		{"no content type on the JSON route", "SigningRequests/SignHash", "Content-Type: ", strings.NewReader(signHashBody("rsa2048")), "", 415, ""},
		{"malformed content type", "SigningRequests/SignHash", "Content-Type: application/json; charset", strings.NewReader(signHashBody("rsa2048")), "", 415, ""},
		{"JSON too large", "SigningRequests/SignHash", "Content-Type: application/json", io.MultiReader(strings.NewReader(signHashBody("rsa2048")), bytes.NewReader(bytes.Repeat([]byte(" "), maxBody))), "", 413, ""},
		{"JSON cut", "SigningRequests/SignHash", "Content-Type: application/json", strings.NewReader(signHashBody("rsa2048")[:99]), "", 400, ""},
		{"duplicate member", "SigningRequests/SignHash", "Content-Type: application/json", strings.NewReader(strings.Replace(signHashBody("rsa2048"), "{", `{"ProjectSlug":"x",`, 1)), "", 400, ""},
		{"unknown slug", "SigningRequests/SignHash", "Content-Type: application/json", strings.NewReader(signHashBody("nowhere")), "", 400, "SigningPolicySlug"},
		{"approval", "SigningRequests/SignHash", "Content-Type: application/json", strings.NewReader(signHashBody("approval")), "", 400, "SigningPolicyId"},
		{"wrong key type", "SigningRequests/SignHash", "Content-Type: application/json", strings.NewReader(signHashBody("p256")), "", 400, ""},
	} {
		headers := []string{c.contentType}
		if c.more != "" {
			headers = append(headers, c.more)
		}
		w := b.do(t, "POST", c.path, c.body, headers...)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d: %s", c.name, w.Code, c.status, w.Body)
			continue
		}
		if c.status < 400 {
			continue
		}
		p := problemIn(t, w)
		if _, ok := p.Errors[c.field]; c.status == 400 && !ok {
			t.Errorf("%s: errors %v, want one of %q", c.name, p.Errors, c.field)
		}
		if (c.status == 400) == (p.Detail != "") {
			t.Errorf("%s: detail %q", c.name, p.Detail)
		}
	}
}

// Nobody without a token makes the service read a body.
func TestTokenBeforeBody(t *testing.T) {
	b := newBench(t)
	body := &countingReader{}
	if w := b.do(t, "POST", "SigningRequests", body, "Authorization: ", "Content-Type: multipart/form-data; boundary=x"); w.Code != 401 || body.n != 0 {
		t.Errorf("%d after %d bytes", w.Code, body.n)
	}
}

type countingReader struct{ n int }

func (c *countingReader) Read(p []byte) (int, error) { c.n += len(p); return len(p), nil }

func TestTrace(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	form := regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`)
	for _, c := range []struct {
		header string
		taken  bool
	}{
		{"00-" + trace + "-" + span + "-01", true},
		{"00-" + trace + "-" + span + "-00", true},
		{"cc-" + trace + "-" + span + "-01", true},
		{"cc-" + trace + "-" + span + "-01-later", true},
		{"00-" + trace + "-" + span + "-01-later", false},
		{"ff-" + trace + "-" + span + "-01", false},
		{"00-" + strings.ToUpper(trace) + "-" + span + "-01", false},
		{"00-" + strings.Repeat("0", 32) + "-" + span + "-01", false},
		{"00-" + trace + "-" + strings.Repeat("0", 16) + "-01", false},
		{"00-" + trace + "-" + span, false},
		{"00-" + trace[1:] + "-" + span + "-01", false},
		{"", false},
		{"x", false},
	} {
		got := newTraceID(http.Header{"Traceparent": {c.header}})
		if !form.MatchString(got) || strings.Contains(got, trace) != c.taken || strings.Contains(got, span) {
			t.Errorf("%q: %s", c.header, got)
		}
	}
	if got := newTraceID(http.Header{"Traceparent": {"00-" + trace + "-" + span + "-01", "00-" + trace + "-" + span + "-01"}}); strings.Contains(got, trace) {
		t.Errorf("two headers: %s", got)
	}
}

func TestCallerIP(t *testing.T) {
	for _, c := range []struct {
		remote    string
		forwarded []string
		trust     bool
		want      string
	}{
		{"192.0.2.1:99", nil, false, "192.0.2.1"},
		{"[2001:db8::1]:99", nil, false, "2001:db8::1"},
		{"[fe80::1%eth0]:99", nil, false, "fe80::1"},
		{"[::ffff:192.0.2.1]:99", nil, false, "192.0.2.1"},
		{"@", nil, false, ""}, // a Unix socket
		{"192.0.2.1:99", []string{"198.51.100.7"}, false, "192.0.2.1"},
		{"192.0.2.1:99", []string{"198.51.100.7"}, true, "198.51.100.7"},
		{"192.0.2.1:99", []string{"6.6.6.6, 198.51.100.7"}, true, "198.51.100.7"},
		{"192.0.2.1:99", []string{"6.6.6.6", "198.51.100.7:4711"}, true, "198.51.100.7"},
		{"192.0.2.1:99", []string{"[2001:db8::7]:1"}, true, "2001:db8::7"},
		{"192.0.2.1:99", []string{"unknown"}, true, "192.0.2.1"},
		{"192.0.2.1:99", []string{""}, true, "192.0.2.1"},
		{"192.0.2.1:99", nil, true, "192.0.2.1"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := callerIP(r, c.trust); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestAccessLog(t *testing.T) {
	b := newBench(t)
	contentType, body := classic(t, "rsa2048", pkcs1, "")
	b.do(t, "POST", "SigningRequests?token=querysecret", body, contentType, "User-Agent: agent\x01"+strings.Repeat("y", 1000))
	line := b.log.String()
	var m map[string]any
	must(t, json.Unmarshal([]byte(line), &m))
	if m["method"] != "POST" || m["route"] != "/Api/v1/{organizationId}/SigningRequests" || m["status"] != 200.0 || m["user"] != b.submitter.ID || m["ip"] != "192.0.2.1" || m["bytes"].(float64) < 500 || m["trace_id"] == "" {
		t.Errorf("%s", line)
	}
	if agent, _ := m["user_agent"].(string); len(agent) != maxUserAgent || strings.Contains(agent, "\x01") {
		t.Errorf("user agent %q", agent)
	}
	b.do(t, "GET", "/Api/pathsecret/x", nil)
	b.do(t, "BREW", "/Api/healthz", nil)
	b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, "Authorization: Bearer "+b.token.Reveal()+"x")
	for _, secret := range []string{b.token.Reveal(), "querysecret", "pathsecret", "BREW", "commandLine", "a <b> & c"} {
		if strings.Contains(b.log.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, b.log)
		}
	}
	if n := strings.Count(b.log.String(), "\n"); n != 4 {
		t.Errorf("%d lines for 4 requests:\n%s", n, b.log)
	}
}

// fakeSigning stands for a signing service that fails in ways the real one
// cannot be made to.
type fakeSigning struct {
	Signing
	sign func(context.Context) (*signing.Result, error)
}

func (f fakeSigning) Sign(ctx context.Context, _ signing.Request) (*signing.Result, error) {
	return f.sign(ctx)
}

func (b *bench) withSign(sign func(context.Context) (*signing.Result, error)) *bench {
	c := *b
	c.handler = New(Config{Signing: fakeSigning{b.service, sign}, Logger: slog.New(slog.NewJSONHandler(b.log, nil))})
	return &c
}

func TestFailures(t *testing.T) {
	real := newBench(t)
	for _, c := range []struct {
		name   string
		sign   func(context.Context) (*signing.Result, error)
		status int
		logged string
	}{
		{"unknown error", func(context.Context) (*signing.Result, error) { return nil, errors.New("inner cause") }, 500, "inner cause"},
		{"panic", func(context.Context) (*signing.Result, error) { panic("inner cause") }, 500, "inner cause"},
		{"problem with a cause", func(context.Context) (*signing.Result, error) {
			return nil, &signing.Error{Problem: wire.NewProblem(503, "Try again."), Cause: errors.New("inner cause")}
		}, 503, "inner cause"},
		{"time-out", func(context.Context) (*signing.Result, error) {
			return nil, fmt.Errorf("x: %w", context.DeadlineExceeded)
		}, 504, "deadline"},
		{"shut-down", func(context.Context) (*signing.Result, error) { return nil, fmt.Errorf("x: %w", context.Canceled) }, 503, "canceled"},
	} {
		b := real.withSign(c.sign)
		contentType, body := classic(t, "rsa2048", pkcs1, "")
		w := b.do(t, "POST", "SigningRequests", body, contentType)
		if w.Code != c.status {
			t.Errorf("%s: %d", c.name, w.Code)
		}
		p := problemIn(t, w)
		if strings.Contains(w.Body.String(), "inner cause") {
			t.Errorf("%s: the cause is told: %s", c.name, w.Body)
		}
		if !strings.Contains(b.log.String(), c.logged) || strings.Count(b.log.String(), p.TraceID) != 2 {
			t.Errorf("%s: log\n%s", c.name, b.log)
		}
	}
}

// A time-out of the body (the server's read deadline) is told from one of ours.
func TestSlowBody(t *testing.T) {
	if p := problemOf(&bodyError{os.ErrDeadlineExceeded}); p.Status != 408 {
		t.Errorf("%d", p.Status)
	}
	if p := problemOf(fmt.Errorf("x: %w", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded})); p.Status != 500 {
		t.Errorf("%d", p.Status)
	}
	if p := problemOf(&bodyError{io.ErrUnexpectedEOF}); p.Status != 400 {
		t.Errorf("%d", p.Status)
	}
}

// Over a real connection: the client hangs up, the signature's context ends.
func TestHangUp(t *testing.T) {
	ended := make(chan error, 1)
	started := make(chan struct{})
	b := newBench(t).withSign(func(ctx context.Context) (*signing.Result, error) {
		close(started)
		select {
		case <-ctx.Done():
			ended <- ctx.Err()
		case <-time.After(10 * time.Second):
			ended <- errors.New("the context did not end")
		}
		return nil, ctx.Err()
	})
	server := httptest.NewServer(b.handler)
	ctx, cancel := context.WithCancel(t.Context())
	contentType, body := classic(t, "rsa2048", pkcs1, "")
	r, err := http.NewRequestWithContext(ctx, "POST", server.URL+"/Api/v1/"+b.org+"/SigningRequests", body)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+b.token.Reveal())
	r.Header.Set("Content-Type", strings.TrimPrefix(contentType, "Content-Type: "))
	go func() { <-started; cancel() }()
	if resp, err := server.Client().Do(r); err == nil {
		resp.Body.Close()
		t.Error("an answer came")
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	server.Close() // waits for the handler
	if !strings.Contains(b.log.String(), `"status":499`) {
		t.Errorf("log\n%s", b.log)
	}
}

func TestIdempotencyKey(t *testing.T) {
	b := newBench(t)
	send := func(key string, policy string, format wire.ECDSAFormat) (*httptest.ResponseRecorder, string) {
		contentType, body := classic(t, policy, wire.Scheme{Algorithm: wire.ECDSA}, format)
		w := b.do(t, "POST", "SigningRequests", body, contentType, "Idempotency-Key: "+key)
		var a wire.Payload
		_ = json.Unmarshal(w.Body.Bytes(), &a)
		return w, a.SigningRequestID
	}
	first, id1 := send("k1", "p256", wire.IEEE)
	again, id2 := send("k1", "p256", wire.IEEE)
	if first.Code != 200 || id1 == "" || id1 != id2 || first.Body.String() != again.Body.String() {
		t.Errorf("%d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if first.Header().Get(replayedHeader) != "" || again.Header().Get(replayedHeader) != "true" {
		t.Errorf("%s: %q, %q", replayedHeader, first.Header().Get(replayedHeader), again.Header().Get(replayedHeader))
	}
	if _, id := send("k2", "p256", wire.IEEE); id == id1 {
		t.Error("another key got the same signature")
	}
	if _, id := send("", "p256", wire.IEEE); id == "" || id == id1 {
		t.Error("no key")
	}
	if w, _ := send("k1", "p256", wire.ASN1); w.Code != 409 {
		t.Errorf("another request with the same key: %d", w.Code)
	}
	for _, bad := range []string{"a b", strings.Repeat("x", maxIdempotencyKey+1), "ä"} {
		if w, _ := send(bad, "p256", wire.IEEE); w.Code != 400 || problemIn(t, w).Errors[idempotencyHeader] == nil {
			t.Errorf("%q: %d %s", bad, w.Code, w.Body)
		}
	}
	// A refusal is not remembered.
	contentType, body := classic(t, "approval", pkcs1, "")
	if w := b.do(t, "POST", "SigningRequests", body, contentType, "Idempotency-Key: k3"); w.Code != 400 {
		t.Errorf("%d", w.Code)
	}
	if _, id := send("k3", "p256", wire.IEEE); id == "" {
		t.Error("the key of a refused request cannot be used")
	}
	// Another user's key is another key.
	contentType, body = classic(t, "p256", wire.Scheme{Algorithm: wire.ECDSA}, wire.IEEE)
	if w := b.do(t, "POST", "SigningRequests", body, contentType, "Idempotency-Key: k1", "Authorization: Bearer "+b.otherToken.Reveal()); w.Code != 403 {
		t.Errorf("%d", w.Code)
	}
	b.change(t, func(tx store.Tx) error {
		p := b.policies["p256"]
		p.Submitters = append(slices.Clone(p.Submitters), b.other.ID)
		return tx.PutSigningPolicy(p)
	})
	contentType, body = classic(t, "p256", wire.Scheme{Algorithm: wire.ECDSA}, wire.IEEE)
	if w := b.do(t, "POST", "SigningRequests", body, contentType, "Idempotency-Key: k1", "Authorization: Bearer "+b.otherToken.Reveal()); w.Code != 200 || strings.Contains(w.Body.String(), id1) {
		t.Errorf("another submitter with the same key: %d: %s", w.Code, w.Body)
	}
	// Who may not sign any more gets nothing remembered.
	b.change(t, func(tx store.Tx) error {
		p := b.policies["p256"]
		p.Submitters = nil
		return tx.PutSigningPolicy(p)
	})
	if w, _ := send("k1", "p256", wire.IEEE); w.Code != 403 {
		t.Errorf("after the revocation: %d", w.Code)
	}
}

// Requests at one moment with one key make one signature.
func TestIdempotencyConcurrent(t *testing.T) {
	m := newReplays()
	id, request := replayID("t", "k"), [32]byte{1}
	var calls int
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 20 {
		wg.Go(func() {
			r, _, err := m.do(t.Context(), id, request, func() (*signing.Result, error) {
				mu.Lock()
				calls++
				fail := calls == 1
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
				if fail {
					return nil, errors.New("first one fails")
				}
				return &signing.Result{KeyVersion: 7}, nil
			})
			if err == nil && r.KeyVersion != 7 {
				t.Errorf("%+v", r)
			}
		})
	}
	wg.Wait()
	if calls != 2 {
		t.Errorf("%d signatures", calls)
	}
	func() { // a panic frees the key
		defer func() { _ = recover() }()
		_, _, _ = m.do(t.Context(), replayID("t", "k2"), request, func() (*signing.Result, error) { panic("x") })
	}()
	if len(m.entries) != 1 || m.order.Len() != 1 {
		t.Errorf("%d entries", len(m.entries))
	}
	m.tidy(time.Now().Add(replayTime + time.Second))
	if len(m.entries) != 0 || m.order.Len() != 0 {
		t.Errorf("%d entries after the time", len(m.entries))
	}
}

func TestReplaysAreBounded(t *testing.T) {
	m := newReplays()
	for i := range maxReplays + 100 {
		_, _, err := m.do(t.Context(), replayID("t", fmt.Sprint(i)), [32]byte{}, func() (*signing.Result, error) { return &signing.Result{}, nil })
		must(t, err)
	}
	if n := len(m.entries); n > maxReplays+1 || n != m.order.Len() {
		t.Errorf("%d entries", n)
	}
}

func TestSystemInfo(t *testing.T) {
	b := newBench(t)
	if got := b.do(t, "GET", "/Api/v1/Meta/SystemInfo", nil).Body.String(); got != `{"version":"1.2.3","apiUrl":"https://sign.example.test/Api","uiBaseUrl":"https://sign.example.test/Web"}`+"\n" {
		t.Error(got)
	}
}

func FuzzRouter(f *testing.F) {
	for _, s := range []string{"/Api/healthz", "/Api//v1/x/Cryptoki/MySigningPolicies", "//", "/%2f/%", "*", "/Api/v1/a%2fb/Projects/c/SigningPolicies/d/Certificate/"} {
		f.Add("GET", s)
	}
	a := &api{}
	a.routes = newRoutes(a)
	f.Fuzz(func(t *testing.T, method, target string) {
		r, err := http.NewRequest(method, "http://h", nil)
		if err != nil {
			return
		}
		if r.URL, err = r.URL.Parse(target); err != nil {
			return
		}
		found, params, allow, err := a.find(r)
		if (found == nil) == (err == nil) || found != nil && allow != nil {
			t.Fatalf("%v %v %v %v", found, params, allow, err)
		}
	})
}
