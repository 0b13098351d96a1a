package keyring

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"signpath/internal/provider/remote"
	"signpath/internal/wire"
)

const (
	failureMemory = 5 * time.Second
	maxFailures   = 256
)

// failures remembers signatures that failed. pkcs11-tool answers a failed
// C_Sign with C_SignInit, C_SignUpdate and C_SignFinal, and the user would wait
// for all retries twice.
type failures struct {
	mu sync.Mutex
	m  map[[sha256.Size]byte]failure
}

type failure struct {
	err   error
	until time.Time
}

// failureID names a signature. The public key is in it: a policy with a new key is
// tried again.
func failureID(k *Key, s wire.Scheme, digest []byte) [sha256.Size]byte {
	public, _ := x509.MarshalPKIXPublicKey(k.public) // never fails: the key was read from such bytes
	return sha256.Sum256(fmt.Appendf(nil, "%d:%s:%x:%s:%d:%x", len(k.name), k.name, public, s.Algorithm, s.Hash, digest))
}

// get gives the remembered error, nil when there is none.
func (f *failures) get(id [sha256.Size]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, ok := f.m[id]
	if !ok {
		return nil
	}
	if !time.Now().Before(x.until) {
		delete(f.m, id)
		return nil
	}
	return x.err
}

// put remembers an error, unless the host itself ended the call.
func (f *failures) put(id [sha256.Size]byte, err error) {
	var e *remote.Error
	if errors.As(err, &e) && e.Class == remote.Canceled {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.m == nil {
		f.m = map[[sha256.Size]byte]failure{}
	}
	if len(f.m) >= maxFailures {
		for k, x := range f.m {
			if !now.Before(x.until) || len(f.m) >= maxFailures {
				delete(f.m, k)
			}
		}
	}
	f.m[id] = failure{err, now.Add(failureMemory)}
}
