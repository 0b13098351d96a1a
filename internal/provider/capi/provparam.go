package capi

import (
	"fmt"
	"strings"

	"signpath/internal/provider/winkeys"
)

// maxContainer is what PP_ENUMCONTAINERS answers when asked for the length of the
// longest name: MAX_PATH, the usual limit. A longer name gets ERROR_MORE_DATA.
const maxContainer = 260

// provParams is the table of PP_* parameters that have one value. The others of
// wincrypt.h (session keys, certificate stores, smart card readers, security
// descriptors) answer NTE_BAD_TYPE: this provider has no such thing.
var provParams = map[uint32]func(*Provider, *cspContext) []byte{
	PP_IMPTYPE:             func(*Provider, *cspContext) []byte { return dword(CRYPT_IMPL_HARDWARE) },
	PP_NAME:                func(_ *Provider, c *cspContext) []byte { return text(c.registered.Name) },
	PP_VERSION:             func(p *Provider, _ *cspContext) []byte { return dword(p.version()) },
	PP_CONTAINER:           func(_ *Provider, c *cspContext) []byte { return text(c.container()) },
	PP_UNIQUE_CONTAINER:    func(_ *Provider, c *cspContext) []byte { return text(c.container()) },
	PP_PROVTYPE:            func(_ *Provider, c *cspContext) []byte { return dword(c.registered.Type) },
	PP_KEYSET_TYPE:         func(_ *Provider, c *cspContext) []byte { return dword(c.keysetType()) },
	PP_KEYSPEC:             func(*Provider, *cspContext) []byte { return dword(AT_SIGNATURE | AT_KEYEXCHANGE) },
	PP_SIG_KEYSIZE_INC:     func(*Provider, *cspContext) []byte { return dword(8) },
	PP_KEYX_KEYSIZE_INC:    func(*Provider, *cspContext) []byte { return dword(8) },
	PP_CRYPT_COUNT_KEY_USE: func(*Provider, *cspContext) []byte { return dword(0) },
	PP_ENUMEX_SIGNING_PROT: func(*Provider, *cspContext) []byte { return nil }, // that it succeeds is the answer
}

func (c *cspContext) keysetType() uint32 {
	if c.machine {
		return CRYPT_MACHINE_KEYSET
	}
	return 0
}

// enumFlags are those that an enumeration takes: CRYPT_NEXT and 0 mean the same.
const enumFlags = CRYPT_FIRST | CRYPT_NEXT | CRYPT_MACHINE_KEYSET | CRYPT_SILENT

// GetProvParam is CPGetProvParam. Enumerations begin with CRYPT_FIRST and go on with
// CRYPT_NEXT or 0, each context by itself; a question for the length moves nothing
// and asks nobody; their end is ERROR_NO_MORE_ITEMS.
func (p *Provider) GetProvParam(context Handle, param uint32, out *Output, flags uint32) (st Status) {
	defer p.app.Trace("CPGetProvParam", &st, "context", context, "param", param, "flags", hexOf(flags))
	c, st := p.context(context)
	if st != winkeys.OK {
		return st
	}
	if out == nil {
		return winkeys.ERROR_INVALID_PARAMETER
	}
	switch param {
	case PP_ENUMALGS, PP_ENUMALGS_EX, PP_ENUMCONTAINERS:
		if flags&^enumFlags != 0 {
			return winkeys.NTE_BAD_FLAGS
		}
		first := flags&CRYPT_FIRST != 0
		if param == PP_ENUMCONTAINERS {
			return c.enumContainers(out, first)
		}
		return c.enumAlgorithms(out, first, param == PP_ENUMALGS_EX)
	}
	value, known := provParams[param]
	if !known {
		return winkeys.NTE_BAD_TYPE
	}
	if flags&^(CRYPT_MACHINE_KEYSET|CRYPT_SILENT) != 0 {
		return winkeys.NTE_BAD_FLAGS
	}
	return out.give(value(p, c))
}

func (c *cspContext) enumAlgorithms(out *Output, first, ex bool) Status {
	row, at := (*algorithm).enumAlgs, &c.algs
	if ex {
		row, at = (*algorithm).enumAlgsEx, &c.algsEx
	}
	if st, done := out.needs(len(row(&algorithms[0]))); done { // all rows are of one length
		return st
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first {
		*at = 0
	}
	if *at >= len(algorithms) {
		return winkeys.ERROR_NO_MORE_ITEMS
	}
	*at++
	return out.give(row(&algorithms[*at-1]))
}

func (c *cspContext) enumContainers(out *Output, first bool) Status {
	if out.LengthOnly {
		out.Length = maxContainer
		return winkeys.OK
	}
	c.mu.Lock()
	listed := c.listed
	c.mu.Unlock()
	if first || !listed {
		keys, st := c.rsaKeys("CPGetProvParam")
		if st != winkeys.OK {
			return st
		}
		names := make([]string, len(keys))
		for i, k := range keys {
			names[i] = k.Name()
		}
		c.mu.Lock()
		c.containers, c.next, c.listed = names, 0, true
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next >= len(c.containers) {
		return winkeys.ERROR_NO_MORE_ITEMS
	}
	st := out.give(text(c.containers[c.next]))
	if st == winkeys.OK {
		c.next++
	}
	return st
}

// ignoredParams can be set and change nothing: nothing is ever shown, and the
// token comes from the configuration, so that a PIN is neither needed nor read.
var ignoredParams = map[uint32]bool{
	PP_CLIENT_HWND: true, PP_CONTEXT_INFO: true, PP_UI_PROMPT: true, PP_USE_HARDWARE_RNG: true, PP_PIN_PROMPT_STRING: true,
	PP_KEYEXCHANGE_PIN: true, PP_SIGNATURE_PIN: true, PP_SECURE_KEYEXCHANGE_PIN: true, PP_SECURE_SIGNATURE_PIN: true,
}

// SetProvParam is CPSetProvParam. The value is not even read. PP_CLIENT_HWND comes
// without a context.
func (p *Provider) SetProvParam(context Handle, param uint32) (st Status) {
	defer p.app.Trace("CPSetProvParam", &st, "context", context, "param", param)
	if _, st := p.context(context); st != winkeys.OK && param != PP_CLIENT_HWND {
		return st
	}
	if !ignoredParams[param] {
		return winkeys.NTE_BAD_TYPE
	}
	return winkeys.OK
}

// hexOf shows flags in the log.
func hexOf(flags uint32) string { return fmt.Sprintf("0x%X", flags) }

// clip shortens a name that a host gave, for the log.
func clip(name string) string {
	const most = 128
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}
