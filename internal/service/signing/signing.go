// Package signing is the one path to a key.
//
// What enters is a request to sign a digest, as it came from the network; what
// leaves is a signature, or a *wire.Problem that says why there is none. The
// path is the same for every request and every interface:
//
//  1. decide: the checks of checks.go over an immutable snapshot, no database;
//  2. announce: an audit entry "HashSigning.Intent" becomes durable, in a
//     transaction that proves the snapshot to be the newest configuration; if
//     it is not, the service reloads and decides again, so that a revocation
//     holds at once on every replica;
//  3. sign, and check the signature with the public key;
//  4. tell the outcome: "HashSigning.Completed" or "HashSigning.Failed" joins
//     the next group commit, or is waited for when the log is strict.
//
// So a signature without a durable announcement never exists. A refusal is
// recorded too ("HashSigning.Refused"), without waiting for it. The package
// never shows a token, never answers internals of an error, and changes no
// configuration.
package signing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"signpath/internal/service/audit"
	"signpath/internal/service/auth"
	"signpath/internal/service/authz"
	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

const (
	maxTries      = 8                // decisions for one request, when the configuration changes meanwhile
	signTimeout   = 60 * time.Second // opening the key and the operation itself
	intentWait    = 20 * time.Second // for the audit log
	refusalWait   = 2 * time.Second  // for a place in the audit log's queue
	watchInterval = time.Second
	refreshTime   = 10 * time.Second // for loading the configuration
	freshTime     = 2 * time.Second  // for asking whether a refusal was decided with an old one
)

// KeyRing opens keys; *keys.Ring implements it.
type KeyRing interface {
	Signer(ctx context.Context, key model.Key) (keys.Signer, error)
	// Forget drops an opened key.
	Forget(keyID string)
}

// Config is what the service needs.
type Config struct {
	Store  store.Store
	Log    *audit.Log
	Keys   KeyRing
	Logger *slog.Logger     // nil: slog.Default()
	Now    func() time.Time // nil: time.Now
	// WebURL is the address of the web UI, without the organization; web links
	// are WebURL/{organization}/SigningRequests/{id}.
	WebURL string
	Quota  Quota // nil: no organization has one
	// Observe is told of every decision, after it; nil: nobody counts.
	Observe func(Observation)
}

// Service signs. It is safe for concurrent use.
type Service struct {
	Config
	view    atomic.Pointer[view]
	loading chan struct{} // holds one element: the right to load, so that an older view never replaces a newer one
}

// Caller is what is known of the client besides its token. It is recorded;
// of a token that is limited to addresses, IP decides.
type Caller struct {
	IP        string // without port; "" if it is not known
	UserAgent string
	TraceID   string // W3C traceparent text
}

// Request is one request to sign a digest.
type Request struct {
	OrganizationID            string // path segment, not checked yet
	Authorization             string // header, not checked yet
	ProjectSlug               string
	SigningPolicySlug         string
	ArtifactConfigurationSlug string // "": the project's default
	Description               string
	Hash                      *wire.HashSigning // its form has been checked
	Caller                    Caller

	// SigningPolicyID and ArtifactConfigurationID stand in place of the slugs;
	// the policy tells the project.
	SigningPolicyID         string
	ArtifactConfigurationID string
	Queued                  *Queued // nil: the caller waits for the signature
}

// Result is a signature.
type Result struct {
	SigningRequestID string // UUID, new for each signature
	WebLink          string
	KeyVersion       int
	// Signature is, for RSA, the modulus-length big-endian block; for ECDSA
	// r‖s or DER, as Request.Hash.ECDSAFormat asks; for EdDSA R‖S, 64 bytes.
	Signature []byte
	// Certificate is the X.509 certificate (DER) that the policy has for the key;
	// nil for OpenPGP keys. It must not be changed.
	Certificate []byte
}

// Error is a refusal or failure whose cause is not for the client: errors.As
// finds the *wire.Problem for the answer, the text is for the operator's log.
type Error struct {
	Problem *wire.Problem
	Cause   error
}

func (e *Error) Error() string { return e.Problem.Error() + " (" + e.Cause.Error() + ")" }

// Unwrap gives the problem and the cause.
func (e *Error) Unwrap() []error { return []error{e.Problem, e.Cause} }

// New loads the configuration. Call Watch to follow changes of other replicas.
func New(ctx context.Context, c Config) (*Service, error) {
	s := &Service{Config: c, loading: make(chan struct{}, 1)}
	s.loading <- struct{}{}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Snapshot is the configuration that decisions are made with now.
func (s *Service) Snapshot() *authz.Snapshot { return s.view.Load().snapshot }

// Refresh loads the configuration if the store's version is not the loaded one.
// It does not wait for ever for a database that hangs.
func (s *Service) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	select {
	case <-s.loading:
		defer func() { s.loading <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("loading the configuration: %w", ctx.Err())
	}
	old := s.view.Load()
	version, err := s.Store.ConfigVersion(ctx)
	if err != nil {
		return fmt.Errorf("reading the version of the configuration: %w", err)
	}
	if old != nil && old.snapshot.Version() == version {
		return nil
	}
	config, err := s.Store.Config(ctx)
	if err != nil {
		return fmt.Errorf("loading the configuration: %w", err)
	}
	s.view.Store(newView(config, old))
	// A deleted key must not stay open in memory until somebody asks for it again.
	for i := range config.Keys {
		if config.Keys[i].Deleted {
			s.Keys.Forget(config.Keys[i].ID)
		}
	}
	return nil
}

// Watch follows changes that other replicas make, until ctx ends. Signatures
// do not depend on it (the audit log compares versions), look-ups do.
func (s *Service) Watch(ctx context.Context) {
	t := time.NewTicker(watchInterval)
	defer t.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := s.Refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			s.Logger.Error("The configuration cannot be read; changes are not seen until it can.", "error", err)
		case err == nil && failing:
			s.Logger.Info("The configuration can be read again.")
		}
		failing = err != nil
	}
}

// Authenticate finds the principal of a request; see auth.Authenticate.
func (s *Service) Authenticate(organizationID, authorization, address string) (*authz.Principal, error) {
	return auth.Authenticate(s.Snapshot(), organizationID, authorization, address, s.Now())
}

// Sign decides about a request and signs. Errors are or wrap *wire.Problem
// (400, 401, 403, 500, 503), but for a context that the caller ended.
func (s *Service) Sign(ctx context.Context, req Request) (*Result, error) {
	id := requestID(&req)
	for range maxTries {
		d := &decision{view: s.view.Load(), req: &req, now: s.Now()}
		if failed, problem := d.decide(); problem != nil {
			if s.outdated(ctx, d) {
				continue
			}
			return nil, s.refuse(ctx, d, failed, problem)
		}
		giveBack, problem := s.takeQuota(d)
		if problem != nil {
			return nil, s.refuse(ctx, d, &quotaCheck, problem)
		}
		begin := time.Now()
		at, err := s.announce(ctx, d, id)
		if err != nil {
			giveBack()
		}
		switch {
		case errors.Is(err, audit.ErrStale):
			if err := s.Refresh(ctx); err != nil {
				return nil, notRecorded(ctx, err)
			}
		case err != nil:
			return nil, notRecorded(ctx, err)
		default:
			return s.perform(ctx, d, id, at, time.Since(begin))
		}
	}
	return nil, wire.NewProblem(http.StatusServiceUnavailable, "The configuration of the service is changing all the time. Nothing was signed. Try again.")
}

// announce waits for the durable intent, but not for ever: when the log is stuck
// the client gets an answer.
func (s *Service) announce(ctx context.Context, d *decision, id string) (audit.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, intentWait)
	defer cancel()
	return s.Log.Intent(ctx, d.view.snapshot.Version(), d.intent(id))
}

// outdated tells whether a refusal was decided with an old configuration, and
// loads the new one: what was granted on another replica holds at once, too.
// When the database cannot be asked, the refusal stands.
func (s *Service) outdated(ctx context.Context, d *decision) bool {
	return s.NewerThan(ctx, d.view.snapshot)
}

// NewerThan loads the configuration if it changed since the snapshot, and tells
// whether it did. It answers false when the database cannot be asked soon.
func (s *Service) NewerThan(ctx context.Context, old *authz.Snapshot) bool {
	ctx, cancel := context.WithTimeout(ctx, freshTime)
	defer cancel()
	version, err := s.Store.ConfigVersion(ctx) // many may ask at a time, only one can load
	if err != nil || version == old.Version() {
		return false
	}
	return s.Refresh(ctx) == nil && s.Snapshot() != old
}

// refuse records a refusal and gives the answer.
func (s *Service) refuse(ctx context.Context, d *decision, failed *check, problem *wire.Problem) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalWait) // a hang-up hides no refusal
	defer cancel()
	s.observe(Observation{Refused: failed.number})
	if err := s.Log.RecordLater(ctx, d.refused(failed, problem)); err != nil {
		return &Error{Problem: wire.NewProblem(http.StatusInternalServerError, "The request was refused, but the refusal cannot be recorded in the audit log. Ask the operator of the service."), Cause: err}
	}
	return problem
}

// notRecorded is check 12: no audit entry, no signature.
func notRecorded(ctx context.Context, cause error) error {
	if ctx.Err() != nil && errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("the request ended before its audit entry was written; nothing was signed: %w", cause)
	}
	detail := "The audit log cannot be written, so nothing was signed. Ask the operator of the service."
	if errors.Is(cause, store.ErrFull) {
		detail = "The audit log cannot be written because the storage of the service is full, so nothing was signed. Ask the operator of the service to make room."
	}
	return &Error{Problem: wire.NewProblem(http.StatusInternalServerError, detail), Cause: cause}
}

// perform uses the key for a request that is on record, and records the
// outcome whatever happens, also after a hang-up of the client or a panic.
func (s *Service) perform(ctx context.Context, d *decision, id string, at audit.Position, intent time.Duration) (*Result, error) {
	outcome := d.failed(id, at, errors.New("the service failed while it signed"))
	told := false
	defer func() {
		if !told { // a panic passes through here
			s.Log.Outcome(outcome)
		}
	}()
	begin := time.Now()
	signature, err := s.useKey(ctx, d)
	s.observe(Observation{KeyType: d.key.Type, KeyBits: d.key.Bits, KeyStore: d.key.Backend, Algorithm: d.req.Hash.Scheme.Algorithm,
		Failed: err != nil, Intent: intent, KeyUse: time.Since(begin)})
	if err != nil {
		outcome = d.failed(id, at, err)
	} else {
		outcome = d.completed(id, at, signature)
	}
	told = true
	if !s.Log.Strict() {
		s.Log.Outcome(outcome)
	} else if e := s.Log.OutcomeWait(context.WithoutCancel(ctx), outcome); e != nil && err == nil {
		return nil, &Error{Problem: wire.NewProblem(http.StatusInternalServerError, "The outcome cannot be recorded in the audit log, so the signature is not given out. Ask the operator of the service."), Cause: e}
	}
	if err != nil {
		return nil, keyProblem(ctx, err)
	}
	return &Result{
		SigningRequestID: id,
		WebLink:          s.WebLink(d.principal.Organization.ID, id),
		KeyVersion:       d.key.Version,
		Signature:        signature,
		Certificate:      d.certificate.Leaf,
	}, nil
}

// WebLink is the address of a signing request in the web UI.
func (s *Service) WebLink(organizationID, id string) string {
	return strings.TrimRight(s.WebURL, "/") + "/" + organizationID + "/SigningRequests/" + id
}

// useKey makes the signature in the form that the request asks for.
func (s *Service) useKey(ctx context.Context, d *decision) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, signTimeout, errKeyTimeout)
	defer cancel()
	signer, err := s.Keys.Signer(ctx, *d.key)
	if err != nil {
		return nil, fmt.Errorf("opening the key: %w", errors.Join(err, timedOut(ctx)))
	}
	if !samePublicKey(signer.Public(), d.material.public) {
		return nil, fmt.Errorf("the key store opened another key than the one recorded as %s", d.key.ID)
	}
	h := d.req.Hash
	signature, err := signer.Sign(ctx, h.Scheme, h.Input())
	if err != nil {
		return nil, fmt.Errorf("signing: %w", errors.Join(err, timedOut(ctx)))
	}
	if mustVerify(d.key) {
		if err := verifySignature(d.material.public, h.Scheme, h.Input(), signature); err != nil {
			return nil, fmt.Errorf("checking the signature that the key store made: %w", err)
		}
	}
	if h.Scheme.Algorithm == wire.ECDSA && h.ECDSAFormat == wire.ASN1 {
		return keys.ECDSAToASN1(signature)
	}
	return signature, nil
}

var errKeyTimeout = errors.New("the key store did not answer in time")

// timedOut tells a key store that hangs from a client that hung up.
func timedOut(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, errKeyTimeout) {
		return cause
	}
	return nil
}

// keyProblem is the answer for a key that failed.
func keyProblem(ctx context.Context, cause error) error {
	var down *keys.UnavailableError
	var scheme *keys.SchemeError
	switch {
	case errors.As(cause, &scheme):
		return &Error{Problem: invalid("", "The key store cannot make this signature: %s", sentence(scheme.Reason)), Cause: cause}
	case errors.As(cause, &down):
		text := "The key store cannot sign at the moment; no signature was given out. Try again."
		if down.Operator {
			text = "The key store cannot sign until the operator of the service has repaired it; no signature was given out. The service's log says what is wrong."
		}
		p := wire.NewProblem(http.StatusServiceUnavailable, text)
		p.RetryAfter = down.RetryAfter
		return &Error{Problem: p, Cause: cause}
	case errors.Is(cause, errKeyTimeout):
		return &Error{Problem: wire.NewProblem(http.StatusServiceUnavailable, "The key store did not answer in time. Try again."), Cause: cause}
	case ctx.Err() != nil && errors.Is(cause, ctx.Err()):
		return fmt.Errorf("the request ended while the key was in use: %w", cause)
	default:
		return &Error{Problem: wire.NewProblem(http.StatusInternalServerError, "The key store could not sign. The operator of the service finds the cause in the audit log and in the service's log."), Cause: cause}
	}
}
