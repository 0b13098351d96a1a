package signtool

import (
	"os"
	"path/filepath"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// TestRelicAccepts has a second verifier judge what signtool made: relic, which shares no
// code with osslsigncode or OpenSSL. Building it takes minutes, so this runs with
// everything only.
func TestRelicAccepts(t *testing.T) {
	relic := rig.Program(t, "E2E_RELIC")
	s := rig.TheService(t)
	g := programs(t)[0]
	url, tsa := rig.Timestamps(t)
	roots := rig.Write(t, filepath.Join(t.TempDir(), "roots.pem"), append(rig.Must(os.ReadFile(s.File("ca.pem"))), rig.Must(os.ReadFile(tsa))...))
	for _, p := range []provider{ksp, csp} {
		for _, key := range keysOf(p) {
			for _, name := range []string{"hello.exe", "answer.dll", "hello.msi", "hello.cab", "hello.ps1"} {
				t.Run(p.name+"/"+key+"/"+name, func(t *testing.T) {
					file := rig.Sample(t, name)
					options := []string{"/tr", url, "/td", "SHA256", winrig.Path(file)}
					machine(t, s).Tool(t, s, p.iface).Run(t, g.Exe, p.arguments(t, s, key, "SHA256", options...)...).OK(t)
					verify := func(file string) *rig.Result { return rig.Run(t, nil, relic, "verify", "--cert", roots, file) }
					verify(file).OK(t)
					verify(rig.Tamper(t, file)).Fails(t)
					p.proved(t, g, key, "relic verify")
				})
			}
		}
	}
}
