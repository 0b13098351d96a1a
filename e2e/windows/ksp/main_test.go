// Package ksp runs programs against SignPathKSP: in C, through the DLL's function table
// itself on stock Wine, with every function, with the calls of well-known tools in their
// order, with handles and addresses that are nobody's, with many threads, and while the
// service fails; and in Go, through ncrypt.dll of the rig. OpenSSL and other tools of
// Linux judge what was signed.
package ksp

import (
	"crypto"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// ecKey is a key of every run: its signatures need no padding, and cost least.
const ecKey = "p256"

func TestMain(m *testing.M) { rig.Main(m) }

// place is a Windows to test in.
type place struct {
	arch   string
	prefix func(*testing.T) *winrig.Prefix
}

// places are this machine's Wine, or the i386 root if E2E_I386 names it.
func places() []place {
	if os.Getenv("E2E_I386") != "" {
		return []place{{"386", winrig.I386}}
	}
	return []place{{"amd64", winrig.Stock}}
}

// everywhere runs a test in each place.
func everywhere(t *testing.T, test func(*testing.T, *host)) {
	t.Helper()
	for _, p := range places() {
		t.Run(p.arch, func(t *testing.T) { test(t, newHost(t, p.arch, p.prefix(t))) })
	}
}

// host runs the probe: a program that loads the DLL and takes the steps of its
// arguments (testdata/probe/main.c).
type host struct {
	*winrig.Prefix
	exe string
}

func newHost(t *testing.T, arch string, w *winrig.Prefix) *host {
	t.Helper()
	sources := rig.Must(filepath.Glob("testdata/probe/*.c"))
	args := append(sources, "-municode", "-I"+filepath.Join(rig.Root, "e2e", "windows", "rig", "dlls"), "-lpsapi")
	exe := winrig.Compile(t, arch, "probe.exe", args...)
	h := &host{Prefix: w, exe: filepath.Join(t.TempDir(), "probe.exe")}
	rig.Write(t, h.exe, rig.Must(os.ReadFile(exe))) // where the other root sees it
	return h
}

// dll is where an installation puts the provider.
const dll = `C:\windows\system32\SignPath.Ksp.dll`

func (h *host) tool(t *testing.T, s *rig.Service, more ...string) *winrig.Tool {
	t.Helper()
	return h.Tool(t, s, winrig.KSP[len("SignPath"):], more...)
}

// probe runs the probe with steps, in a process of its own. GetLastError has to be the
// same after every call.
func (h *host) probe(t *testing.T, tl *winrig.Tool, steps ...string) *rig.Result {
	t.Helper()
	return tl.Run(t, h.exe, append([]string{dll}, steps...)...).OK(t).
		Says(t, "interface: 0x00000000 version 1.0, 26 functions\n").Says(t, "GetLastError was left alone\n")
}

// step writes a step.
func step(fields ...any) string {
	text := make([]string, len(fields))
	for i, f := range fields {
		text[i] = fmt.Sprint(f)
	}
	return strings.Join(text, "|")
}

// Statuses of winerror.h that the tests name.
const (
	ok           = "0x00000000"
	badKeyset    = "0x80090016"
	failed       = "0x80090020"
	badHandle    = "0x80090026"
	badParameter = "0x80090027"
	tooSmall     = "0x80090028"
	notSupported = "0x80090029"
	noMore       = "0x8009002a"
	notReady     = "0x80090030"
	badSignature = "0x80090006"
	badFlags     = "0x80090009"
	notFound     = "0x80090011"
)

// container is the key container of a key.
func container(key string) string { return rig.Project + "/" + key }

// hashes are those of the service that OpenSSL calls by these names, too.
var hashes = []struct {
	name string // of OpenSSL; in upper case that of CNG
	hash crypto.Hash
}{{"sha1", crypto.SHA1}, {"sha256", crypto.SHA256}, {"sha384", crypto.SHA384}, {"sha512", crypto.SHA512}}

// files are a digest for the probe to sign, and where the signature goes.
type files struct {
	file, tampered, digest, signature string
	sum                               []byte
}

// newFiles makes a file that no other test has, and its digest.
func newFiles(t *testing.T, hash crypto.Hash) files {
	t.Helper()
	var f files
	var content []byte
	f.file, f.tampered, content = rig.Artifact(t)
	content = append(content, hash.String()...)
	rig.Write(t, f.file, content)
	h := hash.New()
	_, _ = h.Write(content)
	f.sum = h.Sum(nil)
	dir := t.TempDir()
	f.digest, f.signature = rig.Write(t, filepath.Join(dir, "digest"), f.sum), filepath.Join(dir, "signature")
	return f
}

// judge lets OpenSSL look at a signature as CNG gives it: r‖s for ECDSA.
func (f files) judge(t *testing.T, s *rig.Service, key, hash string, more ...string) {
	t.Helper()
	signature := f.signature
	if !rig.IsRSA(key) {
		b := rig.Must(os.ReadFile(signature))
		half := len(b) / 2
		der := rig.Must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(b[:half]), new(big.Int).SetBytes(b[half:])}))
		signature = rig.Write(t, filepath.Join(t.TempDir(), "signature.der"), der)
	}
	args := append([]string{"dgst", "-" + hash, "-verify", s.PublicKey(t, key), "-signature", signature}, more...)
	rig.Run(t, nil, "openssl", append(args, f.file)...).OK(t)
	rig.Run(t, nil, "openssl", append(args, f.tampered)...).Fails(t)
	s.Audited(t, f.sum, key)
}

// between gives the bytes that a step printed in hex behind a text.
func between(t *testing.T, r *rig.Result, text string) []byte {
	t.Helper()
	m := regexp.MustCompile(regexp.QuoteMeta(text) + `([0-9a-f]*)\n`).FindStringSubmatch(r.Output)
	if m == nil {
		t.Fatalf("nothing behind %q:\n%s", text, r.Output)
	}
	return rig.Must(hex.DecodeString(m[1]))
}

// quick is the digest file for signatures that nobody looks at.
func quick(t *testing.T) string {
	t.Helper()
	sum := sha1.Sum([]byte(t.Name())) //nolint:gosec // 20 bytes that no other test has
	return rig.Write(t, filepath.Join(t.TempDir(), "quick"), append(sum[:], make([]byte, 12)...))
}
