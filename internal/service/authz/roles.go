package authz

import (
	"slices"

	"signpath/internal/service/model"
)

// Action is something that a role allows. Every route of the API and every
// page of the user interface that needs more than a token names one.
type Action string

// The actions (SignPath documentation, "Roles and permissions").
const (
	ReadConfiguration          Action = "read configuration and metadata"
	ReadArtifacts              Action = "read artifacts of signing requests"
	ManageCertificates         Action = "manage certificates"
	ManageUsers                Action = "manage users"
	ManageGroups               Action = "manage user groups"
	ManageRoles                Action = "manage the global roles of users"
	ManageOwnTokens            Action = "manage one's own API tokens"
	ManageCITokens             Action = "manage the API tokens of CI users"
	ManageProjects             Action = "create and edit projects and signing policies"
	EditArtifactConfigurations Action = "edit artifact configurations and webhooks"
	ManageTrustedBuildSystems  Action = "manage trusted build systems"
	ManageOrganization         Action = "manage the organization"
	Submit                     Action = "submit signing requests and sign hashes"
	Approve                    Action = "approve or deny signing requests"
	CancelRequest              Action = "cancel signing requests"
	ReadAuditLog               Action = "read the audit log"
)

// roles is a set of columns of the matrix.
type roles uint32

// The columns of the matrix.
const (
	everyone              roles = 1 << iota // every active user of the organization
	globalAdministrator                     // GA
	certificateAdmin                        // CA
	userAdministrator                       // UA
	projectAdministrator                    // PA
	globalReader                            // GR
	directorySynchronizer                   // DS
	supportUser                             // SU: as an administrator, while enabled
	projectConfigurator                     // pC, of the resource's project
	projectReader                           // pR, of the resource's project
	policySubmitter                         // S, of the resource's policy
	policyApprover                          // A, of the resource's policy
	self                                    // the resource is the user who asks
	requester                               // the resource is a request that the user submitted
)

// administrator is whoever may do everything that does not need to be named in
// a project or policy.
const administrator = globalAdministrator | supportUser

// permission is one line of the matrix.
type permission struct {
	action Action
	// always may do it, whatever the resource.
	always roles
	// unsynchronized may do it to users and groups that are kept by hand,
	// synchronized to those that a directory keeps.
	unsynchronized, synchronized roles
}

// The permission matrix: who may do what. It is the only place that says so.
// Administrators are in no line of Submit and Approve: they sign when a policy
// names them, as everybody does.
var matrix = []permission{
	{action: ReadConfiguration, always: everyone},
	{action: ReadArtifacts, always: administrator | projectAdministrator | globalReader | projectConfigurator | projectReader | policySubmitter | policyApprover},
	{action: ManageCertificates, always: administrator | certificateAdmin},
	{action: ManageUsers, always: administrator, unsynchronized: userAdministrator, synchronized: directorySynchronizer},
	{action: ManageGroups, always: administrator, unsynchronized: userAdministrator, synchronized: directorySynchronizer},
	{action: ManageRoles, always: administrator, unsynchronized: userAdministrator},
	{action: ManageProjects, always: administrator | projectAdministrator},
	{action: EditArtifactConfigurations, always: administrator | projectAdministrator | projectConfigurator},
	{action: ManageTrustedBuildSystems, always: administrator},
	{action: ManageOrganization, always: administrator},
	{action: Submit, always: policySubmitter},
	{action: Approve, always: policyApprover},
	{action: CancelRequest, always: administrator | projectAdministrator | requester},
	{action: ReadAuditLog, always: administrator | globalReader},
	// The tokens of a person are for this person alone, so that nobody acts in
	// another one's name; those of CI users belong to whoever administrates them.
	{action: ManageOwnTokens, always: self},
	{action: ManageCITokens, always: administrator, unsynchronized: userAdministrator},
}

// TokenAction is the action on the tokens of a user.
func TokenAction(u *model.User) Action {
	if u.Kind == model.InteractiveUser {
		return ManageOwnTokens
	}
	return ManageCITokens
}

// globalRoles are the columns by the roles that users have.
var globalRoles = map[model.Role]roles{
	model.GlobalAdministrator:      globalAdministrator,
	model.CertificateAdministrator: certificateAdmin,
	model.UserAdministrator:        userAdministrator,
	model.ProjectAdministrator:     projectAdministrator,
	model.GlobalReader:             globalReader,
	model.DirectorySynchronizer:    directorySynchronizer,
	model.SupportUser:              supportUser,
}

// Resource is what an action is done to. Members that an action does not look
// at stay empty: the organization alone is the empty Resource. Objects may come
// from any snapshot; what they grant is read from the deciding one.
type Resource struct {
	Project *model.Project
	Policy  *model.SigningPolicy
	User    *model.User
	// Synchronized tells that the user or group in question is kept by a directory.
	Synchronized bool
	// RequesterID is the user who submitted the signing request in question.
	RequesterID string
}

// Can decides whether the principal may do something: the one question that
// every door asks. Nobody may do anything who is not an active user of an
// active organization, and nothing is allowed to an object of another one.
func Can(s *Snapshot, p *Principal, action Action, on Resource) bool {
	i := slices.IndexFunc(matrix, func(m permission) bool { return m.action == action })
	if i < 0 {
		return false
	}
	return s.rolesOf(p, on)&matrix[i].allowed(on) != 0
}

func (m permission) allowed(on Resource) roles {
	if on.Synchronized {
		return m.always | m.synchronized
	}
	return m.always | m.unsynchronized
}

// rolesOf are the columns that a principal stands in with regard to a resource.
func (s *Snapshot) rolesOf(p *Principal, on Resource) roles {
	if p == nil {
		return 0
	}
	user, ok := s.users[p.User.ID]
	if !ok || !user.Active || user.OrganizationID != p.Organization.ID {
		return 0
	}
	if org, ok := s.organizations[user.OrganizationID]; !ok || !org.Active {
		return 0
	}
	for _, owner := range []string{on.ownerOfProject(), on.ownerOfPolicy(), on.ownerOfUser()} {
		if owner != "" && owner != user.OrganizationID {
			return 0
		}
	}
	set := everyone
	for _, r := range user.Roles {
		set |= globalRoles[r]
	}
	projectID, policyID := s.objectsOf(on)
	for _, c := range []struct {
		role   roles
		object string
	}{{projectConfigurator, projectID}, {projectReader, projectID}, {policySubmitter, policyID}, {policyApprover, policyID}} {
		if c.object != "" && s.isNamed(c.role, c.object, user.OrganizationID, user.ID) {
			set |= c.role
		}
	}
	if on.User != nil && on.User.ID == user.ID {
		set |= self
	}
	if on.RequesterID == user.ID {
		set |= requester
	}
	return set
}

// objectsOf are the IDs of the project and policy that name people.
func (s *Snapshot) objectsOf(on Resource) (projectID, policyID string) {
	if on.Policy != nil {
		projectID, policyID = on.Policy.ProjectID, on.Policy.ID
	}
	if on.Project != nil {
		projectID = on.Project.ID
	}
	return projectID, policyID
}

func (r Resource) ownerOfProject() string {
	if r.Project == nil {
		return ""
	}
	return r.Project.OrganizationID
}

func (r Resource) ownerOfPolicy() string {
	if r.Policy == nil {
		return ""
	}
	return r.Policy.OrganizationID
}

func (r Resource) ownerOfUser() string {
	if r.User == nil {
		return ""
	}
	return r.User.OrganizationID
}
