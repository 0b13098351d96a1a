package containers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// TestSkopeo: "simple signing" of containers/image, which podman, buildah and CRI-O
// check: skopeo signs with an OpenPGP key while it copies, and a policy that knows the
// public key only accepts the image and no other.
func TestSkopeo(t *testing.T) {
	s, g := rig.TheService(t), rig.StartRegistry(t)
	tl := s.Tool(t)
	home := rig.Must(os.MkdirTemp("", "gnupg")) // the sockets in it want a short path
	t.Cleanup(func() {
		tl.Run(t, rig.Binary, "gpg", "remove", "--home", home)
		_ = os.RemoveAll(home)
	})
	const policy = rig.Project + "/gpg-rsa3072"
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	withKey := func(script string) *rig.Result {
		t.Helper()
		return tl.Run(t, "sh", "-c", `eval "$("$0" gpg init --home "$1" --policy "$2" --env)" && `+script, rig.Binary, filepath.Join(home, "g"), policy)
	}
	tl.Run(t, rig.Binary, "gpg", "public-key", "--policy", policy, "--out", file("release.asc")).OK(t)

	// Signatures lie in a folder that a web server would show.
	rig.Write(t, file("lookaside.yaml"), fmt.Appendf(nil, "default-docker:\n  sigstore: file://%[1]s\n  sigstore-staging: file://%[1]s\n", file("signatures")))
	rig.Write(t, file("open.json"), []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`))
	rig.Write(t, file("policy.json"), fmt.Appendf(nil, `{"default":[{"type":"reject"}],"transports":{"docker":{%q:[{"type":"signedBy","keyType":"GPGKeys","keyPath":%q}]}}}`, g.Address, file("release.asc")))
	skopeo := "skopeo --registries.d " + dir + " --policy "

	digest := g.Push(t, "source", t.Name())
	copied := func(to string) string { return "docker://" + g.Address + "/" + to }
	verifies := func(image string) *rig.Result {
		t.Helper()
		env := []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
		return rig.Run(t, env, "sh", "-c", skopeo+file("policy.json")+" copy --src-tls-verify=false "+image+" dir:"+filepath.Join(t.TempDir(), "image"))
	}
	withKey(skopeo + file("open.json") + ` copy --src-tls-verify=false --dest-tls-verify=false --sign-by "$GPG_KEY_ID" ` + copied("source@"+digest) + " " + copied("app:1.0")).OK(t)
	verifies(copied("app:1.0")).OK(t)
	verifies(copied("source@"+digest)).Fails(t).Says(t, "A signature was required, but no signature exists")

	// A changed signature, and an image that was put in the place of the signed one.
	found := rig.Must(filepath.Glob(filepath.Join(file("signatures"), "*", "*", "signature-1")))
	if len(found) == 0 {
		found = rig.Must(filepath.Glob(filepath.Join(file("signatures"), "*", "signature-1")))
	}
	if len(found) != 1 {
		t.Fatalf("signatures: %v", found)
	}
	good := rig.Must(os.ReadFile(found[0]))
	bad := slices.Clone(good)
	bad[len(bad)-40] ^= 1
	rig.Write(t, found[0], bad)
	verifies(copied("app:1.0")).Fails(t)
	rig.Write(t, found[0], good)
	other := g.Push(t, "app", t.Name()+" other")
	folder := filepath.Join(filepath.Dir(filepath.Dir(found[0])), "app@"+strings.Replace(other, ":", "=", 1))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	rig.Write(t, filepath.Join(folder, "signature-1"), good)
	verifies(copied("app@"+other)).Fails(t).Says(t, "does not match")

	export := rig.Run(t, nil, rig.Binary, "audit", "export", "--data", s.File("data")).OK(t)
	if !slices.ContainsFunc(strings.Split(export.Output, "\n"), func(l string) bool {
		return strings.Contains(l, "HashSigning.Intent") && strings.Contains(l, `"gpg-rsa3072"`)
	}) {
		t.Error("no audit entry")
	}
	tl.InLog(t, "signed", policy)
	rig.Row(t, "skopeo (simple signing)", rig.Version(t, rig.Here, "skopeo"), "gpg-rsa3072", rig.Here, "skopeo with a policy")
}
