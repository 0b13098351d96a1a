package cryptoki

import (
	"path/filepath"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// TestCallOrders: what jarsigner and OpenSSL's engine call, in their order. No package
// registry has them for Windows with what they need for PKCS #11.
func TestCallOrders(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	program := seen(t, winrig.Compile(t, arch(), "orders.exe", "testdata/orders.c"))
	for _, order := range []string{"java", "engine"} {
		t.Run(order, func(t *testing.T) {
			file, tampered, content := rig.Artifact(t)
			in, sig := file, filepath.Join(t.TempDir(), "f.sig")
			if order == "engine" {
				in = rig.Write(t, filepath.Join(t.TempDir(), "f.hash"), rig.SHA256Of(content))
			}
			tool(t, s).Run(t, program, module(t), order, pin, id("rsa3072"), winrig.Path(in), winrig.Path(sig)).OK(t).Says(t, "signed")
			public := s.PublicKey(t, "rsa3072")
			rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", public, "-signature", sig, file).OK(t)
			rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", public, "-signature", sig, tampered).Fails(t)
			s.Audited(t, rig.SHA256Of(content), "rsa3072")
		})
	}
}
