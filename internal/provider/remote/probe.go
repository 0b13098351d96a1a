package remote

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"signpath/internal/provider/settings"
	"signpath/internal/wire"
)

// Step is one leg of the way to a service.
type Step struct {
	Done bool // it was tried; false when a leg before it failed or it is not needed
	Err  error
	Took time.Duration
}

// OK tells whether the leg was tried and worked.
func (s Step) OK() bool { return s.Done && s.Err == nil }

// Path is what Examine found between this machine and a service. Errors are
// *Error and hold no secret; after the first one nothing more was tried.
type Path struct {
	Service string // host:port of ApiUrl
	Proxy   string // host:port of the proxy that leads there; "" for none

	Setup  Step // the settings can be used: address, CA file, proxy, client certificate
	Names  Step // the first host's name resolves; Addresses are its answer
	Reach  Step // a TCP connection to the first host
	Tunnel Step // the proxy's way to the service (https through a proxy only)
	TLS    Step // https only
	Info   Step // GET v1/Meta/SystemInfo got an answer, whatever its status

	Addresses   []string
	TLSVersion  string              // "TLS 1.3"
	Certificate *x509.Certificate   // the service's own, also when it was not accepted
	Chain       []*x509.Certificate // as verified, the service's own first, the root last
	FromFile    bool                // the root stands in TrustedCaFile, not among the system's

	Status  int           // of SystemInfo
	Version string        // of the service, "" when it does not tell
	Skew    time.Duration // the service's clock minus this machine's, to about a second
	HasSkew bool          // the answer had a Date
}

const opExamine = "examine the way to the service"

// Examine walks the way to a service leg by leg, each once and within limit. No
// token is sent: only addresses are asked for that everybody may read. s needs
// neither an organization nor a token.
func Examine(ctx context.Context, s settings.Settings, opts Options, limit time.Duration) (p *Path) {
	p = &Path{}
	x := &examiner{settings: s, opts: opts, limit: limit, path: p, redact: newRedactor(append(s.Secrets(), s.APIToken)...)}
	if x.opts.Now == nil {
		x.opts.Now = time.Now
	}
	defer x.hangUp()
	for _, leg := range []struct {
		step *Step
		do   func(context.Context) error
	}{
		{&p.Setup, x.setup}, {&p.Names, x.names}, {&p.Reach, x.reach}, {&p.Tunnel, x.tunnel}, {&p.TLS, x.tls}, {&p.Info, x.info},
	} {
		if leg.step == &p.Tunnel && (x.proxy == nil || x.target.Scheme != "https") || leg.step == &p.TLS && x.target.Scheme != "https" {
			continue
		}
		began := time.Now()
		err := x.walk(ctx, leg.do)
		*leg.step = Step{Done: true, Err: err, Took: time.Since(began)}
		if err != nil {
			break
		}
	}
	return p
}

// examiner walks; conn is what the legs so far have opened.
type examiner struct {
	settings settings.Settings
	opts     Options
	limit    time.Duration
	path     *Path
	redact   *redactor

	dialer        *dialer
	target, proxy *url.URL
	conn          net.Conn
}

// walk runs one leg and makes its error an *Error by the table of outcomes.
func (x *examiner) walk(caller context.Context, leg func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(caller, x.limit)
	defer cancel()
	err := leg(ctx)
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if caller.Err() != nil {
		return &Error{Class: Canceled, Op: opExamine, Err: context.Cause(caller)}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = &limitError{x.limit}
	}
	rule := errorRule(err)
	e = &Error{Class: rule.class, Op: opExamine, Hint: rule.hint, Err: x.redact.cause(err)}
	var p *proxyError
	if errors.As(err, &p) {
		e.Status = p.status
	}
	return e
}

func (x *examiner) hangUp() {
	if x.conn != nil {
		_ = x.conn.Close()
	}
}

func (x *examiner) setup(context.Context) (err error) {
	checked := x.settings
	checked.OrganizationID = "00000000-0000-0000-0000-000000000000" // no matter here
	if _, err := baseURL(checked); err != nil {
		return err
	}
	x.target = x.settings.APIURL
	x.path.Service = hostPort(x.target)
	if x.dialer, err = newDialer(x.settings); err != nil {
		return err
	}
	if x.proxy, err = x.dialer.proxyFor(x.target); err != nil {
		return &configError{err}
	}
	if x.proxy != nil {
		x.redact.addProxy(x.proxy)
		x.path.Proxy = hostPort(x.proxy)
	}
	return nil
}

// hop is the host that is dialled.
func (x *examiner) hop() *url.URL {
	if x.proxy != nil {
		return x.proxy
	}
	return x.target
}

func (x *examiner) names(ctx context.Context) (err error) {
	x.path.Addresses, err = net.DefaultResolver.LookupHost(ctx, x.hop().Hostname())
	return err
}

func (x *examiner) reach(ctx context.Context) (err error) {
	conn, err := x.dialer.tcp(ctx, "tcp", hostPort(x.hop()))
	if err != nil {
		if x.proxy != nil {
			err = &net.OpError{Op: opProxy, Net: "tcp", Err: err}
		}
		return err
	}
	x.conn = conn
	if x.hop() == x.proxy && x.proxy.Scheme == "https" {
		x.conn, err = x.dialer.handshake(ctx, conn, x.proxy.Hostname())
	}
	return err
}

func (x *examiner) tunnel(ctx context.Context) error {
	return tunnel(ctx, x.conn, hostPort(x.target), x.proxy.User)
}

// tls makes the handshake as every other connection does: with the file's roots,
// and once more with the system's too if those are not enough.
func (x *examiner) tls(ctx context.Context) (err error) {
	before := x.dialer.narrowness()
	conn, err := x.dialer.handshake(ctx, x.conn, x.target.Hostname())
	if x.dialer.again(before, err) {
		conn, err = x.dialer.connect(ctx, x.target, x.proxy)
	}
	if err != nil {
		x.conn = nil // closed
		var v *tls.CertificateVerificationError
		if errors.As(err, &v) && len(v.UnverifiedCertificates) > 0 {
			x.path.Certificate = v.UnverifiedCertificates[0]
		}
		return err
	}
	x.conn = conn
	t, ok := conn.(*tls.Conn)
	if !ok {
		return fmt.Errorf("internal error: a connection of type %T", conn)
	}
	state := t.ConnectionState()
	x.path.TLSVersion = tls.VersionName(state.Version)
	x.path.Certificate = state.PeerCertificates[0]
	if len(state.VerifiedChains) > 0 {
		x.path.Chain = state.VerifiedChains[0]
	}
	x.path.FromFile = x.dialer.roots.narrow()
	return nil
}

// info asks for what everybody may read: the version, and by the way the time.
func (x *examiner) info(ctx context.Context) error {
	u := x.target.JoinPath("v1", "Meta", "SystemInfo")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", userAgent(x.opts.Product, x.opts.Version))
	l := &lane{dialer: x.dialer, conn: x.conn, proxy: proxyName(x.proxy)}
	l.in = &source{r: x.conn}
	l.br = bufio.NewReader(l.in)
	x.conn = nil // the lane's now
	defer l.hangUp()
	c := &Client{redact: x.redact, now: x.opts.Now}
	began := x.opts.Now()
	var date string
	var ans answer
	_, err = l.exchange(ctx, r, x.proxy, func(resp *http.Response, body io.Reader) (whole bool, err error) {
		date = resp.Header.Get("Date")
		ans, whole, err = c.read(resp, body)
		return whole, err
	})
	if err != nil {
		return err
	}
	x.path.Status = ans.status
	if sent, err := http.ParseTime(date); err == nil {
		middle := began.Add(x.opts.Now().Sub(began) / 2)
		x.path.Skew, x.path.HasSkew = sent.Sub(middle), true
	}
	if ans.status/100 == 2 {
		var info struct {
			Version string `json:"version"`
		}
		if json.Unmarshal(ans.body, &info) == nil {
			x.path.Version = x.redact.line(info.Version)
		}
		return nil
	}
	if ans.status/100 == 3 || ans.status/100 == 5 || ans.status == http.StatusBadRequest && clearToTLS(ans.excerpt) {
		rule := statusRule(ans.status)
		if ans.status == http.StatusBadRequest {
			rule.hint = hintScheme
		}
		return c.failure(opExamine, rule, ans, nil, "")
	}
	return nil // other services answer 401 or 404 here
}

// Me names the user whom the token belongs to, "" when the service does not
// tell. Only errors that say something about the token or the way there count:
// services without such an address are no failure.
func (c *Client) Me(ctx context.Context, a Attempt) (name string, err error) {
	for _, kind := range []string{"CIUsers", "InteractiveUsers"} {
		err = c.call(ctx, a, request{op: "ask for the token's user", method: http.MethodGet, url: c.base.JoinPath(kind, "Me")}, func(body []byte) error {
			var me struct{ Name, DisplayName, Email string }
			if err := wire.DecodeJSON(body, &me); err != nil {
				return err
			}
			for _, n := range []string{me.Name, me.DisplayName, me.Email} {
				if name = c.redact.line(n); name != "" {
					break
				}
			}
			return nil
		})
		var e *Error
		if errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Class == Transient || e.Class == Canceled) {
			return "", err
		}
		if name != "" {
			return name, nil
		}
	}
	return "", nil
}

// CAFile reads the certificates of a TrustedCaFile as every connection does, for
// people who want to know what they trust.
func CAFile(path string) ([]*x509.Certificate, error) {
	if _, err := readRoots(path); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil { // others do not count there either
			all = append(all, c)
		}
	}
	return all, nil
}

// Subject is a certificate's name in one line of people's text, without control characters.
func Subject(c *x509.Certificate) string {
	name := c.Subject.CommonName
	if name == "" {
		name = c.Subject.String()
	}
	if name == "" {
		name = strings.Join(c.DNSNames, ", ")
	}
	return newRedactor().line(name)
}
