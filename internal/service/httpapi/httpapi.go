// Package httpapi is the door of the signing service: SignPath's HTTP API for
// hash signing, as openapi.yaml in package wire describes it.
//
// What enters are HTTP requests, what leaves are answers in JSON (or DER,
// ASCII armour, YAML, HTML where a route says so) and, for every 4xx and 5xx,
// an error document (RFC 9457) with a trace id. The package decodes, asks
// service/signing, encodes, and writes one access-log line per request. It
// decides nothing about rights or keys, never touches a private key or the
// database, and never logs a token, a query or a body.
//
// One file per concept: the table of routes (router.go), what surrounds every
// request (exchange.go), errors to documents (problems.go), trace ids
// (trace.go), and the handlers by subject. Limits of time and of header sizes
// belong to the http.Server around the handler.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"signpath/internal/service/authz"
	"signpath/internal/service/requests"
	"signpath/internal/service/signing"
	"signpath/internal/wire"
)

// Bounds of the bodies of signing requests, in bytes. maxMessageBody is for EdDSA
// keys, which sign messages of up to wire.MaxMessage bytes: these in base64, and
// room for the rest.
const (
	maxBody        = 1 << 20
	maxMessageBody = 3 << 19
)

// Signing is the part of the signing service that the API calls;
// *signing.Service implements it.
type Signing interface {
	Snapshot() *authz.Snapshot
	NewerThan(ctx context.Context, old *authz.Snapshot) bool
	Sign(ctx context.Context, r signing.Request) (*signing.Result, error)
	MySigningPolicies(p *authz.Principal, projectSlug, signingPolicySlug string) []wire.SigningPolicy
	Policy(p *authz.Principal, projectSlug, policySlug string) (*signing.PolicyView, error)
}

// Config is what the API needs.
type Config struct {
	Signing Signing
	// Administration does what the routes of administration ask for; nil: they
	// answer 503.
	Administration Administration
	// Requests keeps asynchronous signing requests; nil: there are fast ones only.
	Requests *requests.Service
	Limits   Limits
	// TokenUsed is told of every token that was let in; it must not wait. Nil: nobody.
	TokenUsed func(tokenID string, at time.Time)
	Logger    *slog.Logger // access log and errors; nil: slog.Default
	// PublicURL is where clients reach the service, without path, e.g.
	// https://sign.example.com:8443. The API is at PublicURL/Api.
	PublicURL string
	Version   string // semantic version of the program, for Meta/SystemInfo
	// Observe is told of every answer: method, pattern of the route ("none"),
	// status, duration. Nil: nobody counts.
	Observe func(method, route string, status int, took time.Duration)
	// Health tells whether signatures are possible as far as that is cheap to
	// know (database); DeepHealth asks the key stores too. Nil: always healthy.
	Health     func(ctx context.Context) error
	DeepHealth func(ctx context.Context) error
	// TrustForwardedFor takes the caller's address from the last entry of
	// X-Forwarded-For. Only for a service that is reached through exactly one
	// proxy, which appends that entry; else callers could forge addresses.
	TrustForwardedFor bool
}

// New makes the handler of every path below /Api. Everything else is answered
// with a 404 document.
func New(c Config) http.Handler {
	a := &api{Config: c, log: c.Logger}
	if a.log == nil {
		a.log = slog.Default()
	}
	a.PublicURL = strings.TrimRight(a.PublicURL, "/")
	a.routes = newRoutes(a)
	a.replays = newReplays()
	return a
}

type api struct {
	Config
	log     *slog.Logger
	routes  []route
	replays *replays
	floods  floods
}
