package admin

import (
	"context"
	"reflect"

	"signpath/internal/service/model"
)

// CertificateEdit is the input of certificate.edit: absent members leave things
// as they are.
type CertificateEdit struct {
	CertificateReference
	Name   *string `json:"name,omitempty"`
	Active *bool   `json:"active,omitempty"`
	// RequiresApproval: every signing policy of the certificate must demand
	// approval; such a certificate signs no fast requests.
	RequiresApproval *bool `json:"requiresApproval,omitempty"`
}

// EditCertificate changes what is not part of the certificate itself.
func (s *Service) EditCertificate(ctx context.Context, call Call, request CertificateEdit) (Certificate, error) {
	var out Certificate
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		c := t.certificate(in, "certificate", org, request.Certificate)
		if c == nil {
			return in.err()
		}
		changed := *c
		if request.Name != nil {
			changed.Name = in.name("name", *request.Name)
		}
		if request.Active != nil {
			changed.Active = *request.Active
		}
		if request.RequiresApproval != nil {
			changed.RequiresApproval = *request.RequiresApproval
		}
		if changed.RequiresApproval && !c.RequiresApproval {
			for i := range t.cfg.SigningPolicies {
				if p := &t.cfg.SigningPolicies[i]; p.CertificateID == c.ID && p.RequiredApprovals == 0 {
					in.fail("requiresApproval", "The signing policy %q uses the certificate without approval; let it require approvals first, or give it another certificate.", t.showPolicy(p).Key())
				}
			}
		}
		if err := in.err(); err != nil {
			return err
		}
		before, after := t.showCertificate(c, nil), t.showCertificate(&changed, nil)
		out = after
		out.State = stateOf(&changed, t.keyByID(c.KeyID), t.now)
		if reflect.DeepEqual(before, after) {
			return nil
		}
		if err := t.PutCertificate(changed); err != nil {
			return err
		}
		return t.record(certificateEvent(c, &changed), org.ID, changeData{before, after})
	})
	return out, err
}

// certificateEvent is the audit type of an edit: switching on or off alone has its own.
func certificateEvent(before, after *model.Certificate) string {
	if before.Active != after.Active && before.Name == after.Name && before.RequiresApproval == after.RequiresApproval {
		return activity("Certificate", after.Active)
	}
	return "Certificate.Changed"
}
