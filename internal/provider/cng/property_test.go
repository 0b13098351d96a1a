package cng

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"signpath/internal/provider/winkeys"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

func TestProviderProperties(t *testing.T) {
	for _, size := range []int{4, 8} {
		h := newHost(t, size)
		p := h.open()
		for name, want := range map[string][]byte{
			"Name": wide("SignPathKSP"), "Version": dwords(3<<16 | 14), "Impl Type": dwords(1), "Max Name Length": dwords(512), "Security Descr Support": dwords(0),
		} {
			if got := h.property(p, 0, name, 0); !bytes.Equal(got, want) {
				t.Errorf("%s is %x, want %x", name, got, want)
			}
		}
		h.is(winkeys.NTE_NOT_SUPPORTED, "GetProviderProperty", p, h.text("Unheard Of"), 0, 0, h.room(4), 0)
		h.is(winkeys.NTE_NOT_FOUND, "GetProviderProperty", p, h.text("Unheard Of"), 0, 0, h.room(4), 0x40000000)
		// certutil and rdpsign set properties that no book names.
		for _, name := range []string{"HWND Handle", "Use Context", "Unheard Of"} {
			h.ok("SetProviderProperty", p, h.text(name), h.put([]byte{1, 2, 3, 4}), 4, 0)
			if got := h.property(p, 0, name, 0); !bytes.Equal(got, []byte{1, 2, 3, 4}) {
				t.Errorf("%s is %x after it was set", name, got)
			}
		}
		h.ok("SetProviderProperty", p, h.text("Use Context"), 0, 0, 0)
		h.is(winkeys.NTE_NOT_SUPPORTED, "SetProviderProperty", p, h.text("Name"), h.text("x"), 4, 0)
		h.is(winkeys.NTE_NOT_SUPPORTED, "GetProviderProperty", h.open(), h.text("Unheard Of"), 0, 0, h.room(4), 0) // each handle has its own
	}
}

func TestKeyProperties(t *testing.T) {
	for _, size := range []int{4, 8} {
		h := newHost(t, size)
		p := h.open()
		for _, k := range []struct {
			key, name, group, curve string
			bits, block, signature  int
		}{
			{"rsa2048", "RSA", "RSA", "", 2048, 256, 256}, {"rsa3072", "RSA", "RSA", "", 3072, 384, 384}, {"rsa4096", "RSA", "RSA", "", 4096, 512, 512},
			{"p256", "ECDSA_P256", "ECDSA", "nistP256", 256, 32, 64}, {"p384", "ECDSA_P384", "ECDSA", "nistP384", 384, 48, 96}, {"p521", "ECDSA_P521", "ECDSA", "nistP521", 521, 66, 132},
		} {
			key := h.key(p, "app/"+k.key)
			bits := uint32(k.bits)
			for name, want := range map[string][]byte{
				"Name": wide("app/" + k.key), "Unique Name": wide("app/" + k.key), "Algorithm Name": wide(k.name), "Algorithm Group": wide(k.group),
				"Length": dwords(bits), "PublicKeyLength": dwords(bits), "Lengths": dwords(bits, bits, 0, bits), "Block Length": dwords(uint32(k.block)), "SignatureLength": dwords(uint32(k.signature)),
				"Export Policy": dwords(0), "Key Usage": dwords(2), "Key Type": dwords(0), "Impl Type": dwords(1), "Provider Handle": h.pointerBytes(p),
			} {
				for _, flags := range []uintptr{0, 0x40, 0x40000000} { // mage asks with NCRYPT_PERSIST_ONLY_FLAG
					if got := h.property(p, key, name, flags); !bytes.Equal(got, want) {
						t.Errorf("%s of %s is %x, want %x", name, k.key, got, want)
					}
				}
			}
			if k.curve == "" {
				h.is(winkeys.NTE_NOT_SUPPORTED, "GetKeyProperty", p, key, h.text("ECCCurveName"), 0, 0, h.room(4), 0)
			} else if got := h.property(p, key, "ECCCurveName", 0); !bytes.Equal(got, wide(k.curve)) {
				t.Errorf("ECCCurveName is %x", got)
			}
			for _, name := range []string{"SmartCardKeyCertificate", "Certificate"} {
				c, err := x509.ParseCertificate(h.property(p, key, name, 0))
				if err != nil || c.Subject.CommonName != "app/"+k.key {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		at := h.room(8)
		h.ok("OpenKey", p, at, h.text("app/p256"), 0, 0x20)
		if got := h.property(p, h.pointerAt(at), "Key Type", 0); !bytes.Equal(got, dwords(0x20)) {
			t.Errorf("Key Type of a machine key is %x", got)
		}
	}
}

// What keys do not have, and what cannot be changed.
func TestOtherKeyProperties(t *testing.T) {
	h := newHost(t, 8)
	h.service.Add(t, "app/gpg", "rsa2048", func(p *wire.SigningPolicy) { p.CertificateType, p.CertificateBytes = wire.CertificateGPG, nil })
	p := h.open()
	k := h.key(p, "app/gpg")
	get := func(want Status, name string, flags uintptr) {
		h.is(want, "GetKeyProperty", p, k, h.text(name), 0, 0, h.room(4), flags)
	}
	get(winkeys.NTE_NOT_FOUND, "SmartCardKeyCertificate", 0)
	get(winkeys.NTE_NOT_FOUND, "UI Policy", 0)
	get(winkeys.NTE_NOT_FOUND, "Use Context", 0) // .NET's CngKey.UIPolicy throws at NTE_NOT_SUPPORTED
	get(winkeys.NTE_NOT_FOUND, "HWND Handle", 0)
	get(winkeys.NTE_NOT_FOUND, "CLR IsEphemeral", 0x40000000) // .NET
	get(winkeys.NTE_NOT_SUPPORTED, "CLR IsEphemeral", 0)
	get(winkeys.NTE_NOT_SUPPORTED, "Security Descr", 4)
	get(winkeys.NTE_NOT_SUPPORTED, "length", 0)
	set := func(want Status, name string, value []byte, flags uintptr) {
		h.is(want, "SetKeyProperty", p, k, h.text(name), h.put(value), uintptr(len(value)), flags)
	}
	set(winkeys.OK, "HWND Handle", make([]byte, 8), 0)
	set(winkeys.OK, "SmartCardPin", wide("1234"), 0)
	get(winkeys.NTE_NOT_SUPPORTED, "SmartCardPin", 0)                         // it is not kept
	h.ok("SetKeyProperty", p, k, h.text("SmartCardSecurePin"), nowhere, 8, 0) // and not even read
	h.ok("SetProviderProperty", p, h.text("SmartCardPin"), nowhere, 8, 0)
	set(winkeys.OK, "Use Context", wide("signing"), 0)
	for name, want := range map[string][]byte{"HWND Handle": make([]byte, 8), "Use Context": wide("signing")} {
		if got := h.property(p, k, name, 0); !bytes.Equal(got, want) {
			t.Errorf("%s is %x after it was set", name, got)
		}
	}
	set(winkeys.OK, "CLR IsEphemeral", []byte{1}, 0)
	if got := h.property(p, k, "CLR IsEphemeral", 0x40000000); !bytes.Equal(got, []byte{1}) {
		t.Errorf("a property of the host's own is %x", got)
	}
	for _, name := range []string{"Length", "Export Policy", "Key Usage", "SmartCardKeyCertificate", "UI Policy"} {
		set(winkeys.NTE_NOT_SUPPORTED, name, dwords(1), 0)
	}
	set(winkeys.NTE_NOT_SUPPORTED, "Mine", []byte{1}, 0x80000000)
	h.is(winkeys.NTE_INVALID_PARAMETER, "SetKeyProperty", p, k, h.text("Mine"), h.room(8), 1<<30, 0)
	for i := range maxProperties {
		h.do("SetKeyProperty", p, k, h.text(fmt.Sprint(i)), h.room(1), 1, 0)
	}
	set(winkeys.NTE_NO_MEMORY, "one more", []byte{1}, 0)
	set(winkeys.OK, "0", []byte{2}, 0)
	if log := h.service.Log(t, "KSP"); bytes.Contains([]byte(log), []byte("1234\"")) {
		t.Error("a value that the host set is in the log")
	}
}

func TestExportKey(t *testing.T) {
	for _, size := range []int{4, 8} {
		h := newHost(t, size)
		p := h.open()
		export := func(key uintptr, kind string) []byte {
			return h.output("ExportKey", func(b, n, r uintptr) []uintptr { return []uintptr{p, key, 0, h.text(kind), 0, b, n, r, 0} })
		}
		for _, bits := range []int{2048, 3072, 4096} {
			public := testkeys.RSA(t, bits).PublicKey
			k := h.key(p, fmt.Sprint("app/rsa", bits))
			for _, kind := range []string{"RSAPUBLICBLOB", "PUBLICBLOB"} {
				b := export(k, kind)
				e, n := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
				got := rsa.PublicKey{E: int(new(big.Int).SetBytes(b[24 : 24+e]).Int64()), N: new(big.Int).SetBytes(b[24+e:])}
				if string(b[:4]) != "RSA1" || binary.LittleEndian.Uint32(b[4:]) != uint32(bits) || int(n) != bits/8 || len(b) != 24+int(e+n) || !bytes.Equal(b[16:24], make([]byte, 8)) || !got.Equal(&public) {
					t.Errorf("%s is %x", kind, b)
				}
			}
			b := export(k, "CAPIPUBLICBLOB")
			n := slices.Clone(b[20:])
			slices.Reverse(n)
			if !bytes.Equal(b[:8], []byte{6, 2, 0, 0, 0, 0x24, 0, 0}) || string(b[8:12]) != "RSA1" || binary.LittleEndian.Uint32(b[12:]) != uint32(bits) || int(binary.LittleEndian.Uint32(b[16:])) != public.E || new(big.Int).SetBytes(n).Cmp(public.N) != 0 {
				t.Errorf("CAPIPUBLICBLOB is %x", b)
			}
			h.is(winkeys.NTE_NOT_SUPPORTED, "ExportKey", p, k, 0, h.text("ECCPUBLICBLOB"), 0, 0, 0, h.room(4), 0)
		}
		for bits, magic := range map[int]string{256: "ECS1", 384: "ECS3", 521: "ECS5"} {
			public := testkeys.ECDSA(t, bits).PublicKey
			k := h.key(p, fmt.Sprint("app/p", bits))
			for _, kind := range []string{"ECCPUBLICBLOB", "PUBLICBLOB"} {
				b := export(k, kind)
				half := (bits + 7) / 8
				got, err := ecdsa.ParseUncompressedPublicKey(public.Curve, append([]byte{4}, b[8:]...))
				if string(b[:4]) != magic || int(binary.LittleEndian.Uint32(b[4:])) != half || len(b) != 8+2*half || err != nil || !got.Equal(&public) {
					t.Errorf("%s is %x", kind, b)
				}
			}
			h.is(winkeys.NTE_NOT_SUPPORTED, "ExportKey", p, k, 0, h.text("RSAPUBLICBLOB"), 0, 0, 0, h.room(4), 0)
		}
		k := h.key(p, "app/rsa2048")
		for _, kind := range []string{"RSAPRIVATEBLOB", "RSAFULLPRIVATEBLOB", "PKCS8_PRIVATEKEY", "OpaqueTransport", "", "rsapublicblob"} {
			h.is(winkeys.NTE_NOT_SUPPORTED, "ExportKey", p, k, 0, h.text(kind), 0, 0, 0, h.room(4), 0)
		}
		h.is(winkeys.NTE_NOT_SUPPORTED, "ExportKey", p, k, k, h.text("PUBLICBLOB"), 0, 0, 0, h.room(4), 0)
	}
}
