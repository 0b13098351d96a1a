package remote

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"signpath/internal/provider/settings"
	"signpath/internal/secret"
	"signpath/internal/testkit/testlog"
	"signpath/internal/wire"
)

// FuzzHostileAnswer lets a service send any bytes and then hang up.
func FuzzHostileAnswer(f *testing.F) {
	for _, s := range []string{
		"", "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n" + emptyList, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + emptyList,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n" + emptyList + "\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 Unauthorized\r\nContent-Type: application/problem+json\r\nContent-Length: 60\r\n\r\n{\"title\":\"" + testToken + "\",\"status\":401}",
		"HTTP/1.1 302 Found\r\nLocation: https://" + testToken + ".example/\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0 503 X\r\n\r\n" + testToken, "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n" + emptyList + "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		log, clock := &testlog.Log{}, newClock()
		c, err := New(settings.Settings{
			OrganizationID: testOrg, APIToken: secret.New(testToken), APIURL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"},
			Timeouts: settings.Timeouts{Request: 5 * time.Second, FirstRetryDelay: time.Second, RetryCount: 1},
		}, Options{Log: log, Sleep: clock.Sleep, Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.lanes.dialer.tcp = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			go func() { _, _ = far.Write(raw); _ = far.Close() }()
			return near, nil
		}
		_, listErr := c.Policies(context.Background(), Filter{}, Attempt{})
		_, signErr := signOnce(c)
		for _, err := range []error{listErr, signErr} {
			if err == nil {
				continue
			}
			var e *Error
			var m *wire.MalformedPoliciesError
			if !errors.As(err, &e) && !errors.As(err, &m) {
				t.Errorf("untyped: %v", err)
			}
			if e != nil && (e.Class < Transient || e.Class > Other) {
				t.Errorf("class %v: %v", e.Class, err)
			}
			if s := err.Error(); strings.Contains(s, testToken) || len(s) > 40_000 || strings.ContainsAny(s, "\r\n\x1b") {
				t.Errorf("unfit to be shown: %q", s)
			}
		}
		if strings.Contains(log.Text(), testToken) {
			t.Error("the token is in the log")
		}
	})
}

// FuzzLine checks that foreign text becomes one harmless line without the secret.
func FuzzLine(f *testing.F) {
	f.Add("a\r\nb\x1b[31m" + testToken)
	f.Add(strings.Repeat("é", 600))
	f.Fuzz(func(t *testing.T, s string) {
		out := newRedactor(secret.New(testToken)).line(s)
		if strings.Contains(out, testToken) || strings.ContainsAny(out, "\r\n\x1b") || len([]rune(out)) > maxLine+1 {
			t.Errorf("%q", out)
		}
	})
}
