package gpg

import (
	"os"
	"path/filepath"
	"testing"

	"signpath/e2e/rig"
)

// TestGPGScenarios runs the samples, which verify what they signed.
func TestGPGScenarios(t *testing.T) {
	t.Parallel()
	s := theService(t)
	for _, c := range []struct {
		name, says string
		in         []rig.System
		more       bool // only when everything is asked for: the plain test is there, too
	}{
		{"GpgSignFile", "Good signature", []rig.System{rig.Here}, false},
		{"SignRpm", "RSA/SHA512 Signature", []rig.System{rig.Here}, false},
		{"debsigs", "Verified package from", []rig.System{rig.Here}, false},
		{"SignDeb", "GOODSIG _gpgbuilder", debian11(), false},
		{"SignMaven", "Good signature", []rig.System{rig.Here}, true},
	} {
		if c.more && !rig.All {
			continue
		}
		if len(c.in) == 0 {
			t.Fatal("no Debian 11 (run scripts/test, which makes it)")
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBuild(t, s, theKey, "HOME="+os.Getenv("HOME"), "MAVEN_OPTS=-Dmaven.repo.local="+filepath.Join(rig.Root, ".cache", "maven"))
			b.in = c.in[0]
			source, module := helper, rig.Module
			if b.in.Root != "" {
				source, module = b.carried(t)
			}
			run := filepath.Join(filepath.Dir(source), "..", "RunScenario.sh")
			r := b.sh(t, run+" -Scenario "+c.name+" -ProjectSlug "+rig.Project+" -SigningPolicySlug "+theKey+" -LibSignPathCryptokiPath '"+module+"' -OutputDirectory \"$PWD/out\"")
			r.OK(t).Says(t, c.says)
			b.tool.InLog(t, "signed", "key="+rig.Project+"/"+theKey)
		})
	}
}
