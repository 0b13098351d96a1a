package httpapi

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"signpath/internal/service/signing"
	"signpath/internal/wire"
)

// idempotencyHeader is optional: a request that is sent again with the same
// value gets the first one's signature, so that a lost answer costs none.
const idempotencyHeader = "Idempotency-Key"

// replayedHeader marks an answer that was given before.
const replayedHeader = "Idempotency-Replayed"

const (
	maxIdempotencyKey = 128              // characters
	replayTime        = 15 * time.Minute // from the signature on
	maxReplays        = 1 << 16          // signatures kept, some 50 MB at the worst; the oldest go first
)

// replays remembers signatures for requests that are sent again. It lives in
// the memory of one process: after a restart, or at another replica, such a
// request signs again, which the audit log shows as two signatures.
type replays struct {
	mu      sync.Mutex
	entries map[[32]byte]*list.Element // of *replay
	order   *list.List                 // oldest first
}

type replay struct {
	id, request [32]byte
	done        chan struct{}   // closed when result is final
	result      *signing.Result // nil until done, and after a failure
	expires     time.Time
}

func newReplays() *replays {
	return &replays{entries: map[[32]byte]*list.Element{}, order: list.New()}
}

// idempotencyKey checks the header; "" means that there is none.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values(idempotencyHeader)
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	printable := strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	if len(values) > 1 || key == "" || len(key) > maxIdempotencyKey || !printable {
		return "", wire.Field(idempotencyHeader, "Idempotency-Key must be given once and have 1 to 128 printable ASCII characters, for example a UUID.")
	}
	return key, nil
}

// replayID names a key of one token; no caller meets another one's.
func replayID(tokenID, key string) [32]byte { return sha256.Sum256([]byte(tokenID + "\x00" + key)) }

// fingerprint tells whether two requests ask for the same.
func fingerprint(r *signing.Request) [32]byte {
	text, err := json.Marshal([]any{
		strings.ToLower(r.ProjectSlug), strings.ToLower(r.SigningPolicySlug), strings.ToLower(r.ArtifactConfigurationSlug), r.Description,
		r.Hash.Scheme.Algorithm, r.Hash.Scheme.Hash, r.Hash.ECDSAFormat, r.Hash.Digest, string(r.Hash.Metadata),
	})
	if err != nil { // texts and bytes can always be encoded
		panic(err)
	}
	return sha256.Sum256(text)
}

// do gives the remembered signature of id, waits for the one that is being
// made, or calls sign. Failures are not remembered.
func (m *replays) do(ctx context.Context, id, request [32]byte, sign func() (*signing.Result, error)) (result *signing.Result, replayed bool, err error) {
	for {
		r, mine := m.enter(id, request)
		switch {
		case mine:
			result, err = m.run(r, sign)
			return result, false, err
		case r.request != request:
			return nil, false, wire.NewProblem(http.StatusConflict, "This Idempotency-Key was used for another request. Make a new key for each signature.")
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-r.done:
			if r.result != nil {
				return r.result, true, nil
			}
		}
	}
}

// enter finds the entry, or makes one that the caller must run.
func (m *replays) enter(id, request [32]byte) (r *replay, mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tidy(time.Now())
	if e, ok := m.entries[id]; ok {
		return e.Value.(*replay), false
	}
	r = &replay{id: id, request: request, done: make(chan struct{})}
	m.entries[id] = m.order.PushBack(r)
	return r, true
}

// tidy drops what has expired and, beyond maxReplays, the oldest. Entries
// whose signature is being made stay.
func (m *replays) tidy(now time.Time) {
	for range m.order.Len() {
		e := m.order.Front()
		r := e.Value.(*replay)
		switch {
		case r.result == nil:
			if m.order.Len() <= maxReplays {
				return
			}
			m.order.MoveToBack(e)
		case now.After(r.expires) || m.order.Len() > maxReplays:
			m.remove(r)
		default:
			return
		}
	}
}

func (m *replays) remove(r *replay) {
	if e, ok := m.entries[r.id]; ok && e.Value == r {
		m.order.Remove(e)
		delete(m.entries, r.id)
	}
}

func (m *replays) run(r *replay, sign func() (*signing.Result, error)) (result *signing.Result, err error) {
	defer func() { // also when sign panics
		m.mu.Lock()
		if err == nil && result != nil {
			r.result, r.expires = result, time.Now().Add(replayTime)
		} else {
			m.remove(r)
		}
		m.mu.Unlock()
		close(r.done)
	}()
	return sign()
}
