package remote

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signpath/internal/provider/settings"
	"signpath/internal/secret"
	"signpath/internal/testkit/testlog"
	"signpath/internal/wire"
)

const (
	testOrg   = "11111111-2222-3333-4444-555555555555"
	testToken = "abcdEFGH+/ijklMNOP0123456789qrstUVWX/+zz=="
)

// clock is a fake that Sleep moves on.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	delays []time.Duration
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}
func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.delays = append(c.delays, d)
	return ctx.Err()
}

type setup struct {
	t        *testing.T
	settings settings.Settings
	log      *testlog.Log
	clock    *clock // nil: the real one
}

// against makes settings for a service at address whose CA is ca (PEM).
func against(t *testing.T, address string, ca []byte) *setup {
	t.Helper()
	u, err := url.Parse(address + "/Api")
	if err != nil {
		t.Fatal(err)
	}
	s := &setup{t: t, log: &testlog.Log{}, clock: newClock(), settings: settings.Settings{
		OrganizationID: testOrg, APIToken: secret.New(testToken), APIURL: u,
		Timeouts: settings.Timeouts{Request: 5 * time.Second, Total: 600 * time.Second, FirstRetryDelay: 1160 * time.Millisecond, RetryCount: -1},
	}}
	if ca != nil {
		s.settings.TrustedCAFile = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(s.settings.TrustedCAFile, ca, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func serve(t *testing.T, h http.HandlerFunc) *setup {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true // must not be used
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return against(t, srv.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
}

func (s *setup) client() *Client {
	s.t.Helper()
	o := Options{Product: "Cryptoki", Version: "1.2.3", Log: s.log, Rand: func() float64 { return 0.5 }}
	if s.clock != nil {
		o.Sleep, o.Now = s.clock.Sleep, s.clock.Now
	}
	c, err := New(s.settings, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

func asError(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want *Error", err, err)
	}
	return e
}

func someHash() wire.HashSigning {
	return wire.HashSigning{Scheme: wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}, Digest: make([]byte, 32)}
}

func signOnce(c *Client) ([]byte, error) {
	return c.Sign(context.Background(), SignRequest{ProjectSlug: "p", SigningPolicySlug: "s", Hash: someHash()})
}

const emptyList = `{"signingPolicies":[]}`

func TestPoliciesRequest(t *testing.T) {
	var got *http.Request
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		_, _ = io.WriteString(w, `{"signingPolicies":[{"signingPolicyId":"x","projectSlug":"a","signingPolicySlug":"b","keyType":"Rsa","publicKeyBytes":"MIIBCgKCAQEA`+testToken+`"}]}`)
	})
	list, err := s.client().Policies(context.Background(), Filter{"a b", "c&d"}, Attempt{})
	var malformed *wire.MalformedPoliciesError
	if !errors.As(err, &malformed) || len(malformed.Entries) != 1 || malformed.Entries[0].Name != "a/b" || len(list) != 0 {
		t.Fatalf("%v %v", list, err)
	}
	if want := "/Api/v1/" + testOrg + "/Cryptoki/MySigningPolicies?projectSlug=a+b&signingPolicySlug=c%26d"; got.URL.RequestURI() != want {
		t.Errorf("asked for %s, want %s", got.URL.RequestURI(), want)
	}
	if got.Proto != "HTTP/1.1" {
		t.Errorf("%s is spoken", got.Proto)
	}
	for header, pattern := range map[string]string{
		"Authorization":   "^Bearer " + regexp.QuoteMeta(testToken) + "$",
		"User-Agent":      `^SignPath\.CryptoProviders\.Cryptoki/1\.2\.3 \(\S+ \S+; \w+\)$`,
		"Traceparent":     `^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`,
		"Accept-Encoding": "identity", // the service is on this machine
		"Prefer":          wire.PreferCompact,
	} {
		if !regexp.MustCompile(pattern).MatchString(got.Header.Get(header)) {
			t.Errorf("%s: %q", header, got.Header.Get(header))
		}
	}
}

func TestSignRequestAndIdempotencyKey(t *testing.T) {
	var keys, traces []string
	var p *wire.Submission
	n := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var err error
		if p, err = wire.ReadSubmission(r.Header.Get("Content-Type"), r.Body); err != nil || r.Method != "POST" || r.URL.Path != "/Api/v1/"+testOrg+"/SigningRequests" {
			t.Errorf("%s %s %v", r.Method, r.URL, err)
		}
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		traces = append(traces, r.Header.Get("Traceparent"))
		if n++; n < 3 {
			w.WriteHeader(503)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"Signature": base64.StdEncoding.EncodeToString([]byte("sig")), "SigningRequestId": "id"})
	})
	c := s.client()
	for range 2 {
		sig, err := signOnce(c)
		if err != nil || string(sig) != "sig" {
			t.Fatalf("%q %v", sig, err)
		}
	}
	if p.ProjectSlug != "p" || p.SigningPolicySlug != "s" {
		t.Errorf("%+v", p)
	}
	if len(keys) != 4 || !isUUID(keys[0]) || keys[0] != keys[1] || keys[1] != keys[2] || keys[2] == keys[3] {
		t.Errorf("idempotency keys: %q", keys)
	}
	if traces[0][:35] != traces[1][:35] || traces[0] == traces[1] || traces[2][:35] == traces[3][:35] {
		t.Errorf("trace ids: %q", traces)
	}
}

func TestStatusTable(t *testing.T) {
	for status, want := range map[int]struct {
		class   Class
		retried bool
		hint    string
	}{
		204: {Service, false, ""}, 301: {Service, false, "Redirects"}, 302: {Service, false, "Redirects"}, 304: {Service, false, ""}, 307: {Service, false, "ApiUrl"},
		400: {User, false, "project"}, 401: {User, false, "SIGNPATH_API_TOKEN"}, 403: {User, false, "submitter"}, 404: {User, false, "/Api"},
		407: {User, false, "proxy"}, 409: {User, false, ""}, 413: {User, false, ""}, 422: {User, false, ""},
		408: {Transient, true, ""}, 429: {Transient, true, "rate"},
		500: {Service, true, "administrator"}, 501: {Service, true, ""}, 502: {Transient, true, ""}, 503: {Transient, true, ""}, 504: {Transient, true, ""},
		505: {Service, true, ""}, 599: {Service, true, ""}, 299: {Service, false, ""}, 999: {Service, false, ""},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			n := 0
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				n++
				w.Header().Set("Location", "https://elsewhere.example/x?y")
				w.WriteHeader(status)
			})
			s.settings.Timeouts.RetryCount = 2
			_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
			e := asError(t, err)
			attempts := 1
			if want.retried {
				attempts = 3
			}
			if e.Class != want.class || e.Status != status || n != attempts || !strings.Contains(e.Hint, want.hint) {
				t.Errorf("class %v, status %d, %d attempts, hint %q", e.Class, e.Status, n, e.Hint)
			}
			if s.log.Count("WARNING", "") != attempts-1 {
				t.Errorf("%d warnings for %d attempts:\n%s", s.log.Count("WARNING", ""), attempts, s.log.Text())
			}
			if status == 302 && !strings.Contains(err.Error(), "elsewhere.example") {
				t.Errorf("the target is not named: %v", err)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var hits atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer other.Close()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/secret-path", http.StatusTemporaryRedirect)
	})
	_, err := signOnce(s.client())
	if e := asError(t, err); e.Class != Service || !strings.Contains(e.Error(), strings.TrimPrefix(other.URL, "http://")) || strings.Contains(e.Error(), "secret-path") {
		t.Errorf("%v", err)
	}
	if hits.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

func TestUnusableAnswers(t *testing.T) {
	for name, body := range map[string]string{
		"empty": "", "no JSON": "hello", "truncated": `{"Signature":"AAAA`, "null": "null", "list": "[]", "no signature": "{}",
		"wrong type": `{"Signature":17}`, "not base64": `{"Signature":"***"}`, "empty signature": `{"Signature":""}`, "twice": `{"Signature":"AAAA","signature":"BBBB"}`,
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			s := serve(t, func(w http.ResponseWriter, r *http.Request) { n++; _, _ = io.WriteString(w, body) })
			_, err := signOnce(s.client())
			if e := asError(t, err); e.Class != Service || n != 1 || e.Status != 200 {
				t.Errorf("%v after %d attempts: %v", e.Class, n, err)
			}
		})
	}
}

func TestProblemIsKept(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", wire.ProblemType)
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"title":"One or more validation errors occurred.","status":400,"errors":{"SigningPolicySlug":["Project 'demo' has no\nsigning policy 'release'."]},"traceId":"00-aaaa-bbbb-00"}`)
	})
	_, err := signOnce(s.client())
	e := asError(t, err)
	if e.TraceID != "00-aaaa-bbbb-00" || e.Problem == nil || !strings.Contains(e.Error(), "SigningPolicySlug: Project 'demo' has no signing policy 'release'.") {
		t.Errorf("%v", e)
	}
}

func TestTokenNeverShows(t *testing.T) {
	escaped, _ := json.Marshal(testToken)
	for name, echo := range map[string]string{
		"plain":        "your token is " + testToken,
		"header":       "Authorization: Bearer " + testToken,
		"URL":          "?t=" + url.QueryEscape(testToken),
		"JSON":         `{"title":"bad ` + strings.ReplaceAll(testToken, "/", `\/`) + `","status":401}`,
		"JSON unicode": `{"title":"bad ` + strings.NewReplacer("+", `\u002B`, "/", `\u002f`).Replace(testToken) + `","status":401,"errors":{` + string(escaped) + `:[` + string(escaped) + `]},"traceId":` + string(escaped) + `}`,
		"HTML":         "<h1>" + strings.ReplaceAll(testToken, "+", "&#43;") + "</h1>",
		"at the cut":   strings.Repeat("x", 495) + testToken,
		"at 512":       strings.Repeat("x", 505) + testToken,
		"in detail":    `{"detail":"` + strings.Repeat("x", 480) + testToken + `"}`,
		"base64":       base64.StdEncoding.EncodeToString([]byte(testToken)),
	} {
		for _, status := range []int{401, 503, 200} {
			t.Run(fmt.Sprint(name, status), func(t *testing.T) {
				s := serve(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "application/problem+json")
					w.Header().Set("Location", "https://"+testToken)
					w.WriteHeader(status)
					_, _ = io.WriteString(w, echo)
				})
				s.settings.Timeouts.RetryCount = 1
				_, err := signOnce(s.client())
				e := asError(t, err)
				text := s.log.Text() + fmt.Sprintf("%v %+v %#v %#v", err, e, e.Problem, e.Err)
				for cause := error(e); cause != nil; cause = errors.Unwrap(cause) {
					text += cause.Error()
				}
				for _, part := range []string{testToken, testToken[:12], url.QueryEscape(testToken)[:20], base64.StdEncoding.EncodeToString([]byte(testToken))[:20]} {
					if strings.Contains(text, part) {
						t.Errorf("the token shows: %s", text)
					}
				}
			})
		}
	}
}

func TestOversizedAnswers(t *testing.T) {
	chunk := strings.Repeat(" ", 1<<20)
	for name, declared := range map[string]bool{"declared": true, "not declared": false} {
		t.Run(name, func(t *testing.T) {
			n := 0
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				n++
				if declared {
					w.Header().Set("Content-Length", fmt.Sprint(maxAnswer+1))
				}
				for range 65 {
					if _, err := io.WriteString(w, chunk); err != nil {
						return
					}
				}
			})
			s.settings.Timeouts.Request = time.Minute
			_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
			if e := asError(t, err); e.Class != Service || n != 1 || !strings.Contains(e.Error(), "64 MiB") {
				t.Errorf("%v after %d", err, n)
			}
		})
	}
}

func TestConfiguration(t *testing.T) {
	good := serve(t, func(http.ResponseWriter, *http.Request) {})
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*settings.Settings)
		want   string
	}{
		"no URL":           {func(s *settings.Settings) { s.APIURL = nil }, "SIGNPATH_API_URL"},
		"http":             {func(s *settings.Settings) { s.APIURL = &url.URL{Scheme: "http", Host: "example.com"} }, "in the clear"},
		"http 127.evil":    {func(s *settings.Settings) { s.APIURL = &url.URL{Scheme: "http", Host: "127.0.0.1.example.com"} }, "in the clear"},
		"ftp":              {func(s *settings.Settings) { s.APIURL = &url.URL{Scheme: "ftp", Host: "example.com"} }, "scheme"},
		"user in URL":      {func(s *settings.Settings) { s.APIURL = &url.URL{Scheme: "https", Host: "x", User: url.User("u")} }, "ApiUrl"},
		"no organization":  {func(s *settings.Settings) { s.OrganizationID = "" }, "SIGNPATH_ORGANIZATION_ID"},
		"bad organization": {func(s *settings.Settings) { s.OrganizationID = "../../x" }, "UUID"},
		"no token":         {func(s *settings.Settings) { s.APIToken = secret.Secret{} }, "SIGNPATH_API_TOKEN"},
		"token with CR":    {func(s *settings.Settings) { s.APIToken = secret.New("abcdefgh\r\nX: y") }, "characters"},
		"no CA file":       {func(s *settings.Settings) { s.TrustedCAFile = filepath.Join(dir, "none.pem") }, "SIGNPATH_TRUSTED_CA_FILE"},
		"empty CA file":    {func(s *settings.Settings) { s.TrustedCAFile = empty }, "no certificate"},
		"CA folder":        {func(s *settings.Settings) { s.TrustedCAFile = dir }, "regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			s := good.settings
			tc.change(&s)
			_, err := New(s, Options{})
			if e := asError(t, err); e.Class != Other || !strings.Contains(e.Error(), tc.want) || strings.Contains(e.Error(), "abcdefgh") {
				t.Errorf("%v", err)
			}
		})
	}
	for _, host := range []string{"localhost", "127.0.0.1", "127.9.9.9", "[::1]:5000", "localhost:80"} {
		s := good.settings
		s.APIURL = &url.URL{Scheme: "http", Host: host}
		if c, err := New(s, Options{}); err != nil {
			t.Errorf("%s: %v", host, err)
		} else {
			c.Close()
		}
	}
}
