package requests

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/audit"
	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// Bounds of the search for a fast request.
const (
	clockSkew  = 10 * time.Second // between replicas
	intentSpan = 2 * time.Minute  // from the making of the ID to the intent
	searchPage = 500              // audit entries
	maxPages   = 40
)

// An outcome is recorded moments after its signature was given out: who asks at
// once waits for it, this often and this long between.
const (
	outcomeTries = 40
	outcomePause = 50 * time.Millisecond
	outcomeFresh = 10 * time.Second // no outcome is awaited of older intents
)

// Fast finds a fast request in the audit log. Its ID tells when it was made
// (RFC 9562 section 5.7), so that little of the log is read. Nothing of a
// signature is kept there but its hash.
func (s *Service) Fast(ctx context.Context, snap *authz.Snapshot, organizationID, id string) (*wire.SigningRequestAnswer, error) {
	id = strings.ToLower(id)
	if !wire.IsUUID(id) {
		return nil, wire.Field("SigningRequestId", "The ID of the signing request in the address is not a UUID.")
	}
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return nil, unknownRequest(id)
	}
	var millis int64
	for _, b := range u[:6] {
		millis = millis<<8 | int64(b)
	}
	intent, err := s.findIntent(ctx, organizationID, id, time.UnixMilli(millis))
	if err != nil {
		return nil, err
	}
	a, err := s.fastAnswer(organizationID, id, intent)
	if err != nil {
		return nil, err
	}
	outcome, err := s.awaitOutcome(ctx, organizationID, intent)
	if err != nil {
		return nil, err
	}
	applyOutcome(a, outcome)
	name(snap, a, organizationID)
	return a, nil
}

// findIntent looks through the entries around the time of an ID.
func (s *Service) findIntent(ctx context.Context, organizationID, id string, made time.Time) (*store.AuditRow, error) {
	after, err := s.seekAudit(ctx, made.Add(-clockSkew).UnixMilli())
	if err != nil {
		return nil, err
	}
	f := store.AuditFilter{OrganizationID: organizationID, Type: signing.EntryIntent, FromMillis: made.Add(-clockSkew).UnixMilli(), ToMillis: made.Add(intentSpan).UnixMilli()}
	for range maxPages {
		rows, err := s.Store.AuditRows(ctx, after, searchPage, f)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if strings.Contains(string(rows[i].Leaf), `"signingRequestId":"`+id+`"`) {
				return &rows[i], nil
			}
			after = rows[i].Seq
		}
		if len(rows) < searchPage {
			break
		}
	}
	return nil, unknownRequest(id)
}

// seekAudit gives a sequence number before which everything is older. Times of
// entries grow with their numbers but for the clocks of replicas.
func (s *Service) seekAudit(ctx context.Context, millis int64) (uint64, error) {
	head, err := s.Store.AuditHead(ctx)
	if err != nil {
		return 0, err
	}
	low, high := uint64(0), head.Size // entry low+1 … high may be the first one
	for high-low > searchPage {
		middle := low + (high-low)/2
		rows, err := s.Store.AuditRows(ctx, middle-1, 1, store.AuditFilter{})
		if err != nil {
			return 0, err
		}
		if len(rows) == 0 || rows[0].TimeMillis >= millis {
			high = middle
		} else {
			low = middle
		}
	}
	return low, nil
}

// awaitOutcome is findOutcome with some patience for a fresh intent.
func (s *Service) awaitOutcome(ctx context.Context, organizationID string, intent *store.AuditRow) (*store.AuditRow, error) {
	fresh := s.now().Sub(time.UnixMilli(intent.TimeMillis)) < outcomeFresh
	for try := 1; ; try++ {
		outcome, err := s.findOutcome(ctx, organizationID, intent)
		if err != nil || outcome != nil || !fresh || try == outcomeTries {
			return outcome, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(outcomePause):
		}
	}
}

// findOutcome gives the entry that ends an intent; nil when there is none yet.
func (s *Service) findOutcome(ctx context.Context, organizationID string, intent *store.AuditRow) (*store.AuditRow, error) {
	after := intent.Seq
	for range maxPages {
		rows, err := s.Store.AuditRows(ctx, after, searchPage, store.AuditFilter{OrganizationID: organizationID})
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if rows[i].Closes == intent.Seq {
				return &rows[i], nil
			}
			after = rows[i].Seq
		}
		if len(rows) < searchPage {
			break
		}
	}
	return nil, nil
}

// fastAnswer tells of an intent.
func (s *Service) fastAnswer(organizationID, id string, row *store.AuditRow) (*wire.SigningRequestAnswer, error) {
	e, err := audit.ParseLeaf(row.Leaf)
	if err != nil {
		return nil, err
	}
	var d struct {
		ProjectID, SigningPolicyID, ArtifactConfigurationID, Description string
		KeyVersion                                                       int
	}
	if err := json.Unmarshal(e.Event.Data, &d); err != nil {
		return nil, errors.New("the audit entry of the request cannot be read")
	}
	link := s.Link(organizationID, id)
	return &wire.SigningRequestAnswer{
		StatusAnswer: wire.StatusAnswer{SigningRequestID: id, Status: string(model.RequestInProgress), WorkflowStatus: string(model.WorkflowProcessing)},
		Description:  d.Description, ProjectID: d.ProjectID, SigningPolicyID: d.SigningPolicyID, ArtifactConfigurationID: d.ArtifactConfigurationID,
		UnsignedArtifactLink: link + "/UnsignedArtifact", SignedArtifactLink: link + "/SignedArtifact", WebLink: s.WebLink(organizationID, id),
		Parameters: map[string]string{}, IsFastSigningRequest: true, SubmitterID: e.Event.Actor.ID,
		CreatedAt: time.UnixMilli(row.TimeMillis).UTC(), KeyVersion: d.KeyVersion,
	}, nil
}

func applyOutcome(a *wire.SigningRequestAnswer, row *store.AuditRow) {
	if row == nil {
		return
	}
	workflow, reason := model.WorkflowProcessingFailed, "The key could not be used."
	switch row.Type {
	case signing.EntryCompleted:
		workflow, reason = model.WorkflowCompleted, ""
	case signing.EntryFailed:
	default:
		reason = "The outcome is not known: the service or the client ended before it was recorded."
	}
	status, final := Status(workflow)
	finished := time.UnixMilli(row.TimeMillis).UTC()
	a.Status, a.WorkflowStatus, a.IsFinalStatus, a.Reason, a.FinishedAt = string(status), string(workflow), final, reason, &finished
}
