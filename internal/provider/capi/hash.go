package capi

import (
	"hash"
	"slices"
	"sync"

	"signpath/internal/provider/winkeys"
)

// digest is what an HCRYPTHASH stands for.
type digest struct {
	alg *algorithm

	mu    sync.Mutex // of the three below; not held while the service is asked
	state hash.Hash
	sum   []byte // nil until the hash is finished
	// signature of sum with the context's key, big-endian; nil until there is one
	signature []byte

	signing sync.Mutex // held while the service is asked: one request for one hash
}

// finish ends the hash and gives its value.
func (d *digest) finish() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sum == nil {
		d.sum = d.state.Sum(nil)
	}
	return d.sum
}

// hashOf finds a hash of a context.
func (p *Provider) hashOf(context, h Handle) (*cspContext, *digest, Status) {
	c, st := p.context(context)
	if st != winkeys.OK {
		return nil, nil, st
	}
	d, ok := find[*digest](&p.objects, h, c)
	if !ok {
		return nil, nil, winkeys.NTE_BAD_HASH
	}
	return c, d, winkeys.OK
}

// CreateHash is CPCreateHash: MD5, SHA-1, SHA-256, SHA-384, SHA-512. Keyed hashes and the
// double hash of old TLS do not exist here.
func (p *Provider) CreateHash(context Handle, alg uint32, hashKey Handle, flags uint32) (h Handle, st Status) {
	defer p.app.Trace("CPCreateHash", &st, "context", context, "algorithm", hexOf(alg), "flags", hexOf(flags), "hash", &h)
	c, st := p.context(context)
	if st != winkeys.OK {
		return 0, st
	}
	a := hashAlgorithm(alg)
	switch {
	case a == nil:
		return 0, winkeys.NTE_BAD_ALGID
	case hashKey != 0:
		return 0, winkeys.NTE_BAD_KEY
	case flags&^CRYPT_SECRETDIGEST != 0:
		return 0, winkeys.NTE_BAD_FLAGS
	}
	return p.hold(&digest{alg: a, state: a.begin()}, c)
}

// DestroyHash is CPDestroyHash: it ends the handle.
func (p *Provider) DestroyHash(context, h Handle) (st Status) {
	defer p.app.Trace("CPDestroyHash", &st, "context", context, "hash", h)
	if _, _, st := p.hashOf(context, h); st != winkeys.OK {
		return st
	}
	if !p.objects.remove(h) {
		return winkeys.NTE_BAD_HASH
	}
	return winkeys.OK
}

// DuplicateHash is CPDuplicateHash: the copy goes on from where the hash is.
// reserved tells whether pdwReserved was given.
func (p *Provider) DuplicateHash(context, h Handle, reserved bool, flags uint32) (copied Handle, st Status) {
	defer p.app.Trace("CPDuplicateHash", &st, "context", context, "hash", h, "duplicate", &copied)
	c, d, st := p.hashOf(context, h)
	switch {
	case st != winkeys.OK:
		return 0, st
	case reserved:
		return 0, winkeys.ERROR_INVALID_PARAMETER
	case flags != 0:
		return 0, winkeys.NTE_BAD_FLAGS
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	state, err := d.state.(hash.Cloner).Clone()
	if err != nil { // not with the hashes of the table
		return 0, winkeys.NTE_FAIL
	}
	return p.hold(&digest{alg: d.alg, state: state, sum: d.sum, signature: d.signature}, c)
}

// HashData is CPHashData. A hash whose value was asked for, set or signed takes
// no more data.
func (p *Provider) HashData(context, h Handle, data []byte, flags uint32) (st Status) {
	defer p.app.Trace("CPHashData", &st, "context", context, "hash", h, "bytes", len(data), "flags", hexOf(flags))
	_, d, st := p.hashOf(context, h)
	if st != winkeys.OK {
		return st
	}
	if flags&CRYPT_USERDATA != 0 { // ask the user
		return winkeys.NTE_BAD_FLAGS
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sum != nil {
		return winkeys.NTE_BAD_HASH_STATE
	}
	_, _ = d.state.Write(data) // never fails
	return winkeys.OK
}

// GetHashParam is CPGetHashParam. HP_HASHVAL finishes the hash, unless only the
// length is asked for.
func (p *Provider) GetHashParam(context, h Handle, param uint32, out *Output, flags uint32) (st Status) {
	defer p.app.Trace("CPGetHashParam", &st, "context", context, "hash", h, "param", param, "flags", hexOf(flags))
	_, d, st := p.hashOf(context, h)
	if st != winkeys.OK {
		return st
	}
	if flags != 0 {
		return winkeys.NTE_BAD_FLAGS
	}
	switch param {
	case HP_ALGID:
		return out.give(dword(d.alg.id))
	case HP_HASHSIZE:
		return out.give(dword(d.alg.length / 8))
	case HP_HASHVAL:
		if st, done := out.needs(d.alg.hash.Size()); done {
			return st
		}
		return out.give(d.finish())
	}
	return winkeys.NTE_BAD_TYPE
}

// SetHashParam is CPSetHashParam: with HP_HASHVAL, the host computed the digest
// itself. It has the length of the hash.
func (p *Provider) SetHashParam(context, h Handle, param uint32, data Input, flags uint32) (st Status) {
	defer p.app.Trace("CPSetHashParam", &st, "context", context, "hash", h, "param", param, "flags", hexOf(flags))
	_, d, st := p.hashOf(context, h)
	switch {
	case st != winkeys.OK:
		return st
	case flags != 0:
		return winkeys.NTE_BAD_FLAGS
	case param != HP_HASHVAL:
		return winkeys.NTE_BAD_TYPE
	}
	value, ok := data(d.alg.hash.Size())
	if !ok {
		return winkeys.ERROR_INVALID_PARAMETER
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sum, d.signature = slices.Clone(value), nil
	return winkeys.OK
}
