package keys

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// ringSize is how many opened keys a Ring keeps at most.
const ringSize = 1000

// openTimeout bounds the opening of one key, which runs on behalf of every
// caller that waits for it and so under no single caller's context.
const openTimeout = 30 * time.Second

// SealedSource gives the encrypted private part of a key.
type SealedSource interface {
	SealedKey(ctx context.Context, keyID string) ([]byte, error)
}

// Ring opens keys when they are used first and keeps the last 1000 ones. It is
// safe for concurrent use; callers that want the same key at one time share
// one opening.
type Ring struct {
	source   SealedSource
	backends map[string]Backend
	size     int

	mu      sync.Mutex
	entries map[string]*list.Element // key ID -> *ringEntry
	used    *list.List               // most recently used first
}

type ringEntry struct {
	id      string
	version int
	ready   chan struct{} // closed when signer and err are set
	signer  Signer
	err     error
}

// NewRing gives a ring over back ends by name (model.Key.Backend).
func NewRing(source SealedSource, backends map[string]Backend) *Ring {
	return &Ring{source: source, backends: backends, size: ringSize, entries: map[string]*list.Element{}, used: list.New()}
}

// Generate makes a key in the named back end; see Backend.
func (r *Ring) Generate(ctx context.Context, backend string, keyType wire.KeyType, bits int) (model.Key, []byte, error) {
	b, err := r.backend(backend)
	if err != nil {
		return model.Key{}, nil, err
	}
	return b.Generate(ctx, keyType, bits)
}

// Signer gives the signer of a key. A deleted key answers ErrKeyDeleted, also
// when it was in use a moment ago: the caller's record decides.
func (r *Ring) Signer(ctx context.Context, key model.Key) (Signer, error) {
	if key.Deleted {
		r.Forget(key.ID)
		return nil, fmt.Errorf("key %s: %w", key.ID, ErrKeyDeleted)
	}
	e, mine := r.entry(key)
	if mine {
		go r.open(context.WithoutCancel(ctx), key, e)
	}
	select {
	case <-e.ready:
		return e.signer, e.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Forget drops an opened key, e.g. after its deletion. An opening under way is
// not kept either.
func (r *Ring) Forget(keyID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if el, ok := r.entries[keyID]; ok {
		r.remove(el)
	}
}

// entry finds the entry of a key or makes one, which the caller must then open.
func (r *Ring) entry(key model.Key) (e *ringEntry, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if el, ok := r.entries[key.ID]; ok {
		e := el.Value.(*ringEntry)
		if e.version == key.Version {
			r.used.MoveToFront(el)
			return e, false
		}
		r.remove(el)
	}
	e = &ringEntry{id: key.ID, version: key.Version, ready: make(chan struct{})}
	r.entries[key.ID] = r.used.PushFront(e)
	for r.used.Len() > r.size {
		r.remove(r.used.Back())
	}
	return e, true
}

func (r *Ring) remove(el *list.Element) {
	delete(r.entries, el.Value.(*ringEntry).id)
	r.used.Remove(el)
}

// open fills an entry and drops it on failure, so that the next caller tries again.
func (r *Ring) open(ctx context.Context, key model.Key, e *ringEntry) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	defer close(e.ready)
	e.signer, e.err = r.load(ctx, key)
	if e.err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if el, ok := r.entries[e.id]; ok && el.Value.(*ringEntry) == e {
		r.remove(el)
	}
}

func (r *Ring) load(ctx context.Context, key model.Key) (Signer, error) {
	backend, err := r.backend(key.Backend)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", key.ID, err)
	}
	sealed, err := r.source.SealedKey(ctx, key.ID)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", key.ID, err)
	}
	if len(sealed) == 0 {
		return nil, fmt.Errorf("key %s: %w", key.ID, ErrKeyDeleted)
	}
	return backend.Open(ctx, key, sealed)
}

func (r *Ring) backend(name string) (Backend, error) {
	b, ok := r.backends[name]
	if !ok {
		return nil, fmt.Errorf("no key store %q is configured", name)
	}
	return b, nil
}
