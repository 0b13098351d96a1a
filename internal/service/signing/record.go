package signing

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"signpath/internal/service/audit"
	"signpath/internal/wire"
)

// The types of the audit entries of this package.
const (
	EntryIntent    = "HashSigning.Intent"
	EntryCompleted = "HashSigning.Completed"
	EntryFailed    = "HashSigning.Failed"
	EntryRefused   = "HashSigning.Refused"
)

// intentData is what is on record before a key is used.
type intentData struct {
	SigningRequestID          string          `json:"signingRequestId"`
	ProjectID                 string          `json:"projectId"`
	ProjectSlug               string          `json:"projectSlug"`
	SigningPolicyID           string          `json:"signingPolicyId"`
	SigningPolicySlug         string          `json:"signingPolicySlug"`
	ArtifactConfigurationID   string          `json:"artifactConfigurationId"`
	ArtifactConfigurationSlug string          `json:"artifactConfigurationSlug"`
	CertificateID             string          `json:"certificateId"`
	CertificateSlug           string          `json:"certificateSlug"`
	CertificateThumbprint     string          `json:"certificateThumbprint,omitempty"` // SHA-1 of the DER, lower-case hex; X.509 only
	KeyID                     string          `json:"keyId"`
	KeyVersion                int             `json:"keyVersion"`
	TokenID                   string          `json:"tokenId"`
	TrustedBuildSystemID      string          `json:"trustedBuildSystemId,omitempty"` // that proved the build
	Algorithm                 wire.Algorithm  `json:"algorithm"`
	HashAlgorithm             string          `json:"hashAlgorithm,omitempty"` // RSA only
	Hash                      string          `json:"hash"`                    // lower-case hex
	Description               string          `json:"description,omitempty"`
	Metadata                  json.RawMessage `json:"metadata,omitempty"`
}

// outcomeData is what is on record afterwards.
type outcomeData struct {
	SigningRequestID string `json:"signingRequestId"`
	SignatureSHA256  string `json:"signatureSha256,omitempty"` // lower-case hex, of the signature as it was answered
	Error            string `json:"error,omitempty"`
}

// refusedData is what is on record of a refusal; slugs are as the client wrote
// them, cut when long.
type refusedData struct {
	Check                     int                 `json:"check"`
	Status                    int                 `json:"status"`
	Detail                    string              `json:"detail,omitempty"`
	Errors                    map[string][]string `json:"errors,omitempty"`
	OrganizationID            string              `json:"organizationId,omitempty"` // as asked for, where that is not the entry's own
	ProjectSlug               string              `json:"projectSlug,omitempty"`
	SigningPolicySlug         string              `json:"signingPolicySlug,omitempty"`
	ArtifactConfigurationSlug string              `json:"artifactConfigurationSlug,omitempty"`
	SigningPolicyID           string              `json:"signingPolicyId,omitempty"`  // where it was named by its ID
	SigningRequestID          string              `json:"signingRequestId,omitempty"` // asynchronous requests, when they were to be signed
	TokenID                   string              `json:"tokenId,omitempty"`
	Algorithm                 wire.Algorithm      `json:"algorithm,omitempty"`
	HashAlgorithm             string              `json:"hashAlgorithm,omitempty"`
	Hash                      string              `json:"hash,omitempty"`
}

// event fills in what every entry of a request has in common.
func (d *decision) event(entryType string, data any) audit.Event {
	ev := audit.Event{Type: entryType, IP: d.req.Caller.IP, UserAgent: d.req.Caller.UserAgent, TraceID: d.req.Caller.TraceID, Data: encodeData(data)}
	if d.principal != nil {
		u := d.principal.User
		ev.OrganizationID, ev.Actor = d.principal.Organization.ID, audit.Actor{Type: string(u.Kind), ID: u.ID, Name: u.Name}
	}
	return ev
}

// encodeData leaves <, > and & as they are: command lines are to be read by
// people. Should the data not be encodable, the result is no JSON object, which
// the audit log refuses: better no signature than one without its data.
func encodeData(data any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(data); err != nil {
		return json.RawMessage("not encodable")
	}
	return b.Bytes()
}

func (d *decision) intent(id string) audit.Event {
	h := d.req.Hash
	data := intentData{
		SigningRequestID: id,
		ProjectID:        d.project.ID, ProjectSlug: d.project.Slug,
		SigningPolicyID: d.policy.ID, SigningPolicySlug: d.policy.Slug,
		ArtifactConfigurationID: d.artifact.ID, ArtifactConfigurationSlug: d.artifact.Slug,
		CertificateID: d.certificate.ID, CertificateSlug: d.certificate.Slug, CertificateThumbprint: d.material.thumbprint,
		KeyID: d.key.ID, KeyVersion: d.key.Version, TokenID: d.principal.Token.ID,
		Algorithm: h.Scheme.Algorithm, HashAlgorithm: hashName(h.Scheme.Hash), Hash: hex.EncodeToString(h.Digest),
		Description: d.req.Description, Metadata: h.Metadata,
	}
	if b := d.principal.TrustedBuildSystem; b != nil {
		data.TrustedBuildSystemID = b.ID
	}
	ev := d.event(EntryIntent, data)
	ev.Intent = true
	ev.Subject = audit.Subject{PolicyID: d.policy.ID, KeyID: d.key.ID, Digest: h.Digest}
	return ev
}

func (d *decision) completed(id string, at audit.Position, signature []byte) audit.Event {
	sum := sha256.Sum256(signature)
	ev := d.event(EntryCompleted, outcomeData{SigningRequestID: id, SignatureSHA256: hex.EncodeToString(sum[:])})
	ev.Outcome = at.Seq
	return ev
}

func (d *decision) failed(id string, at audit.Position, err error) audit.Event {
	const limit = 1000
	text := []rune(err.Error())
	ev := d.event(EntryFailed, outcomeData{SigningRequestID: id, Error: string(text[:min(len(text), limit)])})
	ev.Outcome = at.Seq
	return ev
}

func (d *decision) refused(failed *check, p *wire.Problem) audit.Event {
	r := refusedData{
		Check: failed.number, Status: p.Status, Detail: p.Detail, Errors: p.Errors,
		ProjectSlug: clip(d.req.ProjectSlug), SigningPolicySlug: clip(d.req.SigningPolicySlug),
		ArtifactConfigurationSlug: clip(d.req.ArtifactConfigurationSlug),
	}
	r.SigningPolicyID = clip(d.req.SigningPolicyID)
	if q := d.req.Queued; q != nil {
		r.SigningRequestID = q.SigningRequestID
	}
	if h := d.req.Hash; h != nil {
		r.Algorithm, r.HashAlgorithm = wire.Algorithm(clip(string(h.Scheme.Algorithm))), hashName(h.Scheme.Hash)
		r.Hash = hex.EncodeToString(h.Digest[:min(len(h.Digest), 64)])
	}
	if d.principal != nil {
		r.TokenID = d.principal.Token.ID
	} else {
		r.OrganizationID = clip(d.req.OrganizationID)
	}
	ev := d.event(EntryRefused, r)
	if h := d.req.Hash; h != nil {
		ev.Subject.Digest = h.Digest[:min(len(h.Digest), 64)]
	}
	// A policy that was found is of the caller's organization.
	if d.principal != nil && d.policy != nil {
		ev.Subject.PolicyID = d.policy.ID
	}
	return ev
}

func hashName(h wire.Hash) string {
	if h == 0 {
		return ""
	}
	return h.String()
}
