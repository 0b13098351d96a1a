// Package rig is the harness of the end-to-end tests: stock tools sign through the
// built module against `signpath dev`, and verifiers that are not ours judge the
// result. It runs dist/ as a user would and never looks into the product. Each family
// of tools is a test package beside this one, whose TestMain is rig.Main. Run
// scripts/test, which builds dist/ and installs the tools.
//
// Environment: E2E_ALL=1 runs every key and every tool variant instead of one RSA and
// one EC key; E2E_DIST is another folder than dist/PLATFORM; E2E_DEBIAN11 names a
// Debian 11 root, E2E_DEBIAN13 a Debian 13 root with newer tools, E2E_JSIGN Jsign's jar.
package rig

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var (
	Root   = root()
	Dist   = dist()
	Module = filepath.Join(Dist, "libSignPath.Cryptoki.so")
	Binary = filepath.Join(Dist, "signpath")
	All    = os.Getenv("E2E_ALL") == "1"
)

// root is the folder of the repository: the tests of a package run in its own folder.
func root() string {
	dir := Must(os.Getwd())
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil || dir == "/" {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func dist() string {
	if d := os.Getenv("E2E_DIST"); d != "" {
		return d
	}
	return filepath.Join(Root, "dist", runtime.GOOS+"-"+runtime.GOARCH)
}

// Project is the slug of the development service's one project.
const Project = "hash-signing"

// Must is for what cannot fail unless the machine is broken.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Keys picks the keys of a run: one RSA and one EC key, or all.
func Keys() []string {
	if All {
		return []string{"rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521"}
	}
	return []string{"rsa3072", "p256"}
}

// IsRSA tells RSA keys by their names.
func IsRSA(key string) bool { return strings.Contains(key, "rsa") }

var atEnd []func()

// AtEnd has Main call a function after the tests: for what is shared by tests and was
// started by the first that needed it.
func AtEnd(f func()) { atEnd = append(atEnd, f) }

// Main is every family's TestMain: it ends the shared service after the tests.
func Main(m *testing.M) {
	code := m.Run()
	for _, f := range atEnd {
		f()
	}
	if shared != nil {
		shared.Stop()
		_ = os.RemoveAll(shared.Dir)
	}
	os.Exit(code)
}

// Artifact writes a file that no other test has, so that its digest is found in
// the audit log once, and a copy with one changed bit.
func Artifact(t *testing.T) (file, tampered string, content []byte) {
	t.Helper()
	content = []byte(strings.Repeat("an artifact of "+t.Name()+"\n", 100))
	dir := t.TempDir()
	file, tampered = filepath.Join(dir, "artifact.bin"), filepath.Join(dir, "tampered.bin")
	Write(t, file, content)
	broken := bytes.Clone(content)
	broken[len(broken)/2] ^= 1
	Write(t, tampered, broken)
	return file, tampered, content
}

func Write(t *testing.T, name string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func SHA256Of(b []byte) []byte { h := sha256.Sum256(b); return h[:] }
