package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// rule is what follows from the outcome of one attempt.
type rule struct {
	class Class
	retry bool
	hint  string
}

const (
	hintAddress = "Check that ApiUrl (SIGNPATH_API_URL) is the service's address and that its port can be reached from this machine."
	hintProxy   = "Check the proxy: HttpProxy (http_proxy, https_proxy), with user and password in its URL if it wants them; no_proxy lists hosts that need none."
	hintService = "The service has a problem; its administrator finds the request in its log by the trace id."
	hintTrace   = "The service's administrator finds the request in its log by the trace id."
	hintWait    = "Try again later; ServiceUnavailableTimeoutInSeconds (SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS) says how long to keep trying."
	hintSlow    = "Check the network and the service's load; HttpRequestTimeoutInSeconds (SIGNPATH_HTTP_REQUEST_TIMEOUT_IN_SECONDS) bounds one attempt."
	hintScheme  = "The port speaks TLS: write https:// in ApiUrl (SIGNPATH_API_URL)."
	hintTLS     = "Check that ApiUrl (SIGNPATH_API_URL) has the right scheme, host and port, and that no device in between rewrites TLS."
)

// statusRules is the table of HTTP statuses; the first line that fits counts.
// Source: "SignPath crypto providers, Error handling".
var statusRules = []struct {
	from, to int
	rule     rule
}{
	{204, 205, rule{Service, false, "The service answered without content. " + hintService}},
	{300, 399, rule{Service, false, "Redirects are not followed, because they would carry the API token elsewhere. Set ApiUrl (SIGNPATH_API_URL) to the final address."}},
	{400, 400, rule{User, false, "Check OrganizationId, project and signing policy (the key is named project/policy), and that the policy allows hash signing with this algorithm."}},
	{401, 401, rule{User, false, "Check ApiToken (SIGNPATH_API_TOKEN), or the part behind the colon of the PIN; the token may be of another organization, revoked or expired."}},
	{403, 403, rule{User, false, "Check OrganizationId (SIGNPATH_ORGANIZATION_ID) and that the token's user is a submitter of the signing policy."}},
	{404, 404, rule{User, false, "The service has no such address. Check that ApiUrl (SIGNPATH_API_URL) is complete; it usually ends in /Api."}},
	{407, 407, rule{User, false, hintProxy}},
	{408, 408, rule{Transient, true, hintSlow}},
	{413, 413, rule{User, false, "The request is larger than the service takes."}},
	{429, 429, rule{Transient, true, "The service limits the rate of requests. " + hintWait}},
	{400, 499, rule{User, false, "The service refused the request; it says why above."}},
	{502, 504, rule{Transient, true, hintWait}},
	{500, 599, rule{Service, true, hintService}},
	{0, 999, rule{Service, false, "The answer is not one of a signing service. " + hintAddress}},
}

func statusRule(status int) rule {
	for _, r := range statusRules {
		if status >= r.from && status <= r.to {
			return r.rule
		}
	}
	return rule{Service, false, hintAddress}
}

// clearToTLS tells whether a 400 means that clear text came to a TLS port: what
// Go's and NGINX's servers answer there.
func clearToTLS(body string) bool {
	return strings.Contains(body, "HTTP request to an HTTPS server") || strings.Contains(body, "plain HTTP request was sent to HTTPS port")
}

// errorRules is the table of failures without an HTTP status; the first line
// that fits counts. Untrusted certificates and mistakes in the configuration do
// not mend themselves and are not tried again.
var errorRules = []struct {
	is   func(error) bool
	rule rule
}{
	{isA[*unreadableError], rule{Service, false, "The answer is not that of a signing service, or was damaged on the way. " + hintAddress + " " + hintTrace}},
	{isA[x509.HostnameError], rule{Other, false, "The certificate belongs to another host. Use the host name that it was issued for in ApiUrl (SIGNPATH_API_URL)."}},
	{isExpired, rule{Other, false, "The service's TLS certificate is outside its validity, or this machine's clock is wrong."}},
	{isUntrusted, rule{Other, false, "This machine does not trust the service's TLS certificate. If it comes from your own CA, name the CA's PEM file in TrustedCaFile (SIGNPATH_TRUSTED_CA_FILE). If not, somebody may be reading along."}},
	{isA[tls.RecordHeaderError], rule{Other, false, "The other side does not speak TLS. " + hintTLS}},
	{isOp("remote error"), rule{Other, false, "The other side refused the TLS connection; it may want a client certificate, or another one: TlsClientCertificateFile and TlsClientKeyFile (SIGNPATH_TLS_CLIENT_CERTIFICATE_FILE, SIGNPATH_TLS_CLIENT_KEY_FILE). " + hintTLS}},
	{isA[*configError], rule{Other, false, hintProxy}},
	{isTimeout, rule{Transient, true, hintSlow}},
	{isOp(opProxy), rule{Transient, true, hintProxy}},
	{isA[*net.DNSError], rule{Transient, true, "The host name of ApiUrl (SIGNPATH_API_URL) cannot be resolved. Check its spelling, DNS, and whether a proxy is needed."}},
	{isRefused, rule{Transient, true, "Nothing listens there. " + hintAddress}},
	{isCut, rule{Transient, true, "The connection broke. " + hintAddress}},
	{isA[*net.OpError], rule{Transient, true, hintAddress}},
	{func(error) bool { return true }, rule{Other, false, ""}},
}

func errorRule(err error) rule {
	var p *proxyError
	if errors.As(err, &p) {
		r := statusRule(p.status)
		if r.class == Service && !r.retry { // a tunnel is neither redirected nor empty
			r.class = Other
		}
		r.hint = hintProxy
		return r
	}
	for _, r := range errorRules {
		if r.is(err) {
			return r.rule
		}
	}
	return rule{class: Other}
}

// unreadableError is an answer with a good status that makes no sense.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return "the answer cannot be used: " + e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

// configError is a proxy setting that cannot be used.
type configError struct{ err error }

func (e *configError) Error() string { return "the proxy setting cannot be used: " + e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

func isA[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

func isOp(op string) func(error) bool {
	return func(err error) bool {
		var o *net.OpError
		return errors.As(err, &o) && o.Op == op
	}
}

func isExpired(err error) bool {
	var c x509.CertificateInvalidError
	return errors.As(err, &c) && c.Reason == x509.Expired
}

func isUntrusted(err error) bool {
	return isA[*tls.CertificateVerificationError](err) || isA[x509.UnknownAuthorityError](err) ||
		isA[x509.CertificateInvalidError](err) || isA[x509.SystemRootsError](err)
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || isSocketError(err, socketRefused)
}

// The numbers of Windows Sockets ("Windows Sockets Error Codes"), which have names of
// their own in Go; their texts come in the language of the machine.
const (
	socketAborted syscall.Errno = 10053
	socketReset   syscall.Errno = 10054
	socketRefused syscall.Errno = 10061
)

func isSocketError(err error, number syscall.Errno) bool {
	var e syscall.Errno
	return errors.As(err, &e) && e == number
}

// isCut finds connections that ended too early. A TLS record that was damaged
// on the way is a "local error".
func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED) ||
		isSocketError(err, socketReset) || isSocketError(err, socketAborted) ||
		isOp("local error")(err)
}
