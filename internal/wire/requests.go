package wire

import "time"

// SubmitAnswer is the answer to an asynchronous submission (201).
type SubmitAnswer struct {
	SigningRequestID string `json:"signingRequestId"`
	UploadLink       string `json:"uploadLink,omitempty"` // SubmitWithoutArtifact only
	WebLink          string `json:"webLink"`
}

// StatusAnswer is the answer of GET SigningRequests/{id}/Status.
type StatusAnswer struct {
	SigningRequestID string `json:"signingRequestId"`
	Status           string `json:"status"`
	WorkflowStatus   string `json:"workflowStatus"`
	IsFinalStatus    bool   `json:"isFinalStatus"`
}

// SigningRequestAnswer is the answer of GET SigningRequests/{id} and one element of the list.
type SigningRequestAnswer struct {
	StatusAnswer
	Description               string            `json:"description"`
	ProjectID                 string            `json:"projectId"`
	ProjectSlug               string            `json:"projectSlug"`
	ProjectName               string            `json:"projectName"`
	ArtifactConfigurationID   string            `json:"artifactConfigurationId"`
	ArtifactConfigurationSlug string            `json:"artifactConfigurationSlug"`
	ArtifactConfigurationName string            `json:"artifactConfigurationName"`
	SigningPolicyID           string            `json:"signingPolicyId"`
	SigningPolicySlug         string            `json:"signingPolicySlug"`
	SigningPolicyName         string            `json:"signingPolicyName"`
	UnsignedArtifactLink      string            `json:"unsignedArtifactLink"`
	SignedArtifactLink        string            `json:"signedArtifactLink"` // always present, also before there is one
	WebLink                   string            `json:"webLink"`
	Parameters                map[string]string `json:"parameters"`
	Origin                    *Origin           `json:"origin"`

	// Ours.
	IsFastSigningRequest     bool       `json:"isFastSigningRequest"`
	OriginalSigningRequestID string     `json:"originalSigningRequestId,omitempty"`
	SubmitterID              string     `json:"submitterId"`
	SubmitterName            string     `json:"submitterName"`
	CreatedAt                time.Time  `json:"createdAt"`
	FinishedAt               *time.Time `json:"finishedAt,omitempty"`
	CanceledAtTheLatest      *time.Time `json:"canceledAtTheLatest,omitempty"`
	DocumentsRemovedAt       *time.Time `json:"documentsRemovedAt,omitempty"` // when the organization's retention took the artifacts away
	UnsignedArtifactFileName string     `json:"unsignedArtifactFileName,omitempty"`
	UnsignedArtifactSHA256   string     `json:"unsignedArtifactSha256,omitempty"`
	Reason                   string     `json:"reason,omitempty"` // why it was denied, canceled, or failed
	KeyVersion               int        `json:"keyVersion,omitempty"`
	RequiredApprovals        int        `json:"requiredApprovals"` // of the policy now
	Approvals                []Approval `json:"approvals,omitempty"`
}

// Approval is one approver's consent.
type Approval struct {
	UserID   string    `json:"userId"`
	UserName string    `json:"userName"`
	At       time.Time `json:"at"`
	Reason   string    `json:"reason,omitempty"`
}

// SigningRequestList is a page of signing requests, newest first.
type SigningRequestList struct {
	Items      []SigningRequestAnswer `json:"items"`
	NextCursor string                 `json:"nextCursor,omitempty"` // absent on the last page
}

// WebhookNotice is the body that a webhook posts of something that ends, when
// it was made with notices; ours.
type WebhookNotice struct {
	OrganizationID  string   `json:"OrganizationId"`
	Notice          string   `json:"Notice"` // Certificate.Expiring, Certificate.Expired, ApiToken.Expiring, ApiToken.Expired
	CertificateSlug string   `json:"CertificateSlug,omitempty"`
	SigningPolicies []string `json:"SigningPolicies,omitempty"` // project/policy
	APITokenID      string   `json:"ApiTokenId,omitempty"`
	APITokenName    string   `json:"ApiTokenName,omitempty"`
	UserName        string   `json:"UserName,omitempty"`
	Ends            string   `json:"Ends"`     // RFC 3339
	DaysLeft        int      `json:"DaysLeft"` // 0: it has ended
}

// WebhookMessage is the body that a webhook posts (SignPath documentation, "Webhooks").
type WebhookMessage struct {
	OrganizationID   string `json:"OrganizationId"`
	SigningRequestID string `json:"SigningRequestId"`
	Status           string `json:"Status"`
}
