package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"signpath/internal/buildinfo"
	"signpath/internal/service/admin"
	"signpath/internal/service/syslog"
)

// serverCommand runs the service.
type serverCommand struct {
	place
	Listen       string `help:"Address and port." default:"127.0.0.1:8443" placeholder:"HOST:PORT" env:"SIGNPATH_SERVER_LISTEN"`
	TLSCert      string `name:"tls-cert" help:"TLS certificate with its issuers, PEM. Default: one of its own." placeholder:"FILE" env:"SIGNPATH_SERVER_TLS_CERT"`
	TLSKey       string `name:"tls-key" help:"Private key of the TLS certificate, PEM." placeholder:"FILE" env:"SIGNPATH_SERVER_TLS_KEY"`
	NoTLS        bool   `name:"no-tls" help:"Serve plain HTTP, on a loopback address only, e.g. behind a proxy on this machine." env:"SIGNPATH_SERVER_NO_TLS"`
	ClientCA     string `name:"client-ca" help:"Demand client certificates of these authorities, PEM." placeholder:"FILE" env:"SIGNPATH_SERVER_CLIENT_CA"`
	Metrics      string `name:"metrics-listen" help:"Address and port where Prometheus gets /metrics, without TLS and token. Default: nowhere." placeholder:"HOST:PORT" env:"SIGNPATH_SERVER_METRICS_LISTEN"`
	PublicURL    string `name:"public-url" help:"Where clients reach the service. Default: the listen address." placeholder:"URL" env:"SIGNPATH_SERVER_PUBLIC_URL"`
	ForwardedFor bool   `help:"Take the address of callers from the last entry of X-Forwarded-For. Only behind exactly one proxy, which adds it: callers could forge it else." env:"SIGNPATH_SERVER_FORWARDED_FOR"`
	AuditStrict  bool   `help:"Answer only when the outcome of a signature is on record too, not its intent alone." env:"SIGNPATH_SERVER_AUDIT_STRICT"`
	AuditSyslog  string `help:"Send the audit log to a syslog receiver while it grows (RFC 5424): tls://HOST:6514, tcp://HOST:601, udp://HOST:514 or unix:///dev/log." placeholder:"URL" env:"SIGNPATH_SERVER_AUDIT_SYSLOG"`
	SyslogCA     string `name:"audit-syslog-ca" help:"Authorities that the receiver behind tls:// must have its certificate from, PEM. Default: those of the operating system." placeholder:"FILE" env:"SIGNPATH_SERVER_AUDIT_SYSLOG_CA"`
	SyslogCert   string `name:"audit-syslog-cert" help:"Client certificate for the receiver behind tls://, with its issuers, PEM." placeholder:"FILE" env:"SIGNPATH_SERVER_AUDIT_SYSLOG_CERT"`
	SyslogKey    string `name:"audit-syslog-key" help:"Private key of that certificate, PEM." placeholder:"FILE" env:"SIGNPATH_SERVER_AUDIT_SYSLOG_KEY"`
	LogFormat    string `help:"text or json." enum:"text,json" default:"text" placeholder:"FORMAT" env:"SIGNPATH_SERVER_LOG_FORMAT"`

	laterFlags `group:"limits"`

	receiver *syslog.Target // of AuditSyslog; nil: none
}

// Help implements kong.HelpProvider.
func (serverCommand) Help() string {
	return `The first start makes what is missing in the data folder: the database, the key-encryption key, a TLS certificate. SIGTERM and Ctrl-C finish the running requests and end the service. ` + kekVariable + ` can hold the key-encryption key itself.

` + examples(
		"signpath server --data /var/lib/signpath",
		"signpath server --data /var/lib/signpath --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key key.pem --public-url https://sign.example.com",
		"signpath server --data /var/lib/signpath --no-tls --listen 127.0.0.1:8080 --public-url https://sign.example.com",
		"signpath server --data /var/lib/signpath --database-file /etc/signpath/database",
		"signpath server --data /var/lib/signpath --hsm-config /etc/signpath/hsm.json",
		"signpath server --data /var/lib/signpath --audit-syslog tls://log.example.com --audit-syslog-ca /etc/signpath/log-ca.pem",
	)
}

// Run serves until it is told to stop.
func (c *serverCommand) Run(ctx context.Context, t *terminal) error {
	public, err := c.check()
	if err != nil {
		return err
	}
	if _, err := c.laterFlags.check(); err != nil {
		return err
	}
	logger := newLogger(t, c.LogFormat)
	if c.AuditSyslog != "" {
		target, err := syslog.ParseTarget(c.AuditSyslog)
		if err == nil {
			target, err = target.WithTLS(syslog.TLS{CAFile: c.SyslogCA, CertFile: c.SyslogCert, KeyFile: c.SyslogKey})
		}
		if err != nil {
			return badInput(err, "")
		}
		c.receiver = &target
	}
	ctx, stop := untilStopped(ctx)
	defer stop()

	options := installationOptions{folder: c.Data, create: true, strict: c.AuditStrict, logger: logger}
	if options.dsn, err = c.dsn(); err != nil {
		return err
	}
	options.shared = options.dsn != ""
	if options.kek, err = c.kekSource(); err != nil {
		return err
	}
	options.leaves = c.previousKEKSource()
	if options.tokens, err = c.tokens(); err != nil {
		return err
	}
	if options.shared {
		if client, err := admin.Dial(ctx, c.Data); err == nil {
			_ = client.Close()
			return unavailable(fmt.Errorf("a server runs on the data folder %s already", c.Data), "give every replica a data folder of its own, with the same key-encryption key")
		}
	}
	listener, host, err := listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	i, err := openInstallation(ctx, t, options)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	return errors.Join(c.serve(ctx, t, i, logger, listener, host, public), i.close())
}

// check refuses what cannot work before anything is made.
func (c *serverCommand) check() (public *url.URL, err error) {
	host, listenErr := listenHost(c.Listen)
	switch {
	case c.Data == "":
		return nil, usage(errors.New("the data folder is missing"), "name it with --data DIR or SIGNPATH_SERVER_DATA")
	case listenErr != nil:
		return nil, listenErr
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return nil, usage(errors.New("--tls-cert and --tls-key belong together"), "give both, or none to have a certificate made")
	case c.AuditSyslog == "" && c.SyslogCA+c.SyslogCert+c.SyslogKey != "":
		return nil, usage(errors.New("--audit-syslog-ca, --audit-syslog-cert and --audit-syslog-key need --audit-syslog tls://HOST"), "")
	case c.NoTLS && (c.TLSCert != "" || c.ClientCA != ""):
		return nil, usage(errors.New("--no-tls and TLS certificates exclude each other"), "")
	case c.NoTLS && !isLoopback(host):
		return nil, usage(fmt.Errorf("--no-tls on %s would send tokens in the clear", c.Listen), "listen on 127.0.0.1, or leave --no-tls away")
	}
	if c.PublicURL == "" {
		return nil, nil
	}
	public, err = url.Parse(c.PublicURL)
	if err != nil || public.Host == "" || public.Scheme != "https" && !(public.Scheme == "http" && isLoopback(public.Hostname())) {
		return nil, badInput(fmt.Errorf("%q is not a public URL", c.PublicURL), "give https://HOST, without a path (http:// for this machine only)")
	}
	if strings.Trim(public.Path, "/") != "" || public.RawQuery != "" || public.User != nil {
		return nil, badInput(fmt.Errorf("the public URL %q must not have a path, a query or a user", public.Redacted()), "give https://HOST; the API is at https://HOST/Api")
	}
	return public, nil
}

func (c *serverCommand) serve(ctx context.Context, t *terminal, i *installation, logger *slog.Logger, listener net.Listener, host string, public *url.URL) error {
	d := doors{listener: listener, folder: c.Data, logger: logger, forwardedFor: c.ForwardedFor, limits: c.limits(), artifactHosts: c.ArtifactHosts}
	var err error
	if d.egress, err = c.laterFlags.check(); err != nil {
		return err
	}
	if c.Metrics != "" {
		if d.metrics, _, err = listen(ctx, c.Metrics); err != nil {
			return err
		}
		defer d.metrics.Close()
		logger.Info("metrics", slog.String("listen", d.metrics.Addr().String()))
	}
	if c.receiver != nil {
		d.stream = &syslog.Stream{Store: i.store, Target: *c.receiver, Shared: c.Database != "" || c.DatabaseFile != "", Logger: logger}
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	scheme, publicHost := "https", reachable(host)
	if c.NoTLS {
		scheme = "http"
	}
	d.publicURL = scheme + "://" + net.JoinHostPort(publicHost, port)
	if public != nil {
		d.publicURL, publicHost = public.Scheme+"://"+public.Host, public.Hostname()
	}
	if !c.NoTLS {
		if d.tls, err = c.tls(t, logger, host, publicHost); err != nil {
			return err
		}
	}
	s, err := newService(ctx, i, d)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	if all, err := i.admin.ListOrganizations(ctx, admin.Call{}, struct{}{}); err == nil && len(all.Items) == 0 {
		t.progress("there is no organization yet; next: signpath admin --data %s organization create NAME", c.Data)
	}
	return s.run(ctx, func() {
		logger.Info("ready", slog.String("version", buildinfo.Version()), slog.String("commit", buildinfo.Commit()),
			slog.String("listen", listener.Addr().String()), slog.String("api", d.publicURL+"/Api"))
	})
}

// tls finds the certificate and says what clients need.
func (c *serverCommand) tls(t *terminal, logger *slog.Logger, host, publicHost string) (*tls.Config, error) {
	var clients *x509.CertPool
	var err error
	if c.ClientCA != "" {
		if clients, err = clientAuthorities(c.ClientCA); err != nil {
			return nil, err
		}
	}
	var cert tls.Certificate
	certificate := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }
	if c.TLSCert != "" {
		if cert, err = givenCertificate(c.TLSCert, c.TLSKey); err != nil {
			return nil, err
		}
	} else {
		own, what, err := openOwnTLS(c.Data, hostsFor(host, publicHost), logger, time.Now)
		if err != nil {
			return nil, err
		}
		cert, certificate = *own.cert, own.certificate
		switch what {
		case madeCertificate:
			t.progress("renewed the TLS certificate until %s; clients need nothing new", day(cert.Leaf.NotAfter))
		case madeAuthority:
			ca, err := filepath.Abs(filepath.Join(c.Data, tlsCAName))
			if err != nil {
				return nil, err
			}
			t.progress("created a TLS certificate; clients trust it with SIGNPATH_TRUSTED_CA_FILE=%s", ca)
		}
	}
	if !covers(cert, publicHost) {
		t.warning(fmt.Sprintf("the TLS certificate is not valid for %q: clients that use this name will refuse it", publicHost))
	}
	if end := cert.Leaf.NotAfter; time.Now().After(end) {
		t.warning("the TLS certificate ended on " + day(end) + ": clients will refuse it")
	}
	return tlsConfig(certificate, clients), nil
}

// reachable is a host that clients on this machine can use.
func reachable(listenHost string) string {
	if isUnspecified(listenHost) {
		return "localhost"
	}
	return listenHost
}

func newLogger(t *terminal, format string) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(t.err, nil))
	}
	return slog.New(slog.NewTextHandler(t.err, nil))
}
