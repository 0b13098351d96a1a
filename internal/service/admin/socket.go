package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"signpath/internal/service/audit"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// SocketName is the name of the socket in the data folder.
const SocketName = "admin.sock"

// Bounds of one operation over the socket.
const (
	maxInput   = 1 << 20
	maxOutput  = 64 << 20
	callTime   = 2 * time.Minute // making an RSA key takes seconds on a slow machine
	headerTime = 10 * time.Second
)

// Runner does operations: here (Local) or in the server that holds the data folder (Client).
type Runner interface {
	Run(ctx context.Context, operation string, input, output any) error
}

// Local runs operations in this process in the name of one person.
type Local struct {
	Service *Service
	Call    Call
}

// Run implements Runner.
func (l Local) Run(ctx context.Context, operation string, input, output any) error {
	encoded, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("encoding the input of %s: %w", operation, err)
	}
	result, err := l.Service.Run(ctx, l.Call, operation, encoded)
	if err != nil {
		return err
	}
	return decodeResult(operation, result, output)
}

// SocketServer serves operations to processes of the same user and of root.
type SocketServer struct {
	listener *peerListener
	server   *http.Server
	release  func()
	path     string
	done     chan error
	close    sync.Once
	closeErr error
}

// ServeSocket opens the socket in the data folder and serves it until Close.
// The caller holds the folder's lock: a socket that is there already is a
// left-over. errors.ErrUnsupported: the operating system cannot tell who calls.
func ServeSocket(folder string, service *Service, logger *slog.Logger) (*SocketServer, error) {
	if !peersKnown {
		return nil, fmt.Errorf("the administration socket: %w", errors.ErrUnsupported)
	}
	path := filepath.Join(folder, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the old administration socket: %w", err)
	}
	address, release, err := socketAddress(folder)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", address)
	if err != nil {
		release()
		return nil, fmt.Errorf("opening the administration socket %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the address may be of this process only
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		release()
		return nil, fmt.Errorf("protecting the administration socket: %w", err)
	}
	s := &SocketServer{listener: &peerListener{l.(*net.UnixListener), logger}, release: release, path: path, done: make(chan error, 1)}
	s.server = &http.Server{
		Handler:           socketHandler(service),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       callTime,
		IdleTimeout:       headerTime,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if p, ok := c.(*peerConn); ok {
				return context.WithValue(ctx, peerKey{}, p.peer)
			}
			return ctx
		},
	}
	go func() { s.done <- s.server.Serve(s.listener) }()
	return s, nil
}

// Close finishes running operations and removes the socket. A second call
// only repeats the answer.
func (s *SocketServer) Close(ctx context.Context) error {
	s.close.Do(func() { s.closeErr = s.shutDown(ctx) })
	return s.closeErr
}

func (s *SocketServer) shutDown(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if serveErr := <-s.done; err == nil && !errors.Is(serveErr, http.ErrServerClosed) {
		err = serveErr
	}
	s.release()
	if removeErr := os.Remove(s.path); err == nil && !errors.Is(removeErr, os.ErrNotExist) {
		err = removeErr
	}
	return err
}

type peerKey struct{}

// Peer is the process at the other end of the socket.
type Peer struct {
	UID uint32
	PID int32
}

// peerListener lets in processes of this user and of root only.
type peerListener struct {
	*net.UnixListener
	logger *slog.Logger
}

type peerConn struct {
	*net.UnixConn
	peer Peer
}

func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(c)
		if err == nil && (peer.UID == 0 || int(peer.UID) == os.Geteuid()) {
			return &peerConn{c, peer}, nil
		}
		_ = c.Close()
		l.logger.Warn("administration refused", slog.Int("uid", int(peer.UID)), slog.Int("pid", int(peer.PID)))
	}
}

// operationPath is where operations are posted.
const operationPath = "/operations/"

func socketHandler(service *Service) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, operationPath)
		peer, known := r.Context().Value(peerKey{}).(Peer)
		switch {
		case !known:
			writeProblem(w, wire.NewProblem(http.StatusForbidden, "The calling process is not known."))
			return
		case !ok || r.Method != http.MethodPost:
			writeProblem(w, wire.NewProblem(http.StatusNotFound, "Operations are posted to "+operationPath+"."))
			return
		}
		input, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxInput))
		if err != nil {
			writeProblem(w, wire.NewProblem(http.StatusRequestEntityTooLarge, "The input is larger than 1 MiB or cannot be read."))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), callTime)
		defer cancel()
		result, err := service.Run(ctx, Call{Actor: OperatorByUID(int(peer.UID))}, name, input)
		if err != nil {
			writeProblem(w, problemOf(err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(result) // the caller is gone when this fails
	})
}

// kinds are the errors that keep their kind over the socket, each with a status
// of its own. The first that fits counts.
var kinds = []struct {
	target error
	status int
}{
	{ErrNotFound, http.StatusNotFound},
	{ErrConflict, http.StatusConflict},
	{ErrUnavailable, http.StatusServiceUnavailable},
	{store.ErrFull, http.StatusInsufficientStorage},
	{store.ErrDuplicate, http.StatusUnprocessableEntity},
	{store.ErrDamaged, http.StatusBadGateway},
	{ErrNoKEK, http.StatusPreconditionRequired},
	{ErrQuota, http.StatusPaymentRequired},
	{ErrInvitation, http.StatusGone},
}

// problemOf maps errors to documents; errorOf maps them back.
func problemOf(err error) *wire.Problem {
	var fields wire.FieldErrors
	if errors.As(err, &fields) {
		return wire.NewValidationProblem(fields)
	}
	for _, k := range kinds {
		if errors.Is(err, k.target) {
			return wire.NewProblem(k.status, err.Error())
		}
	}
	return wire.NewProblem(http.StatusInternalServerError, err.Error())
}

// remoteError is an error that happened in the server, with the sentence it had there.
type remoteError struct {
	sentence string
	kind     error // one of kinds; nil: any other
}

func (e *remoteError) Error() string { return e.sentence }
func (e *remoteError) Unwrap() error { return e.kind }

func errorOf(p *wire.Problem) error {
	if len(p.Errors) > 0 {
		return wire.FieldErrors(p.Errors)
	}
	for _, k := range kinds {
		if p.Status == k.status {
			return &remoteError{p.Detail, k.target}
		}
	}
	if p.Detail != "" {
		return &remoteError{p.Detail, nil}
	}
	return p
}

func writeProblem(w http.ResponseWriter, p *wire.Problem) {
	w.Header().Set("Content-Type", wire.ProblemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller is gone when this fails
}

// Client runs operations in the server that holds a data folder.
type Client struct {
	http    *http.Client
	release func()
}

// Dial connects to the server that holds the folder. An error means that none
// answers there; it wraps the cause (os.ErrNotExist, connection refused, …).
func Dial(ctx context.Context, folder string) (*Client, error) {
	address, release, err := socketAddress(folder)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", address)
	}
	probe, err := dial(ctx)
	if err != nil {
		release()
		return nil, fmt.Errorf("connecting to the administration socket of %s: %w", folder, err)
	}
	_ = probe.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	return &Client{http: &http.Client{Transport: transport}, release: release}, nil
}

// Run implements Runner.
func (c *Client) Run(ctx context.Context, operation string, input, output any) error {
	encoded, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("encoding the input of %s: %w", operation, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://signpath"+operationPath+operation, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("the server did not answer: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxOutput))
	if err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	if answer.StatusCode == http.StatusOK {
		return decodeResult(operation, body, output)
	}
	var p wire.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		return fmt.Errorf("the server answered %s without saying why", answer.Status)
	}
	p.Status = answer.StatusCode
	return errorOf(&p)
}

// Close ends the connection.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	c.release()
	return nil
}

func decodeResult(operation string, result []byte, output any) error {
	if output == nil {
		return nil
	}
	if err := json.Unmarshal(result, output); err != nil {
		return fmt.Errorf("reading the result of %s: %w", operation, err)
	}
	return nil
}

// OperatorByUID is the person behind an operating-system user.
func OperatorByUID(uid int) audit.Actor { return operator(fmt.Sprint(uid)) }
