package gpg

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// testdata copies a folder of testdata into the build's folder.
func (b *build) testdata(t *testing.T, name string) {
	t.Helper()
	if err := os.CopyFS(b.file(name), os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
}

// TestGPGRpm signs a package as `rpmsign --resign` and `--addsign` do, and has rpm
// check it with a database that knows this one key.
func TestGPGRpm(t *testing.T) {
	t.Parallel()
	s := theService(t)
	for _, how := range []string{"--resign", "--addsign"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b := newBuild(t, s, theKey)
			b.testdata(t, "rpm")
			b.sh(t, `rpmbuild --quiet --define "_topdir $PWD/top" --define "_rpmdir $PWD" --define "_build_name_fmt hello.rpm" -bb rpm/hello.spec && cp hello.rpm unsigned.rpm`).OK(t)
			b.signs(t, `rpmsign --define "__gpg $(command -v gpg)" --define "_gpg_name $GPG_KEY_ID" `+how+` hello.rpm`).OK(t)

			b.sh(t, `rpm --dbpath "$PWD/empty" --initdb`).OK(t)
			b.sh(t, `rpm --dbpath "$PWD/empty" -K hello.rpm`).Fails(t).Says(t, "NOT OK") // unknown key
			rpm := `rpm --dbpath "$PWD/db" `
			b.sh(t, rpm+"--initdb; "+rpm+"--import '"+publicKey(s, theKey)+"'").OK(t)
			b.sh(t, rpm+"-Kv hello.rpm").OK(t).Says(t, "RSA/SHA512 Signature, key ID "+strings.ToLower(b.id[32:])+": OK")
			b.sh(t, rpm+"--define '_pkgverify_level signature' -K unsigned.rpm").Fails(t)

			signed := b.read(t, "hello.rpm")
			header := bytes.Clone(signed)
			at := bytes.Index(header, []byte("says hello, signed"))
			header[at] ^= 1
			rig.Write(t, b.file("header.rpm"), header)
			payload := bytes.Clone(signed)
			payload[len(payload)-9] ^= 1
			rig.Write(t, b.file("payload.rpm"), payload)
			b.sh(t, rpm+"-K header.rpm").Fails(t).Says(t, "NOT OK")
			b.sh(t, rpm+"-K payload.rpm").Fails(t).Says(t, "NOT OK")

			armor := b.sh(t, rpm+"-qp --qf '%{RSAHEADER:armor}' hello.rpm").OK(t).Output
			b.audited(t, []byte(armor))
			rig.Row(t, "rpmsign", "", theKey, rig.Here, "rpm -K")
		})
	}
}

// TestGPGDebsign clear-signs what a Debian source upload consists of: .dsc, .buildinfo
// and .changes, three signatures in one run.
func TestGPGDebsign(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b, v := newBuild(t, s, theKey), newVerifier(t, s, theKey)
	b.testdata(t, "deb")
	b.sh(t, `cd deb && dpkg-source --build . && dpkg-genbuildinfo --build=source && dpkg-genchanges --build=source -O../hello_1.0_source.changes`).OK(t)
	b.signs(t, `debsign --no-conf -k"$GPG_KEY_ID" hello_1.0_source.changes`).OK(t).Says(t, "Successfully signed")
	names := []string{"hello_1.0.dsc", "hello_1.0_source.changes"}
	if found := rig.Must(filepath.Glob(b.file("hello_1.0_*.buildinfo"))); len(found) == 1 {
		names = append(names, filepath.Base(found[0]))
	} else {
		t.Errorf("buildinfo: %q", found)
	}
	rig.Run(t, nil, "gpg", "--dearmor", "--output", b.file("key.gpg"), publicKey(s, theKey)).OK(t)
	verify := func(name string) *rig.Result {
		return b.sh(t, "dscverify --no-default-keyrings --keyring '"+b.file("key.gpg")+"' "+name)
	}
	for _, name := range names {
		signed := b.read(t, name)
		v.gpg(t, b.file(name)).OK(t).Says(t, "VALIDSIG "+b.id)
		b.audited(t, signed)
		rig.Write(t, b.file(name), bytes.Replace(signed, []byte("1.0"), []byte("1.1"), 1))
		v.gpg(t, b.file(name)).Fails(t).Says(t, "BADSIG")
		if !strings.HasSuffix(name, ".buildinfo") {
			verify(name).Fails(t)
		}
		rig.Write(t, b.file(name), signed)
	}
	verify("hello_1.0_source.changes").OK(t).Says(t, "All files validated successfully")
	rig.Row(t, "debsign", "", theKey, rig.Here, "gpg --verify, dscverify")
}

// hello builds hello.deb.
func (b *build) hello(t *testing.T) {
	t.Helper()
	b.testdata(t, "deb")
	b.sh(t, `mkdir -p tree/DEBIAN tree/usr/share/hello && cp deb/hello tree/usr/share/hello/hello && cp deb/binary-control tree/DEBIAN/control &&
		date +%N >tree/usr/share/hello/built && dpkg-deb --root-owner-group --build tree hello.deb`).OK(t)
}

// tampered changes one byte of a member of a .deb (an ar archive).
func tampered(t *testing.T, deb []byte, member string) []byte {
	t.Helper()
	at := bytes.Index(deb, []byte(member))
	if at < 0 {
		t.Fatalf("no %s in the package", member)
	}
	changed := bytes.Clone(deb)
	changed[at+60+100] ^= 1 // behind the member's header of 60 bytes
	return changed
}

// TestGPGDebsigs embeds an origin signature that debsig-verify accepts.
func TestGPGDebsigs(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b := newBuild(t, s, theKey)
	b.hello(t)
	b.signs(t, `debsigs --sign=origin -k "$GPG_KEY_ID" hello.deb`).OK(t)

	id := b.id[24:]
	policy := rig.Must(os.ReadFile(filepath.Join("testdata", "debsig.pol")))
	for _, dir := range []string{"policies/" + id, "keys/" + id} {
		if err := os.MkdirAll(b.file(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	rig.Write(t, b.file("policies", id, "hello.pol"), bytes.ReplaceAll(policy, []byte("KEYID"), []byte(id)))
	rig.Run(t, nil, "gpg", "--dearmor", "--output", b.file("keys", id, "hello.gpg"), publicKey(s, theKey)).OK(t)
	verify := func(name string) *rig.Result {
		return b.sh(t, `debsig-verify --policies-dir "$PWD/policies" --keyrings-dir "$PWD/keys" `+name)
	}
	verify("hello.deb").OK(t).Says(t, "Verified package from")
	deb := b.read(t, "hello.deb")
	rig.Write(t, b.file("tampered.deb"), tampered(t, deb, "data.tar"))
	verify("tampered.deb").Fails(t)
	b.sh(t, "ar p hello.deb _gpgorigin >origin.sig").OK(t)
	if d := b.audited(t, b.read(t, "origin.sig")); len(d[0]) != 64 {
		t.Errorf("the digest has %d bytes, not those of SHA-512", len(d[0]))
	}
	rig.Row(t, "debsigs", "", theKey, rig.Here, "debsig-verify")
}

// TestGPGDpkgSig signs with dpkg-sig, which Debian had up to version 11.
func TestGPGDpkgSig(t *testing.T) {
	t.Parallel()
	s := theService(t)
	found := debian11()
	if len(found) == 0 {
		t.Fatal("no Debian 11 (run scripts/test, which makes it)")
	}
	b, v := newBuild(t, s, theKey), newVerifier(t, s, theKey)
	b.hello(t)
	b.in = found[0]
	b.signs(t, `dpkg-sig -k "$GPG_KEY_ID" --sign builder hello.deb`).OK(t).Says(t, "Signed deb hello.deb")
	verify := `export GNUPGHOME=$PWD/verify; mkdir -p -m 700 $GNUPGHOME; gpg --batch --quiet --import key.asc; dpkg-sig --verify `
	rig.Write(t, b.file("key.asc"), rig.Must(os.ReadFile(publicKey(s, theKey))))
	b.sh(t, verify+"hello.deb").OK(t).Says(t, "GOODSIG _gpgbuilder "+b.id)
	rig.Write(t, b.file("tampered.deb"), tampered(t, b.read(t, "hello.deb"), "data.tar"))
	b.sh(t, verify+"tampered.deb").Fails(t).Says(t, "BADSIG")
	b.in = rig.Here
	b.sh(t, "ar p hello.deb _gpgbuilder >builder.asc").OK(t)
	v.gpg(t, b.file("builder.asc")).OK(t).Says(t, "VALIDSIG "+b.id)
	b.audited(t, b.read(t, "builder.asc"))
	rig.Row(t, "dpkg-sig", "", theKey, found[0], "dpkg-sig --verify")
}
