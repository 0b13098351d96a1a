// Package admin is what an operator may do to an installation: organizations,
// users, tokens, projects, signing policies, certificates.
//
// What enters is the name of an operation with its input as JSON and the person
// who asks; what leaves is the result as JSON, or an error that names every
// wrong field. Each operation checks all of its input first and then writes the
// objects together with the audit entries that tell of them in one transaction:
// either everything is there afterwards or nothing. A decision that was made on
// a configuration which somebody else changed meanwhile is made again.
//
// The same table of operations serves a program that holds the data folder, a
// program that talks to the running server through the socket in that folder
// (ServeSocket, Dial), and a program on a PostgreSQL database. Who may call is
// decided by the operating system: whoever may open the folder, the socket or
// the database.
//
// The package never shows a token but once, in the answer of token.create, and
// never writes one into the audit log. It never sees private keys: keys and
// certificates come from an Issuer.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"signpath/internal/secret"
	"signpath/internal/service/audit"
	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/service/requests"
	"signpath/internal/service/store"
)

// Service runs operations on one installation. It is safe for concurrent use.
type Service struct {
	Store  store.Store
	Log    *audit.Log
	Issuer Issuer
	// AuditKey is the verifier key of the audit log's checkpoints ("origin+hash+key").
	AuditKey string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Changed is called after every committed change, so that a running server
	// decides on the new configuration at once; nil: nobody to tell.
	Changed func(context.Context)
	// LastUse is when this process saw a token used last (zero: not at all); nil:
	// it serves no tokens.
	LastUse func(tokenID string) time.Time

	// KeyStores are the key stores that keys can be made in, besides the embedded one.
	KeyStores []string

	// Seal encrypts with the key-encryption key; nil: there is none.
	Seal func(purpose string, plaintext []byte) ([]byte, error)
	// Open decrypts what Seal has encrypted; nil: there is no key-encryption key.
	Open func(purpose string, sealed []byte) ([]byte, error)
	// Resealer seals values anew when the key-encryption key changes; nil: there is none.
	Resealer Resealer
	// SealedSettings are the names of sealed settings that this package does not
	// know; the name is the purpose, too.
	SealedSettings []string
	// CheckURL tells whether a webhook may have an address; nil: https is enough,
	// the server that sends checks again.
	CheckURL func(*url.URL) error
	// Requests keeps asynchronous signing requests; nil: no server runs here.
	Requests *requests.Service

	cached atomic.Pointer[model.Config]
}

// Issuer makes keys with their certificates. The private key stays behind it:
// only its sealed form comes out.
type Issuer interface {
	// Issue makes an X.509 certificate with a new key.
	Issue(ctx context.Context, request X509Request) (Issued, error)
	// OpenPGP makes an OpenPGP key.
	OpenPGP(ctx context.Context, request OpenPGPRequest) (Issued, error)
	// Request makes a certification request (PKCS #10) for a certificate of which
	// an authority decides the rest; NotAfter is not used.
	Request(ctx context.Context, request X509Request) (Issued, error)
	// RenewOpenPGP gives an OpenPGP key another end of its validity (zero: none):
	// same key, user ID and fingerprint.
	RenewOpenPGP(ctx context.Context, key model.Key, public []byte, notAfter time.Time) (Issued, error)
	// RevokeOpenPGP makes a revocation certificate of an OpenPGP key, in binary.
	RevokeOpenPGP(ctx context.Context, key model.Key, public []byte, reason pki.RevocationReason, text string) ([]byte, error)
	// ImportPFX takes in the key of a PKCS #12 file with its certificate. Errors
	// are or wrap those of pki.ParsePFX, also for a key that no key store takes.
	ImportPFX(ctx context.Context, pfx []byte, password secret.Secret) (Issued, error)
	// Destroy deletes a private key for good where that takes more than to forget
	// its sealed form.
	Destroy(ctx context.Context, key model.Key, sealed []byte) error
}

// X509Request says which certificate is wanted.
type X509Request struct {
	KeyType      string // as in KeyTypes, e.g. "rsa2048", "p256"
	CommonName   string // of the subject
	Organization string // of the subject; may be empty
	Email        string // subject alternative name; empty unless the profile is mail
	Profile      string // as in Profiles
	NotAfter     time.Time
	SubjectDetails
	KeyOrigin
	// Key is the key to certify; nil: a new one of KeyType.
	Key *model.Key
}

// KeyOrigin says where a new key comes from.
type KeyOrigin struct {
	// KeyStore is where the key is made and stays; "": the embedded store. Others
	// are named "hsm:NAME".
	KeyStore string `json:"keyStore,omitempty"`
	// AdoptKey is the label of a key that is on the token of KeyStore already, or
	// "id:" and its CKA_ID in hexadecimal. The key type does not matter then.
	AdoptKey string `json:"adoptKey,omitempty"`
}

// SubjectDetails are more of what a certificate says about its owner; all
// members are optional.
type SubjectDetails struct {
	OrganizationalUnit string   `json:"organizationalUnit,omitempty"`
	Locality           string   `json:"locality,omitempty"`
	State              string   `json:"state,omitempty"`
	Country            string   `json:"country,omitempty"`          // two capital letters (ISO 3166)
	AlternativeNames   []string `json:"alternativeNames,omitempty"` // DNS:…, IP:…, email:…, URI:…
}

// OpenPGPRequest says which OpenPGP key is wanted.
type OpenPGPRequest struct {
	KeyType string // as in KeyTypes
	Name    string // of the user ID
	Email   string // of the user ID
	Created time.Time
	// NotAfter is the end of its validity; zero: none.
	NotAfter time.Time
	KeyOrigin
}

// Issued is a key with its certificate.
type Issued struct {
	Key       model.Key // without OrganizationID
	Sealed    []byte    // private part, as the store keeps it
	CSR       []byte    // certification request, DER; nil unless one was asked for
	Leaf      []byte    // DER; nil for OpenPGP and requests
	Chain     [][]byte  // DER, next issuer first, root last; without the leaf
	OpenPGP   []byte    // binary transferable public key; nil for X.509
	NotBefore time.Time
	NotAfter  time.Time // zero: never expires
	// Attestation is what the key store says about the key (JSON); nil: nothing.
	Attestation []byte
	// Revocation is the revocation certificate of a new OpenPGP key; nil: none was made.
	Revocation []byte
}

// ErrNotFound says that the named object does not exist.
var ErrNotFound = errors.New("does not exist")

// ErrConflict says that the installation's present state does not allow the operation.
var ErrConflict = errors.New("not possible now")

// ErrUnavailable says that something the operation needs, e.g. the token for a
// key, is not available now. An Issuer answers it too.
var ErrUnavailable = errors.New("not available now")

// ErrNoKEK says that the operation needs the key-encryption key, which was not given.
var ErrNoKEK = errors.New("the key-encryption key is missing")

// maxTries bounds how often a decision is made again because the configuration
// changed between reading and writing.
const maxTries = 10

// errStale makes change decide again.
var errStale = errors.New("the configuration changed meanwhile")

func (s *Service) now() time.Time {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return now().UTC().Truncate(time.Millisecond)
}

// transaction is one attempt at a change: the configuration that it decides on,
// what it writes, and the audit entries that tell of it.
type transaction struct {
	*view
	store.Tx
	call   Call
	now    time.Time
	events []audit.Event
}

// record adds an audit entry. data is encoded as a JSON object; the callers give
// views and identifiers only, never a token.
func (t *transaction) record(eventType, organizationID string, data any) error {
	encoded, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encoding the audit entry %s: %w", eventType, err)
	}
	t.events = append(t.events, audit.Event{
		Type: eventType, OrganizationID: organizationID, Actor: t.call.Actor,
		IP: t.call.IP, UserAgent: t.call.UserAgent, TraceID: t.call.TraceID, Data: encoded,
	})
	return nil
}

// changeData is the data of audit entries that tell of a change.
type changeData struct {
	Before any `json:"before,omitempty"`
	After  any `json:"after,omitempty"`
}

// change runs fn in the write transaction, on the configuration at the version
// that the transaction sees.
func (s *Service) change(ctx context.Context, call Call, fn func(*transaction) error) error {
	for range maxTries {
		cfg, err := s.config(ctx)
		if err != nil {
			return err
		}
		if call.Guard != nil {
			if err := call.Guard(cfg); err != nil {
				return err
			}
		}
		err = s.Log.Change(ctx, func(tx store.Tx) ([]audit.Event, error) {
			if tx.ConfigVersion() != cfg.Version {
				return nil, errStale
			}
			t := &transaction{view: newView(cfg), Tx: tx, call: call, now: s.now()}
			if err := fn(t); err != nil {
				return nil, err
			}
			return t.events, nil
		})
		if errors.Is(err, errStale) {
			continue
		}
		if err == nil && s.Changed != nil {
			s.Changed(ctx)
		}
		return err
	}
	return fmt.Errorf("%w: other changes kept coming in between; try again", ErrConflict)
}

// read gives the present configuration.
func (s *Service) read(ctx context.Context) (*view, error) {
	cfg, err := s.config(ctx)
	if err != nil {
		return nil, err
	}
	return newView(cfg), nil
}

// readOrganization is read for what lists the objects of one organization; ref
// names it.
func (s *Service) readOrganization(ctx context.Context, ref string) (*view, *model.Organization, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, nil, err
	}
	in := newInput()
	org := v.organization(in, ref)
	return v, org, in.err()
}

// config gives the present configuration, which is read again only when its
// version has changed.
func (s *Service) config(ctx context.Context) (*model.Config, error) {
	version, err := s.Store.ConfigVersion(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the version of the configuration: %w", err)
	}
	if cfg := s.cached.Load(); cfg != nil && cfg.Version == version {
		return cfg, nil
	}
	cfg, err := s.Store.Config(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	s.cached.Store(cfg)
	return cfg, nil
}

func newID() string { return uuid.NewString() }
