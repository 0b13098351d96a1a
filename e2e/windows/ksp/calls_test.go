package ksp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// TestSignHash: every key with every hash and padding. OpenSSL accepts the signature and
// refuses it for another file, VerifySignature does the same, the size is known before,
// and the log tells of each.
func TestSignHash(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		for _, key := range rig.Keys() {
			t.Run(key, func(t *testing.T) {
				type made struct {
					files
					hash string
					more []string
				}
				var all []made
				steps := []string{step("open", "p0"), step("key", "k0", "p0", container(key), 0, 0)}
				add := func(hash string, f files, kind, flags string, salt int, more ...string) {
					all = append(all, made{f, hash, more})
					alg := strings.ToUpper(hash)
					steps = append(steps, step("size", "k0", kind, alg, salt, len(f.sum), flags),
						step("sign", "k0", kind, alg, salt, winrig.Path(f.digest), flags, 16, ""),
						step("sign", "k0", kind, alg, salt, winrig.Path(f.digest), flags, 512, winrig.Path(f.signature)),
						step("verify", "k0", kind, alg, salt, winrig.Path(f.digest), flags, winrig.Path(f.signature)))
				}
				for _, hash := range hashes {
					if !rig.IsRSA(key) {
						add(hash.name, newFiles(t, hash.hash), "none", "0", 0)
						continue
					}
					add(hash.name, newFiles(t, hash.hash), "pkcs1", "2", 0)
					add(hash.name, newFiles(t, hash.hash), "pss", "8", hash.hash.Size(), "-sigopt", "rsa_padding_mode:pss", "-sigopt", fmt.Sprint("rsa_pss_saltlen:", hash.hash.Size()))
				}
				tl := h.tool(t, s)
				r := h.probe(t, tl, append(steps, step("freeprov", "p0"), step("freekey", "k0", "p0"))...)
				size := signatureSize(key)
				for line, want := range map[string]int{
					fmt.Sprintf("size k0: %s %d\n", ok, size): len(all), fmt.Sprintf("sign k0: %s %d\n", tooSmall, size): len(all),
					fmt.Sprintf("sign k0: %s %d\n", ok, size): len(all), fmt.Sprintf("verify k0: %s changed %s\n", ok, badSignature): len(all),
					"freeprov p0: " + ok + "\n": 1, "freekey k0: " + ok + "\n": 1,
				} {
					if got := strings.Count(r.Output, line); got != want {
						t.Errorf("%d lines %q, not %d:\n%s", got, line, want, r.Output)
					}
				}
				for _, m := range all {
					m.judge(t, s, key, m.hash, m.more...)
				}
				if got := strings.Count(tl.Log(), "signed key="); got != len(all) {
					t.Errorf("the log tells of %d signatures, not %d:\n%s", got, len(all), tl.Log())
				}
			})
		}
	})
}

// signatureSize is the length of a key's signatures in bytes.
func signatureSize(key string) int {
	var bits int
	if _, err := fmt.Sscanf(strings.TrimPrefix(strings.TrimPrefix(key, "rsa"), "p"), "%d", &bits); err != nil {
		panic(err)
	}
	if rig.IsRSA(key) {
		return bits / 8
	}
	return 2 * ((bits + 7) / 8)
}

// TestProperties: what the provider and a key tell of themselves, and public keys as
// blobs that are those of the certificate.
func TestProperties(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		keys := rig.Keys()
		steps := []string{step("open", "p0"), step("prop", "p0", "Name", 0), step("prop", "p0", "Impl Type", 0x40), step("prop", "p0", "Max Name Length", 0), step("prop", "p0", "Version", 0), step("prop", "p0", "No Such", 0)}
		dir := t.TempDir()
		for i, key := range keys {
			k := fmt.Sprint("k", i)
			steps = append(steps, step("key", k, "p0", container(key), i%3, 0x40))
			for _, name := range []string{"Name", "Unique Name", "Algorithm Name", "Algorithm Group", "Length", "Lengths", "Block Length", "Key Usage", "Key Type", "Export Policy", "Impl Type", "Provider Handle", "SmartCardKeyCertificate"} {
				steps = append(steps, step("prop", k, name, 0))
			}
			for _, kind := range []string{"RSAPUBLICBLOB", "ECCPUBLICBLOB", "PUBLICBLOB", "RSAPRIVATEBLOB", "PKCS8_PRIVATEKEY"} {
				steps = append(steps, step("export", k, kind, winrig.Path(filepath.Join(dir, key+"."+kind))))
			}
		}
		r := h.probe(t, h.tool(t, s), steps...)
		for name, want := range map[string][]byte{"Name": wide("SignPathKSP"), "Impl Type": dword(1), "Max Name Length": dword(512)} {
			if got := between(t, r, fmt.Sprintf("prop p0: %s %s %s %d ", ok, name, ok, len(want))); !bytes.Equal(got, want) {
				t.Errorf("%s is %x", name, got)
			}
		}
		r.Says(t, "prop p0: "+notSupported+" No Such\n")
		for i, key := range keys {
			certificate := leaf(t, s, key)
			size, alg, group, block := keySize(certificate), "RSA", "RSA", 0
			if !rig.IsRSA(key) {
				alg, group = "ECDSA_"+strings.ToUpper(key), "ECDSA"
			}
			block = (int(size) + 7) / 8
			for name, want := range map[string][]byte{
				"Name": wide(container(key)), "Unique Name": wide(container(key)), "Algorithm Name": wide(alg), "Algorithm Group": wide(group), "Length": dword(size),
				"Lengths": append(append(append(dword(size), dword(size)...), dword(0)...), dword(size)...), "Block Length": dword(uint32(block)),
				"Key Usage": dword(2), "Key Type": dword(0), "Export Policy": dword(0), "Impl Type": dword(1), "SmartCardKeyCertificate": certificate.Raw,
			} {
				if got := between(t, r, fmt.Sprintf("prop k%d: %s %s %s %d ", i, ok, name, ok, len(want))); !bytes.Equal(got, want) {
					t.Errorf("%s of %s is %x, not %x", name, key, got, want)
				}
			}
			want, own, other := blob(t, certificate), "RSAPUBLICBLOB", "ECCPUBLICBLOB"
			if !rig.IsRSA(key) {
				own, other = other, own
			}
			for _, kind := range []string{own, "PUBLICBLOB"} {
				if got := rig.Must(os.ReadFile(filepath.Join(dir, key+"."+kind))); !bytes.Equal(got, want) {
					t.Errorf("%s of %s is %x, not %x", kind, key, got, want)
				}
			}
			for _, kind := range []string{other, "RSAPRIVATEBLOB", "PKCS8_PRIVATEKEY"} {
				r.Says(t, fmt.Sprintf("export k%d: %s %s 0\n", i, notSupported, kind))
			}
		}
	})
}

func leaf(t *testing.T, s *rig.Service, key string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(rig.Must(os.ReadFile(s.File("certificates", key+".pem"))))
	return rig.Must(x509.ParseCertificate(block.Bytes))
}

func keySize(c *x509.Certificate) uint32 {
	if p, isRSA := c.PublicKey.(*rsa.PublicKey); isRSA {
		return uint32(p.N.BitLen())
	}
	return uint32(c.PublicKey.(*ecdsa.PublicKey).Params().BitSize)
}

// blob is the public key as bcrypt.h writes it.
func blob(t *testing.T, c *x509.Certificate) []byte {
	t.Helper()
	switch p := c.PublicKey.(type) {
	case *rsa.PublicKey:
		e, n := big.NewInt(int64(p.E)).Bytes(), p.N.Bytes()
		b := []byte("RSA1")
		for _, v := range []int{p.N.BitLen(), len(e), len(n), 0, 0} {
			b = append(b, dword(uint32(v))...)
		}
		return append(append(b, e...), n...)
	case *ecdsa.PublicKey:
		point := rig.Must(p.Bytes())[1:]
		return append(append([]byte(map[int]string{256: "ECS1", 384: "ECS3", 521: "ECS5"}[p.Params().BitSize]), dword(uint32(len(point)/2))...), point...)
	}
	t.Fatal("no such key")
	return nil
}

func dword(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

func wide(s string) []byte {
	var b []byte
	for _, r := range s + "\x00" {
		b = append(b, byte(r), 0)
	}
	return b
}

// TestEnumerations: algorithms and keys, their memory given back, and flags of all kinds.
func TestEnumerations(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		tl := h.tool(t, s)
		r := h.probe(t, tl, step("open", "p0", 0x40), step("algs", "p0", 0), step("algs", "p0", 0x10), step("algs", "p0", 1),
			step("isalg", "p0", "RSA", 0), step("isalg", "p0", "ECDSA_P521", 0x40), step("isalg", "p0", "ECDH_P256", 0),
			step("keys", "p0", 0), step("keys", "p0", 0x60), step("open", "p1", 0x08000000), step("key", "k0", "p0", container(rig.Keys()[0]), 0, 0x08000000),
			step("set", "p0", "HWND Handle", "x", 0), step("set", "p0", "No Such", "x", 0x40), step("set", "p0", "Name", "x", 0))
		list := " RSA/5/0x10 ECDSA_P256/5/0x10 ECDSA_P384/5/0x10 ECDSA_P521/5/0x10 freed " + ok + "\n"
		if strings.Count(r.Output, "algs p0: "+ok+list) != 2 {
			t.Errorf("not the algorithms twice:\n%s", r.Output)
		}
		r.Says(t, "algs p0: "+ok+"\n").Says(t, "isalg RSA: "+ok+"\n").Says(t, "isalg ECDSA_P521: "+ok+"\n").Says(t, "isalg ECDH_P256: "+notSupported+"\n")
		for _, key := range rig.Keys() {
			alg := "RSA"
			if !rig.IsRSA(key) {
				alg = "ECDSA_" + strings.ToUpper(key)
			}
			if strings.Count(r.Output, container(key)+"="+alg+"/0 ") != 2 {
				t.Errorf("%s is not listed twice:\n%s", key, r.Output)
			}
		}
		if strings.Count(r.Output, "keys p0: "+noMore+" freed "+ok+"\n") != 2 {
			t.Errorf("the enumerations do not end:\n%s", r.Output)
		}
		r.Says(t, "open p1: "+badFlags+"\n").Says(t, "key k0: "+badFlags+"\n").Says(t, "set p0: "+notSupported+"\n")
		if strings.Count(r.Output, "set p0: "+ok+"\n") != 2 {
			t.Errorf("properties that nobody knows do harm:\n%s", r.Output)
		}
	})
}

// TestRefusedForms: what RSA cannot be asked for is refused here, with a line that tells
// why; nothing reaches the service.
func TestRefusedForms(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		tl := h.tool(t, s)
		d := winrig.Path(quick(t))
		r := h.probe(t, tl, step("open", "p0"), step("key", "k0", "p0", container(rig.Keys()[0]), 2, 0),
			step("sign", "k0", "bare", "", 0, d, 2, 512, ""), step("sign", "k0", "pss", "SHA256", 20, d, 8, 512, ""), step("sign", "k0", "none", "", 0, d, 0, 512, ""),
			step("sign", "k0", "pkcs1", "SHA3-256", 0, d, 2, 512, ""), step("sign", "k0", "pkcs1", "SHA512", 0, d, 2, 512, ""))
		var got []string
		for _, l := range strings.Split(r.Output, "\n") {
			if st, found := strings.CutPrefix(l, "sign k0: "); found {
				got = append(got, strings.Fields(st)[0])
			}
		}
		if want := []string{notSupported, badParameter, badFlags, notSupported, badParameter}; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%q, not %q", got, want)
		}
		tl.InLog(t, "SignHash", "old versions of TLS", "NTE_NOT_SUPPORTED")
		tl.InLog(t, "SignHash", "salt as long as the hash", "salt=20", "NTE_INVALID_PARAMETER")
		if strings.Contains(tl.Log(), "signed key=") {
			t.Error("the service signed")
		}
	})
}
