package samples

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// archive is a file that scripts/package made.
func archive(t *testing.T, pattern string) string {
	t.Helper()
	found := rig.Must(filepath.Glob(filepath.Join(rig.Program(t, "E2E_PACKAGES"), pattern)))
	if len(found) != 1 {
		t.Fatalf("%d files %s in %s", len(found), pattern, rig.Program(t, "E2E_PACKAGES"))
	}
	return found[0]
}

// TestArchive: what a user does who unpacks the archive: its samples find its module.
func TestArchive(t *testing.T) {
	s := rig.TheService(t)
	dir := t.TempDir()
	rig.Run(t, nil, "tar", "-xzf", archive(t, "libSignPath.Cryptoki.tar.gz"), "-C", dir).OK(t)
	module := rig.Must(os.ReadFile(filepath.Join(dir, "libSignPath.Cryptoki.so")))
	if string(module) != string(rig.Must(os.ReadFile(rig.Module))) {
		t.Error("the archive has another module than dist/")
	}
	s.Tool(t).Run(t, filepath.Join(dir, "Samples", "RunScenario.sh"), "-Scenario", "OpenSSL", "-ProjectSlug", rig.Project, "-SigningPolicySlug", "p256").OK(t)
	out := filepath.Join(dir, "Samples", "Output", "OpenSSL")
	dgst("artifact.bin.sig")(t, s, "p256", out, filepath.Join(out, "artifact.bin")).OK(t)
	sums := string(rig.Must(os.ReadFile(archive(t, "SHA256SUMS"))))
	for _, name := range []string{"libSignPath.Cryptoki.tar.gz", "libSignPath.Cryptoki.bom.xml"} {
		h := sha256.Sum256(rig.Must(os.ReadFile(archive(t, name))))
		if !strings.Contains(sums, hex.EncodeToString(h[:])+"  "+name+"\n") {
			t.Errorf("SHA256SUMS does not have %s as it is", name)
		}
	}
}

// TestDeb: the Debian package installs in clean Debians, its samples find its module,
// and it leaves nothing behind.
func TestDeb(t *testing.T) {
	s := rig.TheService(t)
	deb := archive(t, "signpath-cryptoki_*.deb")
	for _, p := range places()[1:] {
		t.Run(p.String(), func(t *testing.T) {
			p.build(t)
			out := t.TempDir()
			c := exec.Command(engine, "run", "--rm", "--network", "host", "-v", filepath.Dir(deb)+":/packages:ro", "-v", s.Dir+":/service:ro", "-v", out+":/output", "-e", "SIGNPATH_CONFIG_FILE=/service/config.json",
				"-e", "SIGNPATH_TRUSTED_CA_FILE=/service/tls-ca.pem", "signpath-samples:"+p.String(), "sh", "-exc", `
dpkg -i /packages/`+filepath.Base(deb)+`
signpath version
cd /tmp
/usr/share/doc/signpath-cryptoki/Samples/RunScenario.sh -Scenario OpenSSL -ProjectSlug hash-signing -SigningPolicySlug p256 -OutputDirectory /output
rm -rf /usr/share/doc/signpath-cryptoki/Samples/Output
dpkg -P signpath-cryptoki
! ls /usr/bin/signpath /usr/lib/*/libSignPath* /usr/share/doc/signpath-cryptoki`)
			text, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			dgst("artifact.bin.sig")(t, s, "p256", out, filepath.Join(out, "artifact.bin")).OK(t)
		})
	}
}
