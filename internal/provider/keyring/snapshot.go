package keyring

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"slices"
	"strings"

	"signpath/internal/wire"
)

// Snapshot is the keys as one list request found them, sorted by name (byte
// order). It never changes.
type Snapshot struct {
	keys  []*Key
	index map[string]*Key
	kept  bool // it comes from the disk; the service was not asked
}

// Len is the number of keys.
func (s *Snapshot) Len() int { return len(s.keys) }

// At gives key i, 0 ≤ i < Len.
func (s *Snapshot) At(i int) *Key { return s.keys[i] }

// Keys gives all keys in order; the slice is the caller's own.
func (s *Snapshot) Keys() []*Key { return slices.Clone(s.keys) }

// ByName finds a key by "project/policy" (case counts), nil when there is none.
func (s *Snapshot) ByName(name string) *Key { return s.index[name] }

// newSnapshot makes keys of policies. What cannot be a key is left out: types
// of later versions silently, broken data with a warning.
func (r *Ring) newSnapshot(policies []wire.SigningPolicy) *Snapshot {
	old := r.Cached()
	s := &Snapshot{index: make(map[string]*Key, len(policies))}
	for i := range policies {
		p := &policies[i]
		name := p.Name()
		if !wanted(p.ProjectSlug, r.settings.ProjectSlug) || !wanted(p.SigningPolicySlug, r.settings.SigningPolicySlug) {
			continue // a service may ignore the filter
		}
		if !p.KeyType.Known() {
			r.log.Debug("a signing policy has a key type that this version does not know", "key", name, "keyType", string(p.KeyType))
			continue
		}
		if p.ProjectSlug == "" || p.SigningPolicySlug == "" {
			r.warnOnce(name, "a signing policy without slugs was left out", "id", p.SigningPolicyID)
			continue
		}
		if s.index[name] != nil {
			r.warnOnce(name, "two signing policies have the same name; the first counts", "key", name)
			continue
		}
		k, err := r.newKey(p)
		if err != nil {
			r.warnOnce(name, "a signing policy with broken data was left out", "key", name, "cause", err.Error())
			continue
		}
		if old != nil {
			if o := old.ByName(name); o != nil && o.equal(k) {
				k = o // who holds the old snapshot holds the same key
			}
		}
		if len(name) > maxName {
			r.warnOnce(name, "the name of this key is longer than 99 bytes, the most that OpenSSL's engine up to libp11 0.4.12 can carry; use shorter slugs there", "key", name, "bytes", len(name))
		}
		s.index[name] = k
		s.keys = append(s.keys, k)
	}
	slices.SortFunc(s.keys, func(a, b *Key) int { return strings.Compare(a.name, b.name) })
	r.log.Debug("keys listed", "signingPolicies", len(policies), "keys", len(s.keys))
	return s
}

func wanted(slug, filter string) bool { return filter == "" || slug == filter }

// warnOnce logs a warning about a name once in the ring's life.
func (r *Ring) warnOnce(name, msg string, args ...any) {
	r.mu.Lock()
	key := name + "\x00" + msg
	told := r.warned[key]
	r.warned[key] = true
	r.mu.Unlock()
	if !told {
		r.log.Warning(msg, args...)
	}
}

// newKey checks a policy's data. The policy is the ring's own; nobody changes it.
func (r *Ring) newKey(p *wire.SigningPolicy) (*Key, error) {
	public, err := p.PublicKey()
	if err != nil {
		return nil, err
	}
	k := &Key{
		ring: r, name: p.Name(), project: p.ProjectSlug, policy: p.SigningPolicySlug, policyID: p.SigningPolicyID,
		public: public, gpg: strings.EqualFold(string(p.CertificateType), string(wire.CertificateGPG)),
	}
	switch pub := public.(type) {
	case *rsa.PublicKey:
		k.keyType, k.bits, k.size = wire.KeyRSA, pub.N.BitLen(), pub.Size()
	case *ecdsa.PublicKey:
		k.keyType, k.bits = wire.KeyECDSA, pub.Curve.Params().BitSize
		k.size = 2 * ((k.bits + 7) / 8)
	case ed25519.PublicKey:
		k.keyType, k.bits, k.size = wire.KeyEd25519, 256, ed25519.SignatureSize
	}
	if len(p.CertificateBytes) > 0 {
		k.certificate, k.chain = p.CertificateBytes, p.CertificateChain
	}
	return k, nil
}

// equal tells whether nothing about the key has changed.
func (k *Key) equal(o *Key) bool {
	return k.name == o.name && k.policyID == o.policyID && k.gpg == o.gpg &&
		k.public.(interface{ Equal(crypto.PublicKey) bool }).Equal(o.public) &&
		bytes.Equal(k.certificate, o.certificate) && slices.EqualFunc(k.chain, o.chain, bytes.Equal)
}
