package winkeys

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"signpath/internal/provider/hostprocess"
	"signpath/internal/provider/keyring"
	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
	"signpath/internal/wire"
)

const (
	failureMemory = 10 * time.Second // after its end, a failed look-up answers further ones
	maxNamed      = 16               // keys that get a list request of their own
	maxTold       = 256              // failures that are remembered as told
	maxShown      = 128              // bytes of a foreign name in the log
)

// Key is one signing policy seen as a key. Its Session and with it the
// connections live as long as the process, whatever handles the host closes.
type Key struct {
	*keyring.Key

	session *Session
}

// Find looks for the key of a container, "PROJECT/POLICY" (case counts). function
// is the host's call, for the log. NTE_BAD_KEYSET means that there is no such key;
// other answers are those of StatusOf.
func (s *Session) Find(function, name string) (*Key, Status) {
	project, policy, cause := s.parseName(name)
	if cause != "" {
		return nil, s.missing(function, name, cause)
	}
	if s.err != nil {
		return nil, s.failed(function, s.err, "key", clip(name))
	}
	src := s.sourceFor(project, policy)
	list, err := src.keys()
	if err != nil {
		return nil, s.failed(function, err, "key", clip(name))
	}
	k := list.ByName(name)
	if k == nil {
		if list, err = src.again(); err != nil {
			return nil, s.failed(function, err, "key", clip(name))
		}
		k = list.ByName(name)
	}
	if k == nil {
		return nil, s.missing(function, name, "the service shows the user of the API token no signing policy of this name. "+
			"Check the spelling of both slugs (case counts), and that this user is a Submitter of the signing policy")
	}
	return &Key{k, s}, OK
}

// List gives all keys, sorted by name.
func (s *Session) List(function string) ([]*Key, Status) {
	if s.err != nil {
		return nil, s.failed(function, s.err)
	}
	list, err := s.everything().keys()
	if err != nil {
		return nil, s.failed(function, err)
	}
	keys := make([]*Key, list.Len())
	for i := range keys {
		keys[i] = &Key{list.At(i), s}
	}
	if len(keys) == 0 {
		s.log.Warning(function+": the user of the API token is Submitter in no signing policy that is in sight, so there is no key. Ask an administrator to add the user as a Submitter; if slugs are configured, check them",
			"projectSlug", s.settings.ProjectSlug, "signingPolicySlug", s.settings.SigningPolicySlug)
	}
	return keys, OK
}

// Sign has the service sign a digest; see keyring.Key.Sign for the form of digest
// and signature. function is the host's call, for the log.
func (k *Key) Sign(function string, scheme wire.Scheme, digest []byte) ([]byte, Status) {
	s := k.session
	args := []any{"key", k.Name(), "algorithm", string(scheme.Algorithm), "hash", scheme.Hash.String()}
	signature, err := k.Key.Sign(context.Background(), scheme, digest)
	if err != nil {
		return nil, s.failed(function, err, args...)
	}
	s.log.Info("signed", args...)
	return signature, OK
}

// parseName takes a container's name apart; cause says why it can be no key's.
func (s *Session) parseName(name string) (project, policy, cause string) {
	project, policy, ok := strings.Cut(name, "/")
	switch {
	case !ok || project == "" || policy == "" || strings.Contains(policy, "/"):
		return "", "", "a key container is named PROJECT/POLICY: project slug, slash, signing policy slug"
	case !fits(project, s.settings.ProjectSlug):
		return "", "", "the setting ProjectSlug (" + s.settings.ProjectSlug + ") hides it; remove the setting or name a key of that project"
	case !fits(policy, s.settings.SigningPolicySlug):
		return "", "", "the setting SigningPolicySlug (" + s.settings.SigningPolicySlug + ") hides it; remove the setting or name a key of that signing policy"
	}
	return project, policy, ""
}

func fits(slug, configured string) bool { return configured == "" || slug == configured }

// missing answers for a name that no key has.
func (s *Session) missing(function, name, cause string) Status {
	args := []any{"key", clip(name), "cause", cause, "status", NTE_BAD_KEYSET.String()}
	if s.tell(function + "\x00" + name) {
		s.log.Error(function+" failed: there is no such key", args...)
	} else {
		s.log.Debug(function+" failed again: there is no such key", args...)
	}
	return NTE_BAD_KEYSET
}

// failed answers for an error, and tells cause and cure once.
func (s *Session) failed(function string, err error, args ...any) Status {
	st := StatusOf(err)
	args = append(args, "cause", err.Error(), "status", st.String())
	var failure *remote.Error
	if errors.As(err, &failure) && failure.TraceID != "" {
		args = append(args, "trace", failure.TraceID)
	}
	var again repeated
	if errors.As(err, &again) || s.err != nil && errors.Is(err, s.err) && !s.tell(function) {
		s.log.Debug(function+" failed for the same reason as a moment ago", args...)
	} else {
		s.log.Error(function+" failed", args...)
	}
	return st
}

// tell is true the first time for a text.
func (s *Session) tell(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.told) >= maxTold {
		clear(s.told)
	}
	told := s.told[what]
	s.told[what] = true
	return !told
}

// source is a list of keys: all, or those of one name. It keeps its last failure
// for a while.
type source struct {
	open func() (*keyring.Ring, error) // once

	mu  sync.Mutex
	err error
	at  time.Time
}

// repeated marks an error that an earlier call met.
type repeated struct{ error }

func (r repeated) Unwrap() error { return r.error }

func (s *Session) newSource(with settings.Settings) *source {
	return &source{open: sync.OnceValues(func() (*keyring.Ring, error) {
		return keyring.Open(with, keyring.Options{
			Product: s.opts.Interface, Version: s.opts.Version, Log: s.log,
			Metadata: func() json.RawMessage { return hostprocess.Describe(with.Secrets()).Metadata() },
		})
	})}
}

// cached is the list that is known, nil for none. It never waits.
func (src *source) cached() *keyring.Snapshot {
	if src == nil {
		return nil
	}
	ring, err := src.open()
	if err != nil {
		return nil
	}
	return ring.Cached()
}

// keys gives the list, from memory or by one request that all who wait share.
func (src *source) keys() (*keyring.Snapshot, error) {
	ring, err := src.open()
	if err != nil {
		return nil, err
	}
	if list := ring.Cached(); list != nil {
		return list, nil
	}
	if err := src.remembered(); err != nil {
		return nil, err
	}
	list, err := ring.Keys(context.Background(), keyring.Lookup{})
	if err != nil {
		src.mu.Lock()
		src.err, src.at = err, time.Now()
		src.mu.Unlock()
	}
	return list, err
}

// remembered is the last failure, nil when it is long ago.
func (src *source) remembered() error {
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.err == nil || time.Since(src.at) >= failureMemory {
		return nil
	}
	return repeated{src.err}
}

// again asks for a list in which something was missed, unless it is only seconds old.
func (src *source) again() (*keyring.Snapshot, error) {
	ring, err := src.open()
	if err != nil {
		return nil, err
	}
	return ring.Refresh(context.Background())
}

// everything is the source of all keys.
func (s *Session) everything() *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = s.newSource(s.settings)
	}
	return s.all
}

// sourceFor is where to look for one key: a list of its own, or the list of all
// keys when that is known, or when the process uses very many keys.
func (s *Session) sourceFor(project, policy string) *source {
	s.mu.Lock()
	all := s.all
	s.mu.Unlock()
	if all.cached() != nil {
		return all
	}
	name := project + "/" + policy
	s.mu.Lock()
	src := s.named[name]
	full := len(s.named) >= maxNamed
	if src == nil && !full {
		with := s.settings
		with.ProjectSlug, with.SigningPolicySlug = project, policy
		src = s.newSource(with)
		s.named[name] = src
	}
	s.mu.Unlock()
	if src == nil {
		return s.everything()
	}
	return src
}

// clip shortens a name that a host gave.
func clip(name string) string {
	if len(name) <= maxShown {
		return name
	}
	return strings.ToValidUTF8(name[:maxShown], "") + "…"
}
