// Package requests keeps asynchronous signing requests: those whose submitter
// does not wait for the signature.
//
// What enters are submissions, uploads, approvals, denials and cancellations of
// authenticated users, what leaves are requests, their states and at last the
// signed document. The states and what may follow what are a table (states.go).
// Every change is one transaction with its audit entry; what must be done later
// (sign, cancel after a time-out, tell a webhook) is put into the store in the
// same transaction, so that nothing is forgotten by a crash.
//
// Signing itself is package signing's: all its checks are made twice, when a
// request is submitted and when it is signed, and each attempt has an intent
// and an outcome in the audit log. A request gives out one signature. If the
// service dies after the key was used and before the result was stored, the
// request is signed again; the audit log then shows an attempt with unknown
// outcome, whose signature nobody has got.
//
// Fast requests are not kept here: the audit log is their record, and Fast
// finds them in it.
package requests

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"signpath/internal/service/audit"
	"signpath/internal/service/authz"
	"signpath/internal/service/egress"
	"signpath/internal/service/model"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/service/webhooks"
	"signpath/internal/wire"
)

// Bounds.
const (
	maxTries       = 8    // decisions, when the configuration changes meanwhile
	maxDescription = 2000 // characters
	maxReason      = 2000 // characters
	maxArtifact    = 1 << 20
	// uploadTime is how long a request waits for its artifact unless it has a
	// time-out of its own.
	uploadTime = 24 * time.Hour
)

// Service keeps signing requests. It is safe for concurrent use.
type Service struct {
	Store store.Store
	Log   *audit.Log
	// Signing decides and signs. Nil where requests are only read and canceled.
	Signing *signing.Service
	// APIURL is the address of the API without the version, e.g.
	// https://sign.example.com/Api, for links.
	APIURL string
	// ArtifactHosts are the hosts that artifact retrieval links may name; none: such
	// submissions are refused. Egress fetches them.
	ArtifactHosts []string
	Egress        *egress.Client
	// Wake tells the workers that there is something to do; nil: they look by themselves.
	Wake   func()
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default()
}

func (s *Service) now() time.Time {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return now().UTC().Truncate(time.Millisecond)
}

func (s *Service) logger() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.Default()
}

func (s *Service) wake() {
	if s.Wake != nil {
		s.Wake()
	}
}

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// unknownRequest is the answer for what does not exist, which is no other than
// for what may not be seen (SignPath REST API documentation: unknown resources).
func unknownRequest(id string) error {
	return wire.NewProblem(http.StatusForbidden, fmt.Sprintf("The organization has no signing request '%s', or you may not see it.", clip(id)))
}

func conflict(format string, args ...any) error {
	return wire.NewProblem(http.StatusConflict, fmt.Sprintf(format, args...))
}

func forbidden(format string, args ...any) error {
	return wire.NewProblem(http.StatusForbidden, fmt.Sprintf(format, args...))
}

// clip keeps foreign text in answers short.
func clip(s string) string {
	const limit = 100
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}

// Get finds a request of the principal's organization. Every user may read
// what is told of it; contents need ReadArtifact.
func (s *Service) Get(ctx context.Context, organizationID, id string) (*model.SigningRequest, error) {
	id = strings.ToLower(id)
	if !wire.IsUUID(id) {
		return nil, wire.Field("SigningRequestId", "The ID of the signing request in the address is not a UUID.")
	}
	r, err := s.Store.SigningRequest(ctx, organizationID, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, unknownRequest(id)
	}
	return r, err
}

// List lists requests, newest first; see store.RequestFilter.
func (s *Service) List(ctx context.Context, f store.RequestFilter) ([]model.SigningRequest, error) {
	return s.Store.SigningRequests(ctx, f)
}

// MayRead decides whether the principal may see the contents of a request: its
// artifact and result.
func MayRead(snap *authz.Snapshot, p *authz.Principal, r *model.SigningRequest) error {
	project, _ := snap.ProjectByID(r.ProjectID)
	policy, _ := snap.SigningPolicyByID(r.OrganizationID, r.SigningPolicyID)
	if r.OrganizationID != p.Organization.ID || !authz.Can(snap, p, authz.ReadArtifacts, authz.Resource{Project: project, Policy: policy}) {
		return forbidden("The user '%s' may not read the artifacts of this signing request.", p.User.Name)
	}
	return nil
}

var errStale = errors.New("the configuration has changed")

// change runs fn on a request in a transaction, with the newest configuration.
func (s *Service) change(ctx context.Context, p *authz.Principal, id string, fn func(snap *authz.Snapshot, tx store.Tx, r *model.SigningRequest) ([]audit.Event, error)) error {
	id = strings.ToLower(id)
	if !wire.IsUUID(id) {
		return wire.Field("SigningRequestId", "The ID of the signing request in the address is not a UUID.")
	}
	for range maxTries {
		snap := s.Signing.Snapshot()
		err := s.Log.Change(ctx, func(tx store.Tx) ([]audit.Event, error) {
			if tx.ConfigVersion() != snap.Version() {
				return nil, errStale
			}
			if now, ok := snap.TokenByID(p.Organization.ID, p.Token.ID); !ok || !now.Token.Active || !now.User.Active || !now.Organization.Active {
				return nil, wire.NewProblem(http.StatusUnauthorized, "The API token or its user is not active any more.")
			}
			r, err := tx.SigningRequest(p.Organization.ID, id)
			if errors.Is(err, store.ErrNotFound) {
				return nil, unknownRequest(id)
			}
			if err != nil {
				return nil, err
			}
			return fn(snap, tx, r)
		})
		if !errors.Is(err, errStale) {
			return err
		}
		if err := s.Signing.Refresh(ctx); err != nil {
			return err
		}
	}
	return wire.NewProblem(http.StatusServiceUnavailable, "The configuration of the service is changing all the time. Nothing was done. Try again.")
}

// end makes a request final: its jobs go, its webhooks are told.
func (s *Service) end(tx store.Tx, r *model.SigningRequest, to model.RequestWorkflow, reason string) error {
	if err := follow(r, to); err != nil {
		return err
	}
	now := s.now()
	r.Reason, r.Changed, r.Finished = reason, now, now
	for _, kind := range []string{JobSign, JobDeadline} {
		if err := tx.DeleteJobsOf(kind, r.ID); err != nil {
			return err
		}
	}
	status, _ := Status(to)
	if err := webhooks.Enqueue(tx, r, status, now); err != nil {
		return err
	}
	return tx.PutSigningRequest(*r)
}
