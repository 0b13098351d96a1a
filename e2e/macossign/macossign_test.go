package macossign

import (
	"crypto"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

const (
	readWrite  = "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true" // relic opens such sessions
	identifier = "io.signpath.example"
)

// relic signs in out with a key and gives what it printed. chain is the PEM file with
// the certificates for the signature.
func relic(t *testing.T, tl *rig.Tool, key, chain, digest, in, out string, more ...string) *rig.Result {
	t.Helper()
	config := fmt.Sprintf("tokens:\n  signpath:\n    type: pkcs11\n    provider: %s\n    pin: CONFIG\nkeys:\n  key:\n    token: signpath\n    label: %s/%s\n    x509certificate: %s\n", rig.Module, rig.Project, key, chain)
	file := rig.Write(t, filepath.Join(t.TempDir(), "relic.yml"), []byte(config))
	return tl.Run(t, rig.Program(t, "E2E_RELIC"), append([]string{"-c", file, "sign", "-k", "key", "-f", in, "-o", out, "--digest", digest}, more...)...)
}

// relicVerify lets relic judge, without the module and its settings.
func relicVerify(t *testing.T, root, file string) *rig.Result {
	t.Helper()
	return rig.Run(t, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, rig.Program(t, "E2E_RELIC"), "verify", "--cert", root, file)
}

// cms lets OpenSSL judge a detached signature and its chain.
func cms(t *testing.T, root string, der, content []byte, more ...string) *rig.Result {
	t.Helper()
	dir := t.TempDir()
	return rig.Run(t, nil, "openssl", append([]string{"cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-CAfile", root,
		"-in", rig.Write(t, filepath.Join(dir, "cms"), der), "-content", rig.Write(t, filepath.Join(dir, "content"), content), "-out", os.DevNull}, more...)...)
}

// flipped copies a file with one bit changed at an offset, or offset from the end if negative.
func flipped(t *testing.T, file string, at int) string {
	t.Helper()
	data := rig.Must(os.ReadFile(file))
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 1
	return rig.Write(t, filepath.Join(t.TempDir(), filepath.Base(file)), data)
}

// program is a Mach-O program that scripts/test linked.
func program(t *testing.T, arch string) string {
	t.Helper()
	return filepath.Join(rig.Program(t, "E2E_MACHO"), "hello-"+arch)
}

// TestCode: what codesign signs: a program, for both processors; code directory with
// SHA-256, signed attributes, designated requirement.
func TestCode(t *testing.T) {
	s := rig.TheService(t)
	for i, key := range rig.Keys() {
		t.Run(key, func(t *testing.T) {
			in := program(t, []string{"arm64", "amd64"}[i%2])
			out := filepath.Join(t.TempDir(), "hello")
			tl := s.Tool(t, readWrite)
			relic(t, tl, key, s.File("certificates", key+".chain.pem"), "sha256", in, out, "--bundle-id", identifier+"."+key, "--hardened-runtime").OK(t)
			signature, err := readCode(out)
			if err != nil {
				t.Fatal(err)
			}
			if signature.identifier != identifier+"."+key || signature.flags != 0x10000 {
				t.Errorf("identifier %q, flags %#x", signature.identifier, signature.flags)
			}
			cms(t, s.File("ca.pem"), signature.cms, signature.directories[0]).OK(t)
			relicVerify(t, s.File("ca.pem"), out).OK(t)
			if rig.IsRSA(key) { // of ECDSA it knows two curves and fewer forms
				rcodesignReads(t, out, "signature_verifies: true", "SignPath development "+key)
			}
			s.Audited(t, rig.ParseCMS(t, signature.cms).Digest(t, signature.directories[0]), key)

			rig.Row(t, "relic (Mach-O)", rig.ModuleVersion(t, rig.Program(t, "E2E_RELIC")), key, rig.Here, "OpenSSL, rcodesign (RSA), a reader of our own")

			// One bit of the code, then one of the code directory.
			changed := flipped(t, out, 0x1000)
			if _, err := readCode(changed); err == nil || !strings.Contains(err.Error(), "page 1 was changed") {
				t.Errorf("changed code: %v", err)
			}
			relicVerify(t, s.File("ca.pem"), changed).Fails(t)
			directory := append([]byte{}, signature.directories[0]...)
			directory[len(directory)-1] ^= 1
			cms(t, s.File("ca.pem"), signature.cms, directory).Fails(t)
		})
	}
}

// TestPackage: what productsign signs: a table of contents, as CMS and, with RSA keys,
// bare, with SHA-1 as installers of old want it, and with SHA-256.
func TestPackage(t *testing.T) {
	s := rig.TheService(t)
	for _, key := range rig.Keys() {
		for _, digest := range []string{"sha1", "sha256"} {
			t.Run(key+" "+digest, func(t *testing.T) {
				dir := t.TempDir()
				file, _, content := rig.Artifact(t)
				in := packageFile(t, filepath.Join(dir, "in.pkg"), digest, map[string][]byte{"PackageInfo": []byte("<pkg-info/>"), "Payload": content}, "PackageInfo", "Payload")
				out := filepath.Join(dir, filepath.Base(file)+".pkg")
				tl := s.Tool(t, readWrite)
				relic(t, tl, key, s.File("certificates", key+".chain.pem"), digest, in, out).OK(t)
				a, err := readArchive(out)
				if err != nil {
					t.Fatal(err)
				}
				if (a.signature != nil) != rig.IsRSA(key) {
					t.Errorf("bare signature: %t", a.signature != nil)
				}
				if a.hash != map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256}[digest] {
					t.Errorf("signed with %v", a.hash)
				}
				cms(t, s.File("ca.pem"), a.cms, a.checksum).OK(t)
				relicVerify(t, s.File("ca.pem"), out).OK(t)
				// It checks neither a detached CMS signature without attributes nor a bare one by Apple's rule: OpenSSL and
				// the reader do.
				if rig.IsRSA(key) { // it knows no SHA-1 with ECDSA
					rcodesignReads(t, out, "checksum_verifies: true", "SignPath development "+key)
				}
				if a.signature != nil {
					s.Audited(t, a.checksum, key) // 20 bytes with SHA-1: the request that productsign makes
				}
				s.Audited(t, rig.ParseCMS(t, a.cms).Digest(t, a.checksum), key)

				rig.Row(t, "relic (macOS packages)", rig.ModuleVersion(t, rig.Program(t, "E2E_RELIC")), key, rig.Here, "OpenSSL, a reader of our own")

				// One bit of the last file, then one of the checksum that is signed.
				changed := flipped(t, out, -1)
				if _, err := readArchive(changed); err == nil || err.Error() != "Payload was changed" {
					t.Errorf("changed file: %v", err)
				}
				relicVerify(t, s.File("ca.pem"), changed).Fails(t)
				data := rig.Must(os.ReadFile(out))
				sum := flipped(t, out, 28+int(binary.BigEndian.Uint64(data[8:])))
				if _, err := readArchive(sum); err == nil || err.Error() != "the table of contents was changed" {
					t.Errorf("changed checksum: %v", err)
				}
				relicVerify(t, s.File("ca.pem"), sum).Fails(t)
			})
		}
	}
}

// TestRefused: a wrong token, a policy of somebody else and a stopped service end with
// the documented codes; nothing is written; the log helps.
func TestRefused(t *testing.T) {
	s := rig.OwnService(t)
	chain := s.File("certificates", "rsa2048.chain.pem")
	in := packageFile(t, filepath.Join(t.TempDir(), "in.pkg"), "sha1", map[string][]byte{"Payload": []byte("x")}, "Payload")
	other := strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token")))))
	for _, c := range []struct{ name, token, key, says, log string }{
		{"wrong token", strings.Repeat("A", 44), "rsa2048", "CKR_ARGUMENTS_BAD", "401"},
		{"nobody's policy", other, "rsa2048", "", "no signing polic"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.pkg")
			tl := s.Tool(t, readWrite, "SIGNPATH_API_TOKEN="+c.token)
			r := relic(t, tl, c.key, chain, "sha1", in, out).Fails(t)
			if c.says != "" {
				r.Says(t, c.says)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("a package was written")
			}
			if !strings.Contains(strings.ToLower(tl.Log()), c.log) {
				t.Errorf("the log does not say %q:\n%s", c.log, tl.Log())
			}
			s.Nowhere(t, c.token, tl, r)
		})
	}
	s.Stop()
	t.Run("stopped service", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "out.pkg")
		tl := s.Tool(t, readWrite, "SIGNPATH_TIMEOUTS_RETRY_COUNT=0")
		relic(t, tl, "rsa2048", chain, "sha1", in, out).Fails(t).Says(t, "CKR_FUNCTION_FAILED")
		tl.InLog(t, "connection refused")
	})
}

// TestDeveloperID: a certificate with the extensions of Apple's Developer ID
// authorities, issued for a request of the service; the tools tell the team and make
// the requirement that macOS checks from them.
func TestDeveloperID(t *testing.T) {
	s := rig.OwnService(t)
	rig.Run(t, nil, "bash", filepath.Join(rig.Root, "packaging", "macos", "testcertificates.sh"), rig.Binary, s.Dir).OK(t)
	at := func(name string) string { return s.File("apple", name) }
	out := at("hello")
	relic(t, s.Tool(t, readWrite), "application", at("application.chain.pem"), "sha256", program(t, "arm64"), out, "--bundle-id", identifier, "--hardened-runtime").OK(t)
	signature, err := readCode(out)
	if err != nil {
		t.Fatal(err)
	}
	if signature.team != "ABCDE12345" {
		t.Errorf("team %q", signature.team)
	}
	cms(t, at("root.pem"), signature.cms, signature.directories[0], "-ignore_critical").OK(t) // OpenSSL does not know Apple's markers
	relicVerify(t, at("root.pem"), out).OK(t).Says(t, "TeamID:ABCDE12345")
	rcodesignReads(t, out, "signature_verifies: true", "ABCDE12345", "Developer ID Application")

	in := packageFile(t, at("in.pkg"), "sha1", map[string][]byte{"Payload": []byte("payload")}, "Payload")
	relic(t, s.Tool(t, readWrite), "installer", at("installer.chain.pem"), "sha1", in, at("out.pkg")).OK(t)
	a, err := readArchive(at("out.pkg"))
	if err != nil {
		t.Fatal(err)
	}
	if a.signature == nil || a.hash != crypto.SHA1 || a.leaf.Subject.CommonName != "Developer ID Installer: Example (ABCDE12345)" {
		t.Errorf("%v %v %v", a.signature != nil, a.hash, a.leaf.Subject)
	}
	cms(t, at("root.pem"), a.cms, a.checksum, "-ignore_critical").OK(t)
	s.Audited(t, a.checksum, "installer")
}

// rcodesignReads lets rcodesign, which is written in another language by others, read
// the signature: it must find these texts.
func rcodesignReads(t *testing.T, file string, texts ...string) {
	t.Helper()
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	info := rig.Run(t, env, rig.Program(t, "E2E_RCODESIGN"), "print-signature-info", file).OK(t)
	for _, want := range texts {
		info.Says(t, want)
	}
}
