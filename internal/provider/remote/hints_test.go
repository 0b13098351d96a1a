package remote

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"signpath/internal/provider/redact"
)

// A log that hides what looks like a secret must leave our own sentences alone:
// "Check the API token: ApiToken" once came out as "Check the API token: [redacted]".
func TestHintsSurviveRedaction(t *testing.T) {
	hints := []string{hintAddress, hintProxy, hintService, hintTrace, hintWait, hintSlow, hintScheme, hintTLS, hintClientFiles, hintStore}
	for _, r := range statusRules {
		hints = append(hints, r.rule.hint)
	}
	for _, r := range errorRules {
		hints = append(hints, r.rule.hint)
	}
	for _, h := range hints {
		if got := redact.New().Text(h); got != h {
			t.Errorf("%q becomes %q", h, got)
		}
	}
}

// http:// to a port that speaks TLS is answered with 400, which otherwise means
// a wrong project or signing policy.
func TestClearTextToTLSPort(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = against(t, "http://127.0.0.1:"+port, nil).client().Policies(context.Background(), Filter{}, Attempt{})
	if e := asError(t, err); e.Hint != hintScheme || e.Class != User {
		t.Errorf("%v: %q", e.Class, e.Hint)
	}
	if !strings.Contains(err.Error(), "https://") {
		t.Error(err)
	}
}
