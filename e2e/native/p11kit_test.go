package native

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"signpath/e2e/rig"
)

func parsePublicKey(t *testing.T, spki []byte) any {
	t.Helper()
	return rig.Must(x509.ParsePKIXPublicKey(spki))
}

// unprivileged lets a program run as nobody where the tests run as root, because
// p11-kit does not read a user's configuration for root.
func unprivileged(t *testing.T, j *job, dirs ...string) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	for _, d := range dirs {
		if err := filepath.WalkDir(d, func(p string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chown(p, 65534, 65534)
		}); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
}

// registered writes a module file of p11-kit, and settings that another user may read.
func registered(t *testing.T, s *rig.Service) (j *job, run func(program string, args ...string) *rig.Result) {
	t.Helper()
	j = newJob(t, s, rig.Here, "p256")
	home := rig.Must(os.MkdirTemp("/tmp", "signpath-p11kit-")) // nobody may not enter the test's own folder
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	for _, d := range []string{home, filepath.Join(home, ".config"), filepath.Join(home, ".config/pkcs11"), filepath.Join(home, ".config/pkcs11/modules"), filepath.Join(home, "logs")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	module := filepath.Join(home, "libSignPath.Cryptoki.so")
	if err := os.WriteFile(module, rig.Must(os.ReadFile(rig.Module)), 0o600); err != nil {
		t.Fatal(err)
	}
	rig.Write(t, filepath.Join(home, ".config/pkcs11/modules/signpath.module"), fmt.Appendf(nil, "module: %s\n", module))
	ca := rig.Write(t, filepath.Join(home, "tls-ca.pem"), rig.Must(os.ReadFile(s.Env["SIGNPATH_TRUSTED_CA_FILE"])))
	j.tl.Logs = filepath.Join(home, "logs")
	as := unprivileged(t, j, home)
	rig.Write(t, filepath.Join(home, "artifact"), j.content(t))
	_ = os.Chmod(filepath.Join(home, "artifact"), 0o644)
	j.dir = home
	return j, func(program string, args ...string) *rig.Result {
		t.Helper()
		line := append(append([]string{}, as...), append([]string{program}, args...)...)
		return j.with(t, []string{"HOME=" + home, "SIGNPATH_TRUSTED_CA_FILE=" + ca, "SIGNPATH_LOG_FILE_DIRECTORY=" + j.tl.Logs, "GNUTLS_PIN=CONFIG"}, line[0], line[1:]...)
	}
}

// TestP11KitRegistered: the module in p11-kit's configuration, used by programs that do not name it.
func TestP11KitRegistered(t *testing.T) {
	s := rig.TheService(t)
	j, run := registered(t, s)
	run("p11-kit", "list-modules").OK(t).Says(t, "signpath: "+filepath.Join(j.dir, "libSignPath.Cryptoki.so"))
	run("p11tool", "--list-token-urls").OK(t).Says(t, "token=SignPath")
	proxy := rig.Here.Glob(t, "/usr/lib/*/p11-kit-proxy.so")
	for _, key := range rig.Keys() {
		t.Run(key, func(t *testing.T) {
			run("p11tool", "--batch", "--login", "--test-sign", "pkcs11:token=SignPath;object="+rig.Project+"%2F"+key+";type=private").OK(t)
			mechanism := "ECDSA-SHA256"
			if rig.IsRSA(key) {
				mechanism = "SHA256-RSA-PKCS"
			}
			out := filepath.Join(j.dir, key+".sig")
			run("pkcs11-tool", "--module", proxy, "--token-label", "SignPath", "--pin", "CONFIG", "--sign", "--mechanism", mechanism, "--signature-format", "openssl", "--id", rig.IDHex(key), "--input-file", filepath.Join(j.dir, "artifact"), "--output-file", out).OK(t)
			other := *j
			other.key = key
			other.opensslDgst(t, "sha256", out)
			other.audited(t, sha256Of(t, j))
		})
	}
	t.Run("unusable settings", func(t *testing.T) { // must not break the other programs of the machine
		j.with(t, []string{"HOME=" + j.dir, "SIGNPATH_API_URL=ftp://nowhere"}, "p11-kit", "list-modules").OK(t)
	})
}

// TestP11KitRemote: a second process signs through `p11-kit server`, without settings,
// token or module of its own.
func TestP11KitRemote(t *testing.T) {
	s := rig.TheService(t)
	for _, y := range anywhere {
		if y != rig.Here && !rig.All {
			continue
		}
		t.Run(y.Name, func(t *testing.T) {
			j := newJob(t, s, y, "p256")
			start := func(j *job, socket string) []string {
				out := y.Start(t, j.tl.Env, "p11-kit", "server", "-f", "-n", socket, "--provider", j.y.Module(t), "pkcs11:")
				for range 300 {
					if _, err := os.Stat(socket); err == nil {
						return []string{"PATH=" + os.Getenv("PATH"), "P11_KIT_SERVER_ADDRESS=unix:path=" + socket}
					}
					time.Sleep(100 * time.Millisecond)
				}
				t.Fatalf("p11-kit server does not listen: %s", out.Output())
				return nil
			}
			env := start(j, filepath.Join(j.dir, "socket"))
			client := y.Glob(t, "/usr/lib/*/pkcs11/p11-kit-client.so")
			sign := func(env []string, key, mechanism, in, out string) *rig.Result {
				return y.Run(t, env, "pkcs11-tool", "--module", client, "--pin", "CONFIG", "--sign", "--mechanism", mechanism, "--signature-format", "openssl", "--id", rig.IDHex(key), "--input-file", in, "--output-file", out)
			}
			for _, key := range rig.Keys() {
				t.Run(key, func(t *testing.T) {
					j := newJob(t, s, y, key)
					in, mechanism := j.file, "SHA256-RSA-PKCS"
					if !rig.IsRSA(key) {
						// p11-kit carries no mechanism that hashes and signs with EC keys
						in, mechanism = rig.Write(t, filepath.Join(j.dir, "digest"), rig.SHA256Of(j.content(t))), "ECDSA"
					}
					sign(env, key, mechanism, in, j.out).OK(t)
					j.opensslDgst(t, "sha256", j.out)
					j.audited(t, sha256Of(t, j))
				})
			}
			t.Run("wrong token", func(t *testing.T) {
				j := newJob(t, s, y, "p256", "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
				env := start(j, filepath.Join(j.dir, "socket"))
				sign(env, "p256", "ECDSA", rig.Write(t, filepath.Join(j.dir, "digest"), rig.SHA256Of(nil)), j.out).Fails(t).Says(t, "CKR_ARGUMENTS_BAD")
				j.tl.InLog(t, "401", "SIGNPATH_API_TOKEN")
			})
		})
	}
}
