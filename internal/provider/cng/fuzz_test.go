package cng

import (
	"encoding/binary"
	"testing"

	"signpath/internal/provider/winkeys"
)

// fuzzHost has a provider, keys, and a page of the fuzzer's bytes; nothing reaches
// a network.
func fuzzHost(f *testing.F) (h *host, p uintptr, keys []uintptr) {
	f.Helper()
	h = newHost(f, 8, "SIGNPATH_LOG_FILE_LEVEL=none")
	p = h.open()
	keys = []uintptr{h.key(p, "app/rsa2048"), h.key(p, "app/p256")}
	h.service.Refuse(400)
	return h, p, keys
}

// FuzzCall makes any call with any arguments: handles, addresses of the fuzzer's own
// bytes, addresses of nothing. The answer is a status; nothing else happens.
func FuzzCall(f *testing.F) {
	h, p, keys := fuzzHost(f)
	f.Add(1, []byte{0, 4, 4, 3, 3}, wide("app/rsa2048"))
	f.Add(19, []byte{0, 1, 4, 4, 5, 4, 5, 4, 6}, append(wide("SHA256"), make([]byte, 64)...))
	f.Add(16, []byte{0, 3, 4, 4, 3}, make([]byte, 32))
	f.Add(3, []byte{0, 4, 4, 5, 4, 3}, wide("Name"))
	f.Fuzz(func(t *testing.T, slot int, kinds, bytes []byte) {
		h.t = t
		if slot < 0 || slot >= len(slots) || slots[slot].name == "FreeProvider" || slots[slot].name == "FreeKey" {
			return
		}
		at := h.put(append(append([]byte{}, bytes...), make([]byte, page)...))
		defer func() {
			h.mu().Lock()
			defer h.mu().Unlock()
			delete(h.parts, at)
		}()
		args := make([]uintptr, slots[slot].args)
		for i := range args {
			k := byte(3)
			if i < len(kinds) {
				k = kinds[i]
			}
			switch k % 8 {
			case 0:
				args[i] = p
			case 1, 2:
				args[i] = keys[k%8-1]
			case 3:
				args[i] = 0
			case 4:
				args[i] = at + uintptr(i)
			case 5:
				args[i] = uintptr(len(bytes))
			case 6:
				args[i] = uintptr(k >> 3)
			default:
				args[i] = ^uintptr(0) >> (k >> 3)
			}
		}
		if st := h.Call(slot, args); st == winkeys.NTE_FAIL {
			t.Errorf("%s(%x): a fault of this package", slots[slot].name, args)
		}
	})
}

func (h *host) mu() interface {
	Lock()
	Unlock()
} {
	return &h.space.mu
}

// FuzzPadding: a padding info is foreign memory. What is accepted names a hash.
func FuzzPadding(f *testing.F) {
	h, _, keys := fuzzHost(f)
	f.Add(wide("SHA256"), uint32(32), uint32(8))
	f.Add(wide("sha1"), uint32(0), uint32(2))
	f.Add([]byte{0}, uint32(1<<31), uint32(10))
	f.Fuzz(func(t *testing.T, name []byte, salt, flags uint32) {
		h.t = t
		text := h.put(name)
		info := h.put(append(h.pointerBytes(text), dwords(salt)...))
		defer func() {
			h.mu().Lock()
			defer h.mu().Unlock()
			delete(h.parts, text)
			delete(h.parts, info)
		}()
		k, _ := h.object(Handle(keys[0])).(*key)
		c := &call{KSP: h.KSP, a: []uintptr{info, uintptr(flags)}}
		p, st := c.padding(k, 0, 1)
		if st == winkeys.OK && (p.bare || p.scheme.Hash.Size() == 0) {
			t.Errorf("%q, salt %d, flags %x: %+v", name, salt, flags, p)
		}
	})
}

// FuzzProperty sets and reads a property of any name; what is read is what was set,
// or what the provider says itself.
func FuzzProperty(f *testing.F) {
	h, p, keys := fuzzHost(f)
	f.Add(wide("Use Context"), []byte{1, 2}, uint32(0), uint32(2))
	f.Add(wide("Length"), []byte{1, 2, 3, 4}, uint32(0x40000000), uint32(3))
	f.Add(wide("SmartCardPin"), wide("1234"), uint32(0), uint32(10))
	f.Fuzz(func(t *testing.T, name, value []byte, flags, size uint32) {
		h.t = t
		text, in, out, result := h.put(name), h.put(value), h.room(len(value)+page), h.room(4)
		defer func() {
			h.mu().Lock()
			defer h.mu().Unlock()
			for _, a := range []uintptr{text, in, out, result} {
				delete(h.parts, a)
			}
		}()
		k, _ := h.object(Handle(keys[1])).(*key)
		k.set = newProperties()
		set := h.do("SetKeyProperty", p, keys[1], text, in, uintptr(size), uintptr(flags))
		get := h.do("GetKeyProperty", p, keys[1], text, out, uintptr(size), result, uintptr(flags))
		if set == winkeys.OK && unread[h.textAt(text)] {
			if get == winkeys.OK {
				t.Errorf("%x can be read", name)
			}
			return
		}
		if set == winkeys.OK && (get != winkeys.OK || binary.LittleEndian.Uint32(h.get(result, 4)) != size) {
			t.Errorf("%x: set, then %v", name, get)
		}
		if set == winkeys.NTE_FAIL || get == winkeys.NTE_FAIL {
			t.Errorf("%x: a fault of this package", name)
		}
	})
}

// FuzzExport asks for a blob of any type, with a buffer of any size.
func FuzzExport(f *testing.F) {
	h, p, keys := fuzzHost(f)
	f.Add(wide("PUBLICBLOB"), uint32(100), uint32(0))
	f.Add(wide("RSAPRIVATEBLOB"), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, kind []byte, size, flags uint32) {
		h.t = t
		text, out, result := h.put(kind), h.room(page), h.room(4)
		defer func() {
			h.mu().Lock()
			defer h.mu().Unlock()
			for _, a := range []uintptr{text, out, result} {
				delete(h.parts, a)
			}
		}()
		for _, k := range keys {
			st := h.do("ExportKey", p, k, 0, text, 0, out, uintptr(size), result, uintptr(flags))
			n := binary.LittleEndian.Uint32(h.get(result, 4))
			if st == winkeys.OK && n > size || st == winkeys.NTE_BUFFER_TOO_SMALL && n <= size || st == winkeys.NTE_FAIL {
				t.Errorf("%x into %d bytes: %v, %d bytes", kind, size, st, n)
			}
		}
	})
}
