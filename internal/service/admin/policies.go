package admin

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// Policy is a signing policy as an operator sees it.
type Policy struct {
	ID                string    `json:"id"`
	OrganizationID    string    `json:"organizationId"`
	Project           string    `json:"project"` // slug
	Slug              string    `json:"slug"`
	Name              string    `json:"name"`
	Certificate       string    `json:"certificate"` // slug
	Submitters        []string  `json:"submitters"`  // names, groups with "group:" before
	Approvers         []string  `json:"approvers"`   // likewise
	RequiredApprovals int       `json:"requiredApprovals"`
	RequiresTBS       bool      `json:"requiresTrustedBuildSystem"`
	Hashes            []string  `json:"hashes"` // digest algorithms that are allowed
	Active            bool      `json:"active"`
	Created           time.Time `json:"created"`
	Named             Named     `json:"named"`
	ProjectID         string    `json:"projectId"`
	ProjectName       string    `json:"projectName"`
	CertificateID     string    `json:"certificateId"`
	CertificateName   string    `json:"certificateName"`
	ProjectActive     bool      `json:"projectActive"`
	Warnings          []string  `json:"warnings,omitempty"` // what may surprise the person who made or changed it
}

// Named are the users and groups that a policy names, with their identifiers.
type Named struct {
	Submitters []Subject `json:"submitters"`
	Approvers  []Subject `json:"approvers"`
}

// Key is the name that signing tools use: "project/policy".
func (p Policy) Key() string { return p.Project + "/" + p.Slug }

func (v *view) showPolicy(p *model.SigningPolicy) Policy {
	out := Policy{
		ID: p.ID, OrganizationID: p.OrganizationID, Slug: p.Slug, Name: p.Name,
		Named:             Named{Submitters: v.showSubjects(p.Submitters), Approvers: v.showSubjects(p.Approvers)},
		RequiredApprovals: p.RequiredApprovals, RequiresTBS: p.RequiresTrustedBuildSystem, Hashes: []string{}, Active: p.Active, Created: p.Created,
	}
	if project := v.projectByID(p.ProjectID); project != nil {
		out.Project, out.ProjectID, out.ProjectName, out.ProjectActive = project.Slug, project.ID, project.Name, project.Active
	}
	if c := v.certificateByID(p.CertificateID); c != nil {
		out.Certificate, out.CertificateID, out.CertificateName = c.Slug, c.ID, c.Name
	}
	out.Submitters, out.Approvers = references(out.Named.Submitters), references(out.Named.Approvers)
	for _, h := range p.Hashes {
		out.Hashes = append(out.Hashes, h.String())
	}
	return out
}

// policyWarnings tells what works but may surprise.
func policyWarnings(p Policy) []string {
	var out []string
	if n := len(p.Key()); n > maxKeyName {
		out = append(out, fmt.Sprintf("The key name %q has %d bytes. Tools that use libp11 cannot carry more than %d; they will not find this key.", p.Key(), n, maxKeyName))
	}
	if len(p.Submitters) == 0 {
		out = append(out, "Nobody can sign under the policy: it has no submitters. Add users or groups that may.")
	}
	if p.RequiredApprovals > 0 {
		out = append(out, "The policy demands approvals: signing tools, whose fast requests cannot wait, are refused; asynchronous requests wait.")
	}
	if slices.Contains(p.Hashes, wire.MD5.String()) {
		out = append(out, "The policy allows MD5, which is broken: whoever can submit can also make two files with one signature.")
	}
	return out
}

// NewPolicy is the input of policy.create.
type NewPolicy struct {
	OrganizationReference
	Project           string   `json:"project"` // slug
	Slug              string   `json:"slug"`
	Name              string   `json:"name,omitempty"`       // default: the slug
	Certificate       string   `json:"certificate"`          // slug
	Submitters        []string `json:"submitters,omitempty"` // users and groups, names or identifiers
	Approvers         []string `json:"approvers,omitempty"`  // likewise
	RequiresTBS       bool     `json:"requiresTrustedBuildSystem,omitempty"`
	RequiredApprovals int      `json:"requiredApprovals,omitempty"`
	Hashes            []string `json:"hashes,omitzero"` // default: SHA-1 and SHA-2
}

// CreatePolicy adds a signing policy to a project.
func (s *Service) CreatePolicy(ctx context.Context, call Call, request NewPolicy) (Policy, error) {
	var out Policy
	var unusable []string
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		project := t.project(in, "project", org, request.Project)
		p := model.SigningPolicy{ID: newID(), Active: true, Created: t.now, RequiredApprovals: request.RequiredApprovals, RequiresTrustedBuildSystem: request.RequiresTBS, Hashes: defaultHashes()}
		p.Slug = in.slug("slug", request.Slug)
		p.Name = p.Slug
		if strings.TrimSpace(request.Name) != "" {
			p.Name = in.name("name", request.Name)
		}
		p.CertificateID = t.usableCertificate(in, org, request.Certificate)
		p.Submitters = t.addSubjects(in, "submitters", org, nil, request.Submitters)
		p.Approvers = t.addSubjects(in, "approvers", org, nil, request.Approvers)
		in.approvals("requiredApprovals", request.RequiredApprovals)
		if request.Hashes != nil {
			p.Hashes = in.hashes("hashes", request.Hashes)
			if len(request.Hashes) == 0 {
				in.fail("hashes", noHashes)
			}
		}
		t.restriction(in, &p)
		if project != nil && t.policyBySlug(project.ID, p.Slug) != nil {
			in.fail("slug", "Project %q has a signing policy %q already.", project.Slug, p.Slug)
		}
		if err := in.err(); err != nil {
			return err
		}
		p.OrganizationID, p.ProjectID = org.ID, project.ID
		out, unusable = t.showPolicy(&p), t.certificateWarnings(&p, t.now)
		if err := t.PutSigningPolicy(p); err != nil {
			return err
		}
		return t.record("SigningPolicy.Created", org.ID, changeData{After: out})
	})
	out.Warnings = append(policyWarnings(out), unusable...)
	return out, err
}

// certificateWarnings tells why the certificate of a policy cannot sign now,
// though it may later.
func (v *view) certificateWarnings(p *model.SigningPolicy, now time.Time) []string {
	c := v.certificateByID(p.CertificateID)
	if c == nil {
		return nil
	}
	switch stateOf(c, v.keyByID(c.KeyID), now) {
	case StateNotIssued:
		return []string{fmt.Sprintf("The certificate %q is not issued yet; nothing is signed until what its authority issued is uploaded.", c.Slug)}
	case StateNotYetValid:
		return []string{fmt.Sprintf("The certificate %q is not valid before %s; nothing is signed until then.", c.Slug, c.NotBefore.Format(time.RFC3339))}
	case StateExpired:
		return []string{fmt.Sprintf("The certificate %q expired on %s; nothing is signed with it.", c.Slug, c.NotAfter.Format(time.RFC3339))}
	}
	return nil
}

// usableCertificate finds a certificate that can sign, and gives its identifier.
func (v *view) usableCertificate(in *input, org *model.Organization, ref string) string {
	c := v.certificate(in, "certificate", org, ref)
	if c == nil {
		return ""
	}
	if !c.Active {
		in.fail("certificate", "Certificate %q is deactivated.", c.Slug)
	}
	if k := v.keyByID(c.KeyID); k == nil || k.Deleted {
		in.fail("certificate", "The private key of certificate %q is deleted.", c.Slug)
	}
	return c.ID
}

// PolicyReference names a signing policy.
type PolicyReference struct {
	OrganizationReference
	Project string `json:"project,omitempty"` // slug
	Policy  string `json:"policy,omitempty"`  // slug
}

// Policies is a list of signing policies.
type Policies struct {
	Items []Policy `json:"items"`
	Next
}

// ProjectFilter is the input of policy.list.
type ProjectFilter struct {
	OrganizationReference
	Paging
	Project string `json:"project,omitempty"` // slug; empty: of every project
}

// ListPolicies lists signing policies.
func (s *Service) ListPolicies(ctx context.Context, _ Call, request ProjectFilter) (Policies, error) {
	out := Policies{Items: []Policy{}}
	v, err := s.read(ctx)
	if err != nil {
		return out, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	var project *model.Project
	if request.Project != "" {
		project = v.project(in, "project", org, request.Project)
	}
	if err := in.err(); err != nil {
		return out, err
	}
	found, next := page(in, request.Paging, v.cfg.SigningPolicies,
		func(p *model.SigningPolicy) (time.Time, string) { return p.Created, p.ID },
		func(p *model.SigningPolicy) bool {
			return p.OrganizationID == org.ID && (project == nil || project.ID == p.ProjectID)
		})
	for _, p := range found {
		out.Items = append(out.Items, v.showPolicy(p))
	}
	out.Next = next
	return out, in.err()
}

// noHashes refuses an empty list of digest algorithms.
const noHashes = "At least one digest algorithm must be allowed; deactivate the policy to refuse everything."

// PolicyEdit is the input of policy.edit: absent members leave things as they are.
type PolicyEdit struct {
	PolicyReference
	Name              *string   `json:"name,omitempty"`
	Certificate       *string   `json:"certificate,omitempty"`
	Submitters        *[]string `json:"submitters,omitempty"` // users and groups, all of them
	AddSubmitters     []string  `json:"addSubmitters,omitempty"`
	RemoveSubmitters  []string  `json:"removeSubmitters,omitempty"`
	Approvers         *[]string `json:"approvers,omitempty"` // users and groups, all of them
	AddApprovers      []string  `json:"addApprovers,omitempty"`
	RemoveApprovers   []string  `json:"removeApprovers,omitempty"`
	RequiredApprovals *int      `json:"requiredApprovals,omitempty"`
	RequiresTBS       *bool     `json:"requiresTrustedBuildSystem,omitempty"`
	Hashes            *[]string `json:"hashes,omitempty"` // all of them
	AllowMD5          *bool     `json:"allowMd5,omitempty"`
	Active            *bool     `json:"active,omitempty"`
}

// EditPolicy changes a signing policy.
func (s *Service) EditPolicy(ctx context.Context, call Call, request PolicyEdit) (Policy, error) {
	var out Policy
	var unusable []string
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org := t.organization(in, request.Organization)
		project := t.project(in, "project", org, request.Project)
		if project == nil {
			return in.err()
		}
		p := t.policyBySlug(project.ID, request.Policy)
		if p == nil {
			in.fail("policy", "Project %q has no signing policy %q.", project.Slug, clip(request.Policy))
			return in.err()
		}
		changed := t.editedPolicy(in, org, *p, request)
		if err := in.err(); err != nil {
			return err
		}
		before := t.showPolicy(p)
		out, unusable = t.showPolicy(&changed), t.certificateWarnings(&changed, t.now)
		if reflect.DeepEqual(before, out) {
			return nil
		}
		if err := t.PutSigningPolicy(changed); err != nil {
			return err
		}
		return t.record(policyEvent(before, out), org.ID, changeData{before, out})
	})
	out.Warnings = append(policyWarnings(out), unusable...)
	return out, err
}

// editedPolicy applies the members that are there. It never writes into the
// slices of p, which belong to the immutable configuration.
func (v *view) editedPolicy(in *input, org *model.Organization, p model.SigningPolicy, request PolicyEdit) model.SigningPolicy {
	if request.Name != nil {
		p.Name = in.name("name", *request.Name)
	}
	if request.Certificate != nil {
		p.CertificateID = v.usableCertificate(in, org, *request.Certificate)
	}
	p.Submitters = subjectEdit{"submitters", "submitter of this policy", request.Submitters, request.AddSubmitters, request.RemoveSubmitters}.apply(v, in, org, p.Submitters)
	p.Approvers = subjectEdit{"approvers", "approver of this policy", request.Approvers, request.AddApprovers, request.RemoveApprovers}.apply(v, in, org, p.Approvers)
	if request.RequiresTBS != nil {
		p.RequiresTrustedBuildSystem = *request.RequiresTBS
	}
	if request.RequiredApprovals != nil {
		in.approvals("requiredApprovals", *request.RequiredApprovals)
		p.RequiredApprovals = *request.RequiredApprovals
	}
	if request.Hashes != nil {
		p.Hashes = in.hashes("hashes", *request.Hashes)
		if len(*request.Hashes) == 0 {
			in.fail("hashes", noHashes)
		}
	}
	if request.AllowMD5 != nil {
		hashes := slices.DeleteFunc(slices.Clone(p.Hashes), func(h wire.Hash) bool { return h == wire.MD5 })
		if *request.AllowMD5 {
			hashes = append(hashes, wire.MD5)
		}
		p.Hashes = sorted(hashes)
	}
	if request.Active != nil {
		p.Active = *request.Active
	}
	if request.Certificate != nil || request.RequiredApprovals != nil {
		v.restriction(in, &p)
	}
	return p
}

// restriction holds a policy against what its certificate demands.
func (v *view) restriction(in *input, p *model.SigningPolicy) {
	if c := v.certificateByID(p.CertificateID); c != nil && c.RequiresApproval && p.RequiredApprovals == 0 {
		in.fail("requiredApprovals", "The certificate %q may be used by signing policies with approval only; require at least one.", c.Slug)
	}
}

// policyEvent is the audit type of an edit: switching on or off alone has its own.
func policyEvent(before, after Policy) string {
	active := after.Active
	if before.Active != active {
		after.Active = before.Active
		if reflect.DeepEqual(before, after) {
			return activity("SigningPolicy", active)
		}
	}
	return "SigningPolicy.Changed"
}
