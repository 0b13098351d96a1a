package cng

import "signpath/internal/provider/winkeys"

// Handle is an NCRYPT_PROV_HANDLE or NCRYPT_KEY_HANDLE as the host has it. It fits
// into 32 bits on every platform; 0 is none.
type Handle uintptr

// provider is what OpenProvider gives.
type provider struct{ set *properties }

// key is what OpenKey gives. It holds all that it needs.
type key struct {
	*winkeys.Key

	alg      *algorithm
	provider Handle // that it was opened with; it may be gone
	machine  bool   // opened with NCRYPT_MACHINE_KEY_FLAG
	set      *properties
}

// put makes a handle.
func (k *KSP) put(object any) Handle {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		k.next = (k.next + 1) & 0x7FFFFFFF
		if _, taken := k.objects[k.next]; !taken && k.next != 0 {
			k.objects[k.next] = object
			return k.next
		}
	}
}

// object is what a handle stands for, nil for nothing.
func (k *KSP) object(h Handle) any {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.objects[h]
}

// drop frees a handle of the type T; false when it is none.
func drop[T any](k *KSP, h Handle) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.objects[h].(T)
	if ok {
		delete(k.objects, h)
	}
	return ok
}

// provider is argument i as a provider.
func (c *call) provider(i int) (*provider, bool) {
	c.note("provider", uint64(c.a[i]))
	p, ok := c.object(Handle(c.a[i])).(*provider)
	return p, ok
}

// key is argument i as a key. The provider beside it is not looked at: it may have
// been freed before.
func (c *call) key(i int) (*key, bool) {
	c.note("key", uint64(c.a[i]))
	k, ok := c.object(Handle(c.a[i])).(*key)
	return k, ok
}

// openProvider answers OpenProvider(phProvider, pszProviderName, dwFlags). Every
// name is accepted: the DLL may be registered under another one.
func (c *call) openProvider() Status {
	if c.a[0] == 0 {
		return winkeys.NTE_INVALID_PARAMETER
	}
	if !c.flags(2, 0) {
		return winkeys.NTE_BAD_FLAGS
	}
	c.app.Session() // the log begins here
	h := c.put(&provider{newProperties()})
	if !c.writeHandle(0, h) {
		drop[*provider](c.KSP, h)
		return winkeys.NTE_INVALID_PARAMETER
	}
	c.note("provider", uint64(h))
	return winkeys.OK
}

// freeProvider answers FreeProvider(hProvider).
func (c *call) freeProvider() Status {
	c.note("provider", uint64(c.a[0]))
	if !drop[*provider](c.KSP, Handle(c.a[0])) {
		return winkeys.NTE_INVALID_HANDLE
	}
	return winkeys.OK
}

// openKey answers OpenKey(hProvider, phKey, pszKeyName, dwLegacyKeySpec, dwFlags).
// The key spec is that of old CSPs: tools pass 0, AT_KEYEXCHANGE and AT_SIGNATURE
// and mean the same key.
func (c *call) openKey() Status {
	if _, ok := c.provider(0); !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	name, ok := c.text(2)
	c.note("name", name, "spec", c.dword(3))
	switch {
	case c.a[1] == 0 || !ok:
		return winkeys.NTE_INVALID_PARAMETER
	case !c.flags(4, flagPreferVirtualIsolation):
		return winkeys.NTE_BAD_FLAGS
	case !c.writeHandle(1, 0):
		return winkeys.NTE_INVALID_PARAMETER
	}
	found, st := c.app.Session().Find(c.name, name)
	if st != winkeys.OK {
		return st
	}
	alg := algorithmOf(found)
	if alg == nil {
		c.app.Log().Error("OpenKey failed: a key of this type cannot be used through CNG; use one of type RSA, P-256, P-384 or P-521",
			"key", found.Name(), "keyType", string(found.Type()), "status", winkeys.NTE_NOT_SUPPORTED.String())
		return winkeys.NTE_NOT_SUPPORTED
	}
	k := &key{Key: found, alg: alg, provider: Handle(c.a[0]), machine: c.dword(4)&flagMachineKey != 0, set: newProperties()}
	h := c.put(k)
	if !c.writeHandle(1, h) {
		drop[*key](c.KSP, h)
		return winkeys.NTE_INVALID_PARAMETER
	}
	c.note("handle", uint64(h))
	return winkeys.OK
}

// freeKey answers FreeKey(hProvider, hKey).
func (c *call) freeKey() Status {
	c.note("key", uint64(c.a[1]))
	if !drop[*key](c.KSP, Handle(c.a[1])) {
		return winkeys.NTE_INVALID_HANDLE
	}
	return winkeys.OK
}
