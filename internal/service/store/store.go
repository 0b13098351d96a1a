// Package store keeps the service's objects and its audit log in a database.
// It is the only package that knows SQL.
//
// There is one interface, Store, and one conformance suite (storetest) that
// every engine passes: SQLite, embedded, the default; PostgreSQL, for those who
// outgrow one machine. What enters are model values and finished audit rows,
// what leaves are the same. The package decides nothing: it does not build
// audit entries, check rights or open sealed keys.
//
// All writes go through Write, which serializes them (also between replicas):
// a configuration change and the audit entry that tells of it commit together
// or not at all.
package store

import (
	"context"
	"errors"
	"time"

	"signpath/internal/service/model"
)

// Errors that callers decide on; engines wrap them.
var (
	ErrNotFound  = errors.New("not found")
	ErrDuplicate = errors.New("exists already")                                 // a slug, hash or ID is taken
	ErrInUse     = errors.New("is in use by another process")                   // the data folder's lock
	ErrTooNew    = errors.New("was written by a newer version of this program") // the schema's version
	ErrFull      = errors.New("no space left on the device")
	ErrDamaged   = errors.New("is damaged, or is not a database of this program")
)

// Row is a row of a table, as Dump gives it: the values are nil, bool, int64,
// string or []byte.
type Row struct {
	Table   string
	Columns []string
	Values  []any
}

// ErrNoMoreRows ends Load.
var ErrNoMoreRows = errors.New("no more rows")

// ErrNotEmpty says that a database has content already.
var ErrNotEmpty = errors.New("the database has content already")

// Store is a database of the service. It is safe for concurrent use.
type Store interface {
	RequestReader
	// Config loads the whole configuration at one version.
	Config(ctx context.Context) (*model.Config, error)
	// ConfigVersion is the current version, cheaply.
	ConfigVersion(ctx context.Context) (uint64, error)
	// SealedKey is the encrypted private part of a key; ErrNotFound when there
	// is no such key or no private part (any more).
	SealedKey(ctx context.Context, keyID string) ([]byte, error)
	// Setting is a named value of the installation itself (not of an
	// organization), nil when absent: check value of the key-encryption key,
	// sealed audit-signing key, …
	Setting(ctx context.Context, name string) ([]byte, error)
	// TokenUses is when each API token was used last, by token ID, as far as
	// that is written; tokens that never were are left out.
	TokenUses(ctx context.Context) (map[string]time.Time, error)
	// AuditHead is the end of the audit log.
	AuditHead(ctx context.Context) (AuditHead, error)
	// AuditRows lists rows with Seq > after in ascending order, at most limit,
	// which must be above 0. For the next page pass the last row's Seq.
	AuditRows(ctx context.Context, after uint64, limit int, filter AuditFilter) ([]AuditRow, error)
	// OpenIntents lists the rows that were appended with Opens and never closed, ascending.
	OpenIntents(ctx context.Context) ([]AuditRow, error)
	// Write runs fn in the one serialized write transaction. It commits when fn
	// returns nil and no method of its Tx failed, and else changes nothing; a
	// panic of fn goes through. A transaction that changed configuration raises
	// the configuration's version by one at commit. Readers do not wait for it.
	//
	// What was committed survives a power cut once Write has returned. When the
	// connection to a server breaks during the commit, Write fails though the
	// commit may have taken place: the next transaction's head tells.
	Write(ctx context.Context, fn func(Tx) error) error
	// Dump gives one state of the database: the version of its schema to begin,
	// then every row to row. Their errors end it. For backups.
	Dump(ctx context.Context, begin func(schema int) error, row func(Row) error) error
	// Load fills a database that nothing was written to yet (else ErrNotEmpty)
	// with what Dump gave, also that of the other engine or of an older schema (of
	// a newer one: ErrTooNew): all of it or, if next fails, nothing. next ends with
	// ErrNoMoreRows.
	Load(ctx context.Context, schema int, next func() (Row, error)) error
	// Ping tells whether the database answers.
	Ping(ctx context.Context) error
	Close() error
}

// Tx is the write transaction. Put methods insert, or replace the object with
// the same ID; they answer ErrDuplicate when another object has the same slug
// (capitals do not make a difference) or hash, or when the ID belongs to
// another organization. The objects that one refers to must exist, in the same
// organization, at the commit; before it the order does not matter. After the
// first error of a method nothing can be committed. A Tx is used by one
// goroutine and dies with Write's fn.
type Tx interface {
	// ConfigVersion is the version that this transaction sees (before its own changes).
	ConfigVersion() uint64
	// AuditHead is the end of the log that this transaction sees, its own rows included.
	AuditHead() AuditHead
	// AppendAudit adds rows, whose Seq must continue the log without a gap, and
	// sets the new head, whose Size must count them. A row that closes an intent
	// which is not open (any more) is stored all the same.
	AppendAudit(rows []AuditRow, head AuditHead) error

	RequestWriter
	PutOrganization(model.Organization) error
	PutUser(model.User) error
	PutUserGroup(model.UserGroup) error
	// DeleteUserGroup removes a group; ErrNotFound when the organization has no
	// such group. Whoever calls has made sure that nothing names it any more.
	DeleteUserGroup(organizationID, id string) error
	PutToken(model.Token) error
	// PutTokenUses keeps when tokens were used last. It does not raise the
	// configuration's version, and an earlier time than the stored one changes nothing.
	PutTokenUses(map[string]time.Time) error
	PutProject(model.Project) error
	PutArtifactConfiguration(model.ArtifactConfiguration) error
	PutSigningPolicy(model.SigningPolicy) error
	PutCertificate(model.Certificate) error
	PutTrustedBuildSystem(model.TrustedBuildSystem) error
	// DeleteTrustedBuildSystem removes one; ErrNotFound when the organization has
	// none with this ID.
	DeleteTrustedBuildSystem(organizationID, id string) error
	// PutKey keeps a key with its sealed private part (nil: deleted).
	PutKey(key model.Key, sealed []byte) error
	// Setting is Store.Setting as this transaction sees it: what must be made
	// only once is looked for and put in the same transaction.
	Setting(name string) ([]byte, error)
	// PutSetting keeps a value of the installation (nil: removes it). It does
	// not raise the configuration's version.
	PutSetting(name string, value []byte) error
}

// AuditHead is the end of the audit log.
type AuditHead struct {
	Size     uint64     // number of entries; the last one's Seq
	LastHash [32]byte   // leaf hash of the last entry; zero for an empty log
	Frontier [][32]byte // roots of the perfect subtrees that make up the Merkle tree, largest first (RFC 9162 section 2.1.1)
}

// AuditRow is one entry of the audit log. Leaf is final: it is stored and given
// back byte for byte. The other members are copies for searching.
type AuditRow struct {
	Seq            uint64 // from 1
	Leaf           []byte // the entry's one-line JSON without line end
	OrganizationID string
	Type           string
	TimeMillis     int64  // Unix time in milliseconds, UTC
	Opens          bool   // an intent that waits for its outcome
	Closes         uint64 // Seq of the intent that this outcome ends; 0: none
	Subject        AuditSubject
}

// AuditSubject is what an entry is about, as far as entries are searched by it.
// Empty members: nothing of that kind.
type AuditSubject struct {
	ActorID  string `json:"actorId,omitempty"` // who did it
	PolicyID string `json:"policyId,omitempty"`
	KeyID    string `json:"keyId,omitempty"`
	Digest   []byte `json:"digest,omitempty"` // that was, or was not, signed
}

// AuditFilter narrows AuditRows; empty members match everything.
type AuditFilter struct {
	OrganizationID string
	Type           string
	FromMillis     int64 // inclusive
	ToMillis       int64 // exclusive; 0: no limit
	// TypePrefixes lets types through that begin with one of these, each a group
	// with its dot, e.g. "HashSigning.".
	TypePrefixes []string
	Before       uint64 // rows with Seq < Before; 0: no limit
	Subject      AuditSubject
}
