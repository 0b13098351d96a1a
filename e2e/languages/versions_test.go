package languages

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// packageVersion is the version of a library that scripts/test installed, as it says itself.
func packageVersion(t *testing.T, name string) string {
	t.Helper()
	switch name {
	case "pyhanko", "python-pkcs11", "PyKCS11":
		found := rig.Must(filepath.Glob(filepath.Join(rig.Program(t, "E2E_PYTHON_PACKAGES"), "*.dist-info", "METADATA")))
		for _, f := range found {
			text := string(rig.Must(os.ReadFile(f)))
			if regexp.MustCompile("(?mi)^Name: " + regexp.QuoteMeta(name) + "$").MatchString(text) {
				return regexp.MustCompile(`(?m)^Version: (\S+)$`).FindStringSubmatch(text)[1]
			}
		}
	case "pkcs11js", "graphene-pk11":
		var p struct{ Version string }
		if err := json.Unmarshal(rig.Must(os.ReadFile(filepath.Join(rig.Program(t, "E2E_NODE_PACKAGES"), name, "package.json"))), &p); err != nil {
			t.Fatal(err)
		}
		return p.Version
	case "miekg":
		return rig.ModuleVersion(t, filepath.Join(rig.Program(t, "E2E_GO_HOSTS"), name), "github.com/miekg/pkcs11")
	case "crypto11":
		return rig.ModuleVersion(t, filepath.Join(rig.Program(t, "E2E_GO_HOSTS"), name), "github.com/ThalesGroup/crypto11")
	case "Rust cryptoki":
		lock := string(rig.Must(os.ReadFile(filepath.Join("rust", "Cargo.lock"))))
		_, after, _ := strings.Cut(lock, "name = \"cryptoki\"\nversion = \"")
		version, _, _ := strings.Cut(after, "\"")
		return version
	}
	t.Fatalf("no version of %s", name)
	return ""
}
