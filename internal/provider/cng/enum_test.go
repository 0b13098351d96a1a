package cng

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"signpath/internal/provider/winkeys"
)

func TestEnumAlgorithms(t *testing.T) {
	for _, size := range []int{4, 8} {
		h := newHost(t, size)
		p := h.open()
		for _, name := range []string{"RSA", "ECDSA_P256", "ECDSA_P384", "ECDSA_P521"} {
			h.ok("IsAlgSupported", p, h.text(name), 0x40)
		}
		for _, name := range []string{"ECDH_P256", "AES", "rsa", "", "DSA"} {
			h.is(winkeys.NTE_NOT_SUPPORTED, "IsAlgSupported", p, h.text(name), 0)
		}
		for _, operations := range []uintptr{0, 0x10, 0x1F} {
			count, list := h.room(4), h.room(8)
			h.ok("EnumAlgorithms", p, operations, count, list, 0)
			at := h.pointerAt(list)
			var names []string
			for range h.dwordAt(count) {
				names = append(names, h.textAt(h.pointerAt(at)))
				if got := h.get(at+uintptr(size), 12); !bytes.Equal(got, dwords(5, 0x10, 0)) {
					t.Errorf("class, operations and flags are %x", got)
				}
				at += map[int]uintptr{4: 16, 8: 24}[size] // sizeof(NCryptAlgorithmName)
			}
			if !slices.Equal(names, []string{"RSA", "ECDSA_P256", "ECDSA_P384", "ECDSA_P521"}) {
				t.Errorf("%q", names)
			}
			h.ok("FreeBuffer", h.pointerAt(list))
		}
		for _, operations := range []uintptr{1, 2, 4, 8} { // cipher, hash, encryption, key exchange
			count, list := h.put([]byte{9, 9, 9, 9}), h.put(bytes.Repeat([]byte{9}, 8))
			h.ok("EnumAlgorithms", p, operations, count, list, 0)
			if h.dwordAt(count) != 0 || h.pointerAt(list) != 0 {
				t.Error("algorithms of a class without any")
			}
		}
		h.is(winkeys.NTE_BAD_FLAGS, "EnumAlgorithms", p, 0x1000, h.room(4), h.room(8), 0)
		if n := h.blocks(); n != 0 {
			t.Errorf("%d blocks are not freed", n)
		}
	}
}

func (h *host) enumerate(p, state, flags uintptr) (names []string) {
	h.t.Helper()
	item := h.room(h.size)
	for {
		st := h.do("EnumKeys", p, 0, item, state, flags)
		if st == winkeys.NTE_NO_MORE_ITEMS {
			return names
		}
		if st != winkeys.OK {
			h.t.Fatal(st)
		}
		at := h.pointerAt(item)
		names = append(names, h.textAt(h.pointerAt(at))+" "+h.textAt(h.pointerAt(at+uintptr(h.size))))
		if got := h.get(at+2*uintptr(h.size), 8); !bytes.Equal(got, dwords(0, uint32(flags&0x20))) {
			h.t.Errorf("key spec and flags are %x", got)
		}
		h.ok("FreeBuffer", at)
	}
}

func TestEnumKeys(t *testing.T) {
	want := []string{"app/p256 ECDSA_P256", "app/p384 ECDSA_P384", "app/p521 ECDSA_P521", "app/rsa2048 RSA", "app/rsa3072 RSA", "app/rsa4096 RSA"}
	for _, size := range []int{4, 8} {
		h := newHost(t, size)
		h.service.Add(t, "app/ed25519", "ed25519")
		p := h.open()
		for _, flags := range []uintptr{0, 0x20, 0x40} {
			state := h.room(8)
			if names := h.enumerate(p, state, flags); !slices.Equal(names, want) {
				t.Errorf("%q", names)
			}
			h.is(winkeys.NTE_NO_MORE_ITEMS, "EnumKeys", p, h.text("a scope"), h.room(8), state, flags)
			if h.blocks() != 1 {
				t.Errorf("%d blocks, not the state alone", h.blocks())
			}
			h.ok("FreeBuffer", h.pointerAt(state))
			h.is(winkeys.NTE_INVALID_PARAMETER, "EnumKeys", p, 0, h.room(8), state, flags) // freed
		}
		h.counts("three enumerations", 1, 0)
		// Two at once.
		a, b := h.room(8), h.room(8)
		h.ok("EnumKeys", p, 0, h.room(8), a, 0)
		h.ok("EnumKeys", p, 0, h.room(8), b, 0)
		if n := len(h.enumerate(p, a, 0)); n != len(want)-1 {
			t.Errorf("%d keys are left", n)
		}
		h.is(winkeys.NTE_INVALID_PARAMETER, "EnumKeys", p, 0, h.room(8), h.put(h.pointerBytes(nowhere)), 0)
		h.is(winkeys.NTE_INVALID_PARAMETER, "EnumKeys", p, 0, h.room(8), h.put(h.pointerBytes(h.room(8))), 0)
	}
}

func TestNoKeys(t *testing.T) {
	h := newHost(t, 8)
	h.service.Remove()
	state := h.room(8)
	h.is(winkeys.NTE_NO_MORE_ITEMS, "EnumKeys", h.open(), 0, h.room(8), state, 0)
	if h.pointerAt(state) != 0 || h.blocks() != 0 {
		t.Error("a state that nobody would free")
	}
	if !strings.Contains(h.service.Log(t, "KSP"), "Submitter in no signing policy") {
		t.Error("the log does not tell")
	}
}

// Only what was given is freed, and once; a host without memory gets a status.
func TestFreeBuffer(t *testing.T) {
	h := newHost(t, 8)
	p := h.open()
	for _, wrong := range []uintptr{0, 1, nowhere, h.room(8), p} {
		h.is(winkeys.NTE_INVALID_PARAMETER, "FreeBuffer", wrong)
	}
	list := h.room(8)
	h.ok("EnumAlgorithms", p, 0, h.room(4), list, 0)
	h.is(winkeys.NTE_INVALID_PARAMETER, "FreeBuffer", h.pointerAt(list)+8)
	h.ok("FreeBuffer", h.pointerAt(list))
	h.is(winkeys.NTE_INVALID_PARAMETER, "FreeBuffer", h.pointerAt(list))
	h.full = true
	h.is(winkeys.NTE_NO_MEMORY, "EnumAlgorithms", p, 0, h.room(4), list, 0)
	h.is(winkeys.NTE_NO_MEMORY, "EnumKeys", p, 0, list, h.room(8), 0)
	if len(h.KSP.given) != 0 {
		t.Error("blocks that do not exist are remembered")
	}
}
