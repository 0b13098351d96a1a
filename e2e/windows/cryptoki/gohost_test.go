package cryptoki

import (
	"path/filepath"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// TestGoHosts: two Go runtimes in one process, that of the host and the module's. The
// programs are those of e2e/languages/go, built with mingw (E2E_WINDOWS_GO_HOSTS).
func TestGoHosts(t *testing.T) {
	if !rig.All {
		return
	}
	t.Parallel()
	s := rig.TheService(t)
	for _, c := range []struct{ program, key, signature string }{
		{"miekg.exe", "rsa3072", "pkcs1-sha256.sig"},
		{"miekg.exe", "p256", ""},
		{"crypto11.exe", "rsa3072", "pkcs1-sha256.sig"},
		{"crypto11.exe", "p256", "ecdsader-sha256.sig"},
	} {
		t.Run(c.program+" "+c.key, func(t *testing.T) {
			t.Parallel()
			file, tampered, content := rig.Artifact(t)
			folder := t.TempDir()
			tl := tool(t, s, "TEST_PIN="+pin, "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true")
			tl.Run(t, filepath.Join(rig.Program(t, "E2E_WINDOWS_GO_HOSTS"), c.program), module(t), id(c.key), winrig.Path(file), winrig.Path(folder)).OK(t)
			sig := filepath.Join(folder, c.signature)
			if c.signature == "" {
				sig = rig.Write(t, filepath.Join(t.TempDir(), "der.sig"), derOf(t, filepath.Join(folder, "ecdsa-sha256.sig")))
			}
			public := s.PublicKey(t, c.key)
			rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", public, "-signature", sig, file).OK(t)
			rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", public, "-signature", sig, tampered).Fails(t)
			s.Audited(t, rig.SHA256Of(content), c.key)
		})
	}
}
