// Package arm64 lets tools of Debian for arm64 sign through the module for arm64, in
// qemu's user mode emulation: real programs and the real module, but no kernel and no
// memory model of arm64. Verifiers are this machine's own.
//
// Environment: E2E_ARM64 is the folder dist/linux-arm64, E2E_ARM64_ROOT a Debian 12 root
// for arm64 with openssl, libp11's engine and OpenSC, of which nothing was ever started.
package arm64

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

const qemu = "qemu-aarch64-static"

// debian is a program of the root, which finds its files there.
func debian(t *testing.T, program string) []string {
	root := rig.Program(t, "E2E_ARM64_ROOT")
	return []string{"-L", root, "-E", "LD_LIBRARY_PATH=/usr/lib/aarch64-linux-gnu", "-E", "OPENSSL_ENGINES=" + filepath.Join(root, "usr/lib/aarch64-linux-gnu/engines-3"), filepath.Join(root, "usr/bin", program)}
}

func module(t *testing.T) string {
	return filepath.Join(rig.Program(t, "E2E_ARM64"), "libSignPath.Cryptoki.so")
}

// client signs a file with arm64's programs.
type client struct {
	tool, program string
	sign          func(t *testing.T, key, file, out string) []string
}

var clients = []client{
	{"openssl dgst", "openssl", func(t *testing.T, key, file, out string) []string {
		return append(debian(t, "openssl"), "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sha256", "-sign", "pkcs11:id="+rig.Project+"/"+key+";type=private;pin-value=CONFIG", "-out", out, file)
	}},
	{"pkcs11-tool", "opensc", func(t *testing.T, key, file, out string) []string {
		mechanism := []string{"SHA256-RSA-PKCS"}
		if !rig.IsRSA(key) {
			mechanism = []string{"ECDSA-SHA256", "--signature-format", "openssl"}
		}
		return append(append(debian(t, "pkcs11-tool"), "--module", module(t), "--pin", "CONFIG", "--sign", "--id", rig.IDHex(key), "--input-file", file, "--output-file", out, "--mechanism"), mechanism...)
	}},
	{"signpath sign", "", func(t *testing.T, key, file, out string) []string {
		return []string{filepath.Join(rig.Program(t, "E2E_ARM64"), "signpath"), "sign", "--policy", rig.Project + "/" + key, "--out", out, file}
	}},
}

// version reads a package's version from the root's archives: dpkg never ran there.
func version(t *testing.T, packageName string) string {
	found := rig.Must(filepath.Glob(filepath.Join(rig.Program(t, "E2E_ARM64_ROOT"), "var/cache/apt/archives", packageName+"_*.deb")))
	if len(found) != 1 {
		t.Fatalf("%d packages %s", len(found), packageName)
	}
	return rig.VersionIn(strings.ReplaceAll(filepath.Base(found[0]), "%3a", ":"))
}

func TestSigns(t *testing.T) {
	s := rig.TheService(t)
	for _, c := range clients {
		for _, key := range rig.Keys() {
			t.Run(c.tool+"/"+key, func(t *testing.T) {
				file, tampered, content := rig.Artifact(t)
				out := file + ".sig"
				tl := s.Tool(t, "PKCS11_MODULE_PATH="+module(t))
				tl.Run(t, qemu, c.sign(t, key, file, out)...).OK(t)
				pub := s.PublicKey(t, key)
				rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", pub, "-signature", out, file).OK(t)
				rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", pub, "-signature", out, tampered).Fails(t)
				s.Audited(t, rig.SHA256Of(content), key)
				if c.program != "" {
					rig.RowOf(t, rig.Proved{Tool: c.tool, Version: version(t, c.program), Key: key, System: "Debian 12 arm64 (qemu)", Verifier: "openssl dgst -verify"})
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	s := rig.TheService(t)
	file, _, _ := rig.Artifact(t)
	for _, c := range clients[:2] {
		t.Run(c.tool, func(t *testing.T) {
			tl := s.Tool(t, "PKCS11_MODULE_PATH="+module(t), "SIGNPATH_API_TOKEN="+strings.Repeat("A", 44))
			tl.Run(t, qemu, c.sign(t, "p256", file, os.DevNull)...).Fails(t)
			tl.InLog(t, "401", "SIGNPATH_API_TOKEN")
		})
	}
}

// TestService: the program for arm64 serves, makes keys and signs; its signature and its
// audit log hold before this machine's programs.
func TestService(t *testing.T) {
	dir := t.TempDir()
	b := rig.Here.Start(t, []string{"PATH=" + os.Getenv("PATH")}, qemu, filepath.Join(rig.Program(t, "E2E_ARM64"), "signpath"), "dev", "--dir", dir, "--keys", "p256")
	for deadline := time.Now().Add(90 * time.Second); !strings.Contains(b.Output(), "ready https://"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the service for arm64 was not ready within 90 s:\n%s", b.Output())
		}
	}
	file, tampered, content := rig.Artifact(t)
	pub := filepath.Join(dir, "p256.pub")
	rig.Run(t, nil, "sh", "-c", `. "$1/env"; "$2" sign --policy hash-signing/p256 --out "$3.sig" "$3"`, "sh", dir, rig.Binary, file).OK(t)
	rig.Run(t, nil, "openssl", "x509", "-in", filepath.Join(dir, "certificates", "p256.pem"), "-pubkey", "-noout", "-out", pub).OK(t)
	rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", pub, "-signature", file+".sig", file).OK(t)
	rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", pub, "-signature", file+".sig", tampered).Fails(t)
	s := &rig.Service{Dir: dir}
	s.Audited(t, rig.SHA256Of(content), "p256")
}
