package gpg

import (
	"bytes"
	"crypto"
	"os"
	"testing"

	"signpath/e2e/rig"
)

// TestGPGFiles signs files with gpg itself. Sequoia's sqv is a second verifier that
// shares no code with GnuPG.
func TestGPGFiles(t *testing.T) {
	t.Parallel()
	s := theService(t)
	for _, key := range theKeys() {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			b, v := newBuild(t, s, key), newVerifier(t, s, key)
			content := b.artifact(t, "file")
			b.signs(t, `
gpg --batch -u "$GPG_KEY_ID" --detach-sign --armor file
gpg --batch -u "$GPG_KEY_ID" --detach-sign --output file.sig file
gpg --batch --detach-sign --output default.sig file
for digest in SHA256 SHA384 SHA512; do gpg --batch -u "$GPG_KEY_ID" --digest-algo $digest --detach-sign --output $digest.sig file; done
gpg --batch -u "$GPG_KEY_ID" --clear-sign --output clear.asc file
gpg --batch -u "$GPG_KEY_ID" --sign --output file.gpg file`).OK(t)
			tampered := bytes.Clone(content)
			tampered[17] ^= 1
			rig.Write(t, b.file("tampered"), tampered)

			for name, size := range map[string]int{"file.asc": 64, "file.sig": 64, "default.sig": 64, "SHA256.sig": 32, "SHA384.sig": 48, "SHA512.sig": 64} {
				v.gpg(t, b.file(name), b.file("file")).OK(t).Says(t, "VALIDSIG "+b.id)
				v.gpg(t, b.file(name), b.file("tampered")).Fails(t).Says(t, "BADSIG")
				rig.Run(t, nil, "sqv", "--keyring", publicKey(s, key), b.file(name), b.file("file")).OK(t).Says(t, b.id)
				rig.Run(t, nil, "sqv", "--keyring", publicKey(s, key), b.file(name), b.file("tampered")).Fails(t)
				if d := b.audited(t, b.read(t, name)); len(d) != 1 || len(d[0]) != size {
					t.Errorf("%s: digests %x, want one of %d bytes", name, d, size)
				}
			}
			clear := b.read(t, "clear.asc")
			v.gpg(t, b.file("clear.asc")).OK(t).Says(t, "VALIDSIG "+b.id)
			rig.Write(t, b.file("clear-tampered.asc"), bytes.Replace(clear, []byte("an artifact"), []byte("no artifact"), 1))
			v.gpg(t, b.file("clear-tampered.asc")).Fails(t).Says(t, "BADSIG")
			b.audited(t, clear)
			v.gpg(t, b.file("file.gpg")).OK(t).Says(t, "VALIDSIG "+b.id)
			b.tool.InLog(t, "signed", "key="+rig.Project+"/"+key, "CKM_RSA_PKCS", "hash=Sha512")
			rig.Row(t, "gpg", "", key, rig.Here, "gpg --verify, sqv")
		})
	}
}

// TestGPGDigest holds the audited digest against one that is computed here, from the
// file and the signature's own trailer (RFC 9580 section 5.2.4).
func TestGPGDigest(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b := newBuild(t, s, theKey)
	content := b.artifact(t, "file")
	b.signs(t, `gpg --batch -u "$GPG_KEY_ID" --digest-algo SHA256 --detach-sign file`).OK(t)
	sig := b.read(t, "file.sig")
	found := signatures(t, sig)
	if len(found) != 1 {
		t.Fatalf("%d signatures", len(found))
	}
	// header (2 or 3 bytes), then version, type, algorithms, length of the hashed area
	body := sig[3:]
	hashed := body[:6+int(body[4])<<8+int(body[5])]
	h := crypto.SHA256.New()
	h.Write(content)
	h.Write(hashed)
	n := len(hashed)
	h.Write([]byte{4, 0xFF, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	s.Audited(t, h.Sum(nil), theKey)
}

// TestGPGGit signs commits and tags.
func TestGPGGit(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b, v := newBuild(t, s, theKey, "GIT_CONFIG_NOSYSTEM=1"), newVerifier(t, s, theKey)
	b.artifact(t, "file")
	b.signs(t, `
git init -q -b main .
git config user.name Builder
git config user.email builder@example.com
git config user.signingkey "$GPG_KEY_ID"
git add file
git commit -q -S -m 'a signed commit'
git tag -s -m 'a signed tag' v1
git cat-file commit HEAD >commit
git cat-file tag v1 >tag
sed 's/a signed commit/a forged commit/' commit | git hash-object -t commit -w --stdin >forged-commit
sed 's/a signed tag/a forged tag/' tag | git hash-object -t tag -w --stdin >forged-tag`).OK(t)
	git := func(args ...string) *rig.Result {
		return v.run(t, "git", append([]string{"-C", b.dir, "-c", "safe.directory=*"}, args...)...)
	}
	git("verify-commit", "--raw", "HEAD").OK(t).Says(t, "VALIDSIG "+b.id)
	git("verify-tag", "--raw", "v1").OK(t).Says(t, "VALIDSIG "+b.id)
	git("verify-commit", string(bytes.TrimSpace(b.read(t, "forged-commit")))).Fails(t).Says(t, "BAD signature")
	git("verify-tag", string(bytes.TrimSpace(b.read(t, "forged-tag")))).Fails(t).Says(t, "BAD signature")
	// In a commit each line of the signature begins with a blank.
	b.audited(t, bytes.ReplaceAll(bytes.ReplaceAll(b.read(t, "commit"), []byte("gpgsig "), nil), []byte("\n "), []byte("\n")))
	b.audited(t, b.read(t, "tag"))
	rig.Row(t, "git commit -S, tag -s", "", theKey, rig.Here, "git verify-commit, verify-tag")
}

// TestGPGSystems signs with other versions of GnuPG and gnupg-pkcs11-scd.
func TestGPGSystems(t *testing.T) {
	t.Parallel()
	s := theService(t)
	systems := append(rig.Systems()[1:], debian11()...)
	if len(systems) == 0 {
		t.Fatal("no other system (run scripts/test, which makes them)")
	}
	for _, y := range systems {
		t.Run(y.Name, func(t *testing.T) {
			t.Parallel()
			b, v := newBuild(t, s, theKey), newVerifier(t, s, theKey)
			b.in = y
			b.artifact(t, "file")
			r := b.signs(t, `
gpg --version | head -n 1
gpg --batch -u "$GPG_KEY_ID" --detach-sign --armor file
gpgconf --kill all
gpg --batch -u "$GPG_KEY_ID" --clear-sign --output clear.asc file
gpg --batch --list-secret-keys`).OK(t)
			if here := rig.Run(t, nil, "gpg", "--version").Output[:20]; bytes.Contains([]byte(r.Output), []byte(here)) {
				t.Errorf("%s has the same GnuPG as this machine: %s", y.Name, here)
			}
			v.gpg(t, b.file("file.asc"), b.file("file")).OK(t).Says(t, "VALIDSIG "+b.id)
			v.gpg(t, b.file("clear.asc")).OK(t).Says(t, "VALIDSIG "+b.id)
			b.audited(t, b.read(t, "file.asc"))
			rig.Row(t, "gpg", "", theKey, y, "gpg --verify")
		})
	}
}

func debian11() []rig.System {
	if r := os.Getenv("E2E_DEBIAN11"); r != "" {
		return []rig.System{{Name: "debian11", Root: r}}
	}
	return nil
}
