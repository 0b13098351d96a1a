package cng

import (
	"encoding/binary"
	"strconv"
	"strings"
	"sync"

	"signpath/internal/provider/winkeys"
)

const (
	implHardware  = 1   // NCRYPT_IMPL_HARDWARE_FLAG: the private key is not on this machine
	usageSigning  = 2   // NCRYPT_ALLOW_SIGNING_FLAG
	maxNameLength = 512 // characters of project/policy
)

// providerProperties is what GetProviderProperty serves (key storage property
// identifiers of ncrypt.h).
var providerProperties = map[string]func(*KSP) []byte{
	"Name":                   func(*KSP) []byte { return wide(ProviderName) },
	"Version":                func(k *KSP) []byte { return dwords(versionNumber(k.opts.Version)) },
	"Impl Type":              func(*KSP) []byte { return dwords(implHardware) },
	"Max Name Length":        func(*KSP) []byte { return dwords(maxNameLength) },
	"Security Descr Support": func(*KSP) []byte { return dwords(0) },
}

// keyProperties is what GetKeyProperty serves; nil means that this key has none.
var keyProperties = map[string]func(*KSP, *key) []byte{
	"Name":            func(_ *KSP, k *key) []byte { return wide(k.Name()) },
	"Unique Name":     func(_ *KSP, k *key) []byte { return wide(k.Name()) },
	"Algorithm Name":  func(_ *KSP, k *key) []byte { return wide(k.alg.name) },
	"Algorithm Group": func(_ *KSP, k *key) []byte { return wide(k.alg.group) },
	"Length":          func(_ *KSP, k *key) []byte { return k.number(k.Bits()) },
	"PublicKeyLength": func(_ *KSP, k *key) []byte { return k.number(k.Bits()) },
	"Lengths": func(_ *KSP, k *key) []byte { // {dwMinLength, dwMaxLength, dwIncrement, dwDefaultLength}: it is what it is
		n := k.number(k.Bits())
		return append(append(append(n, n...), dwords(0)...), n...)
	},
	"Block Length":    func(_ *KSP, k *key) []byte { return k.number((k.Bits() + 7) / 8) },
	"SignatureLength": func(_ *KSP, k *key) []byte { return k.number(k.signatureSize()) },
	"ECCCurveName": func(_ *KSP, k *key) []byte {
		if k.alg.curve == "" {
			return nil
		}
		return wide(k.alg.curve)
	},
	"Export Policy": func(*KSP, *key) []byte { return dwords(0) },
	"Key Usage":     func(*KSP, *key) []byte { return dwords(usageSigning) },
	"Key Type": func(_ *KSP, k *key) []byte {
		if k.machine {
			return dwords(flagMachineKey)
		}
		return dwords(0)
	},
	"Impl Type": func(*KSP, *key) []byte { return dwords(implHardware) },
	"Provider Handle": func(p *KSP, k *key) []byte {
		return binary.LittleEndian.AppendUint64(nil, uint64(k.provider))[:p.opts.PointerSize]
	},
	"SmartCardKeyCertificate": func(_ *KSP, k *key) []byte { return k.Certificate() },
	"Certificate":             func(_ *KSP, k *key) []byte { return k.Certificate() },
}

// number is a count as a DWORD.
func (k *key) number(n int) []byte { return dwords(uint32(n)) } //nolint:gosec // bits and bytes of a key

// absent are properties that other providers have; NTE_NOT_FOUND says that a key has
// none, where NTE_NOT_SUPPORTED makes .NET throw.
var absent = map[string]bool{"UI Policy": true, "SmartCardKeyCertificate": true, "Certificate": true}

// unset are properties that a host may set, and that are NTE_NOT_FOUND until it does:
// .NET's CngKey.UIPolicy and ParentWindowHandle read them, and throw at other answers.
var unset = map[string]bool{"Use Context": true, "HWND Handle": true}

// unread are PINs: no key needs one, so that it is neither read nor kept.
var unread = map[string]bool{"SmartCardPin": true, "SmartCardSecurePin": true}

// versionNumber is the property Version: major in the upper 16 bits, minor in the
// lower ones.
func versionNumber(version string) uint32 {
	parts := strings.SplitN(version, ".", 3)
	var n [2]uint32
	for i := range min(2, len(parts)) {
		v, err := strconv.ParseUint(parts[i], 10, 16)
		if err == nil {
			n[i] = uint32(v)
		}
	}
	return n[0]<<16 | n[1]
}

// properties are what a host has set: window handles and properties of its own. They
// are kept for the life of the handle, change nothing, and are never logged.
type properties struct {
	mu sync.Mutex
	m  map[string][]byte
}

const maxProperties = 64 // per handle

func newProperties() *properties { return &properties{m: map[string][]byte{}} }

func (p *properties) get(name string) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, ok := p.m[name]
	return v, ok
}

func (p *properties) put(name string, value []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.m[name]; !known && len(p.m) >= maxProperties {
		return false
	}
	p.m[name] = value
	return true
}

// getProviderProperty answers GetProviderProperty(hProvider, pszProperty, pbOutput,
// cbOutput, pcbResult, dwFlags).
func (c *call) getProviderProperty() Status {
	p, ok := c.provider(0)
	if !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	return c.getProperty(1, p.set, func(name string) ([]byte, bool) {
		serve, known := providerProperties[name]
		if !known {
			return nil, false
		}
		return serve(c.KSP), true
	})
}

// getKeyProperty answers GetKeyProperty(hProvider, hKey, pszProperty, pbOutput,
// cbOutput, pcbResult, dwFlags).
func (c *call) getKeyProperty() Status {
	k, ok := c.key(1)
	if !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	return c.getProperty(2, k.set, func(name string) ([]byte, bool) {
		serve, known := keyProperties[name]
		if !known {
			return nil, false
		}
		return serve(c.KSP, k), true
	})
}

// getProperty is what both have in common; the arguments from at on are name,
// buffer, size, result, flags. A property that nobody knows is NTE_NOT_SUPPORTED;
// one that the host could have stored itself (NCRYPT_PERSIST_ONLY_FLAG, with which
// .NET asks for "CLR IsEphemeral") is NTE_NOT_FOUND.
func (c *call) getProperty(at int, set *properties, serve func(string) ([]byte, bool)) Status {
	name, ok := c.text(at)
	c.note("property", name)
	switch {
	case !ok || c.a[at+3] == 0:
		return winkeys.NTE_INVALID_PARAMETER
	case !c.flags(at+4, securityInformation):
		return winkeys.NTE_BAD_FLAGS
	}
	value, known := serve(name)
	if !known {
		value, known = set.get(name)
	}
	switch {
	case known && value != nil:
		return c.output(at+1, value)
	case absent[name], unset[name], !known && c.dword(at+4)&flagPersistOnly != 0:
		return winkeys.NTE_NOT_FOUND
	}
	return winkeys.NTE_NOT_SUPPORTED
}

// setProviderProperty answers SetProviderProperty(hProvider, pszProperty, pbInput,
// cbInput, dwFlags). certutil and rdpsign set properties that no book names: they
// are kept and change nothing.
func (c *call) setProviderProperty() Status {
	p, ok := c.provider(0)
	if !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	return c.setProperty(1, p.set, func(name string) bool { return providerProperties[name] != nil })
}

// setKeyProperty answers SetKeyProperty(hProvider, hKey, pszProperty, pbInput,
// cbInput, dwFlags). What describes the key cannot be changed, and nothing is stored
// with it (NCRYPT_PERSIST_FLAG): NTE_NOT_SUPPORTED.
func (c *call) setKeyProperty() Status {
	k, ok := c.key(1)
	if !ok {
		return winkeys.NTE_INVALID_HANDLE
	}
	return c.setProperty(2, k.set, func(name string) bool {
		return keyProperties[name] != nil || absent[name] || c.dword(5)&flagPersist != 0
	})
}

// setProperty is what both have in common; the arguments from at on are name,
// input, size, flags.
func (c *call) setProperty(at int, set *properties, fixed func(string) bool) Status {
	name, ok := c.text(at)
	size := c.dword(at + 2)
	c.note("property", name, "inputLen", size)
	switch {
	case !ok || c.a[at+1] == 0 && size != 0 || size > maxInput:
		return winkeys.NTE_INVALID_PARAMETER
	case !c.flags(at+3, securityInformation):
		return winkeys.NTE_BAD_FLAGS
	case fixed(name):
		return winkeys.NTE_NOT_SUPPORTED
	case unread[name]:
		return winkeys.OK
	}
	value := []byte{}
	if size > 0 {
		if value, ok = c.read(c.a[at+1], int(size)); !ok {
			return winkeys.NTE_INVALID_PARAMETER
		}
	}
	if !set.put(name, value) {
		return winkeys.NTE_NO_MEMORY
	}
	return winkeys.OK
}
