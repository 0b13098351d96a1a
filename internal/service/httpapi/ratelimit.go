package httpapi

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"signpath/internal/service/limits"
	"signpath/internal/wire"
)

// Limits bound how often the API is used. Nil limiters have no bound.
type Limits struct {
	// Requests is taken from by every request with a valid token, by token ID.
	Requests *limits.Limiter
	// Failures is taken from by every request without a valid one, by source
	// address. When it is empty such requests are answered with 429, cost no look
	// into the database and are not logged one by one. Valid tokens from the same
	// address are not affected.
	Failures *limits.Limiter
}

// tooMany is the answer to those who have no turn left.
func tooMany(wait time.Duration, detail string) error {
	p := wire.NewProblem(http.StatusTooManyRequests, detail)
	p.RetryAfter = max(wait, time.Second)
	return p
}

// source is the name of an address in the limiter. One who has an IPv6 network
// has 2^64 addresses: they count as one.
func source(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Is4() {
		return ip
	}
	p, err := a.Prefix(64)
	if err != nil {
		return ip
	}
	return p.String()
}

// floods counts requests that are not logged one by one.
type floods struct{ n atomic.Uint64 }

// log writes a line for the 1st, 2nd, 4th, 8th, … of them.
func (f *floods) log(logger *slog.Logger, ip string) {
	if n := f.n.Add(1); n&(n-1) == 0 {
		logger.Warn("too many requests without a valid token; they are refused and not logged one by one", "ip", ip, "so_far", n)
	}
}

// limitFailures is asked before the costly part of refusing a token.
func (a *api) limitFailures(x *exchange) error {
	if wait, ok := a.Limits.Failures.Take(source(x.caller.IP), time.Now()); !ok {
		x.flood = true
		return tooMany(wait, "Too many requests without a valid API token came from your address. Wait, and check the token.")
	}
	return nil
}

// limitRequests is asked for every valid token.
func (a *api) limitRequests(x *exchange) error {
	if wait, ok := a.Limits.Requests.Take(x.principal.Token.ID, time.Now()); !ok {
		return tooMany(wait, "The API token is used more often than this service allows. Send the request again when the time in Retry-After has passed.")
	}
	return nil
}
