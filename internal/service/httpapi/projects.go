package httpapi

import (
	"net/http"
	"time"

	"signpath/internal/service/admin"
	"signpath/internal/service/authz"
	"signpath/internal/service/model"
)

// projectRoutes are the routes of the organization and its projects.
func projectRoutes(a *api, org string) []route {
	projects, project := org+"/Projects", org+"/Projects/{projectSlug}"
	configuration := project + "/ArtifactConfigurations/{artifactConfigurationSlug}"
	return []route{
		{method: "GET", pattern: org + "/Organization", access: tokenFor, handler: a.organization},
		{method: "POST", pattern: org + "/Organization/Edit", access: tokenFor, handler: a.editOrganization},
		{method: "GET", pattern: org + "/Organization/Quota", access: tokenFor, handler: a.quota},
		{method: "GET", pattern: projects, access: tokenFor, handler: a.projects},
		{method: "POST", pattern: projects, access: tokenFor, handler: a.createProject},
		{method: "GET", pattern: project, access: tokenFor, handler: a.project},
		{method: "POST", pattern: project + "/Edit", access: tokenFor, handler: a.editProject},
		{method: "GET", pattern: project + "/ArtifactConfigurations", access: tokenFor, handler: a.artifactConfigurations},
		{method: "POST", pattern: project + "/ArtifactConfigurations", access: tokenFor, handler: a.createArtifactConfiguration},
		{method: "GET", pattern: configuration, access: tokenFor, handler: a.artifactConfiguration},
		{method: "POST", pattern: configuration + "/Edit", access: tokenFor, handler: a.editArtifactConfiguration},
		{method: "POST", pattern: project + "/SetDefaultArtifactConfiguration", access: tokenFor, handler: a.setDefaultArtifactConfiguration},
		{method: "GET", pattern: project + "/SigningPolicies", access: tokenFor, handler: a.projectPolicies},
		{method: "POST", pattern: project + "/SigningPolicies", access: tokenFor, handler: a.createPolicy},
		{method: "POST", pattern: project + "/SigningPolicies/{signingPolicySlug}/Edit", access: tokenFor, handler: a.editPolicy},
	}
}

type organizationAnswer struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	IsActive bool      `json:"isActive"`
	Created  time.Time `json:"created"`
	// Days that finished signing requests are kept; 0: without end.
	DocumentRetentionDays int `json:"documentRetentionDays"`
	RequestRetentionDays  int `json:"requestRetentionDays"`
	// Quotas, as the operator of the service has set them; absent: no limit.
	MaxUsers        int `json:"maxUsers,omitempty"`
	MaxProjects     int `json:"maxProjects,omitempty"`
	MaxCertificates int `json:"maxCertificates,omitempty"`
}

func showOrganization(o admin.Organization) organizationAnswer {
	return organizationAnswer{
		ID: o.ID, Name: o.Name, IsActive: o.Active, Created: o.Created,
		DocumentRetentionDays: o.DocumentRetentionDays, RequestRetentionDays: o.RequestRetentionDays,
		MaxUsers: o.MaxUsers, MaxProjects: o.MaxProjects, MaxCertificates: o.MaxCertificates,
	}
}

func (a *api) organization(x *exchange) error {
	o := x.principal.Organization
	return x.json(http.StatusOK, organizationAnswer{
		ID: o.ID, Name: o.Name, IsActive: o.Active, Created: o.Created,
		DocumentRetentionDays: o.DocumentRetentionDays, RequestRetentionDays: o.RequestRetentionDays,
		MaxUsers: o.MaxUsers, MaxProjects: o.MaxProjects, MaxCertificates: o.MaxCertificates,
	})
}

func (a *api) editOrganization(x *exchange) error {
	var r struct {
		Name                                        *string
		DocumentRetentionDays, RequestRetentionDays *int
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	var out admin.Organization
	input := admin.OrganizationEdit{OrganizationReference: x.org(), Name: r.Name, DocumentDays: r.DocumentRetentionDays, RequestDays: r.RequestRetentionDays}
	if err := a.administer(x, organization(authz.ManageOrganization), "organization.edit", input, &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, showOrganization(out))
}

// quotaAnswer tells the quota of signatures (SignPath changelog: its names).
type quotaAnswer struct {
	YearlyMaxNumberOfIndividualSignatures *int      `json:"yearlyMaxNumberOfIndividualSignatures"` // null: no limit
	Used                                  int       `json:"usedNumberOfIndividualSignatures"`
	QuotaPeriodStart                      time.Time `json:"quotaPeriodStart"`
	QuotaPeriodEnd                        time.Time `json:"quotaPeriodEnd"`
}

func (a *api) quota(x *exchange) error {
	var out admin.Quota
	if err := a.administer(x, organization(authz.ReadConfiguration), "organization.quota", x.org(), &out); err != nil {
		return err
	}
	answer := quotaAnswer{Used: out.Used, QuotaPeriodStart: out.PeriodStart, QuotaPeriodEnd: out.PeriodEnd}
	if out.YearlySignatures > 0 {
		answer.YearlyMaxNumberOfIndividualSignatures = &out.YearlySignatures
	}
	return x.json(http.StatusOK, answer)
}

type projectAnswer struct {
	ID            string          `json:"id"`
	Slug          string          `json:"slug"`
	Name          string          `json:"name"`
	Description   string          `json:"description"`
	RepositoryURL string          `json:"repositoryUrl"`
	Readers       []subjectAnswer `json:"readers"`
	Configurators []subjectAnswer `json:"configurators"`
	IsActive      bool            `json:"isActive"`
	Created       time.Time       `json:"created"`
}

func showProject(p admin.Project) projectAnswer {
	return projectAnswer{
		ID: p.ID, Slug: p.Slug, Name: p.Name, Description: p.Description, RepositoryURL: p.RepositoryURL,
		Readers: showSubjects(p.Readers), Configurators: showSubjects(p.Configurators), IsActive: p.Active, Created: p.Created,
	}
}

// findProject finds the project that the path names.
func (x *exchange) findProject(s *authz.Snapshot) (*model.Project, error) {
	slug := x.params["projectSlug"]
	p, ok := s.Project(x.organizationID, slug)
	if !ok {
		return nil, forbidden("The organization has no project '%s', or you may not see it.", clipped(slug))
	}
	return p, nil
}

// onProject is the check for actions on the project that the path names.
func (x *exchange) onProject(action authz.Action) check {
	return func(s *authz.Snapshot, p *authz.Principal) error {
		project, err := x.findProject(s)
		if err != nil {
			return err
		}
		return permit(s, p, action, authz.Resource{Project: project})
	}
}

func (x *exchange) projectReference() admin.ProjectFilter {
	return admin.ProjectFilter{OrganizationReference: x.org(), Project: x.params["projectSlug"]}
}

func (a *api) projects(x *exchange) error {
	list, err := x.list()
	if err != nil {
		return err
	}
	var out admin.Projects
	if err := a.administer(x, organization(authz.ReadConfiguration), "project.list", list, &out); err != nil {
		return err
	}
	return x.compressibleJSON(http.StatusOK, listOf(out.Items, out.Next, showProject))
}

func (a *api) createProject(x *exchange) error {
	var r struct {
		Slug, Name, Description, RepositoryURL string
		Readers, Configurators                 []string
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	var out admin.Project
	input := admin.NewProject{
		OrganizationReference: x.org(), Slug: r.Slug, Name: r.Name, Description: r.Description, RepositoryURL: r.RepositoryURL,
		Readers: r.Readers, Configurators: r.Configurators,
	}
	if err := a.administer(x, organization(authz.ManageProjects), "project.create", input, &out); err != nil {
		return err
	}
	return a.createdAt(x, "Projects/"+out.Slug, showProject(out))
}

func (a *api) project(x *exchange) error {
	return a.projectOperation(x, authz.ReadConfiguration, "project.show", x.projectReference())
}

func (a *api) editProject(x *exchange) error {
	var r struct {
		Name, Description, RepositoryURL *string
		Readers, Configurators           *[]string
		IsActive                         *bool
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	return a.projectOperation(x, authz.ManageProjects, "project.edit", admin.ProjectEdit{
		OrganizationReference: x.org(), Project: x.params["projectSlug"], Name: r.Name, Description: r.Description, RepositoryURL: r.RepositoryURL,
		Readers: r.Readers, Configurators: r.Configurators, Active: r.IsActive,
	})
}

func (a *api) projectOperation(x *exchange, action authz.Action, operation string, input any) error {
	var out admin.Project
	if err := a.administer(x, x.onProject(action), operation, input, &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, showProject(out))
}

type artifactConfigurationAnswer struct {
	ID        string    `json:"id"`
	Slug      string    `json:"slug"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	IsDefault bool      `json:"isDefault"`
	IsActive  bool      `json:"isActive"`
	Created   time.Time `json:"created"`
}

func showArtifactConfiguration(c admin.ArtifactConfiguration) artifactConfigurationAnswer {
	return artifactConfigurationAnswer{ID: c.ID, Slug: c.Slug, Name: c.Name, Type: c.Type, IsDefault: c.Default, IsActive: c.Active, Created: c.Created}
}

// onArtifactConfiguration is onProject for an artifact configuration in it.
func (x *exchange) onArtifactConfiguration(action authz.Action) check {
	return func(s *authz.Snapshot, p *authz.Principal) error {
		project, err := x.findProject(s)
		if err != nil {
			return err
		}
		slug := x.params["artifactConfigurationSlug"]
		if _, ok := s.ArtifactConfiguration(project.ID, slug); !ok || slug == "" {
			return forbidden("Project '%s' has no artifact configuration '%s', or you may not see it.", project.Slug, clipped(slug))
		}
		return permit(s, p, action, authz.Resource{Project: project})
	}
}

func (a *api) artifactConfigurations(x *exchange) error {
	list, err := x.listOfProject()
	if err != nil {
		return err
	}
	var out admin.ArtifactConfigurations
	if err := a.administer(x, x.onProject(authz.ReadConfiguration), "artifact-configuration.list", list, &out); err != nil {
		return err
	}
	return x.compressibleJSON(http.StatusOK, listOf(out.Items, out.Next, showArtifactConfiguration))
}

func (a *api) createArtifactConfiguration(x *exchange) error {
	var r struct {
		Slug, Name, Type string
		IsDefault        bool
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	var out admin.ArtifactConfiguration
	input := admin.NewArtifactConfiguration{OrganizationReference: x.org(), Project: x.params["projectSlug"], Slug: r.Slug, Name: r.Name, Type: r.Type, Default: r.IsDefault}
	if err := a.administer(x, x.onProject(authz.EditArtifactConfigurations), "artifact-configuration.create", input, &out); err != nil {
		return err
	}
	return a.createdAt(x, "Projects/"+out.Project+"/ArtifactConfigurations/"+out.Slug, showArtifactConfiguration(out))
}

func (x *exchange) artifactConfigurationReference(slug string) admin.ArtifactConfigurationReference {
	return admin.ArtifactConfigurationReference{OrganizationReference: x.org(), Project: x.params["projectSlug"], ArtifactConfiguration: slug}
}

func (a *api) artifactConfiguration(x *exchange) error {
	if err := a.allowed(x, x.onArtifactConfiguration(authz.ReadConfiguration)); err != nil {
		return err
	}
	project, err := x.findProject(x.snapshot)
	if err != nil {
		return err
	}
	c, _ := x.snapshot.ArtifactConfiguration(project.ID, x.params["artifactConfigurationSlug"])
	return x.json(http.StatusOK, artifactConfigurationAnswer{ID: c.ID, Slug: c.Slug, Name: c.Name, Type: c.Type, IsDefault: c.Default, IsActive: c.Active, Created: c.Created})
}

func (a *api) editArtifactConfiguration(x *exchange) error {
	var r struct {
		Name     *string
		IsActive *bool
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	var out admin.ArtifactConfiguration
	input := admin.ArtifactConfigurationEdit{ArtifactConfigurationReference: x.artifactConfigurationReference(x.params["artifactConfigurationSlug"]), Name: r.Name, Active: r.IsActive}
	if err := a.administer(x, x.onArtifactConfiguration(authz.EditArtifactConfigurations), "artifact-configuration.edit", input, &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, showArtifactConfiguration(out))
}

func (a *api) setDefaultArtifactConfiguration(x *exchange) error {
	var r struct{ ArtifactConfigurationSlug string }
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	if r.ArtifactConfigurationSlug == "" {
		return missing("ArtifactConfigurationSlug", "it names the artifact configuration that becomes the default")
	}
	var out admin.ArtifactConfiguration
	if err := a.administer(x, x.onProject(authz.EditArtifactConfigurations), "artifact-configuration.set-default", x.artifactConfigurationReference(r.ArtifactConfigurationSlug), &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, showArtifactConfiguration(out))
}

func showPolicy(p admin.Policy) policyAnswer {
	return policyAnswer{
		SigningPolicyID: p.ID, SigningPolicySlug: p.Slug, SigningPolicyName: p.Name,
		ProjectID: p.ProjectID, ProjectSlug: p.Project, ProjectName: p.ProjectName,
		CertificateID: p.CertificateID, CertificateSlug: p.Certificate, CertificateName: p.CertificateName,
		RequiredApprovals: p.RequiredApprovals, RequiresTrustedBuildSystem: p.RequiresTBS,
		HashAlgorithms: p.Hashes, IsActive: p.Active && p.ProjectActive,
		Submitters: showSubjects(p.Named.Submitters), Approvers: showSubjects(p.Named.Approvers),
	}
}

func (a *api) projectPolicies(x *exchange) error {
	list, err := x.listOfProject()
	if err != nil {
		return err
	}
	var out admin.Policies
	if err := a.administer(x, x.onProject(authz.ReadConfiguration), "policy.list", list, &out); err != nil {
		return err
	}
	return x.compressibleJSON(http.StatusOK, listOf(out.Items, out.Next, showPolicy))
}

func (a *api) createPolicy(x *exchange) error {
	var r struct {
		Slug, Name, CertificateSlug string
		Submitters, Approvers       []string
		RequiredApprovals           int
		RequiresTrustedBuildSystem  bool
		HashAlgorithms              []string
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	var out admin.Policy
	input := admin.NewPolicy{
		OrganizationReference: x.org(), Project: x.params["projectSlug"], Slug: r.Slug, Name: r.Name, Certificate: r.CertificateSlug,
		Submitters: r.Submitters, Approvers: r.Approvers, RequiredApprovals: r.RequiredApprovals, RequiresTBS: r.RequiresTrustedBuildSystem, Hashes: r.HashAlgorithms,
	}
	if err := a.administer(x, x.onProject(authz.ManageProjects), "policy.create", input, &out); err != nil {
		return err
	}
	return a.createdAt(x, "Projects/"+out.Project+"/SigningPolicies/"+out.Slug, showPolicy(out))
}

func (a *api) editPolicy(x *exchange) error {
	var r struct {
		Name, CertificateSlug      *string
		Submitters, Approvers      *[]string
		RequiredApprovals          *int
		RequiresTrustedBuildSystem *bool
		HashAlgorithms             *[]string
		IsActive                   *bool
	}
	if err := x.readJSON(&r, false); err != nil {
		return err
	}
	allowed := func(s *authz.Snapshot, p *authz.Principal) error {
		project, err := x.findProject(s)
		if err != nil {
			return err
		}
		slug := x.params["signingPolicySlug"]
		policy, ok := s.SigningPolicy(project.ID, slug)
		if !ok {
			return forbidden("Project '%s' has no signing policy '%s', or you may not see it.", project.Slug, clipped(slug))
		}
		return permit(s, p, authz.ManageProjects, authz.Resource{Project: project, Policy: policy})
	}
	var out admin.Policy
	input := admin.PolicyEdit{
		PolicyReference: admin.PolicyReference{OrganizationReference: x.org(), Project: x.params["projectSlug"], Policy: x.params["signingPolicySlug"]},
		Name:            r.Name, Certificate: r.CertificateSlug, Submitters: r.Submitters, Approvers: r.Approvers,
		RequiredApprovals: r.RequiredApprovals, RequiresTBS: r.RequiresTrustedBuildSystem, Hashes: r.HashAlgorithms, Active: r.IsActive,
	}
	if err := a.administer(x, allowed, "policy.edit", input, &out); err != nil {
		return err
	}
	return x.json(http.StatusOK, showPolicy(out))
}
