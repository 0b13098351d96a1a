package admin

import (
	"strings"

	"signpath/internal/service/model"
)

// view finds objects in one immutable configuration.
type view struct {
	cfg *model.Config

	// Indexes by identifier, made when they are needed first.
	users        map[string]*model.User
	groups       map[string]*model.UserGroup
	projects     map[string]*model.Project
	certificates map[string]*model.Certificate
	keys         map[string]*model.Key
	policiesOf   map[string][]*model.SigningPolicy // by certificate
}

func newView(cfg *model.Config) *view { return &view{cfg: cfg} }

// byID finds in an index, and makes it first when it is missing.
func byID[T any](index *map[string]*T, set []T, identifier func(*T) string, id string) *T {
	if *index == nil {
		*index = make(map[string]*T, len(set))
		for i := range set {
			(*index)[identifier(&set[i])] = &set[i]
		}
	}
	return (*index)[id]
}

// organization finds by identifier or name; an empty reference means the only one.
func (v *view) organization(in *input, ref string) *model.Organization {
	const field = "organization"
	ref = strings.TrimSpace(ref)
	if ref == "" {
		switch len(v.cfg.Organizations) {
		case 0:
			in.fail(field, "There is no organization yet; create one first.")
			return nil
		case 1:
			return &v.cfg.Organizations[0]
		}
		in.fail(field, "There are %d organizations; say which one is meant, by its name or identifier.", len(v.cfg.Organizations))
		return nil
	}
	found := match(v.cfg.Organizations, func(o *model.Organization) bool { return strings.EqualFold(o.ID, ref) })
	if found == nil {
		found = match(v.cfg.Organizations, func(o *model.Organization) bool { return o.Name == ref })
	}
	if found == nil {
		found = match(v.cfg.Organizations, func(o *model.Organization) bool { return strings.EqualFold(o.Name, ref) })
	}
	if found == nil {
		in.fail(field, "There is no organization %q.", clip(ref))
	}
	return found
}

// user finds by identifier or name within an organization.
func (v *view) user(in *input, field string, org *model.Organization, ref string) *model.User {
	ref = strings.TrimSpace(ref)
	if org == nil {
		return nil
	}
	if ref == "" {
		in.fail(field, "A user is missing.")
		return nil
	}
	found := match(v.cfg.Users, func(u *model.User) bool {
		return u.OrganizationID == org.ID && strings.EqualFold(u.ID, ref)
	})
	if found == nil {
		found = v.userByName(org.ID, ref)
	}
	if found == nil {
		in.fail(field, "Organization %q has no user %q.", org.Name, clip(ref))
	}
	return found
}

func (v *view) userByName(orgID, name string) *model.User {
	return match(v.cfg.Users, func(u *model.User) bool { return u.OrganizationID == orgID && strings.EqualFold(u.Name, name) })
}

func (v *view) userByID(id string) *model.User {
	return byID(&v.users, v.cfg.Users, func(u *model.User) string { return u.ID }, id)
}

// project finds by slug within an organization.
func (v *view) project(in *input, field string, org *model.Organization, slug string) *model.Project {
	if org == nil {
		return nil
	}
	found := v.projectBySlug(org.ID, slug)
	if found == nil {
		in.fail(field, "Organization %q has no project %q.", org.Name, clip(slug))
	}
	return found
}

func (v *view) projectBySlug(orgID, slug string) *model.Project {
	return match(v.cfg.Projects, func(p *model.Project) bool { return p.OrganizationID == orgID && strings.EqualFold(p.Slug, slug) })
}

func (v *view) projectByID(id string) *model.Project {
	return byID(&v.projects, v.cfg.Projects, func(p *model.Project) string { return p.ID }, id)
}

func (v *view) policyBySlug(projectID, slug string) *model.SigningPolicy {
	return match(v.cfg.SigningPolicies, func(p *model.SigningPolicy) bool {
		return p.ProjectID == projectID && strings.EqualFold(p.Slug, slug)
	})
}

// certificate finds by slug or identifier within an organization.
func (v *view) certificate(in *input, field string, org *model.Organization, ref string) *model.Certificate {
	if org == nil {
		return nil
	}
	if ref == "" {
		in.fail(field, "A certificate is missing.")
		return nil
	}
	found := v.certificateBySlug(org.ID, ref)
	if found == nil {
		found = match(v.cfg.Certificates, func(c *model.Certificate) bool {
			return c.OrganizationID == org.ID && strings.EqualFold(c.ID, ref)
		})
	}
	if found == nil {
		in.fail(field, "Organization %q has no certificate %q.", org.Name, clip(ref))
	}
	return found
}

func (v *view) certificateBySlug(orgID, slug string) *model.Certificate {
	return match(v.cfg.Certificates, func(c *model.Certificate) bool {
		return c.OrganizationID == orgID && strings.EqualFold(c.Slug, slug)
	})
}

func (v *view) certificateByID(id string) *model.Certificate {
	return byID(&v.certificates, v.cfg.Certificates, func(c *model.Certificate) string { return c.ID }, id)
}

func (v *view) keyByID(id string) *model.Key {
	return byID(&v.keys, v.cfg.Keys, func(k *model.Key) string { return k.ID }, id)
}

// policiesWith gives the policies that sign with a certificate, in the
// configuration's order.
func (v *view) policiesWith(certificateID string) []*model.SigningPolicy {
	if v.policiesOf == nil {
		v.policiesOf = make(map[string][]*model.SigningPolicy, len(v.cfg.SigningPolicies))
		for i := range v.cfg.SigningPolicies {
			p := &v.cfg.SigningPolicies[i]
			v.policiesOf[p.CertificateID] = append(v.policiesOf[p.CertificateID], p)
		}
	}
	return v.policiesOf[certificateID]
}

// match gives the first element that fits, nil when none does.
func match[T any](set []T, fits func(*T) bool) *T {
	for i := range set {
		if fits(&set[i]) {
			return &set[i]
		}
	}
	return nil
}
