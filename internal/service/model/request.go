package model

import (
	"encoding/json"
	"time"
)

// RequestStatus is the coarse state of a signing request (SignPath REST API
// documentation, "Get signing request data": status).
type RequestStatus string

// The states that a signing request can be in.
const (
	RequestInProgress         RequestStatus = "InProgress"
	RequestWaitingForApproval RequestStatus = "WaitingForApproval"
	RequestCompleted          RequestStatus = "Completed"
	RequestFailed             RequestStatus = "Failed"
	RequestDenied             RequestStatus = "Denied"
	RequestCanceled           RequestStatus = "Canceled"
)

// RequestWorkflow is the fine state of a signing request (the same page:
// workflowStatus). Package requests holds the table of what follows what.
type RequestWorkflow string

// The steps that a request to sign a hash goes through.
const (
	WorkflowWaitingForArtifactUpload RequestWorkflow = "WaitingForArtifactUpload"
	WorkflowWaitingForApproval       RequestWorkflow = "WaitingForApproval"
	WorkflowQueuedForProcessing      RequestWorkflow = "QueuedForProcessing"
	WorkflowProcessing               RequestWorkflow = "Processing"
	WorkflowProcessingFailed         RequestWorkflow = "ProcessingFailed"
	WorkflowCompleted                RequestWorkflow = "Completed"
	WorkflowDenied                   RequestWorkflow = "Denied"
	WorkflowCanceled                 RequestWorkflow = "Canceled"
)

// SigningRequest is an asynchronous request to sign a hash. Fast requests are
// not kept as objects: their record is the audit log.
type SigningRequest struct {
	ID                      string
	OrganizationID          string
	ProjectID               string
	SigningPolicyID         string
	ArtifactConfigurationID string
	SubmitterID             string // user
	TokenID                 string // that it was submitted with
	Description             string
	Workflow                RequestWorkflow
	ArtifactName            string // file name, as the client gave it
	ArtifactSHA256          string // lower-case hex; announced before an upload, else computed
	Artifact                []byte // as it came: a hash signing document; nil before the upload
	Result                  []byte // the signed document, JSON; nil until completed
	KeyVersion              int    // that signed; 0 until completed
	Certificate             []byte // DER of the certificate that belongs to the signature; nil until completed, and for OpenPGP
	TrustedBuildSystemID    string // that proved the build when it was submitted; "": none
	OriginalID              string // of the request that this one repeats
	Parameters              []RequestParameter
	Origin                  json.RawMessage // what the client told of build and repository; nil: nothing
	BuildSettings           []byte          // file that belongs to Origin; nil: none
	Approvals               []RequestApproval
	Reason                  string // why it was denied, canceled, or failed
	EndedBy                 string // user who denied or canceled it
	IP                      string // of the submitter
	UserAgent               string
	TraceID                 string
	Created                 time.Time
	Changed                 time.Time
	Finished                time.Time // zero: not final
	Deadline                time.Time // when it is canceled unless it is final by then; zero: never
	// DocumentsRemoved is when Artifact, Result and BuildSettings were removed,
	// because the organization keeps them no longer; zero: they were not.
	DocumentsRemoved time.Time
}

// RequestParameter is a user-defined value of a signing request.
type RequestParameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// RequestApproval is one approver's consent.
type RequestApproval struct {
	UserID string    `json:"userId"`
	Time   time.Time `json:"time"`
	Reason string    `json:"reason,omitempty"`
}

// Job is work that outlives a restart: what kind, on which object, when.
type Job struct {
	ID             string
	Kind           string
	OrganizationID string
	Subject        string    // ID of the object that the work is about
	Due            time.Time // not before
	Attempts       int       // how often it was begun
	Lease          string    // who works on it; "": nobody
	LeaseUntil     time.Time // afterwards anybody may take it over
}

// Webhook tells another server of the end of a project's signing requests.
type Webhook struct {
	ID             string
	OrganizationID string
	ProjectID      string
	URL            string
	// SealedAuthorization is the value of the Authorization header, encrypted
	// with the key-encryption key; nil: none is sent.
	SealedAuthorization []byte
	// Notices: it is told, too, of certificates and API tokens of the project that end soon.
	Notices bool
	Active  bool
	Created time.Time
}

// WebhookDelivery is one message of a webhook, with what was answered.
type WebhookDelivery struct {
	ID               string
	OrganizationID   string
	WebhookID        string
	SigningRequestID string
	Status           RequestStatus   // of a notice, its type
	Message          []byte          // body of a notice, JSON; nil: what is told of a signing request
	Answers          []WebhookAnswer // one per try
	Delivered        bool            // the last one was a 2xx
	Created          time.Time
	Finished         time.Time // zero: there will be another try
}

// WebhookAnswer is what came of one try.
type WebhookAnswer struct {
	Time   time.Time `json:"time"`
	Status int       `json:"status,omitempty"` // HTTP; 0: there was no answer
	Body   []byte    `json:"body,omitempty"`   // the first 4 KiB
	Error  string    `json:"error,omitempty"`  // why there was no answer
}
