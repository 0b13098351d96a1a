// Package capi is the logic of SignPathCSP, a cryptographic service provider of
// Microsoft's CryptoAPI (CryptoSPI): contexts, hashes, public keys, RSA signatures.
// It is pure Go; pointers and structures of the C interface are the shim's.
//
// What enters are the calls of a host, one method of Provider for each CP function,
// with handles as numbers and buffers as slices, Input and Output. What leaves are
// what GetLastError shall say, as Status, and bytes in CryptoAPI's forms: numbers,
// keys and signatures little-endian, names as bytes with a NUL at the end. Every
// method may be called from any thread at any time with any handle.
//
// A key container is a signing policy, "PROJECT/POLICY"; its one RSA key is both
// AT_SIGNATURE and AT_KEYEXCHANGE, because tools ask for the one or the other.
// Only AcquireContext with a container, PP_ENUMCONTAINERS and SignHash use the network;
// no lock is held meanwhile, and no question for a length ever gets there. A hash
// that was signed keeps its signature for who asks again.
//
// The package holds no private key, creates and deletes none, encrypts and decrypts
// nothing, and shows no window. Its rules stand in tables: algorithms.go (hashes,
// what is enumerated), provparam.go and keys.go (parameters), unsupported.go (calls
// that every provider must have and this one refuses).
package capi

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"

	"signpath/internal/provider/winkeys"
)

// Options describe the DLL.
type Options struct {
	Version string          // of the DLL, "6.1.0"
	Environ func() []string // the process's environment, NAME=value, as it is at the call
}

// Provider is the one provider of a process.
type Provider struct {
	opts    Options
	app     *winkeys.Application
	objects objects
}

// New makes a provider. Nothing is read and nothing is written until the first call.
func New(o Options) *Provider {
	p := &Provider{opts: o, app: winkeys.New(winkeys.Options{Interface: "CSP", Version: o.Version, Environ: o.Environ})}
	// Handles begin somewhere, so that those of another provider are not taken for ours.
	p.objects.last = rand.Uint32() &^ 3 //nolint:gosec // not a secret
	return p
}

// Input reads n bytes at a pointer of the host; false when they cannot be read.
type Input func(n int) ([]byte, bool)

// Output is where a host wants an answer: a buffer and the DWORD of its length. A
// nil *Output is a host that gave no place for the length.
type Output struct {
	LengthOnly bool   // the buffer is NULL: how long would the answer be?
	Room       uint32 // bytes in the buffer

	Length uint32 // of the answer, also when there is not room enough; 0 when the call failed
	Data   []byte // the answer; nil when LengthOnly or the call failed
}

// needs tells how long the answer is going to be. done says that this ends the call.
func (o *Output) needs(n int) (st Status, done bool) {
	if o == nil {
		return winkeys.ERROR_INVALID_PARAMETER, true
	}
	length := uint32(n) //nolint:gosec // our own answers are short
	switch {
	case o.LengthOnly:
		o.Length = length
		return winkeys.OK, true
	case o.Room < length:
		o.Length = length
		return winkeys.ERROR_MORE_DATA, true
	}
	return winkeys.OK, false
}

// give answers with data.
func (o *Output) give(data []byte) Status {
	if st, done := o.needs(len(data)); done {
		return st
	}
	o.Length, o.Data = uint32(len(data)), data //nolint:gosec // our own answers are short
	return winkeys.OK
}

// dword is a DWORD as it stands in memory.
func dword(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// text is a name with the NUL that ends it.
func text(s string) []byte { return append([]byte(s), 0) }

// objects are what handles stand for.
type objects struct {
	mu   sync.RWMutex
	last uint32
	all  map[Handle]object
}

// object is a *cspContext, *key or *digest.
type object struct {
	value any
	owner *cspContext // nil: a context, which has none
}

// add gives an object its handle. A key or hash of a context that is just being
// released gets 0.
func (o *objects) add(value any, owner *cspContext) Handle {
	o.mu.Lock()
	defer o.mu.Unlock()
	if owner != nil && owner.members == nil {
		return 0
	}
	if o.all == nil {
		o.all = map[Handle]object{}
	}
	for {
		o.last += 4
		h := Handle(o.last)
		if _, taken := o.all[h]; h == 0 || taken {
			continue // after 2^30 handles
		}
		o.all[h] = object{value, owner}
		if owner != nil {
			owner.members[h] = true
		}
		return h
	}
}

// find gives what a handle stands for, if it is of the kind T and of that owner.
func find[T any](o *objects, h Handle, owner *cspContext) (value T, ok bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	x := o.all[h]
	value, ok = x.value.(T)
	return value, ok && (owner == nil || x.owner == owner)
}

// remove ends a handle; false when another call has ended it.
func (o *objects) remove(h Handle) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	x, there := o.all[h]
	if !there {
		return false
	}
	delete(o.all, h)
	if x.owner != nil {
		delete(x.owner.members, h)
	}
	if c, is := x.value.(*cspContext); is {
		for m := range c.members {
			delete(o.all, m)
		}
		c.members = nil
	}
	return true
}

// count is for tests.
func (o *objects) count() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return len(o.all)
}

// version is the version as PP_VERSION shows it: major in the second byte, minor
// in the first.
func (p *Provider) version() uint32 {
	parts := strings.SplitN(p.opts.Version+".0", ".", 3)
	major, _ := strconv.ParseUint(parts[0], 10, 8)
	minor, _ := strconv.ParseUint(parts[1], 10, 8)
	return uint32(major<<8 | minor) //nolint:gosec // two bytes
}
