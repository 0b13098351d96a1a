package audit

import (
	"encoding/json"
	"time"
)

// Actor is who did it.
type Actor struct {
	Type string `json:"type"` // CiUser, InteractiveUser, Operator (local administration), System
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// Event is what happened, as callers tell it; the log adds time, sequence and chain.
type Event struct {
	Type           string // e.g. HashSigning.Intent, SigningPolicy.Created
	OrganizationID string // "" for the installation itself
	Actor          Actor
	IP             string // peer address, without port
	UserAgent      string
	TraceID        string
	Data           json.RawMessage // a JSON object, never a secret in it; nil: none
	Intent         bool            // an outcome must follow
	Outcome        uint64          // the sequence number of the intent that this ends; 0: none
	Subject        Subject
}

// Subject is what an event is about, so that its entry can be found again. It
// is no part of the entry, which says the same in its data; the actor needs no
// mention, and an outcome is about what its intent was about.
type Subject struct {
	PolicyID string
	KeyID    string
	Digest   []byte
}

// Position is where an event ended up.
type Position struct {
	Seq  uint64
	Time time.Time
}
