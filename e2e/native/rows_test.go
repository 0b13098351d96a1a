package native

import (
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// rows are the names and verifiers of the clients in the table of tested tools, by
// the first part of the client's name.
var rows = map[string]struct{ tool, program, verifier string }{
	"openssl-provider": {"openssl with pkcs11-provider", "pkcs11-provider", "openssl"},
	"certtool":         {"certtool (GnuTLS)", "certtool", "openssl cms -verify, openssl req -verify"},
	"cmsutil":          {"cmsutil (NSS)", "cmsutil", "cmsutil -D, openssl cms -verify"},
	"signtool":         {"signtool (NSS)", "signtool", "signtool -v"},
	"certutil":         {"certutil -R (NSS)", "certutil", "openssl req -verify"},
	"rauc":             {"rauc", "rauc", "rauc info"},
	"mkimage":          {"mkimage (U-Boot)", "mkimage", "openssl"},
	"sbsign":           {"sbsign", "sbsign", "sbverify, osslsigncode verify"},
	"systemd-sbsign":   {"systemd-sbsign", "systemd-sbsign", "sbverify, osslsigncode verify"},
	"ukify":            {"ukify", "ukify", "sbverify, osslsigncode verify"},
	"pesign":           {"pesign", "pesign", "sbverify, osslsigncode verify"},
	"sign-file":        {"sign-file (Linux modules)", "sign-file", "openssl cms -verify"},
	"evmctl":           {"evmctl (IMA)", "evmctl", "evmctl ima_verify"},
	"ssh-keygen":       {"ssh-keygen", "ssh-keygen", "ssh-keygen -Y verify, Go's x/crypto/ssh"},
	"git":              {"git with SSH keys", "git", "git verify-commit"},
}

func (c client) row(t *testing.T, y rig.System, key string) {
	t.Helper()
	name, _, _ := strings.Cut(c.name, "/")
	r, known := rows[name]
	if !known {
		t.Fatalf("rows has no line for the client %s", c.name)
	}
	from := y
	if name == "sign-file" { // Debian 12's, started in Debian 13
		from = rig.Here
	}
	rig.Row(t, r.tool, rig.Version(t, from, r.program), key, y, r.verifier)
}
