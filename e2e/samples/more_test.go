package samples

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// TestTimestamps: the tools that take a time stamping authority get one, and verifiers
// find its stamp.
func TestTimestamps(t *testing.T) {
	s := rig.TheService(t)
	url, root := rig.Timestamps(t)
	for name, says := range map[string]string{
		"osslsigncode": "Timestamp Server Signature verification: ok",
		"JarSigner":    "jar verified",
		"Jsign":        "Timestamp Server Signature verification: ok",
		"PdfSign":      "The TSA certificate is trusted.",
	} {
		t.Run(name, func(t *testing.T) {
			c := scenarios[slices.IndexFunc(scenarios, func(c scenario) bool { return c.name == name })]
			var more []string
			if c.program != "" {
				more = found(t, c.program)
			}
			place("").run(t, s.Tool(t, more...), name, "p256", t.TempDir(), "-TimestampUrl", url, "-TimestampRootFile", root).OK(t).Says(t, says)
		})
	}
}

// TestProvider: systems without engines for OpenSSL take pkcs11-provider, which Debian 13 has.
func TestProvider(t *testing.T) {
	s := rig.TheService(t)
	for _, p := range places() {
		t.Run(p.String(), func(t *testing.T) {
			for _, key := range []string{"rsa3072", "p256"} {
				out := t.TempDir()
				r := p.run(t, s.Tool(t), "OpenSSL", key, out, "-OpenSslSetup", "Provider")
				if p != "debian:13" && p != "ubuntu:24.04" {
					r.Fails(t).Says(t, "pkcs11-provider")
					continue
				}
				file := filepath.Join(out, "artifact.bin")
				verify := dgst("artifact.bin.sig")
				verify(t, s, key, out, file).OK(t)
				r.OK(t)
				verify(t, s, key, out, tampered(t, file)).Fails(t)
			}
		})
	}
}

// TestImages: -Image signs an image in a registry.
func TestImages(t *testing.T) {
	if !rig.All {
		return // cosign takes minutes to build
	}
	s := rig.TheService(t)
	registry := rig.StartRegistry(t)
	for name, variable := range map[string]string{"Cosign": "E2E_COSIGN", "Notation": "E2E_NOTATION"} {
		t.Run(name, func(t *testing.T) {
			// Both tools speak plain HTTP with a registry of this name, with others TLS.
			image := strings.Replace(registry.Address, "127.0.0.1", "localhost", 1) + "/samples/" + "image@" + registry.Push(t, "samples/image", "an image for "+name)
			r := place("").run(t, s.Tool(t, found(t, variable)...), name, "p256", t.TempDir(), "-Image", image).OK(t)
			if name == "Notation" {
				r.Says(t, "Successfully verified signature for "+image)
			} else {
				r.Says(t, "The signatures were verified against the specified public key")
			}
		})
	}
}
