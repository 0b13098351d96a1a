package tools

import (
	"crypto/sha512"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// TestPKCS11ToolEd25519: an Ed25519 key signs the file itself; OpenSSL judges.
func TestPKCS11ToolEd25519(t *testing.T) {
	s, err := rig.Start(t.TempDir(), "ed25519,p256")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	tl := s.Tool(t)
	file, tampered, content := rig.Artifact(t)
	pub := s.PublicKey(t, "ed25519")
	rig.Run(t, nil, "openssl", "verify", "-CAfile", s.File("ca.pem"), "-untrusted", s.File("certificates", "ed25519.chain.pem"), s.File("certificates", "ed25519.pem")).OK(t)
	judge := func(t *testing.T, sig string) {
		t.Helper()
		verify := func(file string) *rig.Result {
			return rig.Run(t, nil, "openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", pub, "-in", file, "-sigfile", sig)
		}
		verify(file).OK(t)
		verify(tampered).Fails(t)
		sum := sha512.Sum512(content)
		s.Audited(t, sum[:], "ed25519")
	}
	t.Run("pkcs11-tool", func(t *testing.T) {
		sig := filepath.Join(t.TempDir(), "sig")
		tl.Run(t, "pkcs11-tool", rig.PKCS11Tool("--sign", "--mechanism", "EDDSA", "--id", rig.IDHex("ed25519"), "--input-file", file, "--output-file", sig)...).OK(t)
		judge(t, sig)
	})
	t.Run("signpath sign", func(t *testing.T) {
		sig := filepath.Join(t.TempDir(), "sig")
		tl.Run(t, rig.Binary, "sign", "--policy", rig.Project+"/ed25519", "--out", sig, file).OK(t).Says(t, "openssl pkeyutl -verify -rawin")
		judge(t, sig)
		verify := func(file string) *rig.Result {
			return tl.Run(t, rig.Binary, "verify", "--certificate", s.File("certificates", "ed25519.pem"), "--signature", sig, file)
		}
		verify(file).OK(t)
		verify(tampered).Fails(t)
	})
	// libp11 looks through all private keys, and ends at a type that it does not know.
	t.Run("OpenSSL's engine with another key", func(t *testing.T) {
		sig := filepath.Join(t.TempDir(), "sig")
		tl.Run(t, "openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sha256", "-sign", "pkcs11:id="+rig.Project+"/p256;type=private;pin-value=CONFIG", "-out", sig, file).OK(t)
		rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", s.PublicKey(t, "p256"), "-signature", sig, file).OK(t)
	})
	t.Run("a digest", func(t *testing.T) {
		tl.Run(t, rig.Binary, "sign", "--policy", rig.Project+"/ed25519", "--digest", strings.Repeat("ab", 32)).Fails(t).Says(t, "signs the file itself")
	})
	t.Run("longer than a message may be", func(t *testing.T) {
		long := rig.Write(t, filepath.Join(t.TempDir(), "long"), make([]byte, 1<<20+1))
		tl.Run(t, rig.Binary, "sign", "--policy", rig.Project+"/ed25519", long).Fails(t).Says(t, "1048576 bytes")
	})
	t.Run("the whole length", func(t *testing.T) {
		whole := rig.Write(t, filepath.Join(t.TempDir(), "whole"), make([]byte, 1<<20))
		tl.Run(t, rig.Binary, "sign", "--policy", rig.Project+"/ed25519", whole).OK(t)
		rig.Run(t, nil, "openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", pub, "-in", whole, "-sigfile", whole+".sig").OK(t)
	})
}
