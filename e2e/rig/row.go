package rig

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Proved is a row of the table of tested tools: this tool, in this version, signed with
// this key on this system, and this verifier accepted and refused as it should.
type Proved struct {
	Tool     string `json:"tool"`     // as people call it: "openssl dgst"
	Version  string `json:"version"`  // "3.0.22"
	Key      string `json:"key"`      // name of a key of the development service
	System   string `json:"system"`   // "Debian 12"
	Verifier string `json:"verifier"` // "openssl dgst -verify"
}

// rowMark begins the line in a test's output that scripts/tools.py looks for.
const rowMark = "proved: "

// Row tells the table of tested tools what this test proves. Nothing is told when the
// test fails. The name of the tool must stand as a literal in the test: scripts/lint looks for
// it. An empty version asks the tool itself: the program is the first word of its name.
func Row(t *testing.T, tool, version, key string, y System, verifier string) {
	t.Helper()
	if version == "" {
		version = Version(t, y, strings.Fields(tool)[0])
	}
	RowOf(t, Proved{tool, version, key, y.Release(t), verifier})
}

// RowOf is Row for tests that know all of it.
func RowOf(t *testing.T, p Proved) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			t.Log(rowMark + string(Must(json.Marshal(p))))
		}
	})
}

// Release is the system's name for people: "Debian 12".
func (y System) Release(t *testing.T) string {
	t.Helper()
	r := y.Run(t, nil, "sh", "-c", `. /etc/os-release; echo "$NAME $VERSION_ID"`).OK(t)
	return strings.TrimSpace(strings.ReplaceAll(r.Output, "GNU/Linux ", ""))
}

// packages are those of Debian whose version tells that of a program; programs that are
// not here are asked with --version.
var packages = map[string]string{
	"openssl": "openssl", "pkcs11-tool": "opensc", "osslsigncode": "osslsigncode", "apksigner": "apksigner", "gpg": "gpg", "git": "git", "rpmsign": "rpm",
	"dpkg-sig": "dpkg-sig", "debsigs": "debsigs", "debsign": "devscripts", "maven-gpg-plugin": "maven", "apt": "apt", "skopeo": "skopeo", "rauc": "rauc", "mkimage": "u-boot-tools",
	"sbsign": "sbsigntool", "systemd-sbsign": "systemd-repart", "ukify": "systemd-ukify", "pesign": "pesign", "certtool": "gnutls-bin", "sign-file": "linux-kbuild*",
	"evmctl": "ima-evm-utils", "cmsutil": "libnss3-tools", "signtool": "libnss3-tools", "certutil": "libnss3-tools", "ssh-keygen": "openssh-client",
	"curl": "curl", "stunnel": "stunnel4", "nginx": "nginx*", "apache2": "apache2*", "pkcs11-provider": "pkcs11-provider",
}

var (
	aVersion = regexp.MustCompile(`\d+(\.\d+)+([a-z]\b|p\d+)?|\d{2,}`)
	epoch    = regexp.MustCompile(`^\d+:`)
	versions sync.Map // "system program" -> version
)

// Version asks a program of a system for its version.
func Version(t *testing.T, y System, program string) string {
	t.Helper()
	key := y.Name + " " + program
	if v, ok := versions.Load(key); ok {
		return v.(string)
	}
	v, output := "", ""
	if p := packages[program]; p != "" {
		output = y.Run(t, nil, "sh", "-c", `dpkg-query -W -f='${db:Status-Abbrev} ${Version}\n' "$1" | sed -n 's/^ii *//p' | sort -V | tail -n 1`, "sh", p).Output
		v = VersionIn(output)
	}
	if v == "" {
		output += y.Run(t, nil, "sh", "-c", `"$1" --version`, "sh", program).Output
		v = VersionIn(output)
	}
	if v == "" {
		t.Fatalf("the version of %s is not known: is its Debian package in rig's table?\n%s", program, output)
	}
	versions.Store(key, v)
	return v
}

// VersionIn finds the first version number in what a program printed, with the letters
// that belong to it: "1.1.1w", "9.2p1". The epoch of a Debian version does not count.
func VersionIn(output string) string {
	for _, line := range bytes.Split([]byte(output), []byte("\n")) {
		if bytes.Contains(line, []byte("JDK_JAVA_OPTIONS")) { // java tells of it first
			continue
		}
		if v := aVersion.Find(epoch.ReplaceAll(line, nil)); v != nil {
			return string(v)
		}
	}
	return ""
}

// ModuleVersion is the version of the Go module that a program was built from, or of
// the module path that was built into it.
func ModuleVersion(t *testing.T, program string, path ...string) string {
	t.Helper()
	info := Must(buildinfo.ReadFile(program))
	version := info.Main.Version
	for _, d := range info.Deps {
		if len(path) > 0 && d.Path == path[0] {
			version = d.Version
		}
	}
	return VersionIn(version)
}
