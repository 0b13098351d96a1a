package capi

import (
	"cmp"
	"sync"

	"signpath/internal/provider/winkeys"
	"signpath/internal/wire"
)

// Registered is what CryptoAPI tells a provider about itself (VTableProvStruc): a
// registration under another name or type is the administrator's choice.
type Registered struct {
	Name string // "" for ProviderName
	Type uint32 // 0 for ProviderType
}

// cspContext is what an HCRYPTPROV stands for.
type cspContext struct {
	registered Registered
	machine    bool // opened with CRYPT_MACHINE_KEYSET, which means nothing here
	verify     bool // opened with CRYPT_VERIFYCONTEXT: it signs nothing
	session    *winkeys.Session
	key        *winkeys.Key // nil: no container

	members map[Handle]bool // guarded by objects.mu; nil once released

	mu         sync.Mutex
	algs       int      // next row of PP_ENUMALGS
	algsEx     int      // and of PP_ENUMALGS_EX
	containers []string // what PP_ENUMCONTAINERS found
	listed     bool     // containers is filled
	next       int      // the next of them
}

// container is the name of the key, "" for none.
func (c *cspContext) container() string {
	if c.key == nil {
		return ""
	}
	return c.key.Name()
}

const acquireFlags = CRYPT_NEWKEYSET | CRYPT_DELETEKEYSET | CRYPT_MACHINE_KEYSET | CRYPT_SILENT | CRYPT_DEFAULT_CONTAINER_OPTIONAL | CRYPT_VERIFYCONTEXT

// AcquireContext is CPAcquireContext. The container is "PROJECT/POLICY"; nil or ""
// without CRYPT_VERIFYCONTEXT is the one RSA key in sight, if there is only one.
// CRYPT_MACHINE_KEYSET and CRYPT_SILENT change nothing: all keys are at the service, and
// nothing is ever shown. CRYPT_VERIFYCONTEXT with a container gives what is public of it.
func (p *Provider) AcquireContext(container *string, flags uint32, r Registered) (h Handle, st Status) {
	name := ""
	if container != nil {
		name = *container
	}
	defer p.app.Trace("CPAcquireContext", &st, "container", clip(name), "flags", hexOf(flags), "context", &h)
	verify := flags&CRYPT_VERIFYCONTEXT == CRYPT_VERIFYCONTEXT
	change := flags & (CRYPT_NEWKEYSET | CRYPT_DELETEKEYSET)
	switch {
	case flags&^acquireFlags != 0, !verify && flags&CRYPT_VERIFYCONTEXT != 0,
		change == CRYPT_NEWKEYSET|CRYPT_DELETEKEYSET, change != 0 && verify:
		return 0, winkeys.NTE_BAD_FLAGS
	}
	c := &cspContext{
		registered: Registered{cmp.Or(r.Name, ProviderName), cmp.Or(r.Type, ProviderType)},
		machine:    flags&CRYPT_MACHINE_KEYSET != 0, verify: verify, session: p.app.Session(), members: map[Handle]bool{},
	}
	switch {
	case change != 0:
		return 0, c.refuseChange(name, change)
	case name != "":
		c.key, st = c.open(name)
	case !verify && flags&CRYPT_DEFAULT_CONTAINER_OPTIONAL == 0:
		c.key, st = c.openOnly()
	}
	if st != winkeys.OK {
		return 0, st
	}
	return p.objects.add(c, nil), winkeys.OK
}

// open looks a container up.
func (c *cspContext) open(name string) (*winkeys.Key, Status) {
	k, st := c.session.Find("CPAcquireContext", name)
	if st != winkeys.OK {
		return nil, st
	}
	if k.Type() != wire.KeyRSA {
		c.session.Log().Error("CPAcquireContext failed: this key is not an RSA key, and CryptoAPI knows RSA only; use the key storage provider SignPathKSP in place of SignPathCSP",
			"key", name, "type", string(k.Type()), "status", winkeys.NTE_BAD_KEYSET.String())
		return nil, winkeys.NTE_BAD_KEYSET
	}
	return k, winkeys.OK
}

// openOnly finds the container of a host that names none.
func (c *cspContext) openOnly() (*winkeys.Key, Status) {
	keys, st := c.rsaKeys("CPAcquireContext")
	if st != winkeys.OK {
		return nil, st
	}
	if len(keys) != 1 {
		c.session.Log().Error("CPAcquireContext failed: no key container was named, and there is not exactly one RSA key to stand in; name the container PROJECT/POLICY (signtool: /kc), or configure ProjectSlug and SigningPolicySlug",
			"rsaKeys", len(keys), "status", winkeys.NTE_BAD_KEYSET.String())
		return nil, winkeys.NTE_BAD_KEYSET
	}
	return keys[0], winkeys.OK
}

// refuseChange answers for CRYPT_NEWKEYSET and CRYPT_DELETEKEYSET as if all containers
// were there already and write-protected: programs that try to create a container
// first go on and open it when the answer is NTE_EXISTS.
func (c *cspContext) refuseChange(name string, change uint32) Status {
	st := winkeys.NTE_PERM
	if name != "" {
		_, found := c.session.Find("CPAcquireContext", name)
		switch {
		case found == winkeys.OK && change == CRYPT_NEWKEYSET:
			return winkeys.NTE_EXISTS
		case found == winkeys.NTE_BAD_KEYSET && change == CRYPT_DELETEKEYSET:
			return found
		case found != winkeys.OK && found != winkeys.NTE_BAD_KEYSET:
			return found
		}
	}
	c.session.Log().Error("CPAcquireContext failed: key containers are signing policies; they are created and deleted at the service, not with CRYPT_NEWKEYSET and CRYPT_DELETEKEYSET",
		"key", clip(name), "status", st.String())
	return st
}

// rsaKeys are the keys that CryptoAPI can use, sorted by name.
func (c *cspContext) rsaKeys(function string) ([]*winkeys.Key, Status) {
	all, st := c.session.List(function)
	if st != winkeys.OK {
		return nil, st
	}
	keys := all[:0]
	for _, k := range all {
		if k.Type() == wire.KeyRSA {
			keys = append(keys, k)
		}
	}
	return keys, winkeys.OK
}

// ReleaseContext is CPReleaseContext: the context's keys and hashes end with it. With
// flags, which are reserved, it does the same and then says NTE_BAD_FLAGS.
func (p *Provider) ReleaseContext(context Handle, flags uint32) (st Status) {
	defer p.app.Trace("CPReleaseContext", &st, "context", context, "flags", hexOf(flags))
	if _, ok := find[*cspContext](&p.objects, context, nil); !ok || !p.objects.remove(context) {
		return winkeys.NTE_BAD_UID
	}
	if flags != 0 {
		return winkeys.NTE_BAD_FLAGS
	}
	return winkeys.OK
}

// context finds a context.
func (p *Provider) context(h Handle) (*cspContext, Status) {
	c, ok := find[*cspContext](&p.objects, h, nil)
	if !ok {
		return nil, winkeys.NTE_BAD_UID
	}
	return c, winkeys.OK
}
