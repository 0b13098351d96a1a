package ksp

import (
	"crypto"
	_ "crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// The tests of this file make the calls of programs that do not run under Wine, in
// their order and with their flags, as the programs' own sources and traces of other
// key storage providers show them.

// order is a program's calls on a key and what it expects of each.
type order struct {
	program string
	rsaOnly bool
	steps   func(key, kind, alg, flags, digest, signature string) []string
	says    []string
}

// answers are texts that the probe has to print.
func answers(lines ...string) []string { return lines }

var orders = []order{
	{
		// signtool: four ways to open, the public key, sizes, the signature. The provider goes before the key.
		program: "signtool /csp /kc",
		steps: func(key, kind, alg, flags, digest, signature string) []string {
			return []string{
				step("open", "p0", 0), step("key", "k0", "p0", key, 2, 0), step("key", "k1", "p0", key, 1, 0), step("key", "k2", "p0", key, 2, 0x20), step("key", "k3", "p0", key, 1, 0x20),
				step("freeprov", "p0"), step("export", "k0", "PUBLICBLOB", ""), step("size", "k0", kind, alg, 0, 32, flags), step("size", "k0", kind, alg, 0, 32, flags),
				step("sign", "k0", kind, alg, 0, digest, flags, 512, signature), step("freekey", "k0", "p0"), step("freekey", "k3", "p0"),
			}
		},
		says: answers("key k0: "+ok, "key k3: "+ok, "freeprov p0: "+ok, "export k0: "+ok, "size k0: "+ok, "sign k0: "+ok, "freekey k0: "+ok, "freekey k3: "+ok),
	},
	{
		// signtool /ds: a padding info for ECDSA keys as well.
		program: "signtool /dg, /ds, /di",
		steps: func(key, _, alg, _, digest, signature string) []string {
			return []string{step("open", "p0", 0), step("key", "k0", "p0", key, 2, 0), step("export", "k0", "PUBLICBLOB", ""), step("sign", "k0", "pkcs1", alg, 0, digest, 2, 512, signature), step("freekey", "k0", "p0"), step("freeprov", "p0")}
		},
		says: answers("sign k0: "+ok, "freekey k0: "+ok, "freeprov p0: "+ok),
	},
	{
		// mage -Sign -CryptoProvider -KeyContainer (.NET Framework): looks the container up among all keys, and asks for its own
		// property with NCRYPT_PERSIST_ONLY_FLAG.
		program: "mage", rsaOnly: true,
		steps: func(key, kind, alg, flags, digest, signature string) []string {
			return []string{
				step("open", "p0", 0), step("keys", "p0", 0), step("freeprov", "p0"), step("open", "p0", 0), step("key", "k0", "p0", key, 0, 0),
				step("prop", "k0", "CLR IsEphemeral", "0x40000000"), step("prop", "k0", "Algorithm Group", "0x40000000"), step("prop", "k0", "Algorithm Group", 0), step("prop", "k0", "Length", 0), step("prop", "k0", "Provider Handle", 0),
				step("export", "k0", "RSAPUBLICBLOB", ""), step("size", "k0", kind, alg, 0, 32, flags), step("sign", "k0", kind, alg, 0, digest, flags, 512, signature), step("freekey", "k0", "p0"), step("freeprov", "p0"),
			}
		},
		says: answers("keys p0: "+noMore+" freed "+ok, "prop k0: "+notFound+" CLR IsEphemeral", "prop k0: "+ok+" Algorithm Group", "prop k0: "+ok+" Length", "export k0: "+ok, "sign k0: "+ok),
	},
	{
		// .NET's CngKey.Open and what RSACng and ECDsaCng do with it; dotnet sign and Azure-style signers build on them.
		program: ".NET CngKey, dotnet sign",
		steps: func(key, kind, alg, flags, digest, signature string) []string {
			return []string{
				step("open", "p0", 0), step("key", "k0", "p0", key, 0, 0x40), step("prop", "k0", "CLR IsEphemeral", "0x40000000"), step("prop", "k0", "Algorithm Group", 0), step("prop", "k0", "Algorithm Name", 0),
				step("prop", "k0", "PublicKeyLength", 0), step("prop", "k0", "Length", 0), step("prop", "k0", "Lengths", 0), step("prop", "k0", "Key Usage", 0), step("prop", "k0", "Export Policy", 0),
				step("prop", "k0", "Unique Name", 0x40), step("prop", "k0", "UI Policy", 0), step("prop", "k0", "Key Type", 0), step("export", "k0", "PUBLICBLOB", ""),
				step("sign", "k0", kind, alg, 0, digest, flags, 512, signature), step("verify", "k0", kind, alg, 0, digest, flags, signature), step("freekey", "k0", "p0"), step("freeprov", "p0"),
			}
		},
		says: answers("key k0: "+ok, "prop k0: "+ok+" PublicKeyLength", "prop k0: "+ok+" Length", "prop k0: "+ok+" Lengths", "prop k0: "+notFound+" UI Policy", "sign k0: "+ok, "verify k0: "+ok),
	},
	{
		// certutil -repairstore and rdpsign: key spec 0, a property of the provider that no book names, a test signature.
		program: "certutil -repairstore, rdpsign",
		steps: func(key, kind, alg, flags, digest, signature string) []string {
			return []string{
				step("open", "p0", 0), step("prop", "p0", "Impl Type", 0), step("prop", "p0", "Name", 0), step("key", "k0", "p0", key, 0, 0x40), step("set", "p0", "HWND Handle", "x", 0), step("set", "p0", "No Such Property", "x", 0),
				step("key", "k1", "p0", key, 0, 0x60), step("prop", "k1", "Unique Name", 0), step("prop", "k1", "Algorithm Group", 0), step("prop", "k1", "Export Policy", 0), step("prop", "k1", "SmartCardKeyCertificate", 0),
				step("export", "k1", "PUBLICBLOB", ""), step("sign", "k1", kind, alg, 0, digest, flags, 512, signature), step("verify", "k1", kind, alg, 0, digest, flags, signature), step("freekey", "k1", "p0"), step("freekey", "k0", "p0"), step("freeprov", "p0"),
			}
		},
		says: answers("set p0: "+ok, "key k1: "+ok, "prop k1: "+ok+" Unique Name", "prop k1: "+ok+" SmartCardKeyCertificate", "sign k1: "+ok, "verify k1: "+ok),
	},
	{
		// SunMSCAPI (jarsigner and Jsign with -storetype Windows-MY): everything silent, the size first.
		program: "SunMSCAPI",
		steps: func(key, kind, alg, flags, digest, signature string) []string {
			silent := map[string]string{"0": "0x40", "2": "0x42"}[flags]
			return []string{
				step("open", "p0", 0), step("key", "k0", "p0", key, 0, 0x40), step("prop", "k0", "Algorithm Group", 0x40), step("prop", "k0", "Algorithm Name", 0x40), step("prop", "k0", "Length", 0x40),
				step("size", "k0", kind, alg, 0, 32, silent), step("sign", "k0", kind, alg, 0, digest, silent, 512, signature), step("freekey", "k0", "p0"), step("freeprov", "p0"),
			}
		},
		says: answers("prop k0: "+ok+" Algorithm Group", "size k0: "+ok, "sign k0: "+ok),
	},
}

// TestOrders: each program's calls; OpenSSL judges the signature; one list and one
// signature are asked for, however often the program opens the key.
func TestOrders(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		for _, o := range orders {
			for _, key := range rig.Keys() {
				if o.rsaOnly && !rig.IsRSA(key) {
					continue
				}
				t.Run(o.program+"/"+key, func(t *testing.T) {
					f := newFiles(t, crypto.SHA256)
					kind, flags := "none", "0"
					if rig.IsRSA(key) {
						kind, flags = "pkcs1", "2"
					}
					front := newFront(t, s)
					r := h.probe(t, h.tool(t, s, front.env...), o.steps(container(key), kind, "SHA256", flags, winrig.Path(f.digest), winrig.Path(f.signature))...)
					for _, line := range o.says {
						r.Says(t, line)
					}
					f.judge(t, s, key, "sha256")
					if lists, signatures := front.lists.Load(), front.posts.Load(); lists != 1 || signatures != 1 {
						t.Errorf("%d lists and %d signatures were asked for", lists, signatures)
					}
				})
			}
		}
	})
}

// TestOfficeMacros: the calls of signtool with Office's subject interface packages, which
// are 32-bit: one signature of each kind (legacy, agile, V3) over digests of their own in
// one process. It is of use in the i386 root, where the 386 build runs.
func TestOfficeMacros(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		key := rig.Keys()[0]
		var steps []string
		type made struct {
			files
			hash string
		}
		var all []made
		for _, hash := range []struct {
			name string
			hash crypto.Hash
		}{{"sha1", crypto.SHA1}, {"sha256", crypto.SHA256}, {"sha256", crypto.SHA256}} {
			f := newFiles(t, hash.hash)
			rig.Write(t, f.file, append(rig.Must(os.ReadFile(f.file)), byte(len(all))))
			sum := hash.hash.New()
			_, _ = sum.Write(rig.Must(os.ReadFile(f.file)))
			f.sum = sum.Sum(nil)
			rig.Write(t, f.digest, f.sum)
			all = append(all, made{f, hash.name})
			steps = append(steps, step("open", "p0", 0), step("key", "k0", "p0", container(key), 2, 0), step("freeprov", "p0"), step("export", "k0", "RSAPUBLICBLOB", ""),
				step("size", "k0", "pkcs1", strings.ToUpper(hash.name), 0, len(f.sum), 2), step("sign", "k0", "pkcs1", strings.ToUpper(hash.name), 0, winrig.Path(f.digest), 2, 512, winrig.Path(f.signature)), step("freekey", "k0", "p0"))
		}
		h.probe(t, h.tool(t, s), steps...)
		for _, m := range all {
			m.judge(t, s, key, m.hash)
		}
	})
}

// TestSignedXML: an XML signature as .NET's SignedXml makes it for HLK packages, with
// RSA-SHA256 by the provider. xmlsec1 accepts the chain and the signature, and refuses a
// changed document.
func TestSignedXML(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		key := rig.Keys()[0]
		const ns = `xmlns="http://www.w3.org/2000/09/xmldsig#"`
		// Both parts are written in canonical form: as they stand, they are what is hashed.
		object := `<Object ` + ns + ` Id="package">results of ` + t.Name() + `</Object>`
		digest := func(text string) string { return base64.StdEncoding.EncodeToString(rig.SHA256Of([]byte(text))) }
		info := `<SignedInfo ` + ns + `><CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"></CanonicalizationMethod>` +
			`<SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></SignatureMethod>` +
			`<Reference URI="#package"><Transforms><Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"></Transform></Transforms>` +
			`<DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></DigestMethod><DigestValue>` + digest(object) + `</DigestValue></Reference></SignedInfo>`
		dir := t.TempDir()
		sum := rig.SHA256Of([]byte(info))
		in, out := rig.Write(t, filepath.Join(dir, "digest"), sum), filepath.Join(dir, "signature")
		h.probe(t, h.tool(t, s), step("open", "p0", 0), step("key", "k0", "p0", container(key), 0, 0x40), step("prop", "k0", "Algorithm Group", 0), step("prop", "k0", "Length", 0),
			step("sign", "k0", "pkcs1", "SHA256", 0, winrig.Path(in), 2, 512, winrig.Path(out))).Says(t, "sign k0: "+ok)
		var chain strings.Builder
		for _, line := range strings.Split(string(rig.Must(os.ReadFile(s.File("certificates", key+".chain.pem")))), "\n") {
			switch {
			case strings.HasPrefix(line, "-----BEGIN"):
				chain.WriteString("<X509Certificate>")
			case strings.HasPrefix(line, "-----END"):
				chain.WriteString("</X509Certificate>")
			default:
				chain.WriteString(line)
			}
		}
		without := func(part string) string { return strings.Replace(part, " "+ns, "", 1) } // inherited from Signature
		document := fmt.Sprintf("<?xml version=\"1.0\"?>\n<Signature %s>%s<SignatureValue>%s</SignatureValue><KeyInfo><X509Data>%s</X509Data></KeyInfo>%s</Signature>\n",
			ns, without(info), base64.StdEncoding.EncodeToString(rig.Must(os.ReadFile(out))), chain.String(), without(object))
		signed := rig.Write(t, filepath.Join(dir, "signed.xml"), []byte(document))
		changed := rig.Write(t, filepath.Join(dir, "changed.xml"), []byte(strings.Replace(document, "results of", "Results of", 1)))
		verify := func(file string) *rig.Result {
			return rig.Run(t, nil, "xmlsec1", "--verify", "--trusted-pem", s.File("ca.pem"), "--id-attr:Id", "http://www.w3.org/2000/09/xmldsig#:Object", file)
		}
		verify(signed).OK(t)
		verify(changed).Fails(t)
		s.Audited(t, sum, key)
	})
}
