package authz

import "signpath/internal/service/model"

// TrustedBuildSystem finds a trusted build system of an organization by the
// SHA-256 of its token, active or not.
func (s *Snapshot) TrustedBuildSystem(organizationID string, hash [32]byte) (*model.TrustedBuildSystem, bool) {
	b, ok := s.builds[hash]
	if !ok || b.OrganizationID != organizationID {
		return nil, false
	}
	return b, true
}

// TrustedBuildSystemByID finds a trusted build system of an organization.
func (s *Snapshot) TrustedBuildSystemByID(organizationID, id string) (*model.TrustedBuildSystem, bool) {
	b, ok := s.buildsByID[id]
	if !ok || b.OrganizationID != organizationID {
		return nil, false
	}
	return b, true
}

// CertificateByID finds a certificate of an organization.
func (s *Snapshot) CertificateByID(organizationID, id string) (*model.Certificate, bool) {
	c, ok := s.certificates[id]
	if !ok || c.OrganizationID != organizationID {
		return nil, false
	}
	return c, true
}
