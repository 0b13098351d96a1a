// Package model holds the objects of the signing service as plain values: what
// the store keeps, what the snapshot is made of, what an administrator edits.
// It has no behaviour beyond naming and imports nothing of ours but wire.
//
// Every ID is a lower-case UUID. Times are UTC with millisecond precision; the
// zero time means "never" or "not set".
package model

import (
	"time"

	"signpath/internal/wire"
)

// Organization owns everything below it; nothing is visible across organizations.
type Organization struct {
	ID      string
	Name    string
	Active  bool
	Created time.Time
	// YearlySignatures is how many signatures the organization may have made in
	// one year, counted from the day and time of year of QuotaStart; 0: no limit.
	YearlySignatures int
	QuotaStart       time.Time
	// Days that documents of finished signing requests are kept, and the requests
	// themselves; 0: without end.
	DocumentRetentionDays int
	RequestRetentionDays  int
	// How many people (CI users do not count), projects and certificates the
	// organization may have; 0: no limit.
	MaxUsers, MaxProjects, MaxCertificates int
}

// DefaultDocumentRetentionDays is what a new organization begins with (SignPath
// changelog: artifacts are kept for 31 days).
const DefaultDocumentRetentionDays = 31

// UserKind tells people from build machines.
type UserKind string

// The kinds of users.
const (
	CIUser          UserKind = "CiUser"
	InteractiveUser UserKind = "InteractiveUser"
)

// Role is a global role of a user (spec: server, roles and rights).
type Role string

// The global roles.
const (
	GlobalAdministrator      Role = "GlobalAdministrator"
	CertificateAdministrator Role = "CertificateAdministrator"
	UserAdministrator        Role = "UserAdministrator"
	ProjectAdministrator     Role = "ProjectAdministrator"
	GlobalReader             Role = "GlobalReader"
	// DirectorySynchronizer keeps users and groups in step with a directory.
	DirectorySynchronizer Role = "DirectorySynchronizer"
	// SupportUser may do what a global administrator may, as long as the user is active.
	SupportUser Role = "SupportUser"
)

// Roles are the global roles, in the order of the documentation.
func Roles() []Role {
	return []Role{
		GlobalAdministrator, CertificateAdministrator, UserAdministrator, ProjectAdministrator,
		GlobalReader, DirectorySynchronizer, SupportUser,
	}
}

// User is a principal that holds API tokens.
type User struct {
	ID             string
	OrganizationID string
	Kind           UserKind
	Name           string
	Email          string // interactive users only
	Roles          []Role
	// Synchronized users are kept by a directory, not by hand.
	Synchronized bool
	Active       bool
	Created      time.Time
	// InvitationHash is the SHA-256 of the code of an invitation that waits to be
	// accepted until InvitationExpires; nil: there is none. Interactive users only.
	InvitationHash    []byte
	InvitationExpires time.Time
}

// UserGroup stands wherever a user may stand: as submitter, approver, reader,
// configurator.
type UserGroup struct {
	ID             string
	OrganizationID string
	Name           string
	Members        []string // user IDs
	Synchronized   bool     // kept by a directory, not by hand
	Created        time.Time
}

// Token is an API token. Only its hash is kept.
type Token struct {
	ID             string
	OrganizationID string
	UserID         string
	Name           string
	Hash           [32]byte // SHA-256 of the token's text
	Active         bool
	Created        time.Time
	Expires        time.Time // zero: never
	// Addresses limit where the token may be used from: prefixes in CIDR form,
	// e.g. "192.0.2.0/24" or "2001:db8::1/128"; none: from anywhere.
	Addresses []string
}

// Project groups artifact configurations and signing policies.
type Project struct {
	ID             string
	OrganizationID string
	Slug           string // [A-Za-z0-9._-]{1,100}
	Name           string
	Description    string
	RepositoryURL  string   // of the source code; informative
	Readers        []string // user and group IDs
	Configurators  []string // user and group IDs
	Active         bool
	Created        time.Time
}

// HashSigningData is the artifact configuration type that the crypto providers need.
const HashSigningData = "HashSigningData"

// ArtifactConfiguration says what a project signs.
type ArtifactConfiguration struct {
	ID             string
	OrganizationID string
	ProjectID      string
	Slug           string
	Name           string
	Type           string // HashSigningData is the only type that can sign hashes
	Default        bool   // exactly one per project
	Active         bool
	Created        time.Time
}

// SigningPolicy says who may sign with which certificate, and how.
type SigningPolicy struct {
	ID             string
	OrganizationID string
	ProjectID      string
	Slug           string
	Name           string
	CertificateID  string
	Submitters     []string // user and group IDs
	Approvers      []string // user and group IDs
	// RequiredApprovals above zero refuses fast requests, which cannot wait for them.
	RequiredApprovals          int
	RequiresTrustedBuildSystem bool
	Hashes                     []wire.Hash // digest algorithms allowed; by default SHA-1 and SHA-2, never MD5 unless listed
	Active                     bool
	Created                    time.Time
}

// CreationMethod says how a certificate came about (SignPath documentation, "Managing certificates").
type CreationMethod string

// The creation methods.
const (
	SelfSigned                  CreationMethod = "SelfSigned"                  // key and certificate made by the service; OpenPGP keys too
	CreatedFromCSR              CreationMethod = "Csr"                         // key made by the service, certificate by an authority
	PFXImport                   CreationMethod = "PfxImport"                   // key and certificate came in a PKCS #12 file
	ImportedWithExistingKeyPair CreationMethod = "ImportedWithExistingKeyPair" // the key was in the key store already
)

// Certificate is an X.509 certificate or an OpenPGP key, with the key it belongs to.
type Certificate struct {
	ID             string
	OrganizationID string
	Slug           string
	Name           string
	Type           wire.CertificateType
	Creation       CreationMethod
	KeyID          string
	CSR            []byte    // PKCS #10 request, DER; nil unless an authority is to issue the certificate
	Leaf           []byte    // DER; nil for OpenPGP, and as long as the authority has not issued it
	Chain          [][]byte  // DER, next issuer first, root last; without the leaf
	OpenPGP        []byte    // binary transferable public key (RFC 9580 section 10.1); nil for X.509
	NotBefore      time.Time // outside [NotBefore, NotAfter] nothing is signed
	NotAfter       time.Time // zero: never expires (OpenPGP)
	Active         bool
	Created        time.Time
	// RequiresApproval: every signing policy of the certificate must demand approval.
	RequiresApproval bool
}

// TrustedBuildSystem proves with its token that a request comes from a build
// that it watches. Only the token's hash is kept.
type TrustedBuildSystem struct {
	ID             string
	OrganizationID string
	Name           string
	Projects       []string // IDs of the projects that it is linked to
	TokenHash      [32]byte // SHA-256 of the token's text
	Active         bool
	Created        time.Time
}

// Key is a private key that the service holds. The private part is sealed and
// read from the store by ID only when it is used first.
type Key struct {
	ID             string
	OrganizationID string
	Version        int // starts at 1
	Type           wire.KeyType
	Bits           int    // RSA modulus or curve size
	Public         []byte // SubjectPublicKeyInfo, DER
	Backend        string // "soft", or "hsm:" and the name of a token
	Deleted        bool   // the private part is gone for good
	Created        time.Time
}

// Config is everything an organization's signatures depend on, at one version.
// It is immutable once loaded.
type Config struct {
	Version                uint64 // grows with every committed change
	Organizations          []Organization
	Users                  []User
	UserGroups             []UserGroup
	Tokens                 []Token
	Projects               []Project
	ArtifactConfigurations []ArtifactConfiguration
	SigningPolicies        []SigningPolicy
	Certificates           []Certificate
	Keys                   []Key
	TrustedBuildSystems    []TrustedBuildSystem
}
