package requests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"signpath/internal/service/audit"
	"signpath/internal/service/authz"
	"signpath/internal/service/jobs"
	"signpath/internal/service/model"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// Submission is a submission as it came from the network.
type Submission struct {
	Principal     *authz.Principal
	Authorization string // header, checked again with the snapshot that decides
	Caller        signing.Caller
	Form          *wire.Submission // Form.Asynchronous is set
	Route         wire.Route
}

// Submit accepts a request. Errors are or wrap *wire.Problem or wire.FieldErrors.
func (s *Service) Submit(ctx context.Context, in Submission) (*model.SigningRequest, error) {
	f, a := in.Form, in.Form.Asynchronous
	if n := utf8.RuneCountInString(f.Description); n > maxDescription {
		return nil, wire.Field("Description", fmt.Sprintf("The description has %d characters; %d are allowed.", n, maxDescription))
	}
	now := s.now()
	r := &model.SigningRequest{
		ID: uuid.NewString(), OrganizationID: in.Principal.Organization.ID, Description: f.Description,
		ArtifactName: a.ArtifactName, ArtifactSHA256: a.ArtifactSHA256, Artifact: f.Artifact, BuildSettings: a.BuildSettings,
		IP: in.Caller.IP, UserAgent: in.Caller.UserAgent, TraceID: in.Caller.TraceID, Created: now, Changed: now,
	}
	for _, p := range a.Parameters {
		r.Parameters = append(r.Parameters, model.RequestParameter(p))
	}
	if a.Origin != nil {
		r.Origin, _ = json.Marshal(a.Origin) // texts can always be encoded
	}
	if a.CancellationTimeout > 0 {
		r.Deadline = now.Add(a.CancellationTimeout)
	}
	req := signing.Request{
		OrganizationID: in.Principal.Organization.ID, Authorization: in.Authorization, Caller: in.Caller,
		ProjectSlug: f.ProjectSlug, SigningPolicySlug: f.SigningPolicySlug, ArtifactConfigurationSlug: f.ArtifactConfigurationSlug,
		SigningPolicyID: a.SigningPolicyID, ArtifactConfigurationID: a.ArtifactConfigurationID, Description: f.Description,
	}
	switch in.Route {
	case wire.SubmitWithoutArtifact:
		r.Workflow = model.WorkflowWaitingForArtifactUpload
		if r.Deadline.IsZero() {
			r.Deadline = now.Add(uploadTime)
		}
	case wire.SubmitWithLink:
		// Nobody makes the service fetch who may not submit.
		if _, err := s.Signing.Check(ctx, req); err != nil {
			return nil, err
		}
		if err := s.fetch(ctx, a.Link, r); err != nil {
			return nil, err
		}
	case wire.Resubmit:
		if err := s.repeat(ctx, in, r, &req); err != nil {
			return nil, err
		}
	}
	if in.Route != wire.SubmitWithoutArtifact {
		var err error
		if req.Hash, err = artifact(r, r.Artifact); err != nil {
			return nil, err
		}
	}
	return r, s.accept(ctx, in.Principal, r, req)
}

// artifact reads and keeps an artifact; its SHA-256 must be the announced one.
func artifact(r *model.SigningRequest, content []byte) (*wire.HashSigning, error) {
	sum := sha256.Sum256(content)
	have := hex.EncodeToString(sum[:])
	if r.ArtifactSHA256 != "" && r.ArtifactSHA256 != have {
		return nil, wire.Field("", fmt.Sprintf("The artifact has the SHA-256 digest %s, but %s was announced.", have, r.ArtifactSHA256))
	}
	h, err := wire.ParsePayload(content)
	if err != nil {
		return nil, err
	}
	r.Artifact, r.ArtifactSHA256 = content, have
	return h, nil
}

// accept checks a new request and keeps it.
func (s *Service) accept(ctx context.Context, p *authz.Principal, r *model.SigningRequest, req signing.Request) error {
	waits := r.Workflow == model.WorkflowWaitingForArtifactUpload
	for range maxTries {
		target, err := s.Signing.Check(ctx, req)
		if err != nil {
			return err
		}
		r.ProjectID, r.SigningPolicyID, r.ArtifactConfigurationID = target.ProjectID, target.SigningPolicyID, target.ArtifactConfigurationID
		r.SubmitterID, r.TokenID, r.TrustedBuildSystemID = target.UserID, target.TokenID, target.TrustedBuildSystemID
		if !waits {
			r.Workflow = afterArtifact(target)
		}
		err = s.Log.Change(ctx, func(tx store.Tx) ([]audit.Event, error) {
			if tx.ConfigVersion() != target.ConfigVersion {
				return nil, errStale
			}
			if err := s.enqueue(tx, r, r.Created); err != nil {
				return nil, err
			}
			if !r.Deadline.IsZero() {
				if err := tx.PutJob(jobs.New(JobDeadline, r.OrganizationID, r.ID, r.Deadline)); err != nil {
					return nil, err
				}
			}
			if err := tx.PutSigningRequest(*r); err != nil {
				return nil, err
			}
			return []audit.Event{s.event(EntrySubmitted, r, by(p), submittedData(r))}, nil
		})
		switch {
		case err == nil:
			s.wake()
			return nil
		case !errors.Is(err, errStale):
			return err
		}
		if err := s.Signing.Refresh(ctx); err != nil {
			return err
		}
	}
	return wire.NewProblem(http.StatusServiceUnavailable, "The configuration of the service is changing all the time. Nothing was submitted. Try again.")
}

// afterArtifact is the step that follows when the artifact is there.
func afterArtifact(t *signing.Target) model.RequestWorkflow {
	if t.RequiredApprovals > 0 {
		return model.WorkflowWaitingForApproval
	}
	return model.WorkflowQueuedForProcessing
}

// enqueue puts the job that signs, if the request has come that far.
func (s *Service) enqueue(tx store.Tx, r *model.SigningRequest, now time.Time) error {
	if r.Workflow != model.WorkflowQueuedForProcessing {
		return nil
	}
	return tx.PutJob(jobs.New(JobSign, r.OrganizationID, r.ID, now))
}

// Upload takes the artifact of a request that was submitted without. Only its
// submitter can bring it.
func (s *Service) Upload(ctx context.Context, p *authz.Principal, authorization string, caller signing.Caller, id string, content []byte) error {
	r, err := s.Get(ctx, p.Organization.ID, id)
	if err != nil {
		return err
	}
	req := signing.Request{
		OrganizationID: r.OrganizationID, Authorization: authorization, Caller: caller,
		SigningPolicyID: r.SigningPolicyID, ArtifactConfigurationID: r.ArtifactConfigurationID, Description: r.Description,
	}
	if err := uploadable(p, r); err != nil {
		return err
	}
	if req.Hash, err = artifact(r, content); err != nil {
		return err
	}
	for range maxTries {
		target, err := s.Signing.Check(ctx, req)
		if err != nil {
			return err
		}
		err = s.change(ctx, p, r.ID, func(snap *authz.Snapshot, tx store.Tx, r *model.SigningRequest) ([]audit.Event, error) {
			if snap.Version() != target.ConfigVersion {
				return nil, errChecked
			}
			if err := uploadable(p, r); err != nil {
				return nil, err
			}
			if _, err := artifact(r, content); err != nil {
				return nil, err
			}
			if err := follow(r, afterArtifact(target)); err != nil {
				return nil, err
			}
			r.Changed = s.now()
			if err := s.enqueue(tx, r, r.Changed); err != nil {
				return nil, err
			}
			if err := tx.PutSigningRequest(*r); err != nil {
				return nil, err
			}
			return []audit.Event{s.event(EntryArtifactUploaded, r, by(p), submittedData(r))}, nil
		})
		if errors.Is(err, errChecked) {
			continue
		}
		if err == nil {
			s.wake()
		}
		return err
	}
	return wire.NewProblem(http.StatusServiceUnavailable, "The configuration of the service is changing all the time. Nothing was uploaded. Try again.")
}

// errChecked: the checks were made with another configuration.
var errChecked = errors.New("the checks must be made again")

func uploadable(p *authz.Principal, r *model.SigningRequest) error {
	switch {
	case r.SubmitterID != p.User.ID:
		return forbidden("Only the submitter of the signing request can upload its artifact.")
	case r.Workflow != model.WorkflowWaitingForArtifactUpload:
		return conflict("The signing request does not wait for an artifact: it is %s.", r.Workflow)
	}
	return nil
}

// repeat copies what a new request takes from the one that it repeats.
func (s *Service) repeat(ctx context.Context, in Submission, r *model.SigningRequest, req *signing.Request) error {
	const field = "OriginalSigningRequestId"
	original, err := s.Store.SigningRequest(ctx, r.OrganizationID, in.Form.Asynchronous.OriginalSigningRequestID)
	if errors.Is(err, store.ErrNotFound) {
		return wire.Field(field, "The organization has no such signing request. Fast signing requests cannot be repeated.")
	}
	if err != nil {
		return err
	}
	snap := s.Signing.Snapshot()
	if err := MayRead(snap, in.Principal, original); err != nil {
		return err
	}
	if w := original.Workflow; w != model.WorkflowCompleted && w != model.WorkflowProcessingFailed {
		return conflict("Only signing requests that were completed or failed can be repeated; this one is %s.", w)
	}
	if !original.DocumentsRemoved.IsZero() {
		return documentsRemoved(original)
	}
	project, ok := snap.ProjectByID(original.ProjectID)
	if !ok || in.Form.ProjectSlug != "" && !equalFold(in.Form.ProjectSlug, project.Slug) {
		return wire.Field("ProjectSlug", "The original signing request belongs to another project.")
	}
	if req.SigningPolicyID == "" {
		req.ProjectSlug = project.Slug
	} else if policy, ok := snap.SigningPolicyByID(r.OrganizationID, req.SigningPolicyID); ok && policy.ProjectID != project.ID {
		return wire.Field("SigningPolicyId", "The signing policy belongs to another project than the original signing request.")
	}
	req.ArtifactConfigurationID = original.ArtifactConfigurationID
	r.OriginalID, r.Artifact, r.ArtifactName, r.ArtifactSHA256 = original.ID, original.Artifact, original.ArtifactName, original.ArtifactSHA256
	r.Parameters, r.Origin, r.BuildSettings = original.Parameters, original.Origin, original.BuildSettings
	if r.Description == "" {
		r.Description = original.Description
		req.Description = r.Description
	}
	return nil
}

// refusedHeaders belong to the connection, not to the client that gave the link.
var refusedHeaders = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te", "Trailer", "Keep-Alive", "Expect"}

// fetch gets an artifact from a host that the operator has allowed. The
// request's headers, which may hold secrets, are kept nowhere.
func (s *Service) fetch(ctx context.Context, link *wire.ArtifactLink, r *model.SigningRequest) error {
	const field = "ArtifactRetrievalLink.Url"
	host := strings.ToLower(link.URL.Host)
	if s.Egress == nil || len(s.ArtifactHosts) == 0 {
		return wire.Field(field, "This service does not fetch artifacts. Send the artifact with SubmitWithArtifact, or ask the operator to allow the host.")
	}
	if !slices.ContainsFunc(s.ArtifactHosts, func(h string) bool { return equalFold(h, host) }) {
		return wire.Field(field, fmt.Sprintf("This service does not fetch artifacts from '%s'; ask the operator to allow it.", clip(host)))
	}
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, link.URL.String(), nil)
	if err != nil {
		return wire.Field(field, "The address cannot be used.")
	}
	for _, h := range link.Headers {
		name := http.CanonicalHeaderKey(h.Name)
		if slices.Contains(refusedHeaders, name) || strings.HasPrefix(name, "Proxy-") {
			return wire.Field("ArtifactRetrievalLink.HttpHeaders", fmt.Sprintf("The header '%s' cannot be set.", clip(h.Name)))
		}
		get.Header.Add(name, h.Value)
	}
	answer, err := s.Egress.Do(ctx, get, maxArtifact)
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		s.logger().Info("An artifact could not be fetched.", "host", host, "error", err)
		return wire.Field(field, "The artifact could not be fetched: the host did not answer as it should.")
	case answer.Status != http.StatusOK:
		return wire.Field(field, fmt.Sprintf("The artifact could not be fetched: the host answered with status %d. Redirects are not followed.", answer.Status))
	case answer.Truncated:
		return wire.Field(field, fmt.Sprintf("The artifact is larger than %d bytes.", maxArtifact))
	}
	r.Artifact = bytes.Clone(answer.Body)
	return nil
}
