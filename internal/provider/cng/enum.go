package cng

import (
	"crypto/ecdsa"
	"crypto/rsa"

	"signpath/internal/provider/winkeys"
)

// algorithm is one row of the table of algorithms.
type algorithm struct {
	name  string // BCRYPT_…_ALGORITHM
	group string // NCRYPT_…_ALGORITHM_GROUP
	bits  int    // of the curve; 0: any RSA modulus
	curve string // BCRYPT_ECC_CURVE_…
	magic string // BCRYPT_ECDSA_PUBLIC_…_MAGIC or BCRYPT_RSAPUBLIC_MAGIC
}

// algorithms is what keys can be, for IsAlgSupported, EnumAlgorithms, properties
// and blobs.
var algorithms = [...]algorithm{
	{name: "RSA", group: "RSA", magic: "RSA1"},
	{name: "ECDSA_P256", group: "ECDSA", bits: 256, curve: "nistP256", magic: "ECS1"},
	{name: "ECDSA_P384", group: "ECDSA", bits: 384, curve: "nistP384", magic: "ECS3"},
	{name: "ECDSA_P521", group: "ECDSA", bits: 521, curve: "nistP521", magic: "ECS5"},
}

// algorithmOf is the row of a key, nil when CNG cannot use it.
func algorithmOf(k *winkeys.Key) *algorithm {
	bits := -1
	switch p := k.Public().(type) {
	case *rsa.PublicKey:
		bits = 0
	case *ecdsa.PublicKey:
		bits = p.Curve.Params().BitSize
	}
	for i := range algorithms {
		if algorithms[i].bits == bits {
			return &algorithms[i]
		}
	}
	return nil
}

const (
	signatureInterface = 5    // NCRYPT_SIGNATURE_INTERFACE
	signatureOperation = 0x10 // NCRYPT_SIGNATURE_OPERATION
	knownOperations    = 0xFF // NCRYPT_CIPHER_OPERATION … NCRYPT_KEY_DERIVATION_OPERATION
)

// isAlgSupported answers IsAlgSupported(hProvider, pszAlgId, dwFlags).
func (c *call) isAlgSupported() Status {
	if _, ok := c.provider(0); !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	name, ok := c.text(1)
	c.note("algorithm", name)
	switch {
	case !ok:
		return winkeys.NTE_INVALID_PARAMETER
	case !c.flags(2, 0):
		return winkeys.NTE_BAD_FLAGS
	}
	for _, a := range algorithms {
		if a.name == name {
			return winkeys.OK
		}
	}
	return winkeys.NTE_NOT_SUPPORTED
}

// enumAlgorithms answers EnumAlgorithms(hProvider, dwAlgOperations, pdwAlgCount,
// ppAlgList, dwFlags) with one block: an array of NCryptAlgorithmName and the texts
// behind it. Operations 0 means all. When none fits, the count is 0 and the list NULL.
func (c *call) enumAlgorithms() Status {
	if _, ok := c.provider(0); !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	operations := c.dword(1)
	c.note("operations", hex(operations))
	switch {
	case c.a[2] == 0 || c.a[3] == 0:
		return winkeys.NTE_INVALID_PARAMETER
	case !c.flags(4, 0) || operations&^knownOperations != 0:
		return winkeys.NTE_BAD_FLAGS
	case !c.write(c.a[2], dwords(0)) || !c.write(c.a[3], c.pointer(0)):
		return winkeys.NTE_INVALID_PARAMETER
	case operations != 0 && operations&signatureOperation == 0:
		return winkeys.OK
	}
	// {LPWSTR pszName; DWORD dwClass, dwAlgOperations, dwFlags;}
	entry := c.opts.PointerSize + 12
	entry += -entry & (c.opts.PointerSize - 1)
	var texts [][]byte
	for _, a := range algorithms {
		texts = append(texts, wide(a.name))
	}
	_, st := c.give(c.a[3], len(algorithms)*entry, texts, nil, func(addresses []uintptr) []byte {
		var b []byte
		for _, at := range addresses {
			b = append(b, c.pointer(at)...)
			b = append(b, dwords(signatureInterface, signatureOperation, 0)...)
			b = append(b, make([]byte, entry-c.opts.PointerSize-12)...)
		}
		return b
	}, func() bool { return c.write(c.a[2], dwords(uint32(len(algorithms)))) })
	return st
}

// give allocates a block for the host, size bytes of structures and texts behind
// them, and puts its address at to. e is kept with the block, nil for none. more is
// what else has to be written.
func (c *call) give(to uintptr, size int, texts [][]byte, e *enumeration, structures func(addresses []uintptr) []byte, more func() bool) (uintptr, Status) {
	total := size
	for _, t := range texts {
		total += len(t)
	}
	block := c.opts.Memory.Alloc(total)
	if block == 0 {
		return 0, winkeys.NTE_NO_MEMORY
	}
	var addresses []uintptr
	var tail []byte
	for _, t := range texts {
		addresses = append(addresses, block+uintptr(size+len(tail)))
		tail = append(tail, t...)
	}
	if !c.write(block, append(structures(addresses), tail...)) || !c.write(to, c.pointer(block)) || !more() {
		c.opts.Memory.Free(block)
		return 0, winkeys.NTE_INVALID_PARAMETER
	}
	c.mu.Lock()
	c.given[block] = e
	c.mu.Unlock()
	return block, winkeys.OK
}

// enumeration is where EnumKeys stands. The host has its address as a pointer and
// gives it to FreeBuffer in the end.
type enumeration struct {
	keys []*winkeys.Key // guarded by KSP.mu
}

// enumKeys answers EnumKeys(hProvider, pszScope, ppKeyName, ppEnumState, dwFlags)
// with one NCryptKeyName per call. Scope and machine flag change nothing: all
// signing policies of the user are listed, whoever asks. The list is that of the
// first call.
func (c *call) enumKeys() Status {
	if _, ok := c.provider(0); !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	switch {
	case c.a[2] == 0 || c.a[3] == 0:
		return winkeys.NTE_INVALID_PARAMETER
	case !c.flags(4, 0):
		return winkeys.NTE_BAD_FLAGS
	}
	state, ok := c.readPointer(c.a[3])
	if !ok || !c.write(c.a[2], c.pointer(0)) {
		return winkeys.NTE_INVALID_PARAMETER
	}
	if state == 0 {
		var st Status
		if state, st = c.startEnumeration(); st != winkeys.OK {
			return st
		}
	}
	c.mu.Lock()
	e := c.given[state]
	var next *winkeys.Key
	if e != nil && len(e.keys) > 0 {
		next, e.keys = e.keys[0], e.keys[1:]
	}
	c.mu.Unlock()
	switch {
	case e == nil:
		return winkeys.NTE_INVALID_PARAMETER
	case next == nil:
		return winkeys.NTE_NO_MORE_ITEMS
	}
	c.note("name", next.Name())
	// {LPWSTR pszName, pszAlgid; DWORD dwLegacyKeySpec, dwFlags;}
	_, st := c.give(c.a[2], 2*c.opts.PointerSize+8, [][]byte{wide(next.Name()), wide(algorithmOf(next).name)}, nil, func(addresses []uintptr) []byte {
		b := append(c.pointer(addresses[0]), c.pointer(addresses[1])...)
		return append(b, dwords(0, c.dword(4)&flagMachineKey)...)
	}, nothing)
	return st
}

// nothing more has to be written.
func nothing() bool { return true }

// startEnumeration fetches the list and gives the host a state.
func (c *call) startEnumeration() (uintptr, Status) {
	all, st := c.app.Session().List(c.name)
	if st != winkeys.OK {
		return 0, st
	}
	e := &enumeration{}
	for _, k := range all {
		if algorithmOf(k) != nil {
			e.keys = append(e.keys, k)
		}
	}
	c.note("keys", len(e.keys))
	if len(e.keys) == 0 { // nothing to free
		return 0, winkeys.NTE_NO_MORE_ITEMS
	}
	return c.give(c.a[3], 2*c.opts.PointerSize, nil, e, func([]uintptr) []byte { return nil }, nothing)
}

// freeBuffer answers FreeBuffer(pvInput) for everything that give gave. Other
// addresses are refused and left alone.
func (c *call) freeBuffer() Status {
	c.mu.Lock()
	_, ours := c.given[c.a[0]]
	delete(c.given, c.a[0])
	c.mu.Unlock()
	if !ours {
		return winkeys.NTE_INVALID_PARAMETER
	}
	c.opts.Memory.Free(c.a[0])
	return winkeys.OK
}
