package gpg

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// TestGPGAptRepository signs a repository's Release file in both ways. A real apt-get
// fetches it over HTTP from this machine and trusts the one key only.
func TestGPGAptRepository(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b, v := newBuild(t, s, theKey), newVerifier(t, s, theKey)
	b.hello(t)
	b.signs(t, `
mkdir -p repo && mv hello.deb repo/hello_1.0_all.deb && cd repo
apt-ftparchive packages . >Packages
apt-ftparchive -o APT::FTPArchive::Release::Suite=stable release . >../Release && mv ../Release .
gpg --batch -u "$GPG_KEY_ID" --clear-sign --output InRelease Release
gpg --batch -u "$GPG_KEY_ID" --armor --detach-sign --output Release.gpg Release`).OK(t)
	v.gpg(t, b.file("repo", "InRelease")).OK(t).Says(t, "VALIDSIG "+b.id)
	b.audited(t, b.read(t, "repo", "InRelease"))
	b.audited(t, b.read(t, "repo", "Release.gpg"))

	server := httptest.NewServer(http.FileServer(http.Dir(b.file("repo"))))
	t.Cleanup(server.Close)
	// The user of apt's fetcher must be able to read the key.
	key := rig.Write(t, filepath.Join(rig.Must(os.MkdirTemp("", "apt-key-")), "key.asc"), rig.Must(os.ReadFile(publicKey(s, theKey))))
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(key)) })
	_ = os.Chmod(filepath.Dir(key), 0o755)
	_ = os.Chmod(key, 0o644)
	rig.Write(t, b.file("sources.list"), []byte("deb [signed-by="+key+"] "+server.URL+" ./\n"))
	rig.Row(t, "apt repository (gpg)", rig.Version(t, rig.Here, "gpg"), theKey, rig.Here, "apt-get update")
	n := 0
	apt := func() *rig.Result { // with an empty state each time
		n++
		state := b.file("apt" + strings.Repeat("x", n))
		for _, d := range []string{"lists/partial", "archives/partial", "etc"} {
			if err := os.MkdirAll(filepath.Join(state, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		var options []string
		for name, value := range map[string]string{
			"Dir::Etc::SourceList": b.file("sources.list"), "Dir::Etc::SourceParts": state + "/etc", "Dir::Etc::Parts": state + "/etc", "Dir::Etc::Main": "/dev/null", "Dir::Etc::Trusted": "/dev/null", "Dir::Etc::TrustedParts": state + "/etc",
			"Dir::State": state, "Dir::State::Status": "/dev/null", "Dir::Cache": state, "APT::Sandbox::User": "", "APT::Update::Error-Mode": "any", "Debug::NoLocking": "1", "Acquire::http::Proxy": "DIRECT",
		} {
			options = append(options, "-o", name+"="+value)
		}
		return rig.Run(t, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}, "apt-get", append(options, "update")...)
	}
	inRelease, release := b.read(t, "repo", "InRelease"), b.read(t, "repo", "Release")
	put := func(name string, content []byte) {
		t.Helper()
		if content == nil {
			_ = os.Remove(b.file("repo", name))
			return
		}
		rig.Write(t, b.file("repo", name), content)
	}

	apt().OK(t).Says(t, "InRelease")
	put("InRelease", bytes.Replace(inRelease, []byte("Suite: stable"), []byte("Suite: staged"), 1))
	apt().Fails(t).Says(t, "BADSIG")
	put("InRelease", nil)
	apt().OK(t).Says(t, "Release.gpg")
	put("Release", bytes.Replace(release, []byte("Suite: stable"), []byte("Suite: staged"), 1))
	apt().Fails(t).Says(t, "BADSIG")
	put("Release", release)
	put("Release.gpg", nil)
	apt().Fails(t).Says(t, "not signed")

	// With somebody else's key in its place nothing is trusted.
	put("InRelease", inRelease)
	_ = os.WriteFile(key, rig.Must(os.ReadFile(publicKey(s, "gpg-rsa2048"))), 0o644) //nolint:gosec // a public key
	apt().Fails(t).Says(t, "NO_PUBKEY")
}

// TestGPGMaven installs an artifact whose files maven-gpg-plugin signs: what is made
// and the POM, one signature each.
func TestGPGMaven(t *testing.T) {
	t.Parallel()
	s := theService(t)
	// Maven's settings of this machine say where its central repository is.
	b, v := newBuild(t, s, theKey, "HOME="+os.Getenv("HOME")), newVerifier(t, s, theKey)
	b.testdata(t, "maven")
	local := filepath.Join(rig.Root, ".cache", "maven") // plugins stay there from run to run
	group := fmt.Sprintf("test%d", os.Getpid())
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Join(local, group)) })
	b.signs(t, fmt.Sprintf(`cd maven && mvn -q -B -Dmaven.repo.local='%s' -Dgroup=%s -Dgpg.keyname="$GPG_KEY_ID" install`, local, group)).OK(t)
	for _, name := range []string{"hello-1.0.pom", "hello-1.0.jar"} {
		file := filepath.Join(local, group, "hello", "1.0", name)
		content := rig.Must(os.ReadFile(file))
		v.gpg(t, file+".asc", file).OK(t).Says(t, "VALIDSIG "+b.id)
		rig.Write(t, b.file("tampered"), append(content, '\n'))
		v.gpg(t, file+".asc", b.file("tampered")).Fails(t).Says(t, "BADSIG")
		b.audited(t, rig.Must(os.ReadFile(file+".asc")))
	}
	rig.Row(t, "maven-gpg-plugin", "3.2.7", theKey, rig.Here, "gpg --verify")
}
