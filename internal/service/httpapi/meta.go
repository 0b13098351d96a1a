package httpapi

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"signpath/internal/wire"
)

// healthTimeout bounds one health check.
const healthTimeout = 5 * time.Second

func (a *api) health(x *exchange) error { return checkHealth(x, a.Health) }

func (a *api) deepHealth(x *exchange) error { return checkHealth(x, a.DeepHealth) }

func checkHealth(x *exchange, check func(context.Context) error) error {
	if check != nil {
		ctx, cancel := context.WithTimeout(x.r.Context(), healthTimeout)
		defer cancel()
		if err := check(ctx); err != nil {
			return &unhealthyError{err}
		}
	}
	return x.json(http.StatusOK, struct {
		Status string `json:"status"`
	}{"Healthy"})
}

// unhealthyError becomes a 503 that does not tell the cause: anyone may ask.
type unhealthyError struct{ err error }

func (e *unhealthyError) Error() string { return "unhealthy: " + e.err.Error() }
func (e *unhealthyError) Unwrap() error { return e.err }

func (a *api) systemInfo(x *exchange) error {
	return x.json(http.StatusOK, struct {
		Version   string `json:"version"`
		APIURL    string `json:"apiUrl"`
		UIBaseURL string `json:"uiBaseUrl"`
	}{a.Version, a.PublicURL + "/Api", a.PublicURL + "/Web"})
}

func (a *api) openAPI(x *exchange) error {
	x.w.Header().Set("Cache-Control", "no-cache")
	return x.body(http.StatusOK, "application/yaml", wire.OpenAPI)
}

// swaggerPage is made from openapi.yaml by the test TestSwaggerPage, so that
// the program needs no YAML reader and the page no script.
//
//go:generate go test -run ^TestSwaggerPage$ -update
//go:embed swagger.html
var swaggerPage []byte

func (a *api) swagger(x *exchange) error {
	h := x.w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+styleHash(swaggerPage)+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	return x.body(http.StatusOK, "text/html; charset=utf-8", swaggerPage)
}

// styleHash is the CSP source (CSP level 3, section 2.3.1) of the page's one style element.
func styleHash(page []byte) string {
	_, rest, _ := strings.Cut(string(page), "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
