// Package egress is the one way out of the service to addresses that somebody
// has typed in: webhooks and artifact retrieval links.
//
// What enters is an HTTP request, what leaves is the beginning of the answer.
// The package keeps such addresses from reaching what only the service can
// reach (server-side request forgery): https only; no redirect is followed; the
// address that a name resolves to is checked when the connection is made, so
// that no second look-up can change it; loopback, private, link-local,
// carrier-grade NAT, multicast and other special addresses are refused unless
// allowed; no proxy of the environment is used; no cookie, no credential of the
// service is sent; time and size are bounded.
package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"crypto/tls"
	"crypto/x509"
)

// ErrAddress says that the target is none that may be reached.
var ErrAddress = errors.New("this address may not be reached from the service")

// Config says what may be reached.
type Config struct {
	// AllowPrivate allows networks (CIDR) that are refused otherwise.
	AllowPrivate []netip.Prefix
	// InsecureLoopback allows plain http to loopback addresses, and loopback
	// addresses at all. For development only.
	InsecureLoopback bool
	Roots            *x509.CertPool // nil: those of the system
	Timeout          time.Duration  // of one exchange; 0: 10 seconds
}

// Client sends requests. It is safe for concurrent use.
type Client struct {
	config Config
	http   *http.Client
}

// special are the networks that do not belong to the public internet beyond
// what netip knows (IANA special-purpose address registries).
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
)

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		all[i] = netip.MustParsePrefix(t)
	}
	return all
}

// New makes a client.
func New(c Config) *Client {
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	client := &Client{config: c}
	dialer := &net.Dialer{Timeout: c.Timeout, ControlContext: client.control}
	client.http = &http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
			DisableKeepAlives:      true, // rare calls to many hosts
			DisableCompression:     true, // a small answer stays small
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client
}

// control sees the address itself, after the name has been resolved.
func (c *Client) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrAddress, address)
	}
	if !c.allowed(at.Addr()) {
		return fmt.Errorf("%w: %s is not a public address; the operator can allow its network", ErrAddress, at.Addr())
	}
	return nil
}

func (c *Client) allowed(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range c.config.AllowPrivate {
		if p.Contains(a) {
			return true
		}
	}
	if a.IsLoopback() {
		return c.config.InsecureLoopback
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// CheckURL tells whether an address has a form that Do takes. What it resolves
// to shows when it is used, but for literal addresses.
func (c *Client) CheckURL(u *url.URL) error {
	if u == nil || u.Hostname() == "" || u.Opaque != "" {
		return errors.New("the address has no host")
	}
	if u.User != nil {
		return errors.New("the address must not have a user in it")
	}
	literal, literalErr := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || literalErr == nil && literal.Unmap().IsLoopback()
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback && c.config.InsecureLoopback:
	default:
		return errors.New("the address must begin with https://")
	}
	if literalErr == nil && !c.allowed(literal) || u.Hostname() == "localhost" && !c.config.InsecureLoopback {
		return fmt.Errorf("%w: it is not a public address; the operator can allow its network", ErrAddress)
	}
	return nil
}

// Answer is the beginning of an answer.
type Answer struct {
	Status    int
	Body      []byte
	Truncated bool // there was more
}

// Do sends a request and reads at most limit bytes of the answer's body.
// Redirects are answers.
func (c *Client) Do(ctx context.Context, r *http.Request, limit int64) (*Answer, error) {
	if err := c.CheckURL(r.URL); err != nil {
		return nil, err
	}
	res, err := c.http.Do(r.WithContext(ctx))
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which may hold secrets
		}
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	a := &Answer{Status: res.StatusCode, Body: body}
	if int64(len(body)) > limit {
		a.Body, a.Truncated = body[:limit], true
	}
	if err != nil && !a.Truncated {
		return a, fmt.Errorf("reading the answer: %w", err)
	}
	return a, nil
}
