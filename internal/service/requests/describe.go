package requests

import (
	"encoding/json"

	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// Link is the address of a request in the API.
func (s *Service) Link(organizationID, id string) string {
	return s.APIURL + "/v1/" + organizationID + "/SigningRequests/" + id
}

// WebLink is the address of a request in the web UI.
func (s *Service) WebLink(organizationID, id string) string {
	if s.Signing == nil {
		return ""
	}
	return s.Signing.WebLink(organizationID, id)
}

// StatusOf is the short answer about a request.
func StatusOf(r *model.SigningRequest) wire.StatusAnswer {
	status, final := Status(r.Workflow)
	return wire.StatusAnswer{SigningRequestID: r.ID, Status: string(status), WorkflowStatus: string(r.Workflow), IsFinalStatus: final}
}

// Describe is the long answer about a request; names are those of the snapshot.
func (s *Service) Describe(snap *authz.Snapshot, r *model.SigningRequest) wire.SigningRequestAnswer {
	link := s.Link(r.OrganizationID, r.ID)
	a := wire.SigningRequestAnswer{
		StatusAnswer: StatusOf(r), Description: r.Description,
		ProjectID: r.ProjectID, ArtifactConfigurationID: r.ArtifactConfigurationID, SigningPolicyID: r.SigningPolicyID,
		UnsignedArtifactLink: link + "/UnsignedArtifact", SignedArtifactLink: link + "/SignedArtifact", WebLink: s.WebLink(r.OrganizationID, r.ID),
		Parameters: map[string]string{}, OriginalSigningRequestID: r.OriginalID, SubmitterID: r.SubmitterID, CreatedAt: r.Created,
		UnsignedArtifactFileName: r.ArtifactName, UnsignedArtifactSHA256: r.ArtifactSHA256, Reason: r.Reason, KeyVersion: r.KeyVersion,
	}
	for _, p := range r.Parameters {
		a.Parameters[p.Name] = p.Value
	}
	if r.Origin != nil {
		a.Origin = origin(r, link)
	}
	if !r.Finished.IsZero() {
		a.FinishedAt = &r.Finished
	} else if !r.Deadline.IsZero() {
		a.CanceledAtTheLatest = &r.Deadline
	}
	if !r.DocumentsRemoved.IsZero() {
		a.DocumentsRemovedAt = &r.DocumentsRemoved
	}
	name(snap, &a, r.OrganizationID)
	for _, ap := range r.Approvals {
		a.Approvals = append(a.Approvals, wire.Approval{UserID: ap.UserID, UserName: userName(snap, r.OrganizationID, ap.UserID), At: ap.Time, Reason: ap.Reason})
	}
	return a
}

// name fills in names and slugs for the IDs of an answer.
func name(snap *authz.Snapshot, a *wire.SigningRequestAnswer, organizationID string) {
	if p, ok := snap.ProjectByID(a.ProjectID); ok && p.OrganizationID == organizationID {
		a.ProjectSlug, a.ProjectName = p.Slug, p.Name
	}
	if p, ok := snap.SigningPolicyByID(organizationID, a.SigningPolicyID); ok {
		a.SigningPolicySlug, a.SigningPolicyName, a.RequiredApprovals = p.Slug, p.Name, p.RequiredApprovals
	}
	if c, ok := snap.ArtifactConfigurationByID(a.ProjectID, a.ArtifactConfigurationID); ok {
		a.ArtifactConfigurationSlug, a.ArtifactConfigurationName = c.Slug, c.Name
	}
	a.SubmitterName = userName(snap, organizationID, a.SubmitterID)
}

func userName(snap *authz.Snapshot, organizationID, id string) string {
	if u, ok := snap.User(organizationID, id); ok {
		return u.Name
	}
	return ""
}

// origin is what was told, with the link to its file.
func origin(r *model.SigningRequest, link string) *wire.Origin {
	var o wire.Origin
	if err := json.Unmarshal(r.Origin, &o); err != nil { // the service itself wrote it
		return nil
	}
	if o.BuildData != nil && o.BuildData.BuildSettingsFile != nil {
		o.BuildData.BuildSettingsFile.DownloadLink = link + "/BuildSettingsFile"
	}
	return &o
}
