package standard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// TestSpy: pkcs11-tool signs through OpenSC's pkcs11-spy, which takes the default
// interface, puts its own function list into it, and writes down every call.
func TestSpy(t *testing.T) {
	t.Parallel()
	spies, err := filepath.Glob("/usr/lib/*/pkcs11-spy.so")
	if err != nil || len(spies) == 0 {
		t.Fatalf("pkcs11-spy.so is not there (Debian: opensc-pkcs11): %v", err)
	}
	s := rig.TheService(t)
	file, _, _ := rig.Artifact(t)
	sig, record := filepath.Join(t.TempDir(), "f.sig"), filepath.Join(t.TempDir(), "calls.txt")
	tl := s.Tool(t, "PKCS11SPY="+rig.Module, "PKCS11SPY_OUTPUT="+record)
	tl.Run(t, "pkcs11-tool", "--module", spies[0], "--pin", "CONFIG", "--sign", "--mechanism", "SHA256-RSA-PKCS", "--id", rig.IDHex("rsa3072"), "--input-file", file, "--output-file", sig).OK(t)
	rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", s.PublicKey(t, "rsa3072"), "-signature", sig, file).OK(t)
	calls, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{"C_GetInterface\n", "C_SignInit\n"} {
		if !strings.Contains(string(calls), call) {
			t.Errorf("no %q in\n%s", call, calls)
		}
	}
}
