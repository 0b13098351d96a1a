package cryptoki

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// object is one token object. All of it but the handle is fixed when the list
// of keys is read; the handle is set once, before anybody sees the object.
type object struct {
	handle      uint64
	class       uint64
	id, label   []byte
	key         *Key             // nil for certificates of issuers
	public      crypto.PublicKey // of the key or in the certificate
	certificate *certificate
	issuer      *certificate      // certificates only; nil when unknown
	category    uint64            // certificates only: CKA_CERTIFICATE_CATEGORY
	sum         [sha256.Size]byte // of the certificate or, without one, of the public key
}

// identity is what has to stay the same for an object to keep its handle when
// the list is fetched again.
type identity struct {
	class    uint64
	id, name string
	sum      [sha256.Size]byte
}

// uniqueID is CKA_UNIQUE_ID (PKCS #11 v3.0 section 4.4.1): text that names this
// object among all, the same in every process while class, name, key and
// certificate stay.
func (o *object) uniqueID() []byte {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d\x00%s\x00%s\x00%x", o.class, o.id, o.label, o.sum)
	return []byte(hex.EncodeToString(h.Sum(nil)[:16]))
}

func (o *object) identity() identity {
	return identity{o.class, string(o.id), string(o.label), o.sum}
}

// objectSet is the searchable form of one Listing. It never changes.
type objectSet struct {
	listing       *Listing
	all           []*object // by key name: private key, public key, certificate; issuers last
	byID, byLabel map[string][]*object
	byClass       map[uint64][]*object
	skipped       []string // one sentence for each key that cannot be shown
}

// newObjectSet makes the objects of a list: for each key a private and a public
// key and, if there is one, its certificate, all with CKA_ID and CKA_LABEL
// "project/policy"; and each issuer's certificate once. Two policies on one
// certificate give two sets. dummies adds certificates to OpenPGP keys.
func newObjectSet(listing *Listing, dummies bool) *objectSet {
	n := len(listing.Keys) // maps that grow would be half of the work
	b := &setBuilder{
		set:     &objectSet{listing: listing, all: make([]*object, 0, 3*n), byID: make(map[string][]*object, n), byLabel: make(map[string][]*object, n), byClass: map[uint64][]*object{}},
		dummies: dummies, seen: make(map[identity]bool, 3*n), chains: map[string]*certificate{}, leaves: make(map[string]bool, n),
	}
	order := make([]*Key, len(listing.Keys))
	for i := range listing.Keys {
		order[i] = &listing.Keys[i]
	}
	slices.SortStableFunc(order, func(a, b *Key) int { return cmp.Compare(a.Name, b.Name) })
	for _, k := range order {
		b.addKey(k)
	}
	b.addIssuers()
	return b.set
}

type setBuilder struct {
	set     *objectSet
	dummies bool
	seen    map[identity]bool
	chains  map[string]*certificate // issuers by DER; nil when one is not readable
	leaves  map[string]bool         // DER of the certificates that stand beside a key
	issuers []*object
}

func (b *setBuilder) add(o *object) {
	if b.seen[o.identity()] {
		return // the service listed one policy twice
	}
	b.seen[o.identity()] = true
	s := b.set
	s.all = append(s.all, o)
	s.byID[string(o.id)] = append(s.byID[string(o.id)], o)
	s.byLabel[string(o.label)] = append(s.byLabel[string(o.label)], o)
	s.byClass[o.class] = append(s.byClass[o.class], o)
}

func (b *setBuilder) skip(format string, args ...any) {
	b.set.skipped = append(b.set.skipped, fmt.Sprintf(format, args...))
}

func (b *setBuilder) addKey(k *Key) {
	switch p := k.Public.(type) {
	case *rsa.PublicKey:
	case *ecdsa.PublicKey:
		if curveParams(p.Curve) == nil {
			b.skip("the key of %s is on a curve that this module does not know; it is left out", k.Name)
			return
		}
	case ed25519.PublicKey:
	default:
		b.skip("the key of %s is of a type that this module does not know (%T); it is left out", k.Name, p)
		return
	}
	var leaf *certificate
	var err error
	switch {
	case k.Certificate != nil:
		leaf, err = parseCertificate(k.Certificate)
	case k.GPG && b.dummies:
		leaf, err = dummyCertificate(k.Name, k.Public)
	}
	if err != nil {
		b.skip("the certificate of %s is left out, its key is not: %v", k.Name, err)
	}
	name := []byte(k.Name)
	template := object{id: name, label: name, key: k, public: k.Public, certificate: leaf, category: categoryTokenUser}
	if leaf != nil { // its key is the policy's: the list was checked
		template.sum = sha256.Sum256(leaf.raw)
		b.leaves[string(leaf.raw)] = true
	} else {
		spki, err := x509.MarshalPKIXPublicKey(k.Public)
		if err != nil {
			b.skip("the public key of %s is not usable (%v); it is left out", k.Name, err)
			return
		}
		template.sum = sha256.Sum256(spki)
	}
	chain := b.chain(k)
	if leaf != nil {
		template.issuer = issuerOf(leaf, chain)
	}
	for _, class := range []uint64{CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_CERTIFICATE} {
		if class == CKO_CERTIFICATE && leaf == nil {
			continue
		}
		o := template
		o.class = class
		b.add(&o)
	}
}

// chain reads a key's issuers and remembers each new one. CKA_ID of an issuer is
// the SHA-1 of its public key, so it is never taken for a policy's; CKA_LABEL is
// its common name.
func (b *setBuilder) chain(k *Key) []*certificate {
	var chain []*certificate
	var fresh []*object
	for _, der := range k.Chain {
		c, known := b.chains[string(der)]
		if !known {
			var err error
			if c, err = parseCertificate(der); err != nil {
				b.skip("a certificate in the chain of %s is left out: %v", k.Name, err)
			}
			b.chains[string(der)] = c
		}
		if c == nil {
			continue
		}
		chain = append(chain, c)
		if !known {
			fresh = append(fresh, &object{
				class: CKO_CERTIFICATE, category: categoryAuthority, certificate: c,
				id: c.keyID(), label: []byte(c.title()), sum: sha256.Sum256(der),
			})
		}
	}
	for _, o := range fresh {
		o.issuer = issuerOf(o.certificate, chain)
	}
	b.issuers = append(b.issuers, fresh...)
	return chain
}

func (b *setBuilder) addIssuers() {
	slices.SortStableFunc(b.issuers, func(a, b *object) int {
		return cmp.Or(strings.Compare(string(a.label), string(b.label)), slices.Compare(a.sum[:], b.sum[:]))
	})
	for _, o := range b.issuers {
		if !b.leaves[string(o.certificate.raw)] {
			b.add(o)
		}
	}
}

func issuerOf(c *certificate, chain []*certificate) *certificate {
	if string(c.subject) == string(c.issuer) {
		return c
	}
	for _, candidate := range chain {
		if string(candidate.subject) == string(c.issuer) {
			return candidate
		}
	}
	return nil
}

// registry hands out object handles. A handle is given once: the same object
// keeps it over refreshed lists, and no other object ever gets it (PKCS #11
// v2.40 section 4.1; C_Logout in section 5.6 for private objects).
type registry struct {
	next    func() uint64
	handles map[identity]uint64
	objects map[uint64]*object
	retired map[uint64]bool // handles of private keys from before the last logout
}

func newRegistry(next func() uint64) *registry {
	return &registry{next, map[identity]uint64{}, map[uint64]*object{}, map[uint64]bool{}}
}

func (r *registry) register(s *objectSet) {
	if len(r.handles) == 0 {
		r.handles, r.objects = make(map[identity]uint64, len(s.all)), make(map[uint64]*object, len(s.all))
	}
	for _, o := range s.all {
		id := o.identity()
		h, ok := r.handles[id]
		if !ok {
			h = r.next()
			r.handles[id] = h
		}
		o.handle = h
		r.objects[h] = o
	}
}

// retirePrivate makes the handles of all private objects invalid for good. Only
// those of the last login are remembered: a process may log in and out for years.
func (r *registry) retirePrivate() {
	clear(r.retired)
	for id, h := range r.handles {
		if id.class == CKO_PRIVATE_KEY {
			delete(r.handles, id)
			delete(r.objects, h)
			r.retired[h] = true
		}
	}
}
