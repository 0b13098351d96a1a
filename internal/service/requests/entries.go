package requests

import (
	"bytes"
	"encoding/json"

	"signpath/internal/service/audit"
	"signpath/internal/service/authz"
	"signpath/internal/service/model"
)

// The types of the audit entries of this package. The use of the key has
// entries of its own, "HashSigning.…", with the same signingRequestId.
const (
	EntrySubmitted        = "SigningRequest.Submitted"
	EntryArtifactUploaded = "SigningRequest.ArtifactUploaded"
	EntryApproved         = "SigningRequest.Approved"
	EntryDenied           = "SigningRequest.Denied"
	EntryCanceled         = "SigningRequest.Canceled"
	EntryCompleted        = "SigningRequest.Completed"
	EntryFailed           = "SigningRequest.Failed"
)

// requestData is what is on record of a submission or an upload.
type requestData struct {
	SigningRequestID         string                `json:"signingRequestId"`
	OriginalSigningRequestID string                `json:"originalSigningRequestId,omitempty"`
	ProjectID                string                `json:"projectId"`
	SigningPolicyID          string                `json:"signingPolicyId"`
	ArtifactConfigurationID  string                `json:"artifactConfigurationId"`
	TokenID                  string                `json:"tokenId"`
	TrustedBuildSystemID     string                `json:"trustedBuildSystemId,omitempty"`
	WorkflowStatus           model.RequestWorkflow `json:"workflowStatus"`
	FileName                 string                `json:"fileName,omitempty"`
	FileSHA256               string                `json:"fileSha256,omitempty"` // announced, as long as there is no file
	Description              string                `json:"description,omitempty"`
	Origin                   json.RawMessage       `json:"origin,omitempty"`
}

func submittedData(r *model.SigningRequest) requestData {
	d := requestData{
		SigningRequestID: r.ID, OriginalSigningRequestID: r.OriginalID, ProjectID: r.ProjectID, SigningPolicyID: r.SigningPolicyID,
		ArtifactConfigurationID: r.ArtifactConfigurationID, TokenID: r.TokenID, TrustedBuildSystemID: r.TrustedBuildSystemID, WorkflowStatus: r.Workflow,
		FileName: r.ArtifactName, FileSHA256: r.ArtifactSHA256, Description: r.Description,
	}
	if len(r.Origin) <= maxDescription { // what is longer stands in the request
		d.Origin = r.Origin
	}
	return d
}

// endData is what is on record of a decision or an end.
type endData struct {
	SigningRequestID string                `json:"signingRequestId"`
	Before           model.RequestWorkflow `json:"workflowStatusBefore,omitempty"`
	Reason           string                `json:"reason,omitempty"`
	Approvals        int                   `json:"approvals,omitempty"` // that count, this one included
	Required         int                   `json:"requiredApprovals,omitempty"`
	ResultSHA256     string                `json:"resultSha256,omitempty"` // of the signed document
	Attempts         int                   `json:"attempts,omitempty"`
}

// event is an entry about a request.
func (s *Service) event(entryType string, r *model.SigningRequest, who audit.Actor, data any) audit.Event {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(data); err != nil {
		b.Reset() // the log refuses an entry whose data is no object
		b.WriteString("not encodable")
	}
	return audit.Event{Type: entryType, OrganizationID: r.OrganizationID, Actor: who, TraceID: r.TraceID, Data: b.Bytes()}
}

func by(p *authz.Principal) audit.Actor {
	return audit.Actor{Type: string(p.User.Kind), ID: p.User.ID, Name: p.User.Name}
}

// system is who acts when nobody does.
var system = audit.Actor{Type: "System"}
