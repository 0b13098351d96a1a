package cryptoki

import (
	"context"
	"crypto"
	"time"

	"signpath/internal/wire"
)

// Ring is where keys come from: the list of signing policies behind one set of
// credentials. The package keyring has the real one; tests bring their own.
// Every error is a *remote.Error.
type Ring interface {
	// Keys gives the list, from memory once it has been fetched.
	Keys(ctx context.Context, how Lookup) (*Listing, error)
	// Refresh fetches the list again with one attempt, because a look-up missed,
	// or gives the known one when that is only seconds old.
	Refresh(ctx context.Context) (*Listing, error)
	// Close ends everything that is under way and the connections; Keys of the
	// ring do not sign any more.
	Close()
}

// Lookup says how patient a list request is.
type Lookup struct {
	Once  bool          // one attempt, no retries
	Limit time.Duration // 0: as configured
}

// Listing is one state of the list. A new state is a new Listing, the same
// state the same pointer.
type Listing struct{ Keys []Key }

// Key is one signing policy that the user may submit to.
type Key struct {
	Name        string           // "project/policy"
	Public      crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey; others are left out
	Certificate []byte           // DER; nil for OpenPGP keys and before one is issued
	Chain       [][]byte         // issuers in DER, next one first
	GPG         bool
	// Sign signs a bare digest; RSA signatures are as long as the modulus, ECDSA
	// ones are r‖s. Errors are *remote.Error, or those of keyring.Key.Check.
	Sign func(ctx context.Context, scheme wire.Scheme, digest []byte) ([]byte, error)
}
