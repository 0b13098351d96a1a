package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"signpath/internal/buildinfo"
	"signpath/internal/service/admin"
	"signpath/internal/service/auth"
	"signpath/internal/service/egress"
	"signpath/internal/service/httpapi"
	"signpath/internal/service/metrics"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/service/syslog"
)

// Limits of the doors. A signing request is small; only the reading of a slow
// client and the waiting for a key may take long.
const (
	readHeaderTime = 10 * time.Second
	readTime       = 30 * time.Second
	writeTime      = 2 * time.Minute
	idleTime       = 2 * time.Minute // longer than the pauses of a build that signs file after file
	maxHeaderBytes = 32 << 10
	stopTime       = 30 * time.Second
)

// service is an installation with its doors: the HTTP API and the
// administration socket.
type service struct {
	installation *installation
	signing      *signing.Service
	http         *http.Server
	listener     net.Listener
	socket       *admin.SocketServer
	metrics      *http.Server // nil: nobody asks for metrics
	scrapes      net.Listener
	objects      atomic.Pointer[objects]
	logger       *slog.Logger
	watch        sync.WaitGroup
	uses         auth.Uses // of API tokens
	stream       *syslog.Stream
	later        *later
}

// doors say where and how a service is reached.
type doors struct {
	listener  net.Listener
	tls       *tls.Config // nil: plain HTTP
	publicURL string      // without path
	folder    string      // of the administration socket; empty: none
	// forwardedFor: see httpapi.Config.TrustForwardedFor.
	forwardedFor bool
	logger       *slog.Logger
	stream       *syslog.Stream // of the audit log; nil: none

	metrics net.Listener // that Prometheus asks; nil: none

	limits        httpapi.Limits
	egress        egress.Config // where webhooks and artifact links may lead
	artifactHosts []string      // that artifact links may name
}

// newService wires signing, API and socket to an installation. Nothing is
// served before run.
func newService(ctx context.Context, i *installation, d doors) (*service, error) {
	s := &service{installation: i, logger: d.logger, listener: d.listener, stream: d.stream, later: newLater(i, d)}
	var signed func(signing.Observation)
	var answered func(method, route string, status int, took time.Duration)
	if d.metrics != nil {
		counted := metrics.New(buildinfo.Version(), buildinfo.Commit(), s.state)
		signed, answered = counted.Signed, counted.Request
		s.metrics, s.scrapes = newMetricsServer(counted, d.logger), d.metrics
	}
	var err error
	s.signing, err = signing.New(ctx, signing.Config{
		Store: i.store, Log: i.log, Keys: i.ring, Logger: d.logger, WebURL: d.publicURL + "/Web",
		Quota: s.later.quotas, Observe: signed,
	})
	if err != nil {
		return nil, err
	}
	s.later.requests.Signing = s.signing
	i.admin.Changed = func(ctx context.Context) {
		if err := s.signing.Refresh(ctx); err != nil {
			d.logger.Warn("the changed configuration is not in use yet", slog.Any("error", err))
		}
	}
	i.admin.LastUse = s.uses.Last
	s.http = &http.Server{
		Handler: httpapi.New(httpapi.Config{
			Administration: i.admin, TokenUsed: s.uses.Used, Requests: s.later.requests, Limits: d.limits,
			Signing: s.signing, Logger: d.logger, PublicURL: d.publicURL, Version: buildinfo.Version(),
			Health: i.health, DeepHealth: i.deepHealth, Observe: answered,
			TrustForwardedFor: d.forwardedFor,
		}),
		ReadHeaderTimeout: readHeaderTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(d.logger.Handler(), slog.LevelDebug),
		// "OPTIONS *" gets the same answers as everything else.
		DisableGeneralOptionsHandler: true,
	}
	s.http.TLSConfig = d.tls
	if d.folder != "" {
		s.socket, err = admin.ServeSocket(d.folder, i.admin, d.logger)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return nil, err
		}
	}
	return s, nil
}

// run serves until ctx ends, then finishes what is running.
func (s *service) run(ctx context.Context, ready func()) error {
	watchCtx, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	s.watch.Go(func() { s.signing.Watch(watchCtx) })
	s.watch.Go(func() { s.later.run(watchCtx) })
	if s.stream != nil {
		s.watch.Go(func() { s.stream.Run(watchCtx) })
	}
	s.watch.Go(func() { s.uses.Run(watchCtx, s.logger, s.putTokenUses) })
	s.installation.startTokens(s.signing.Snapshot().Keys(), s.logger)
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	if s.metrics != nil {
		s.watch.Go(func() { _ = s.metrics.Serve(s.scrapes) })
	}
	ready()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		err = fmt.Errorf("serving: %w", err)
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if stopErr := s.http.Shutdown(stopCtx); stopErr != nil {
		err = errors.Join(err, fmt.Errorf("some requests did not end: %w", stopErr), s.http.Close())
	}
	if s.metrics != nil {
		_ = s.metrics.Close() // a scrape that is cut off comes again
	}
	stopWatch()
	s.watch.Wait()
	return errors.Join(err, s.closeSocket(stopCtx))
}

// putTokenUses writes when tokens were used last.
func (s *service) putTokenUses(ctx context.Context, uses map[string]time.Time) error {
	return s.installation.store.Write(ctx, func(tx store.Tx) error { return tx.PutTokenUses(uses) })
}

// serve answers requests until the server is shut down.
func (s *service) serve() error {
	if s.http.TLSConfig == nil {
		return s.http.Serve(s.listener)
	}
	return s.http.ServeTLS(s.listener, "", "") // the certificate is in TLSConfig
}

func (s *service) closeSocket(ctx context.Context) error {
	if s.socket == nil {
		return nil
	}
	return s.socket.Close(ctx)
}

// untilStopped ends with SIGTERM and SIGINT. A second signal ends the process at once.
func untilStopped(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// unlessStopped forgets the error of a start that was told to stop meanwhile:
// whatever failed then failed because of that.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// listenHost is the host of an address to listen on.
func listenHost(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return "", usage(fmt.Errorf("%q is not an address to listen on", address), "give HOST:PORT with a port from 0 (any free one) to 65535, e.g. 127.0.0.1:8443")
	}
	return host, nil
}

// listen opens the port.
func listen(ctx context.Context, address string) (net.Listener, string, error) {
	host, err := listenHost(address)
	if err != nil {
		return nil, "", err
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, "", fmt.Errorf("listening on %s: %w", address, err)
	}
	return l, host, nil
}
