package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// enginePath is where libp11 lives.
func enginePath(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so", "/usr/lib/aarch64-linux-gnu/engines-3/pkcs11.so", "/usr/lib64/engines-3/pkcs11.so"} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	t.Fatal("libp11's engine is missing: install libengine-pkcs11-openssl")
	return ""
}

// Configuration is set-up B: the documented openssl-signpath.cnf.
func Configuration(t *testing.T, pin string) string {
	t.Helper()
	return Write(t, filepath.Join(t.TempDir(), "openssl-signpath.cnf"), fmt.Appendf(nil, `config_diagnostics = 1
openssl_conf = openssl_init

[openssl_init]
engines = engines_section

[engines_section]
pkcs11 = pkcs11_section

[pkcs11_section]
engine_id = pkcs11
dynamic_path = %s
MODULE_PATH = %s
default_algorithms = ALL
init = 0
PIN = %s
`, enginePath(t), Module, pin))
}

func Percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
