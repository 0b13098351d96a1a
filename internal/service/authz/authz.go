// Package authz answers who may do what: pure functions over an immutable
// snapshot of the configuration.
//
// What enters is the configuration at one version, what leaves are objects
// found by name and decisions. The package reads no database, knows no clock
// and no request, and never changes a snapshot: many goroutines use one, and a
// new configuration is a new snapshot.
//
// Nothing is found across organizations: every look-up starts from an
// organization or from an object that was found in one. Slugs are looked up
// without regard to case (they stand in addresses) and keep their stored
// spelling. Objects that a look-up gives are shared and must not be changed.
package authz

import (
	"crypto/subtle"
	"iter"
	"maps"
	"slices"
	"strings"

	"signpath/internal/service/model"
)

// Principal is who asks, after authentication.
type Principal struct {
	Organization model.Organization
	User         model.User
	Token        model.Token
	// TrustedBuildSystem is the one whose token came along with the user's; nil: none did.
	TrustedBuildSystem *model.TrustedBuildSystem
}

// Snapshot is the configuration at one version, indexed.
type Snapshot struct {
	version       uint64
	organizations map[string]*model.Organization
	users         map[string]*model.User
	tokens        map[[32]byte]*model.Token
	tokensByID    map[string]*model.Token
	projects      map[slugKey]*model.Project // owner: organization
	projectsByID  map[string]*model.Project
	artifacts     map[slugKey]*model.ArtifactConfiguration // owner: project
	artifactsByID map[string]*model.ArtifactConfiguration
	defaults      map[string]*model.ArtifactConfiguration // by project
	policies      map[slugKey]*model.SigningPolicy        // owner: project
	policiesByID  map[string]*model.SigningPolicy
	certificates  map[string]*model.Certificate
	keys          map[string]*model.Key
	builds        map[[32]byte]*model.TrustedBuildSystem // by the hash of the token
	buildsByID    map[string]*model.TrustedBuildSystem
	groups        map[string]*model.UserGroup
	groupsOf      map[string][]string   // IDs of the groups of each user
	named         map[naming]struct{}   // who is named where
	submittable   map[string][]int      // by user or group: positions in ordered
	ordered       []model.SigningPolicy // in the order of the configuration
}

// slugKey finds an object by its owner's ID and its slug in lower case.
type slugKey struct{ owner, slug string }

// naming says that a policy or project names a user or group in a role.
type naming struct {
	role    roles
	object  string // ID of the policy or project
	subject string // ID of the user or group
}

// NewSnapshot indexes a configuration, which must not be changed afterwards.
func NewSnapshot(c *model.Config) *Snapshot {
	s := &Snapshot{
		version:       c.Version,
		organizations: make(map[string]*model.Organization, len(c.Organizations)),
		users:         make(map[string]*model.User, len(c.Users)),
		tokens:        make(map[[32]byte]*model.Token, len(c.Tokens)),
		tokensByID:    make(map[string]*model.Token, len(c.Tokens)),
		artifactsByID: make(map[string]*model.ArtifactConfiguration, len(c.ArtifactConfigurations)),
		projects:      make(map[slugKey]*model.Project, len(c.Projects)),
		projectsByID:  make(map[string]*model.Project, len(c.Projects)),
		artifacts:     make(map[slugKey]*model.ArtifactConfiguration, len(c.ArtifactConfigurations)),
		defaults:      make(map[string]*model.ArtifactConfiguration, len(c.Projects)),
		policies:      make(map[slugKey]*model.SigningPolicy, len(c.SigningPolicies)),
		policiesByID:  make(map[string]*model.SigningPolicy, len(c.SigningPolicies)),
		certificates:  make(map[string]*model.Certificate, len(c.Certificates)),
		keys:          make(map[string]*model.Key, len(c.Keys)),
		builds:        make(map[[32]byte]*model.TrustedBuildSystem, len(c.TrustedBuildSystems)),
		buildsByID:    make(map[string]*model.TrustedBuildSystem, len(c.TrustedBuildSystems)),
		groups:        make(map[string]*model.UserGroup, len(c.UserGroups)),
		groupsOf:      map[string][]string{},
		named:         map[naming]struct{}{},
		submittable:   map[string][]int{},
		ordered:       c.SigningPolicies,
	}
	for i := range c.Organizations {
		s.organizations[c.Organizations[i].ID] = &c.Organizations[i]
	}
	for i := range c.Users {
		s.users[c.Users[i].ID] = &c.Users[i]
	}
	for i := range c.UserGroups {
		s.indexGroup(&c.UserGroups[i])
	}
	for i := range c.Tokens {
		s.tokens[c.Tokens[i].Hash] = &c.Tokens[i]
		s.tokensByID[c.Tokens[i].ID] = &c.Tokens[i]
	}
	for i := range c.Projects {
		p := &c.Projects[i]
		s.projectsByID[p.ID] = p
		index(s.projects, p.OrganizationID, p.Slug, p)
		s.name(projectReader, p.ID, p.Readers)
		s.name(projectConfigurator, p.ID, p.Configurators)
	}
	for i := range c.ArtifactConfigurations {
		a := &c.ArtifactConfigurations[i]
		s.artifactsByID[a.ID] = a
		index(s.artifacts, a.ProjectID, a.Slug, a)
		if a.Default {
			s.defaults[a.ProjectID] = a
		}
	}
	for i := range c.Certificates {
		s.certificates[c.Certificates[i].ID] = &c.Certificates[i]
	}
	for i := range c.Keys {
		s.keys[c.Keys[i].ID] = &c.Keys[i]
	}
	for i := range c.TrustedBuildSystems {
		b := &c.TrustedBuildSystems[i]
		s.builds[b.TokenHash], s.buildsByID[b.ID] = b, b
	}
	for i := range c.SigningPolicies {
		p := &c.SigningPolicies[i]
		s.policiesByID[p.ID] = p
		index(s.policies, p.ProjectID, p.Slug, p)
		for _, subject := range s.name(policySubmitter, p.ID, p.Submitters) {
			s.submittable[subject] = append(s.submittable[subject], i)
		}
		s.name(policyApprover, p.ID, p.Approvers)
	}
	return s
}

// indexGroup enters a group and its members. A member of another organization,
// which the store cannot hold, would be none.
func (s *Snapshot) indexGroup(g *model.UserGroup) {
	s.groups[g.ID] = g
	for _, id := range g.Members {
		if u, ok := s.users[id]; ok && u.OrganizationID == g.OrganizationID && !slices.Contains(s.groupsOf[id], g.ID) {
			s.groupsOf[id] = append(s.groupsOf[id], g.ID)
		}
	}
}

// name enters who is named in a role, and gives each of them once.
func (s *Snapshot) name(role roles, object string, subjects []string) []string {
	var once []string
	for _, subject := range subjects {
		k := naming{role, object, subject}
		if _, twice := s.named[k]; !twice {
			s.named[k] = struct{}{}
			once = append(once, subject)
		}
	}
	return once
}

// isNamed tells whether an object names the user in a role, directly or
// through a group of the object's organization.
func (s *Snapshot) isNamed(role roles, object, organization, user string) bool {
	if _, ok := s.named[naming{role, object, user}]; ok {
		return true
	}
	for _, g := range s.groupsOf[user] {
		if _, ok := s.named[naming{role, object, g}]; ok && s.groups[g].OrganizationID == organization {
			return true
		}
	}
	return false
}

// index enters an object under its slug. The store keeps slugs unique; should
// two differ in case only all the same, neither is found by it: a name that
// could mean two keys must not sign.
func index[T any](m map[slugKey]*T, owner, slug string, object *T) {
	k := slugKey{owner, strings.ToLower(slug)}
	if _, taken := m[k]; taken {
		object = nil
	}
	m[k] = object
}

func lookup[T any](m map[slugKey]*T, owner, slug string) (*T, bool) {
	object := m[slugKey{owner, strings.ToLower(slug)}]
	return object, object != nil
}

// Version is the configuration's version.
func (s *Snapshot) Version() uint64 { return s.version }

// Organization finds an organization by its ID (a lower-case UUID).
func (s *Snapshot) Organization(id string) (*model.Organization, bool) {
	o, ok := s.organizations[id]
	return o, ok
}

// Token finds a token by the SHA-256 of its text, with its user and
// organization, whether they are active or not. Looking up a hash of 256 random
// bits tells an attacker who measures time nothing about the tokens that exist.
func (s *Snapshot) Token(hash [32]byte) (Principal, bool) {
	t, ok := s.tokens[hash]
	if !ok || subtle.ConstantTimeCompare(t.Hash[:], hash[:]) != 1 {
		return Principal{}, false
	}
	u, ok := s.users[t.UserID]
	if !ok || u.OrganizationID != t.OrganizationID {
		return Principal{}, false
	}
	o, ok := s.organizations[t.OrganizationID]
	if !ok {
		return Principal{}, false
	}
	return Principal{Organization: *o, User: *u, Token: *t}, true
}

// Project finds a project of an organization by its slug.
func (s *Snapshot) Project(organizationID, slug string) (*model.Project, bool) {
	return lookup(s.projects, organizationID, slug)
}

// ProjectByID finds the project that another object names.
func (s *Snapshot) ProjectByID(id string) (*model.Project, bool) {
	p, ok := s.projectsByID[id]
	return p, ok
}

// SigningPolicy finds a policy of a project by its slug.
func (s *Snapshot) SigningPolicy(projectID, slug string) (*model.SigningPolicy, bool) {
	return lookup(s.policies, projectID, slug)
}

// ArtifactConfiguration finds an artifact configuration of a project by its
// slug; the empty slug is the project's default one.
func (s *Snapshot) ArtifactConfiguration(projectID, slug string) (*model.ArtifactConfiguration, bool) {
	if slug == "" {
		a, ok := s.defaults[projectID]
		return a, ok
	}
	return lookup(s.artifacts, projectID, slug)
}

// Certificate finds the certificate of a policy, which must belong to the same organization.
func (s *Snapshot) Certificate(p *model.SigningPolicy) (*model.Certificate, bool) {
	c, ok := s.certificates[p.CertificateID]
	if !ok || c.OrganizationID != p.OrganizationID {
		return nil, false
	}
	return c, true
}

// Key finds the key of a certificate, which must belong to the same organization.
func (s *Snapshot) Key(c *model.Certificate) (*model.Key, bool) {
	k, ok := s.keys[c.KeyID]
	if !ok || k.OrganizationID != c.OrganizationID {
		return nil, false
	}
	return k, true
}

// Keys gives every key of every organization, in no order.
func (s *Snapshot) Keys() iter.Seq[*model.Key] { return maps.Values(s.keys) }

// User finds a user of an organization by ID.
func (s *Snapshot) User(organizationID, id string) (*model.User, bool) {
	u, ok := s.users[id]
	if !ok || u.OrganizationID != organizationID {
		return nil, false
	}
	return u, true
}

// UserGroup finds a group of an organization by ID.
func (s *Snapshot) UserGroup(organizationID, id string) (*model.UserGroup, bool) {
	g, ok := s.groups[id]
	if !ok || g.OrganizationID != organizationID {
		return nil, false
	}
	return g, true
}

// Submittable lists the policies that name a user as submitter, directly or
// through a group, active or not, in the order of the configuration.
func (s *Snapshot) Submittable(userID string) []*model.SigningPolicy {
	at := s.submittable[userID]
	for _, g := range s.groupsOf[userID] {
		if more := s.submittable[g]; len(more) > 0 {
			at = append(slices.Clip(at), more...)
		}
	}
	if len(at) > len(s.submittable[userID]) {
		slices.Sort(at)
		at = slices.Compact(at)
	}
	list := make([]*model.SigningPolicy, len(at))
	for i, n := range at {
		list[i] = &s.ordered[n]
	}
	return list
}

// CanSubmit decides whether the principal may sign with a policy: the user is
// active, of the policy's organization, and one of its submitters, directly or through a group. No role
// stands in for that: administrators do not sign (SignPath documentation,
// "Roles and permissions").
func (s *Snapshot) CanSubmit(p *Principal, policy *model.SigningPolicy) bool {
	if policy == nil || s.policiesByID[policy.ID] != policy {
		return false
	}
	return Can(s, p, Submit, Resource{Policy: policy})
}
