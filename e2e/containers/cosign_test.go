package containers

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

const readWrite = "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS"

// bench is cosign, a registry and the service.
type bench struct {
	*rig.Service
	*rig.Registry
	cosign string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return &bench{rig.TheService(t), rig.StartRegistry(t), rig.Program(t, "E2E_COSIGN")}
}

// closed is a proxy that nobody serves: cosign must not ask for anything off this
// machine, and if it did, the request would end here.
var closed = []string{"HTTPS_PROXY=http://127.0.0.1:9", "NO_PROXY=127.0.0.1,localhost"}

// signer is the recipe's environment.
func (b *bench) signer(t *testing.T, more ...string) *rig.Tool {
	t.Helper()
	return b.Tool(t, append(append([]string{readWrite + "=true"}, closed...), more...)...)
}

// uri is the recipe's key.
func uri(key string) string {
	return "pkcs11:slot-id=1;id=" + rig.Percent(rig.Project+"/"+key) + "?module-path=" + rig.Module + "&pin-value=CONFIG"
}

// verify runs cosign without the module's settings, with a public key only.
func (b *bench) verify(t *testing.T, key, command string, args ...string) *rig.Result {
	t.Helper()
	options := []string{command, "--key", b.PublicKey(t, key), "--insecure-ignore-tlog=true"}
	if command != "verify-blob" {
		// Without this file cosign asks for the public log's keys, although it does not use them.
		root := rig.Write(t, filepath.Join(t.TempDir(), "trusted-root.json"), []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`))
		options = append(options, "--trusted-root", root)
	}
	env := append([]string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, closed...)
	return rig.Run(t, env, b.cosign, append(options, args...)...)
}

// openssl judges a signature in base64 over a file.
func (b *bench) openssl(t *testing.T, key, base64Signature, file string) *rig.Result {
	t.Helper()
	sig := rig.Write(t, filepath.Join(t.TempDir(), "sig"), rig.Must(base64.StdEncoding.DecodeString(strings.TrimSpace(base64Signature))))
	return rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", b.PublicKey(t, key), "-signature", sig, file)
}

// TestBlob: each key; cosign with the public key and OpenSSL accept, both refuse a
// changed file.
func TestBlob(t *testing.T) {
	b := newBench(t)
	for _, key := range rig.Keys() {
		t.Run(key, func(t *testing.T) {
			file, tampered, content := rig.Artifact(t)
			sig := filepath.Join(t.TempDir(), "blob.sig")
			tl := b.signer(t)
			r := tl.Run(t, b.cosign, "sign-blob", "--yes", "--key", uri(key), "--tlog-upload=false", "--output-signature", sig, file).OK(t)
			b.verify(t, key, "verify-blob", "--signature", sig, file).OK(t).Says(t, "Verified OK")
			b.verify(t, key, "verify-blob", "--signature", sig, tampered).Fails(t)
			text := string(rig.Must(os.ReadFile(sig)))
			b.openssl(t, key, text, file).OK(t)
			b.openssl(t, key, text, tampered).Fails(t)
			b.Audited(t, rig.SHA256Of(content), key)
			b.Nowhere(t, b.Env["SIGNPATH_API_TOKEN"], tl, r)
			rig.Row(t, "cosign sign-blob", rig.ModuleVersion(t, b.cosign), key, rig.Here, "cosign verify-blob, openssl dgst -verify")
		})
	}
}

// TestKeyNames: the forms of the key's URI.
func TestKeyNames(t *testing.T) {
	b := newBench(t)
	file, _, _ := rig.Artifact(t)
	key := "p256"
	name := rig.Project + "/" + key
	module := "?module-path=" + rig.Module + "&pin-value=CONFIG"
	for form, c := range map[string]struct{ uri, settings string }{
		"percent-encoded id":      {"pkcs11:slot-id=1;id=" + rig.Percent(name) + module, ""},
		"id":                      {"pkcs11:slot-id=1;id=" + strings.ReplaceAll(name, "/", "%2F") + module, ""},
		"object":                  {"pkcs11:slot-id=1;object=" + strings.ReplaceAll(name, "/", "%2F") + module, ""},
		"token":                   {"pkcs11:token=SignPath;object=" + strings.ReplaceAll(name, "/", "%2F") + module, ""},
		"PIN in the environment":  {"pkcs11:token=SignPath;object=" + strings.ReplaceAll(name, "/", "%2F") + "?module-path=" + rig.Module, "COSIGN_PKCS11_PIN=CONFIG"},
		"module in the variables": {"pkcs11:token=SignPath;object=" + strings.ReplaceAll(name, "/", "%2F") + "?pin-value=CONFIG", "COSIGN_PKCS11_MODULE_PATH=" + rig.Module},
		"without the certificate": {"pkcs11:token=SignPath;object=" + strings.ReplaceAll(name, "/", "%2F") + module, "COSIGN_PKCS11_IGNORE_CERTIFICATE=1"},
	} {
		t.Run(form, func(t *testing.T) {
			tl := b.signer(t)
			if c.settings != "" {
				tl = b.signer(t, c.settings)
			}
			sig := filepath.Join(t.TempDir(), "blob.sig")
			tl.Run(t, b.cosign, "sign-blob", "--yes", "--key", c.uri, "--tlog-upload=false", "--output-signature", sig, file).OK(t)
			b.openssl(t, key, string(rig.Must(os.ReadFile(sig))), file).OK(t)
		})
	}
	t.Run("public key", func(t *testing.T) {
		r := b.signer(t).Run(t, b.cosign, "public-key", "--key", uri(key)).OK(t)
		if want := string(rig.Must(os.ReadFile(b.PublicKey(t, key)))); r.Output != want {
			t.Errorf("%s, want %s", r.Output, want)
		}
	})
	t.Run("listing", func(t *testing.T) {
		tl := b.signer(t)
		tl.Run(t, b.cosign, "pkcs11-tool", "list-tokens", "--module-path", rig.Module).OK(t).Says(t, "SignPath")
		tl.Run(t, b.cosign, "pkcs11-tool", "list-keys-uris", "--module-path", rig.Module, "--slot-id", "1", "--pin", "CONFIG").OK(t).Says(t, "pkcs11:")
	})
}

// TestImage: the signature stands in the registry; it does not fit another image, and
// another key does not verify it.
func TestImage(t *testing.T) {
	b := newBench(t)
	for i, key := range rig.Keys() {
		t.Run(key, func(t *testing.T) {
			digest := b.Push(t, "app", t.Name())
			ref := b.Address + "/app@" + digest
			insecure := []string{"--allow-insecure-registry", "--allow-http-registry"}
			b.verify(t, key, "verify", append(insecure, ref)...).Fails(t).Says(t, "no signatures found")
			b.signer(t).Run(t, b.cosign, append(append([]string{"sign", "--yes", "--key", uri(key), "--tlog-upload=false", "-a", "commit=4711"}, insecure...), ref)...).OK(t)
			b.verify(t, key, "verify", append(insecure, "-a", "commit=4711", ref)...).OK(t).Says(t, digest)
			b.verify(t, key, "verify", append(insecure, "-a", "commit=4712", ref)...).Fails(t)
			b.verify(t, rig.Keys()[(i+1)%len(rig.Keys())], "verify", append(insecure, ref)...).Fails(t)

			// The payload is what was signed.
			tag := strings.Replace(digest, ":", "-", 1) + ".sig"
			b.Audited(t, rig.SHA256Of([]byte(b.Do(t, "blob", "app", tag).Output)), key)

			other := b.Push(t, "app", t.Name()+" other")
			b.Do(t, "tag", "app", tag, strings.Replace(other, ":", "-", 1)+".sig")
			b.verify(t, key, "verify", append(insecure, b.Address+"/app@"+other)...).Fails(t)
			rig.Row(t, "cosign sign", rig.ModuleVersion(t, b.cosign), key, rig.Here, "cosign verify")
		})
	}
}

// TestAttestation: a statement about an image (in-toto) is signed the same way.
func TestAttestation(t *testing.T) {
	b := newBench(t)
	key := "p256"
	ref := b.Address + "/app@" + b.Push(t, "app", t.Name())
	insecure := []string{"--allow-insecure-registry", "--allow-http-registry"}
	predicate := rig.Write(t, filepath.Join(t.TempDir(), "predicate.json"), fmt.Appendf(nil, `{"builder":%q}`, t.Name()))
	b.signer(t).Run(t, b.cosign, append(append([]string{"attest", "--yes", "--key", uri(key), "--tlog-upload=false", "--type", "custom", "--predicate", predicate}, insecure...), ref)...).OK(t)
	b.verify(t, key, "verify-attestation", append(insecure, "--type", "custom", ref)...).OK(t).Says(t, "claims were validated")
	b.verify(t, key, "verify-attestation", append(insecure, "--type", "slsaprovenance", ref)...).Fails(t)
	b.verify(t, "rsa3072", "verify-attestation", append(insecure, "--type", "custom", ref)...).Fails(t)
}

// TestRefused: without the setting for read/write sessions cosign cannot work, and
// the log names it; token, policy and service as everywhere.
func TestRefused(t *testing.T) {
	b := newBench(t)
	file, _, _ := rig.Artifact(t)
	other := strings.TrimSpace(string(rig.Must(os.ReadFile(b.File("other-token")))))
	away, ca, _ := rig.Failing(t, b.Service)
	for _, c := range []struct {
		name, says string
		settings   []string
		log        []string
	}{
		{"read/write sessions", "CKR_TOKEN_WRITE_PROTECTED", []string{readWrite + "="}, []string{"WARNING", readWrite}},
		{"wrong token", "CKR_ARGUMENTS_BAD", []string{"SIGNPATH_API_TOKEN=" + strings.Repeat("A", 44)}, []string{"ERROR", "401"}},
		{"policy of somebody else", "signer not set", []string{"SIGNPATH_API_TOKEN=" + other}, []string{"logged in", "keys=0"}},
		{"service fails", "CKR_FUNCTION_FAILED", []string{"SIGNPATH_API_URL=" + away, "SIGNPATH_TRUSTED_CA_FILE=" + ca, "SIGNPATH_TIMEOUTS_RETRY_COUNT=1", "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY=0.05"}, []string{"ERROR", "503"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := b.signer(t, c.settings...)
			tl.Run(t, b.cosign, "sign-blob", "--yes", "--key", uri("p256"), "--tlog-upload=false", file).Fails(t).Says(t, c.says)
			tl.InLog(t, c.log...)
		})
	}
}
