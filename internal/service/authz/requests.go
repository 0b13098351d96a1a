package authz

import (
	"signpath/internal/service/model"
)

// SigningPolicyByID finds a policy of an organization by its ID.
func (s *Snapshot) SigningPolicyByID(organizationID, id string) (*model.SigningPolicy, bool) {
	p, ok := s.policiesByID[id]
	if !ok || p.OrganizationID != organizationID {
		return nil, false
	}
	return p, true
}

// ArtifactConfigurationByID finds an artifact configuration of a project by its ID.
func (s *Snapshot) ArtifactConfigurationByID(projectID, id string) (*model.ArtifactConfiguration, bool) {
	a, ok := s.artifactsByID[id]
	if !ok || a.ProjectID != projectID {
		return nil, false
	}
	return a, true
}

// TokenByID finds a token by its ID, with its user and organization, whether
// they are active or not. It is for work that goes on after the request that
// brought the token has been answered.
func (s *Snapshot) TokenByID(organizationID, id string) (Principal, bool) {
	t, ok := s.tokensByID[id]
	if !ok || t.OrganizationID != organizationID {
		return Principal{}, false
	}
	return s.Token(t.Hash)
}

// IsApprover tells whether a policy names the user as approver, directly or
// through a group, and the user is active.
func (s *Snapshot) IsApprover(policy *model.SigningPolicy, userID string) bool {
	u, ok := s.users[userID]
	return ok && u.Active && u.OrganizationID == policy.OrganizationID && s.isNamed(policyApprover, policy.ID, policy.OrganizationID, userID)
}
