package settings

import (
	"os"
	"path/filepath"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// TestUnits runs unit tests of packages with parts for Windows. The others need Unix,
// or what this Wine lacks: it removes no folder in the way that package testing does.
func TestUnits(t *testing.T) {
	pfx := personal(t)
	for _, u := range []struct{ pkg, tests string }{
		{"provider/settings", "^(TestInternetOptions.*|TestAutomaticProxy.*|TestProxyScript|TestProtectedTokens|TestTokenBlob|TestProtectTokenRefuses)$"},
		{"provider/remote", "^(TestStoreCertificate|TestSocketErrors|TestPKCS1OnlyClientKey)$"},
		{"provider/logfile", "^(TestEightProcesses|TestRotation|TestRotationBesideReaders|TestFolders|TestOwnSuffix|TestLongPath)$"},
		{"provider/winstore", "."},
		{"provider/doctor", "^(TestWindowsChecks|TestMachineOf)$"},
		{"provider/hostprocess", "^(TestOptions|TestKnownSecrets|TestDescribe|TestUserName|TestMetadata)$"},
		{"rights", "."},
	} {
		t.Run(u.pkg, func(t *testing.T) {
			exe := filepath.Join(t.TempDir(), filepath.Base(u.pkg)+".exe")
			rig.Run(t, append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0"), "go", "test", "-c", "-o", exe, "signpath/internal/"+u.pkg).OK(t)
			tl := winrig.Stock(t).Bare(t, "SIGNPATH_TEST_PFX="+pfx)
			tl.Run(t, exe, "-test.v", "-test.run", u.tests).OK(t).Says(t, "--- PASS")
		})
	}
}

// personal makes a PFX file with the password "pw": a TLS client certificate of a
// builder, which is its own authority.
func personal(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key, cert, pfx := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "me.pfx")
	rig.Run(t, nil, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "400", "-subj", "/CN=build agent", "-addext", "extendedKeyUsage=clientAuth", "-keyout", key, "-out", cert).OK(t)
	rig.Run(t, nil, "openssl", "pkcs12", "-export", "-in", cert, "-inkey", key, "-passout", "pass:pw", "-out", pfx).OK(t)
	return pfx
}
