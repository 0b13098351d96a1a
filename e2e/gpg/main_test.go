// Package gpg tries GnuPG and the tools that call it: gpg itself, git, rpmsign,
// debsign, debsigs, dpkg-sig, apt and Maven. Every test signs in a shell script that
// sources the helper of samples/Linux, as a user's build does; verifiers know nothing
// but the public key.
package gpg

import (
	"bytes"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.service != nil {
		shared.service.Stop()
		_ = os.RemoveAll(shared.service.Dir)
	}
	os.Exit(code)
}

var shared struct {
	once    sync.Once
	service *rig.Service
	err     error
}

// theKey signs wherever one key is enough.
const theKey = "gpg-rsa3072"

// theKeys are all that a run tries.
func theKeys() []string {
	if rig.All {
		return []string{"gpg-rsa2048", theKey, "gpg-rsa4096"}
	}
	return []string{theKey}
}

// theService has two OpenPGP keys at least, and one that is none.
func theService(t *testing.T) *rig.Service {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "signpath-e2e-gpg-")
		if err != nil {
			shared.err = err
			return
		}
		list := append([]string{"gpg-rsa2048", "rsa2048"}, theKeys()...)
		slices.Sort(list)
		shared.service, shared.err = rig.Start(dir, strings.Join(slices.Compact(list), ","))
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.service
}

// helper is the script that users source.
var helper = filepath.Join(rig.Root, "samples", "Linux", "Scenarios", "SignPathCryptoProviderHelpers.sh")

// build is a user's build: a shell with the service's settings.
type build struct {
	s    *rig.Service
	tool *rig.Tool
	key  string
	dir  string // where its commands run
	id   string // fingerprint of the key
	in   rig.System
}

func newBuild(t *testing.T, s *rig.Service, key string, more ...string) *build {
	t.Helper()
	b := &build{s: s, key: key, dir: t.TempDir(), in: rig.Here}
	b.tool = s.Tool(t, append([]string{"PKCS11_MODULE_PATH=", "USER=builder", "DEBEMAIL=builder@example.com"}, more...)...)
	b.id = fmt.Sprintf("%X", entity(t, s, key).PrimaryKey.Fingerprint)
	t.Cleanup(func() { // of a test that failed, the logs tell why
		logs, _ := filepath.Glob(filepath.Join(b.tool.Logs, "*"))
		for _, name := range logs {
			if content, err := os.ReadFile(name); err == nil && t.Failed() {
				t.Logf("%s:\n%s", filepath.Base(name), content)
			}
		}
	})
	return b
}

// sh runs commands without GnuPG's set-up.
func (b *build) sh(t *testing.T, commands string) *rig.Result {
	t.Helper()
	return b.in.Run(t, b.tool.Env, "/bin/bash", "-c", "set -euo pipefail; cd '"+b.dir+"'\n"+commands)
}

// signs runs commands after the documented set-up for the key.
func (b *build) signs(t *testing.T, commands string) *rig.Result {
	t.Helper()
	source, module := helper, rig.Module
	if b.in.Root != "" {
		source, module = b.carried(t)
	}
	return b.sh(t, fmt.Sprintf(`. '%s'
InitializeSignPathCryptoProviderGpgSigning -ProjectSlug %s -SigningPolicySlug %s -LibSignPathCryptokiPath '%s'
[ "$GPG_KEY_ID" = %s ]
%s`, source, rig.Project, b.key, module, b.id, commands))
}

var carry sync.Mutex

// carried copies what a build needs to where another system sees it, in the layout of
// a package.
func (b *build) carried(t *testing.T) (source, module string) {
	t.Helper()
	carry.Lock()
	defer carry.Unlock()
	dir := b.s.File("package")
	module = filepath.Join(dir, "libSignPath.Cryptoki.so")
	source = filepath.Join(dir, "samples", "Scenarios", filepath.Base(helper))
	if _, err := os.Stat(module); err == nil {
		return source, module
	}
	if err := os.CopyFS(filepath.Join(dir, "samples"), os.DirFS(filepath.Join(rig.Root, "samples", "Linux"))); err != nil {
		t.Fatal(err)
	}
	rig.Write(t, filepath.Join(dir, "signpath"), rig.Must(os.ReadFile(rig.Binary)))
	_ = os.Chmod(filepath.Join(dir, "signpath"), 0o755)
	rig.Write(t, module, rig.Must(os.ReadFile(rig.Module)))
	return source, module
}

func (b *build) file(name ...string) string {
	return filepath.Join(append([]string{b.dir}, name...)...)
}

func (b *build) read(t *testing.T, name ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(b.file(name...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// artifact writes a file that no other test has.
func (b *build) artifact(t *testing.T, name string) []byte {
	t.Helper()
	content := []byte(strings.Repeat("an artifact of "+t.Name()+" in "+b.dir+"\n", 20))
	rig.Write(t, b.file(name), content)
	return content
}

// publicKey is what verifiers get: the file beside the service, in ASCII armour.
func publicKey(s *rig.Service, key string) string { return s.File("gpg", key+".asc") }

func entity(t *testing.T, s *rig.Service, key string) *openpgp.Entity {
	t.Helper()
	f := rig.Must(os.Open(publicKey(s, key)))
	defer func() { _ = f.Close() }()
	return rig.Must(openpgp.ReadArmoredKeyRing(f))[0]
}

// verifier is somebody else's GnuPG that knows one public key only.
type verifier struct{ home string }

func newVerifier(t *testing.T, s *rig.Service, key string) verifier {
	t.Helper()
	home := rig.Must(os.MkdirTemp("", "verify-")) // short: sockets live below it
	v := verifier{home}
	t.Cleanup(func() {
		_ = v.command("gpgconf", "--kill", "all").Run()
		_ = os.RemoveAll(home)
	})
	v.run(t, "gpg", "--batch", "--quiet", "--import", publicKey(s, key)).OK(t)
	return v
}

func (v verifier) env() []string {
	return []string{"GNUPGHOME=" + v.home, "HOME=" + v.home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "GIT_CONFIG_NOSYSTEM=1"}
}

func (v verifier) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Env = v.env()
	return c
}

func (v verifier) run(t *testing.T, name string, args ...string) *rig.Result {
	t.Helper()
	return rig.Run(t, v.env(), name, args...)
}

// gpg verifies; the key's fingerprint is in what it says.
func (v verifier) gpg(t *testing.T, args ...string) *rig.Result {
	t.Helper()
	return v.run(t, "gpg", append([]string{"--batch", "--status-fd", "1", "--verify"}, args...)...)
}

// audited asserts that each of the OpenPGP signatures in a text (ASCII armour, clear
// signed or binary) was made by the key and stands in the audit log with its digest.
// It gives the digests.
func (b *build) audited(t *testing.T, signed []byte) (digests [][]byte) {
	t.Helper()
	public, ok := entity(t, b.s, b.key).PrimaryKey.PublicKey.(*rsa.PublicKey)
	if !ok {
		t.Fatal("no RSA key")
	}
	for _, s := range signatures(t, signed) {
		digest := digestOf(t, public, s)
		b.s.Audited(t, digest, b.key)
		digests = append(digests, digest)
	}
	if len(digests) == 0 {
		t.Fatalf("no signature in %q", signed)
	}
	return digests
}

// signatures finds the packets (RFC 9580 section 5.2).
func signatures(t *testing.T, signed []byte) (found []*packet.Signature) {
	t.Helper()
	const begin = "-----BEGIN PGP SIGNATURE-----"
	blocks := [][]byte{signed}
	if bytes.Contains(signed, []byte(begin)) {
		blocks = nil
		for _, part := range bytes.Split(signed, []byte(begin))[1:] {
			block := rig.Must(armor.Decode(bytes.NewReader(append([]byte(begin), part...))))
			blocks = append(blocks, rig.Must(io.ReadAll(block.Body)))
		}
	}
	for _, block := range blocks {
		r := packet.NewReader(bytes.NewReader(block))
		for {
			p, err := r.Next()
			if err != nil {
				break
			}
			if s, ok := p.(*packet.Signature); ok {
				found = append(found, s)
			}
		}
	}
	return found
}

// digestOf opens an RSA signature with the public key (RFC 8017 section 9.2): what
// the key signed stands in it.
func digestOf(t *testing.T, public *rsa.PublicKey, s *packet.Signature) []byte {
	t.Helper()
	m := new(big.Int).Exp(new(big.Int).SetBytes(s.RSASignature.Bytes()), big.NewInt(int64(public.E)), public.N)
	block := m.FillBytes(make([]byte, public.Size()))
	_, info, ok := bytes.Cut(block[2:], []byte{0})
	if !ok || block[1] != 1 {
		t.Fatal("the signature is not by this key")
	}
	var d struct {
		Algorithm asn1.RawValue
		Digest    []byte
	}
	if _, err := asn1.Unmarshal(info, &d); err != nil {
		t.Fatal(err)
	}
	return d.Digest
}
