// Package remote speaks to the signing service over HTTPS: it lists the signing
// policies and has digests signed.
//
// What enters are settings and requests in Go values, what leaves are the
// service's answers or one *Error that says whose fault it was and what to do
// about it. In between stand the rules for every call: HTTP/1.1 over TLS 1.2 or
// later, certificates always checked, redirects never followed, answers bounded,
// retries by one table (outcome.go) on one curve (backoff.go).
//
// The code runs inside other people's processes. It never panics, never writes
// to standard output or error, never reads the environment; every wait ends
// with the caller's context, and Close hangs up all that is left. Tokens and
// proxy passwords never reach an error or a log, not even when the service
// echoes them.
//
// Sources: "SignPath REST API documentation" (routes, fast signing requests),
// "SignPath crypto providers, Error handling" (time-outs, retries), RFC 9110,
// RFC 9457 (error documents), W3C Trace Context.
package remote

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"signpath/internal/provider/settings"
	"signpath/internal/wire"
)

// Logger receives what happens; args are name, value pairs as in log/slog.
type Logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warning(msg string, args ...any)
}

// Options say who is calling. The zero value of every hook means the real thing.
type Options struct {
	Product string // "Cryptoki", "KSP", "CSP", "CTK", "Notation"
	Version string // of the product, semantic version
	Log     Logger // nil: nothing is logged

	// For tests.
	Sleep func(context.Context, time.Duration) error // returns the context's error when that ends first
	Now   func() time.Time
	Rand  func() float64 // in [0, 1)
}

// Attempt bounds one call more tightly than the settings do.
type Attempt struct {
	Once  bool          // no retries
	Limit time.Duration // the whole call; 0: the settings' total
}

// Filter narrows the list of policies; empty members mean all.
type Filter struct {
	ProjectSlug       string
	SigningPolicySlug string
}

// SignRequest is one digest to be signed.
type SignRequest struct {
	ProjectSlug       string
	SigningPolicySlug string
	Hash              wire.HashSigning
}

// Client is a connection to one organization of a service. It is safe for use
// by many threads and opens at most one connection per thread that is waiting
// for an answer.
type Client struct {
	settings settings.Settings
	base     *url.URL // {ApiUrl}/v1/{organization}
	product  string
	agent    string
	log      Logger
	sleep    func(context.Context, time.Duration) error
	now      func() time.Time
	rand     func() float64
	redact   *redactor
	lanes    *lanes
	life     context.Context // ends with Close
	end      context.CancelFunc
}

const (
	opList = "list signing policies"
	opSign = "sign"
)

// New checks the settings and makes a client. It reads the CA file and the files
// of the client certificate but does not use the network. Every error is an *Error of class Other.
func New(s settings.Settings, opts Options) (*Client, error) {
	base, err := baseURL(s)
	if err != nil {
		return nil, err
	}
	if err := checkToken(s.APIToken.Reveal()); err != nil {
		return nil, err
	}
	dialer, err := newDialer(s)
	if err != nil {
		return nil, err
	}
	c := &Client{
		settings: s, base: base, product: opts.Product, agent: userAgent(opts.Product, opts.Version),
		log: opts.Log, sleep: opts.Sleep, now: opts.Now, rand: opts.Rand, redact: newRedactor(append(s.Secrets(), s.APIToken)...),
		lanes: newLanes(dialer),
	}
	if c.log == nil {
		c.log = silent{}
	}
	if c.sleep == nil {
		c.sleep = sleep
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.rand == nil {
		c.rand = random
	}
	c.warnClientCertificate(dialer.client)
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// Close ends every running call with class Canceled and closes all connections.
// The client cannot be used afterwards. It does not wait.
func (c *Client) Close() {
	c.end()
	c.lanes.close()
}

// List is an answer of MySigningPolicies.
type List struct {
	Policies []wire.SigningPolicy
	Body     []byte // what Policies was read from, as ParsePolicies takes it
	Tag      string // names this state of the list; "" when the service has no such names
	Same     bool   // the service has the state that was known: the rest is empty
}

// Policies is List.Policies of a list of which nothing is known.
func (c *Client) Policies(ctx context.Context, f Filter, a Attempt) ([]wire.SigningPolicy, error) {
	list, err := c.List(ctx, f, a, "")
	return list.Policies, err
}

// List lists the signing policies that the token's user may submit to, in the
// service's order. known is the Tag of a list that the caller has, or "". Entries
// that are malformed are left out and reported by a *wire.MalformedPoliciesError
// beside the good ones; every other error is an *Error and means that there is
// no list.
func (c *Client) List(ctx context.Context, f Filter, a Attempt, known string) (List, error) {
	u := c.base.JoinPath("Cryptoki", "MySigningPolicies")
	q := url.Values{}
	if f.ProjectSlug != "" {
		q.Set("projectSlug", f.ProjectSlug)
	}
	if f.SigningPolicySlug != "" {
		q.Set("signingPolicySlug", f.SigningPolicySlug)
	}
	u.RawQuery = q.Encode()
	var list List
	var malformed *wire.MalformedPoliciesError
	r := request{op: opList, method: http.MethodGet, url: u, prefer: wire.PreferCompact, ifNoneMatch: known}
	err := c.callAnswer(ctx, a, r, func(ans answer) (err error) {
		if ans.status == http.StatusNotModified {
			list = List{Tag: known, Same: true}
			return nil
		}
		list = List{Body: ans.body, Tag: ans.tag}
		if !isTag(list.Tag) {
			list.Tag = ""
		}
		if list.Policies, err = c.ParsePolicies(ans.body); errors.As(err, &malformed) {
			return nil
		}
		return err
	})
	if err != nil {
		return List{}, err
	}
	if malformed != nil {
		return list, malformed
	}
	return list, nil
}

// ParsePolicies is wire.ParseSigningPolicies with errors that hold no secret.
func (c *Client) ParsePolicies(body []byte) ([]wire.SigningPolicy, error) {
	policies, err := wire.ParseSigningPolicies(body)
	var malformed *wire.MalformedPoliciesError
	if errors.As(err, &malformed) {
		for i := range malformed.Entries {
			e := &malformed.Entries[i]
			e.Name, e.Err = c.redact.line(e.Name), c.redact.cause(e.Err)
		}
	}
	return policies, err
}

// maxTag bounds an entity tag that is sent back, in bytes.
const maxTag = 256

// isTag tells whether a text is an entity tag (RFC 9110 section 8.8.3) of bearable length.
func isTag(s string) bool {
	inside, _ := strings.CutPrefix(s, "W/")
	if len(s) > maxTag || len(inside) < 2 || inside[0] != '"' || inside[len(inside)-1] != '"' {
		return false
	}
	for _, c := range []byte(inside[1 : len(inside)-1]) {
		if c <= ' ' || c == '"' || c >= 0x7F {
			return false
		}
	}
	return true
}

// Sign has one digest signed by the fast form of POST SigningRequests. The
// signature is what the service gave: RSA the big-endian block, ECDSA in the
// format asked for. Nothing about it has been verified. A retry carries the
// same Idempotency-Key as the first attempt.
func (c *Client) Sign(ctx context.Context, r SignRequest) ([]byte, error) {
	contentType, body, err := wire.WriteClassicForm(r.ProjectSlug, r.SigningPolicySlug, wire.NewPayload(r.Hash))
	if err != nil {
		return nil, &Error{Class: Other, Op: opSign, Err: err}
	}
	key, err := newUUID()
	if err != nil {
		return nil, &Error{Class: Other, Op: opSign, Err: err}
	}
	var signature []byte
	err = c.call(ctx, Attempt{}, request{
		op: opSign, method: http.MethodPost, url: c.base.JoinPath("SigningRequests"),
		contentType: contentType, body: body, idempotencyKey: key,
	}, func(body []byte) (err error) {
		var id string
		if signature, id, err = wire.ParseClassicAnswer(body); err == nil {
			c.log.Debug("signed", "project", r.ProjectSlug, "policy", r.SigningPolicySlug, "signingRequestId", c.redact.line(id))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return signature, nil
}

// request is what all attempts of a call have in common.
type request struct {
	op             string
	method         string
	url            *url.URL
	contentType    string
	body           []byte
	idempotencyKey string
	accept         string // "": JSON
	prefer         string // "": nothing
	ifNoneMatch    string // entity tag; "": none
}

// http makes the request of one attempt.
func (r request) http(ctx context.Context, c *Client, traceID string) (*http.Request, error) {
	var body *bytes.Reader
	q, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), nil)
	if err != nil {
		return nil, err
	}
	if r.body != nil {
		body = bytes.NewReader(r.body)
		if q, err = http.NewRequestWithContext(ctx, r.method, r.url.String(), body); err != nil {
			return nil, err
		}
		q.Header.Set("Content-Type", r.contentType)
	}
	if r.idempotencyKey != "" {
		q.Header.Set("Idempotency-Key", r.idempotencyKey)
	}
	span, err := randomHex(8)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Authorization", "Bearer "+c.settings.APIToken.Reveal())
	q.Header.Set("Accept", cmp.Or(r.accept, "application/json"))
	if loopback(r.url.Hostname()) { // packing costs more than it saves
		q.Header.Set("Accept-Encoding", "identity")
	} else {
		q.Header.Set("Accept-Encoding", "gzip")
	}
	if r.prefer != "" {
		q.Header.Set("Prefer", r.prefer)
	}
	if r.ifNoneMatch != "" {
		q.Header.Set("If-None-Match", r.ifNoneMatch)
	}
	q.Header.Set("User-Agent", c.agent)
	q.Header.Set("Traceparent", "00-"+traceID+"-"+span+"-00")
	return q, nil
}

// bound joins the caller's context with the client's life.
func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.life, cancel)
	return ctx, func() { stop(); cancel() }
}

func (c *Client) requestLimit() time.Duration {
	if d := c.settings.Timeouts.Request; d > 0 {
		return d
	}
	return 30 * time.Second
}

// baseURL checks ApiUrl and the organization's id.
func baseURL(s settings.Settings) (*url.URL, error) {
	bad := func(cause, hint string) (*url.URL, error) {
		return nil, &Error{Class: Other, Op: "configuration", Err: errors.New(cause), Hint: hint}
	}
	const urlHint = "Give the service's address in ApiUrl (SIGNPATH_API_URL), for example https://signing.example.com/Api."
	u := s.APIURL
	switch {
	case u == nil || u.Host == "":
		return bad("no ApiUrl", urlHint)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return bad("ApiUrl holds more than scheme, host and path", urlHint)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return bad(fmt.Sprintf("ApiUrl is http, which would send the API token to %s in the clear", u.Hostname()), "Use https; http is for loopback addresses only.")
	case u.Scheme != "https" && u.Scheme != "http":
		return bad(fmt.Sprintf("ApiUrl has the scheme %q", u.Scheme), urlHint)
	}
	if !isUUID(s.OrganizationID) {
		cause := "the organization's id is not a UUID"
		if s.OrganizationID == "" {
			cause = "no organization"
		}
		return bad(cause, "Give the organization's id in OrganizationId (SIGNPATH_ORGANIZATION_ID) or in the PIN.")
	}
	return u.JoinPath("v1", s.OrganizationID), nil
}

// loopback tells whether a host name can only be this machine.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// isUUID accepts 8-4-4-4-12 hexadecimal digits.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// checkToken finds tokens that cannot stand in a header.
func checkToken(token string) error {
	const hint = "Give the API token of a CI user in ApiToken (SIGNPATH_API_TOKEN) or in the PIN."
	if token == "" {
		return &Error{Class: Other, Op: "configuration", Err: errors.New("no API token"), Hint: hint}
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return &Error{Class: Other, Op: "configuration", Err: errors.New("the API token holds characters that no token has (white space, control or non-ASCII characters)"), Hint: hint}
		}
	}
	return nil
}

type silent struct{}

func (silent) Debug(string, ...any)   {}
func (silent) Info(string, ...any)    {}
func (silent) Warning(string, ...any) {}

var _ net.Error = (*limitError)(nil)

// limitError is an attempt that took too long.
type limitError struct{ after time.Duration }

func (e *limitError) Error() string   { return "no complete answer within " + e.after.String() }
func (e *limitError) Timeout() bool   { return true }
func (e *limitError) Temporary() bool { return true }
