package requests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"signpath/internal/service/audit"
	"signpath/internal/service/jobs"
	"signpath/internal/service/model"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// The kinds of the jobs of this package; their subject is a request.
const (
	JobSign     = "sign"
	JobDeadline = "deadline"
)

// maxAttempts is how often a signature is tried when service, key store or
// database are in trouble: with the runner's back-off some ten minutes.
const maxAttempts = 10

// resultTime is how long the service tries to store a result that it has. What
// cannot be stored is signed again.
const resultTime = 30 * time.Second

// Handlers are the handlers for package jobs.
func (s *Service) Handlers() map[string]jobs.Handler {
	return map[string]jobs.Handler{JobSign: s.sign, JobDeadline: s.expire}
}

// expire cancels a request whose time has run out.
func (s *Service) expire(ctx context.Context, job model.Job) error {
	err := s.Log.Change(ctx, func(tx store.Tx) ([]audit.Event, error) {
		if err := tx.DeleteJob(job.ID, job.Lease); err != nil {
			return nil, err
		}
		r, err := tx.SigningRequest(job.OrganizationID, job.Subject)
		if err != nil {
			return nil, err
		}
		if _, final := Status(r.Workflow); final {
			return nil, nil
		}
		reason := "The signing request was not finished in the time that its submitter gave it."
		if r.Workflow == model.WorkflowWaitingForArtifactUpload {
			reason = "The artifact was not uploaded in time."
		}
		return s.cancel(tx, r, system, reason)
	})
	if err == nil {
		s.wake()
	}
	return err
}

// sign makes one attempt.
func (s *Service) sign(ctx context.Context, job model.Job) error {
	r, err := s.begin(ctx, job)
	if err != nil || r == nil {
		return err
	}
	h, err := wire.ParsePayload(r.Artifact)
	if err != nil { // it was read before: only another version of the service can get here
		return s.fail(ctx, job, "The artifact cannot be read: "+err.Error())
	}
	result, err := s.Signing.Sign(ctx, signing.Request{
		OrganizationID: r.OrganizationID, SigningPolicyID: r.SigningPolicyID, ArtifactConfigurationID: r.ArtifactConfigurationID,
		Description: r.Description, Hash: h,
		Caller: signing.Caller{IP: r.IP, UserAgent: r.UserAgent, TraceID: r.TraceID},
		Queued: &signing.Queued{SigningRequestID: r.ID, TokenID: r.TokenID, TrustedBuildSystemID: r.TrustedBuildSystemID, Approvers: approvers(r)},
	})
	if err != nil {
		return s.failed(ctx, job, err)
	}
	signed, err := signedDocument(h, result)
	if err != nil {
		return s.fail(ctx, job, "The result cannot be encoded.")
	}
	return s.complete(context.WithoutCancel(ctx), job, signed, result)
}

// begin marks the request as being worked on; nil when there is nothing to do.
// One that is marked already was left by a process that died.
func (s *Service) begin(ctx context.Context, job model.Job) (r *model.SigningRequest, err error) {
	err = s.Store.Write(ctx, func(tx store.Tx) error {
		found, err := tx.SigningRequest(job.OrganizationID, job.Subject)
		if err != nil {
			return err
		}
		r = found
		switch r.Workflow {
		case model.WorkflowProcessing:
			return nil
		case model.WorkflowQueuedForProcessing:
			if err := follow(r, model.WorkflowProcessing); err != nil {
				return err
			}
			r.Changed = s.now()
			return tx.PutSigningRequest(*r)
		}
		r = nil
		return tx.DeleteJob(job.ID, job.Lease)
	})
	return r, err
}

// signedDocument is the artifact with its signature: what SignedArtifact answers.
func signedDocument(h *wire.HashSigning, result *signing.Result) ([]byte, error) {
	p := wire.NewPayload(*h)
	p.Signature = base64.StdEncoding.EncodeToString(result.Signature)
	p.SigningRequestID, p.WebLink, p.KeyVersion = result.SigningRequestID, result.WebLink, result.KeyVersion
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // metadata stays as it came
	err := e.Encode(p)
	return b.Bytes(), err
}

// complete stores the result. If the lease has gone to somebody else, or the
// request was canceled meanwhile, the result is thrown away: nobody gets it.
func (s *Service) complete(ctx context.Context, job model.Job, signed []byte, result *signing.Result) error {
	ctx, cancel := context.WithTimeout(ctx, resultTime)
	defer cancel()
	sum := sha256.Sum256(signed)
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		err := s.finish(ctx, job, func(tx store.Tx, r *model.SigningRequest) (audit.Event, error) {
			r.Result, r.KeyVersion, r.Certificate = signed, result.KeyVersion, result.Certificate
			return s.event(EntryCompleted, r, system, endData{SigningRequestID: r.ID, ResultSHA256: hex.EncodeToString(sum[:]), Attempts: job.Attempts}),
				s.end(tx, r, model.WorkflowCompleted, "")
		})
		if err == nil || errors.Is(err, errLost) || ctx.Err() != nil {
			return err
		}
		// Once more rather than a second use of the key.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// errLost: the job is somebody else's by now.
var errLost = errors.New("the lease of the job has ended; its result is not used")

// finish runs fn on the request of a job that is still ours, and ends the job.
func (s *Service) finish(ctx context.Context, job model.Job, fn func(store.Tx, *model.SigningRequest) (audit.Event, error)) error {
	err := s.Log.Change(ctx, func(tx store.Tx) ([]audit.Event, error) {
		r, err := tx.SigningRequest(job.OrganizationID, job.Subject)
		if err != nil {
			return nil, err
		}
		err = tx.DeleteJob(job.ID, job.Lease)
		if errors.Is(err, store.ErrNotFound) {
			if _, final := Status(r.Workflow); final { // canceled, which ended the job too
				return nil, nil
			}
			return nil, errLost
		}
		if err != nil {
			return nil, err
		}
		if r.Workflow != model.WorkflowProcessing {
			return nil, nil
		}
		ev, err := fn(tx, r)
		if err != nil {
			return nil, err
		}
		return []audit.Event{ev}, nil
	})
	if err == nil {
		s.wake() // for webhooks
	}
	return err
}

// failed decides what an error of package signing means: a refusal ends the
// request, trouble is tried again.
func (s *Service) failed(ctx context.Context, job model.Job, err error) error {
	var problem *wire.Problem
	if errors.As(err, &problem) && problem.Status < http.StatusInternalServerError {
		return s.fail(context.WithoutCancel(ctx), job, reasonOf(problem))
	}
	if ctx.Err() != nil { // the service ends, or the attempt took too long
		return fmt.Errorf("signing was interrupted: %w", err)
	}
	if job.Attempts >= maxAttempts {
		reason := "The service could not sign. Its operator finds the cause in the audit log."
		if problem != nil {
			reason = reasonOf(problem)
		}
		return s.fail(ctx, job, reason)
	}
	again := s.Store.Write(ctx, func(tx store.Tx) error {
		r, err := tx.SigningRequest(job.OrganizationID, job.Subject)
		if err != nil || r.Workflow != model.WorkflowProcessing {
			return err
		}
		if err := follow(r, model.WorkflowQueuedForProcessing); err != nil {
			return err
		}
		r.Changed = s.now()
		return tx.PutSigningRequest(*r)
	})
	return errors.Join(err, again)
}

// fail ends a request as failed.
func (s *Service) fail(ctx context.Context, job model.Job, reason string) error {
	return s.finish(ctx, job, func(tx store.Tx, r *model.SigningRequest) (audit.Event, error) {
		return s.event(EntryFailed, r, system, endData{SigningRequestID: r.ID, Reason: reason, Attempts: job.Attempts}),
			s.end(tx, r, model.WorkflowProcessingFailed, reason)
	})
}

// reasonOf is a problem in a sentence for the submitter.
func reasonOf(p *wire.Problem) string {
	if p.Detail != "" {
		return p.Detail
	}
	return wire.FieldErrors(p.Errors).Error()
}
