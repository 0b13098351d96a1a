package csp

import (
	"crypto"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// place is a Windows to test in.
type place struct {
	arch   string
	prefix func(*testing.T) *winrig.Prefix
}

// places are this machine's Wine, or the i386 root if E2E_I386 names it.
func places() []place {
	if os.Getenv("E2E_I386") != "" {
		return []place{{"386", winrig.I386}}
	}
	return []place{{"amd64", winrig.Stock}}
}

// everywhere runs a test in each place.
func everywhere(t *testing.T, test func(*testing.T, *host)) {
	t.Helper()
	for _, p := range places() {
		t.Run(p.arch, func(t *testing.T) {
			w := p.prefix(t)
			sources := rig.Must(filepath.Glob("testdata/*.c"))
			exe := winrig.Compile(t, p.arch, "probe.exe", append(sources, "-lcrypt32", "-ladvapi32", "-lpsapi")...)
			h := &host{Prefix: w, exe: filepath.Join(t.TempDir(), "probe.exe")}
			rig.Write(t, h.exe, rig.Must(os.ReadFile(exe))) // where the other root sees it
			test(t, h)
		})
	}
}

// host runs the probe.
type host struct {
	*winrig.Prefix
	exe string
}

func (h *host) tool(t *testing.T, s *rig.Service, more ...string) *winrig.Tool {
	t.Helper()
	return h.Tool(t, s, "CSP", more...)
}

// dll is the provider as Windows calls it.
func (h *host) dll() string { return `C:\windows\system32\SignPath.Csp.dll` }

const container = rig.Project + "/"

func rsaKey() string { return rig.Keys()[0] }

// rsaKeys are the keys of a run that CryptoAPI can use.
func rsaKeys() []string {
	return slices.DeleteFunc(rig.Keys(), func(k string) bool { return !rig.IsRSA(k) })
}

// der is the certificate of a key, as a file that the tools can read.
func der(t *testing.T, s *rig.Service, key string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), key+".cer")
	rig.Run(t, nil, "openssl", "x509", "-in", s.File("certificates", key+".pem"), "-outform", "DER", "-out", out).OK(t)
	return out
}

// issuer is the certificate of who issued the key's.
func issuer(t *testing.T, s *rig.Service, key string) string {
	t.Helper()
	_, rest := pem.Decode(rig.Must(os.ReadFile(s.File("certificates", key+".chain.pem"))))
	block, _ := pem.Decode(rest)
	if block == nil {
		t.Fatal("no issuer in the chain")
	}
	return rig.Write(t, filepath.Join(t.TempDir(), "issuer.cer"), block.Bytes)
}

var hashes = []struct {
	name, alg, oid string
	hash           crypto.Hash
}{
	{"sha1", "0x8004", "1.3.14.3.2.26", crypto.SHA1},
	{"sha256", "0x800c", "2.16.840.1.101.3.4.2.1", crypto.SHA256}, {"sha384", "0x800d", "2.16.840.1.101.3.4.2.2", crypto.SHA384}, {"sha512", "0x800e", "2.16.840.1.101.3.4.2.3", crypto.SHA512},
}

// TestSign: every hash with every key, through both character sets, both key specs,
// with the host's own digest; OpenSSL and Windows' own provider accept, and refuse a change.
func TestSign(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		for _, key := range rsaKeys() {
			for _, hash := range hashes {
				t.Run(key+"/"+hash.name, func(t *testing.T) {
					file, tampered, content := rig.Artifact(t)
					sig := filepath.Join(t.TempDir(), "sig")
					tl := h.tool(t, s)
					tl.Run(t, h.exe, "sign", container+key, hash.alg, winrig.Path(file), winrig.Path(sig)).OK(t).Says(t, "all good")
					pub := s.PublicKey(t, key)
					rig.Run(t, nil, "openssl", "dgst", "-"+hash.name, "-verify", pub, "-signature", sig, file).OK(t)
					rig.Run(t, nil, "openssl", "dgst", "-"+hash.name, "-verify", pub, "-signature", sig, tampered).Fails(t)
					s.Audited(t, rig.HashOf(hash.hash, content), key)
				})
			}
		}
	})
}

// TestParameters: everything that a program can ask, and what a signing key refuses.
func TestParameters(t *testing.T) {
	s := rig.TheService(t)
	var containers []string
	for _, k := range append(rsaKeys(), "mail-rsa2048", "gpg-rsa3072") {
		containers = append(containers, container+k)
	}
	slices.Sort(containers)
	everywhere(t, func(t *testing.T, h *host) {
		key := rsaKey()
		tl := h.tool(t, s)
		tl.Run(t, h.exe, append([]string{"params", container + key, strings.TrimPrefix(key, "rsa"), winrig.Path(der(t, s, key))}, containers...)...).OK(t).Says(t, "all good")
		tl.InLog(t, "CRYPT_NOHASHOID")
		tl.Run(t, h.exe, "refused", container+key).OK(t).Says(t, "all good")
		tl.InLog(t, "CPGenKey", "keys are created at the service")
	})
}

// TestMessage: CryptSignMessage, the CMS of Windows itself.
func TestMessage(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		for _, hash := range hashes {
			t.Run(hash.name, func(t *testing.T) {
				key := rsaKey()
				file, _, content := rig.Artifact(t)
				out := filepath.Join(t.TempDir(), "out.p7s")
				tl := h.tool(t, s)
				tl.Run(t, h.exe, "message", container+key, winrig.Path(der(t, s, key)), winrig.Path(issuer(t, s, key)), hash.oid, winrig.Path(file), winrig.Path(out)).OK(t).Says(t, "all good")
				cms := rig.Must(os.ReadFile(out))
				s.OpenSSLAccepts(t, cms, content)
				s.Audited(t, rig.ParseCMS(t, cms).Digest(t, content), key)
			})
		}
	})
}

// TestTools: the calls of certutil, .NET, signtool, and of programs that begin with a
// certificate of the store.
func TestTools(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		key := rsaKey()
		cert := winrig.Path(der(t, s, key))
		t.Run("certutil -csplist", func(t *testing.T) {
			tl := h.tool(t, s, "SIGNPATH_API_URL=https://127.0.0.1:1") // asks nobody
			r := tl.Run(t, h.exe, "csplist").OK(t).Says(t, "Provider Name: SignPathCSP").Says(t, "Provider Type: 24").Says(t, "SHA-512, Secure Hash Algorithm (SHA-512)").Says(t, "all good")
			if strings.Count(r.Output, "Provider Name") != 1 {
				t.Errorf("%s", r.Output)
			}
		})
		for _, spec := range []string{"1", "2"} {
			t.Run("RSACryptoServiceProvider/"+spec, func(t *testing.T) {
				h.tool(t, s).Run(t, h.exe, "dotnet", container+key, spec).OK(t).Says(t, "all good")
			})
		}
		t.Run("signtool", func(t *testing.T) {
			p, settings := faulty(t, s)
			tl := h.tool(t, s, settings...)
			tl.Run(t, h.exe, "signtool", container+key, cert).OK(t).Says(t, "all good")
			if n := p.Requests(); n != 2 {
				t.Errorf("%d requests: one list and one signature are enough", n)
			}
		})
		t.Run("a certificate in the store", func(t *testing.T) {
			file, tampered, _ := rig.Artifact(t)
			sig := filepath.Join(t.TempDir(), "sig")
			h.tool(t, s).Run(t, h.exe, "store", container+key, cert, winrig.Path(file), winrig.Path(sig)).OK(t).Says(t, "all good")
			pub := s.PublicKey(t, key)
			rig.Run(t, nil, "openssl", "dgst", "-sha384", "-verify", pub, "-signature", sig, file).OK(t)
			rig.Run(t, nil, "openssl", "dgst", "-sha384", "-verify", pub, "-signature", sig, tampered).Fails(t)
		})
	})
}

// TestHostile: NULL, wild, foreign and freed handles, and addresses that end a process.
func TestHostile(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		h.tool(t, s).Run(t, h.exe, "hostile", h.dll(), container+rsaKey()).OK(t).Says(t, "all good")
	})
}

// TestThreads: 16 threads, half of them with one context, and a DLL that is to be
// unloaded meanwhile.
func TestThreads(t *testing.T) {
	s := rig.TheService(t)
	rounds := "4"
	if rig.All {
		rounds = "60"
	}
	everywhere(t, func(t *testing.T, h *host) {
		tl := h.tool(t, s)
		tl.Run(t, h.exe, "threads", container+rsaKey(), "16", rounds).OK(t).Says(t, "all good")
		t.Run("FreeLibrary", func(t *testing.T) {
			h.tool(t, s).Run(t, h.exe, "unload", container+rsaKey(), h.dll()).OK(t).Says(t, "all good")
		})
	})
}

// TestMany: signatures leave nothing behind, 10,000 of them in the full matrix.
func TestMany(t *testing.T) {
	s := rig.TheService(t)
	n := "400"
	if rig.All {
		n = "10000"
	}
	everywhere(t, func(t *testing.T, h *host) {
		tl := h.tool(t, s, "SIGNPATH_LOG_FILE_LEVEL=warning")
		r := tl.RunWithin(t, manyLimit, h.exe, "many", container+rsaKey(), n).OK(t).Says(t, "all good")
		t.Log(strings.TrimSpace(r.Output))
	})
}

// TestRegistration: what regsvr32 calls writes and removes what CryptoAPI needs.
func TestRegistration(t *testing.T) {
	everywhere(t, func(t *testing.T, h *host) {
		const key = `HKLM\SOFTWARE\Microsoft\Cryptography\Defaults\Provider\SignPathCSP`
		before := h.Value(t, key, "Image Path")
		tl := h.Bare(t)
		tl.Run(t, h.exe, "registration", h.dll(), "/u").OK(t)
		if v := h.Value(t, key, "Image Path"); v != "" {
			t.Errorf("still registered: %q", v)
		}
		tl.Run(t, h.exe, "registration", h.dll()).OK(t)
		if v := h.Value(t, key, "Image Path"); !strings.EqualFold(v, before) || v == "" {
			t.Errorf("Image Path is %q, not %q", v, before)
		}
		if v := h.Value(t, key, "Type"); v != "0x18" {
			t.Errorf("Type is %q", v)
		}
		tl.Run(t, h.exe, "csplist").OK(t).Says(t, "Provider Name: SignPathCSP")
	})
}
