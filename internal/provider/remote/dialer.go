package remote

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"signpath/internal/provider/settings"
)

// dialer makes connections.
type dialer struct {
	tcp    func(ctx context.Context, network, addr string) (net.Conn, error)
	tls    *tls.Config      // shared session cache; ServerName and RootCAs are set per connection
	client *tls.Certificate // nil for none
	roots  *roots
	proxy  func(*url.URL) (*url.URL, error)
}

func newDialer(s settings.Settings) (*dialer, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	roots, err := readRoots(s.TrustedCAFile)
	if err != nil {
		return nil, &Error{Class: Other, Op: "configuration", Err: err,
			Hint: "TrustedCaFile (SIGNPATH_TRUSTED_CA_FILE) must be a readable file with certificates in PEM form."}
	}
	cert, err := clientIdentity(s)
	if err != nil {
		return nil, err
	}
	if cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return &dialer{tcp: (&net.Dialer{KeepAlive: 15 * time.Second, Control: quietSocket}).DialContext, tls: cfg, client: cert, roots: roots, proxy: s.Proxy}, nil
}

// connect opens the way to the service: TCP, perhaps a proxy's tunnel, TLS.
// proxy is nil for none; to an http service it is only the next hop.
func (d *dialer) connect(ctx context.Context, target, proxy *url.URL) (net.Conn, error) {
	d.roots.system()
	before := d.narrowness()
	conn, err := d.connectOnce(ctx, target, proxy)
	if d.again(before, err) {
		conn, err = d.connectOnce(ctx, target, proxy)
	}
	return conn, err
}

// narrowness is what a connection is tried with first, because it is quicker or better.
type narrowness struct{ roots, key bool }

func (d *dialer) narrowness() narrowness { return narrowness{d.roots.narrow(), !d.pkcs1Only()} }

// again tells whether a connection that failed with err is worth a second try, with
// the system's roots or within what the client certificate's key can sign.
func (d *dialer) again(before narrowness, err error) bool {
	return d.roots.widen(before.roots, err) || err != nil && before.key && d.pkcs1Only()
}

func (d *dialer) connectOnce(ctx context.Context, target, proxy *url.URL) (net.Conn, error) {
	hop := target
	if proxy != nil {
		hop = proxy
	}
	conn, err := d.tcp(ctx, "tcp", hostPort(hop))
	if err != nil {
		if proxy != nil {
			err = &net.OpError{Op: opProxy, Net: "tcp", Err: err}
		}
		return nil, err
	}
	if hop.Scheme == "https" {
		if conn, err = d.handshake(ctx, conn, hop.Hostname()); err != nil {
			return nil, err
		}
	}
	if proxy == nil || target.Scheme != "https" {
		return conn, nil
	}
	if err := tunnel(ctx, conn, hostPort(target), proxy.User); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return d.handshake(ctx, conn, target.Hostname())
}

// handshake adds TLS and closes conn when that fails.
func (d *dialer) handshake(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	cfg := d.tls.Clone()
	cfg.ServerName, cfg.RootCAs = host, d.roots.pool()
	d.limit(cfg)
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return t, nil
}

// proxyFor asks the settings; nil means none. The error never holds the URL.
func (d *dialer) proxyFor(u *url.URL) (*url.URL, error) {
	if d.proxy == nil {
		return nil, nil
	}
	p, err := d.proxy(u)
	if err != nil || p == nil {
		return nil, err
	}
	switch p.Scheme {
	case "http", "https":
	default:
		return nil, fmt.Errorf("a proxy of the kind %q is not known", p.Scheme)
	}
	if p.Host == "" {
		return nil, errors.New("the proxy's address has no host")
	}
	return p, nil
}

// tunnel asks a proxy for a way to addr (RFC 9110 section 9.3.6).
func tunnel(ctx context.Context, conn net.Conn, addr string, user *url.Userinfo) error {
	defer context.AfterFunc(ctx, func() { cut(conn) })()
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{"User-Agent": {""}}}
	setProxyUser(r.Header, user)
	if err := r.Write(conn); err != nil {
		return &net.OpError{Op: opProxy, Net: "tcp", Err: err}
	}
	in := &source{r: conn, left: maxHeader}
	br := bufio.NewReader(in)
	resp, err := http.ReadResponse(br, r)
	if err != nil {
		return in.explain(err)
	}
	// The body is neither read nor closed: what a proxy says of its length does not
	// count here (RFC 9110 section 9.3.6), and closing would wait for it.
	switch {
	case resp.StatusCode/100 != 2:
		return &proxyError{status: resp.StatusCode}
	case br.Buffered() > 0: // TLS servers do not speak first
		return &unreadableError{errors.New("the proxy sent data that nobody asked for")}
	}
	return nil
}

func setProxyUser(h http.Header, user *url.Userinfo) {
	if user == nil {
		return
	}
	password, _ := user.Password()
	h.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
}

// opProxy marks failures on the way to a proxy.
const opProxy = "proxyconnect"

// proxyError is a proxy that refused to make a tunnel.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy answered %d %s", e.status, http.StatusText(e.status))
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
