package samples

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// scenario is a script of the samples and how its result is judged here.
type scenario struct {
	name     string
	tool     string // for the table of tested tools
	openpgp  bool   // signs with the OpenPGP key
	p256     bool   // signs with RSA and P-256 only
	program  string // not a Debian package: its variable of scripts/test, for this machine
	nowhere  string // places that lack the tool, or have one that crashes: "here debian-12"
	result   string // the signed file, or the one that its signature belongs to
	verifier string // not ours
	// verify judges a result, which may be a tampered copy; signatures beside it are in out.
	verify func(t *testing.T, s *rig.Service, key, out, file string) *rig.Result
}

var scenarios = []scenario{
	{name: "OpenSSL", tool: "openssl dgst", result: "artifact.bin", verifier: "openssl dgst -verify", verify: dgst("artifact.bin.sig")},
	{name: "Pkcs11Tool", tool: "pkcs11-tool", result: "artifact.bin", verifier: "openssl dgst -verify", verify: dgst("artifact.bin.sig")},
	{name: "osslsigncode", tool: "osslsigncode", nowhere: "ubuntu-24.04", result: "sample.signed.exe", verifier: "osslsigncode verify", verify: authenticode},
	{name: "JarSigner", tool: "jarsigner", result: "hello.jar", verifier: "jarsigner -verify", verify: jar},
	{name: "Jsign", tool: "Jsign", program: "E2E_JSIGN", result: "sample.exe", verifier: "osslsigncode verify", verify: authenticode},
	{name: "PdfSign", tool: "pyHanko", program: "E2E_PYHANKO", nowhere: "ubuntu-20.04", result: "sample.signed.pdf", verifier: "pdfsig", verify: pdf},
	{name: "Notation", tool: "notation", program: "E2E_NOTATION", nowhere: containers, result: "image", verifier: "notation verify", verify: notation},
	{name: "Cosign", tool: "cosign", p256: true, program: "E2E_COSIGN", nowhere: containers + without("E2E_COSIGN"), result: "artifact.bin", verifier: "openssl dgst -verify", verify: blob},
	{name: "GpgSignFile", tool: "gpg", openpgp: true, result: "hello.txt", verifier: "gpg --verify", verify: gpg("hello.txt.asc")},
	{name: "SignMaven", tool: "maven-gpg-plugin", openpgp: true, result: "project/pom.xml", verifier: "gpg --verify", verify: gpg("project/target/*.pom.asc")},
	{name: "SignRpm", tool: "rpmsign", openpgp: true, result: "hello.rpm", verifier: "rpm -K", verify: rpm},
	{name: "SignDeb", tool: "dpkg-sig", openpgp: true, nowhere: "here debian-12 debian-13 ubuntu-24.04", result: "hello.deb", verifier: "gpg --verify", verify: debBuilder},
	{name: "debsigs", tool: "debsigs", openpgp: true, result: "hello.deb", verifier: "gpg --verify", verify: debOrigin},
}

const containers = "debian-11 debian-12 debian-13 ubuntu-20.04 ubuntu-22.04 ubuntu-24.04"

// without is this machine if scripts/test did not build the program, which takes long.
func without(variable string) string {
	if os.Getenv(variable) == "" && !rig.All {
		return " here"
	}
	return ""
}

// tampered copies a result with a changed byte of what is signed.
func tampered(t *testing.T, file string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), filepath.Base(file))
	if filepath.Base(file) == "image" { // the manifest, which the signature names by its digest
		rig.Must(0, os.CopyFS(copied, os.DirFS(file)))
		change(t, filepath.Join(copied, "blobs", "sha256", manifest(t, file)), 20)
		return copied
	}
	b := rig.Must(os.ReadFile(file))
	at := 3
	switch filepath.Ext(file) {
	case ".exe", ".jar":
		return rig.Tamper(t, file)
	case ".pdf":
		at = strings.Index(string(b), "a page to sign")
	case ".rpm":
		at = len(b) - 20
	case ".deb":
		at = bytes.Index(b, []byte("data.tar")) + 60 + 100
	}
	rig.Write(t, copied, b)
	change(t, copied, at)
	return copied
}

func change(t *testing.T, file string, at int) {
	b := rig.Must(os.ReadFile(file))
	b[at] ^= 1
	rig.Write(t, file, b)
}

// usesLine is where a scenario tells the version of its tool.
var usesLine = regexp.MustCompile(`(?m)^==> uses .+$`)

func TestScenarios(t *testing.T) {
	s := rig.TheService(t)
	for _, p := range places() {
		t.Run(p.String(), func(t *testing.T) {
			for _, c := range scenarios {
				keys := rig.Keys()
				switch {
				case c.openpgp:
					keys = []string{"gpg-rsa3072"}
				case c.p256:
					keys = []string{"rsa3072", "p256"}
				case p != "":
					keys = []string{"rsa3072", "p256"}
				}
				for _, key := range keys {
					t.Run(c.name+"/"+key, func(t *testing.T) { c.test(t, s, p, key) })
				}
			}
		})
	}
}

func (c scenario) test(t *testing.T, s *rig.Service, p place, key string) {
	if p == "" {
		t.Parallel() // a container engine does one thing at a time
	}
	if slices.Contains(strings.Fields(c.nowhere), p.String()) {
		r := p.run(t, s.Tool(t), c.name, key, t.TempDir()).Fails(t)
		if p == "" { // engines have codes of their own, and buildah may lose the last line
			if r.Says(t, "is not installed"); r.Code != 3 {
				t.Errorf("ended with %d", r.Code)
			}
		}
		return
	}
	var more []string
	if c.program != "" && p == "" {
		more = found(t, c.program)
	}
	out := t.TempDir()
	r := p.run(t, s.Tool(t, more...), c.name, key, out).OK(t)
	uses := usesLine.FindString(r.Output)
	if uses == "" {
		t.Fatalf("the scenario does not tell the tool's version:\n%s", r.Output)
	}
	rig.RowOf(t, rig.Proved{Tool: c.tool, Version: rig.VersionIn(uses), Key: key, System: p.system(t), Verifier: c.verifier})
	result := filepath.Join(out, c.result)
	c.verify(t, s, key, out, result).OK(t)
	c.verify(t, s, key, out, tampered(t, result)).Fails(t)
}

// found is the environment in which a scenario finds a program that scripts/test fetched.
func found(t *testing.T, variable string) []string {
	where := rig.Program(t, variable)
	switch variable {
	case "E2E_JSIGN":
		return []string{"JSIGN_JAR=" + where}
	case "E2E_PYHANKO": // a folder of Python packages
		return []string{"PYTHONPATH=" + where, "PATH=" + filepath.Join(where, "bin") + ":" + os.Getenv("PATH")}
	default:
		return []string{"PATH=" + filepath.Dir(where) + ":" + os.Getenv("PATH")}
	}
}
