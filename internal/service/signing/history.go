package signing

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"signpath/internal/service/audit"
	"signpath/internal/service/store"
)

// EntryGroup is the group of types of this package's audit entries, with its dot.
const EntryGroup = "HashSigning."

// What became of an announced signature.
const (
	OutcomeCompleted = "completed" // the signature was made
	OutcomeFailed    = "failed"    // the key was asked; no signature was given out
	OutcomeUnknown   = "unknown"   // the service ended before it could tell; a signature may have been given out
	OutcomeAbandoned = "abandoned" // the key was not used
	OutcomeRefused   = "refused"   // the request was refused; the key was not used
	OutcomeOpen      = "under way" // there is no outcome yet
)

var outcomes = map[string]string{
	"Completed": OutcomeCompleted, "Failed": OutcomeFailed, "OutcomeUnknown": OutcomeUnknown, "Abandoned": OutcomeAbandoned,
}

// Signature is an attempt to sign a digest, as the audit log tells of it.
type Signature struct {
	Sequence         uint64      `json:"sequence"` // of its intent, or of the refusal
	Time             time.Time   `json:"time"`
	Outcome          string      `json:"outcome"`
	OutcomeSequence  uint64      `json:"outcomeSequence,omitempty"`
	OrganizationID   string      `json:"organizationId,omitempty"`
	SigningRequestID string      `json:"signingRequestId,omitempty"`
	Actor            audit.Actor `json:"actor"`
	IP               string      `json:"ip,omitempty"`
	Project          string      `json:"project"` // slug, as is the policy
	Policy           string      `json:"policy"`
	Certificate      string      `json:"certificate,omitempty"` // slug
	Thumbprint       string      `json:"thumbprint,omitempty"`  // SHA-1 of the certificate, hexadecimal
	KeyID            string      `json:"keyId,omitempty"`
	KeyVersion       int         `json:"keyVersion,omitempty"`
	TokenID          string      `json:"tokenId,omitempty"`
	Algorithm        string      `json:"algorithm,omitempty"`
	HashAlgorithm    string      `json:"hashAlgorithm,omitempty"`
	Digest           string      `json:"digest"` // lower-case hexadecimal
	Description      string      `json:"description,omitempty"`
	Reason           string      `json:"reason,omitempty"` // why it was refused or failed
}

// History reads signatures from audit rows in ascending order, which may hold
// other entries too. A signature comes when its outcome has come, one without
// outcome at the end; an outcome whose intent is not among the rows does not.
func History(rows iter.Seq2[store.AuditRow, error]) iter.Seq2[Signature, error] {
	return func(yield func(Signature, error) bool) {
		pending := map[uint64]Signature{} // a few: so many signatures run at a time
		var order []uint64
		for row, err := range rows {
			if err != nil {
				yield(Signature{}, err)
				return
			}
			what, ours := strings.CutPrefix(row.Type, EntryGroup)
			if !ours {
				continue
			}
			entry, err := audit.ParseLeaf(row.Leaf)
			if err != nil {
				yield(Signature{}, fmt.Errorf("reading entry %d of the audit log: %w", row.Seq, err))
				return
			}
			switch {
			case row.Type == EntryIntent:
				s, err := announced(entry)
				if err != nil {
					yield(Signature{}, err)
					return
				}
				pending[entry.Seq], order = s, append(order, entry.Seq)
				continue
			case row.Type == EntryRefused:
				s, err := refusedEntry(entry)
				if !yield(s, err) || err != nil {
					return
				}
				continue
			}
			s, known := pending[entry.Event.Outcome]
			if !known {
				continue
			}
			delete(pending, entry.Event.Outcome)
			if len(order) > 2*len(pending)+64 {
				order = stillPending(order, pending)
			}
			var data outcomeData
			_ = json.Unmarshal(entry.Event.Data, &data) // all of it is optional
			s.Outcome, s.OutcomeSequence, s.Reason = outcomes[what], entry.Seq, data.Error
			if s.Outcome == "" {
				s.Outcome = what
			}
			if !yield(s, nil) {
				return
			}
		}
		for _, seq := range stillPending(order, pending) {
			if !yield(pending[seq], nil) {
				return
			}
		}
	}
}

func stillPending(order []uint64, pending map[uint64]Signature) []uint64 {
	var out []uint64
	for _, seq := range order {
		if _, ok := pending[seq]; ok {
			out = append(out, seq)
		}
	}
	return out
}

func signatureOf(e *audit.Entry) Signature {
	return Signature{Sequence: e.Seq, Time: e.Time, OrganizationID: e.Event.OrganizationID, Actor: e.Event.Actor, IP: e.Event.IP}
}

func announced(e *audit.Entry) (Signature, error) {
	var d intentData
	if err := json.Unmarshal(e.Event.Data, &d); err != nil {
		return Signature{}, fmt.Errorf("reading the data of entry %d of the audit log: %w", e.Seq, err)
	}
	s := signatureOf(e)
	s.Outcome, s.SigningRequestID = OutcomeOpen, d.SigningRequestID
	s.Project, s.Policy, s.Certificate, s.Thumbprint = d.ProjectSlug, d.SigningPolicySlug, d.CertificateSlug, d.CertificateThumbprint
	s.KeyID, s.KeyVersion, s.TokenID = d.KeyID, d.KeyVersion, d.TokenID
	s.Algorithm, s.HashAlgorithm, s.Digest, s.Description = string(d.Algorithm), d.HashAlgorithm, d.Hash, d.Description
	return s, nil
}

func refusedEntry(e *audit.Entry) (Signature, error) {
	var d refusedData
	if err := json.Unmarshal(e.Event.Data, &d); err != nil {
		return Signature{}, fmt.Errorf("reading the data of entry %d of the audit log: %w", e.Seq, err)
	}
	s := signatureOf(e)
	s.Outcome, s.Project, s.Policy, s.TokenID = OutcomeRefused, d.ProjectSlug, d.SigningPolicySlug, d.TokenID
	s.Algorithm, s.HashAlgorithm, s.Digest, s.Reason = string(d.Algorithm), d.HashAlgorithm, d.Hash, d.Detail
	for _, texts := range d.Errors {
		if s.Reason == "" && len(texts) > 0 {
			s.Reason = texts[0]
		}
	}
	return s, nil
}

// Mentions tells whether the signature is about this digest. The index that
// finds entries is only a copy: what an entry says itself counts.
func (s Signature) Mentions(digest []byte) bool { return s.Digest == hex.EncodeToString(digest) }
