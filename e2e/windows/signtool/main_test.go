// Package signtool tries Microsoft's signtool.exe, unmodified, as the npm packages
// "signtool" and "@electron/windows-sign" carry it: it signs through SignPathKSP and
// SignPathCSP in a taught Wine prefix, against the development service, and
// osslsigncode judges on Linux.
//
// Environment: E2E_SIGNTOOL is the folder node_modules that scripts/test fetched.
package signtool

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

var unpacked struct {
	once sync.Once
	all  []winrig.Signtool
}

// programs are the two versions.
func programs(t *testing.T) []winrig.Signtool {
	t.Helper()
	packages := rig.Program(t, "E2E_SIGNTOOL")
	unpacked.once.Do(func() {
		dir := rig.Must(os.MkdirTemp("", "signtool-"))
		rig.AtEnd(func() { _ = os.RemoveAll(dir) })
		unpacked.all = rig.Must(winrig.Signtools(packages, dir))
	})
	return unpacked.all
}

var trusts sync.Map // folder of a service

// machine is the taught Windows, on which the root of the service's certificates is
// trusted: signtool attaches the issuers of /ac only if the chain ends in such a root.
func machine(t *testing.T, s *rig.Service) *winrig.Prefix {
	t.Helper()
	w := winrig.Taught(t)
	if _, done := trusts.LoadOrStore(s.Dir, true); !done {
		w.Trust(t, derOf(t, rig.Must(os.ReadFile(s.File("ca.pem"))), 0))
	}
	return w
}

// provider is one of ours: its name for /csp, its log, its row in the table of tools.
type provider struct{ name, iface, row string }

var (
	ksp = provider{winrig.KSP, "KSP", "signtool.exe, SignPathKSP"}
	csp = provider{winrig.CSP, "CSP", "signtool.exe, SignPathCSP"}
)

// arguments of the documented form: certificate, provider, key container, issuers, digest.
func (p provider) arguments(t *testing.T, s *rig.Service, key, digest string, more ...string) []string {
	t.Helper()
	args := []string{"sign", "/f", winrig.Path(certificate(t, s, key, 0)), "/csp", p.name, "/kc", rig.Project + "/" + key, "/ac", winrig.Path(certificate(t, s, key, 1)), "/fd", digest}
	return append(args, more...)
}

// certificate is one of the policy's chain as a .cer file (DER): 0 the leaf, 1 its issuer.
func certificate(t *testing.T, s *rig.Service, key string, n int) string {
	t.Helper()
	chain := rig.Must(os.ReadFile(s.File("certificates", key+".chain.pem")))
	return rig.Write(t, filepath.Join(t.TempDir(), key+".cer"), derOf(t, chain, n))
}

// proved tells the table of tested tools.
func (p provider) proved(t *testing.T, g winrig.Signtool, key, verifier string) {
	t.Helper()
	rig.RowOf(t, rig.Proved{Tool: p.row, Version: g.Version, Key: key, System: "Wine 8.0 on " + rig.Here.Release(t), Verifier: verifier})
}
