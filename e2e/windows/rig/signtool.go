package winrig

import (
	"os"
	"path/filepath"
)

// Signtool is one version of Microsoft's signtool.exe.
type Signtool struct {
	Version string
	Exe     string
}

// Signtools lays out the two versions that the npm packages signtool 1.0.0 and
// @electron/windows-sign 1.2.2 carry, in folders below to. packages is their folder
// node_modules. Beside the program lies Microsoft's mssign32.dll, which only the older
// package has; its wintrust.dll is left out, for Wine cannot run it.
func Signtools(packages, to string) ([]Signtool, error) {
	old := filepath.Join(packages, "signtool", "signtool", "x64")
	mssign := []string{filepath.Join(old, "mssign32.dll"), filepath.Join(old, "Microsoft.Windows.Build.Signing.mssign32.dll.manifest"), filepath.Join(old, "signtool.exe.manifest")}
	var all []Signtool
	for _, g := range []Signtool{
		{"10.0.15063", filepath.Join(old, "signtool.exe")},
		{"10.0.22000", filepath.Join(packages, "@electron", "windows-sign", "vendor", "signtool.exe")},
	} {
		dir := filepath.Join(to, g.Version)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		for _, from := range append([]string{g.Exe}, mssign...) {
			b, err := os.ReadFile(from)
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(from)), b, 0o755); err != nil {
				return nil, err
			}
		}
		all = append(all, Signtool{g.Version, filepath.Join(dir, "signtool.exe")})
	}
	return all, nil
}
