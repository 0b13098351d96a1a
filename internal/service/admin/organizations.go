package admin

import (
	"context"
	"strings"
	"time"

	"signpath/internal/service/model"
)

// Organization is an organization as an operator sees it.
type Organization struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`
	// YearlySignatures is the quota, 0: no limit; years begin at QuotaStart.
	YearlySignatures int       `json:"yearlySignatures,omitempty"`
	QuotaStart       time.Time `json:"quotaStart,omitzero"`
	// MaxUsers (people), MaxProjects and MaxCertificates are quotas too, 0: no limit.
	MaxUsers        int `json:"maxUsers,omitempty"`
	MaxProjects     int `json:"maxProjects,omitempty"`
	MaxCertificates int `json:"maxCertificates,omitempty"`
	// Days that documents of finished signing requests are kept, and the requests
	// themselves; 0: without end.
	DocumentRetentionDays int `json:"documentRetentionDays"`
	RequestRetentionDays  int `json:"requestRetentionDays"`
}

func showOrganization(o *model.Organization) Organization {
	return Organization{
		ID: o.ID, Name: o.Name, Active: o.Active, Created: o.Created, YearlySignatures: o.YearlySignatures, QuotaStart: o.QuotaStart,
		MaxUsers: o.MaxUsers, MaxProjects: o.MaxProjects, MaxCertificates: o.MaxCertificates,
		DocumentRetentionDays: o.DocumentRetentionDays, RequestRetentionDays: o.RequestRetentionDays,
	}
}

// NewOrganization is the input of organization.create.
type NewOrganization struct {
	Name string `json:"name"`
}

// CreateOrganization adds an organization.
func (s *Service) CreateOrganization(ctx context.Context, call Call, request NewOrganization) (Organization, error) {
	var out Organization
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		name := in.name("name", request.Name)
		t.uniqueOrganization(in, name, "")
		if err := in.err(); err != nil {
			return err
		}
		o := model.Organization{ID: newID(), Name: name, Active: true, Created: t.now, DocumentRetentionDays: model.DefaultDocumentRetentionDays}
		out = showOrganization(&o)
		if err := t.PutOrganization(o); err != nil {
			return err
		}
		return t.record("Organization.Created", o.ID, changeData{After: out})
	})
	return out, err
}

// uniqueOrganization refuses a name that another organization has.
func (v *view) uniqueOrganization(in *input, name, exceptID string) {
	if match(v.cfg.Organizations, func(o *model.Organization) bool { return o.ID != exceptID && strings.EqualFold(o.Name, name) }) != nil {
		in.fail("name", "There is an organization %q already.", clip(name))
	}
}

// OrganizationReference names an organization by name or identifier; empty means the only one.
type OrganizationReference struct {
	Organization string `json:"organization,omitempty"`
}

// Organizations is a list of organizations.
type Organizations struct {
	Items []Organization `json:"items"`
}

// ListOrganizations lists every organization.
func (s *Service) ListOrganizations(ctx context.Context, _ Call, _ struct{}) (Organizations, error) {
	out := Organizations{Items: []Organization{}}
	v, err := s.read(ctx)
	if err != nil {
		return out, err
	}
	for i := range v.cfg.Organizations {
		out.Items = append(out.Items, showOrganization(&v.cfg.Organizations[i]))
	}
	return out, nil
}

// RenamedOrganization is the input of organization.rename.
type RenamedOrganization struct {
	OrganizationReference
	Name string `json:"name"`
}

// RenameOrganization gives an organization another name.
func (s *Service) RenameOrganization(ctx context.Context, call Call, request RenamedOrganization) (Organization, error) {
	return s.changeOrganization(ctx, call, "Organization.Renamed", request.Organization, func(t *transaction, in *input, o *model.Organization) {
		o.Name = in.name("name", request.Name)
		t.uniqueOrganization(in, o.Name, o.ID)
	})
}

// OrganizationEdit is the input of organization.edit: absent members leave
// things as they are.
type OrganizationEdit struct {
	OrganizationReference
	Name         *string `json:"name,omitempty"`
	DocumentDays *int    `json:"documentRetentionDays,omitempty"` // as in Retention
	RequestDays  *int    `json:"requestRetentionDays,omitempty"`
}

// EditOrganization changes what an administrator of an organization may change.
func (s *Service) EditOrganization(ctx context.Context, call Call, request OrganizationEdit) (Organization, error) {
	event := "Organization.Changed"
	switch {
	case request.DocumentDays == nil && request.RequestDays == nil:
		event = "Organization.Renamed"
	case request.Name == nil:
		event = "Organization.RetentionChanged"
	}
	return s.changeOrganization(ctx, call, event, request.Organization, func(t *transaction, in *input, o *model.Organization) {
		if request.Name != nil {
			o.Name = in.name("name", *request.Name)
			t.uniqueOrganization(in, o.Name, o.ID)
		}
		in.retention(o, request.DocumentDays, request.RequestDays)
	})
}

// OrganizationActivity is the input of organization.set-active.
type OrganizationActivity struct {
	OrganizationReference
	Active bool `json:"active"`
}

// SetOrganizationActive switches an organization on or off. Nobody of an
// organization that is off can sign or list anything.
func (s *Service) SetOrganizationActive(ctx context.Context, call Call, request OrganizationActivity) (Organization, error) {
	return s.changeOrganization(ctx, call, activity("Organization", request.Active), request.Organization, func(_ *transaction, _ *input, o *model.Organization) {
		o.Active = request.Active
	})
}

// changeOrganization applies edit to a copy and writes it when anything changed.
func (s *Service) changeOrganization(ctx context.Context, call Call, eventType, ref string, edit func(*transaction, *input, *model.Organization)) (Organization, error) {
	var out Organization
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		o := t.organization(in, ref)
		if o == nil {
			return in.err()
		}
		changed := *o
		edit(t, in, &changed)
		if err := in.err(); err != nil {
			return err
		}
		before := showOrganization(o)
		out = showOrganization(&changed)
		if before == out {
			return nil
		}
		if err := t.PutOrganization(changed); err != nil {
			return err
		}
		return t.record(eventType, changed.ID, changeData{before, out})
	})
	return out, err
}

// activity is the audit type of switching something on or off.
func activity(object string, active bool) string {
	if active {
		return object + ".Activated"
	}
	return object + ".Deactivated"
}
