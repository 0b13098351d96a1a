package samples

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// dgst verifies a detached signature with the key of the service's certificate.
func dgst(signature string) func(*testing.T, *rig.Service, string, string, string) *rig.Result {
	return func(t *testing.T, s *rig.Service, key, out, file string) *rig.Result {
		return rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", s.PublicKey(t, key), "-signature", filepath.Join(out, signature), file)
	}
}

// blob is for cosign, which writes base64.
func blob(t *testing.T, s *rig.Service, key, out, file string) *rig.Result {
	sig := rig.Must(base64.StdEncoding.DecodeString(strings.TrimSpace(string(rig.Must(os.ReadFile(filepath.Join(out, "artifact.bin.sig")))))))
	rig.Write(t, filepath.Join(out, "raw.sig"), sig)
	return dgst("raw.sig")(t, s, key, out, file)
}

func authenticode(t *testing.T, s *rig.Service, _, _, file string) *rig.Result {
	return rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-in", file)
}

func jar(t *testing.T, s *rig.Service, _, _, file string) *rig.Result {
	trust := filepath.Join(t.TempDir(), "trust.p12")
	rig.Run(t, nil, "keytool", "-importcert", "-noprompt", "-alias", "root", "-file", s.File("ca.pem"), "-keystore", trust, "-storetype", "PKCS12", "-storepass", "changeit").OK(t)
	return rig.Run(t, nil, "jarsigner", "-verify", "-strict", "-keystore", trust, "-storepass", "changeit", file)
}

// pdf ends with 0 for a bad signature, too: what it prints tells.
func pdf(t *testing.T, _ *rig.Service, _, _, file string) *rig.Result {
	r := rig.Run(t, nil, "pdfsig", "-nocert", file).OK(t)
	if !strings.Contains(r.Output, "Total document signed") || !strings.Contains(r.Output, "Signature is Valid.") {
		r.Code = 1
	}
	return r
}

// manifest is the digest of an image folder's one image, in hexadecimal digits.
func manifest(t *testing.T, image string) string {
	t.Helper()
	var index struct {
		Manifests []struct {
			Digest string `json:"digest"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(rig.Must(os.ReadFile(filepath.Join(image, "index.json"))), &index); err != nil {
		t.Fatal(err)
	}
	for _, m := range index.Manifests {
		digest := strings.TrimPrefix(m.Digest, "sha256:")
		// What has a subject is a signature.
		if !strings.Contains(string(rig.Must(os.ReadFile(filepath.Join(image, "blobs", "sha256", digest)))), `"subject"`) {
			return digest
		}
	}
	t.Fatal("the folder has no image")
	return ""
}

// notation verifies with a home of its own, without the plug-in.
func notation(t *testing.T, s *rig.Service, _, out, image string) *rig.Result {
	digest := manifest(t, filepath.Join(out, "image"))
	home := t.TempDir()
	env := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "NOTATION_EXPERIMENTAL=1"}
	program := rig.Program(t, "E2E_NOTATION")
	rig.Run(t, env, program, "certificate", "add", "--type", "ca", "--store", "dev", s.File("ca.pem")).OK(t)
	policy := rig.Write(t, filepath.Join(home, "policy.json"), []byte(`{"version":"1.0","trustPolicies":[{"name":"dev","registryScopes":["local/image"],
		"signatureVerification":{"level":"strict"},"trustStores":["ca:dev"],"trustedIdentities":["*"]}]}`))
	rig.Run(t, env, program, "policy", "import", policy).OK(t)
	return rig.Run(t, env, program, "verify", "--oci-layout", "--scope", "local/image", image+"@sha256:"+digest)
}

// keyring is a GnuPG home that has the policy's public key, as the service gives it out.
func keyring(t *testing.T, s *rig.Service, key string) string {
	t.Helper()
	home := rig.Must(os.MkdirTemp("/tmp", "g")) // sockets below it need short paths
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	rig.Run(t, nil, "gpg", "--homedir", home, "--batch", "--import", s.File("gpg", key+".asc")).OK(t)
	return home
}

// gpg verifies a detached signature that the pattern names.
func gpg(signature string) func(*testing.T, *rig.Service, string, string, string) *rig.Result {
	return func(t *testing.T, s *rig.Service, key, out, file string) *rig.Result {
		found := rig.Must(filepath.Glob(filepath.Join(out, signature)))
		if len(found) != 1 {
			t.Fatalf("%d files %s", len(found), signature)
		}
		return rig.Run(t, nil, "gpg", "--homedir", keyring(t, s, key), "--batch", "--verify", found[0], file)
	}
}

func rpm(t *testing.T, s *rig.Service, key, _, file string) *rig.Result {
	db := t.TempDir()
	rig.Run(t, nil, "rpm", "--dbpath", db, "--initdb").OK(t)
	rig.Run(t, nil, "rpm", "--dbpath", db, "--import", s.File("gpg", key+".asc")).OK(t)
	return rig.Run(t, nil, "rpm", "--dbpath", db, "-Kv", file)
}

// members reads the archive that a Debian package is: 60 bytes of text before each
// member, which begins at an even offset.
func members(t *testing.T, deb string) (names []string, content map[string][]byte) {
	t.Helper()
	b := bytes.TrimPrefix(rig.Must(os.ReadFile(deb)), []byte("!<arch>\n"))
	content = map[string][]byte{}
	for len(b) >= 60 {
		name := strings.TrimRight(string(b[:16]), " /")
		size, err := strconv.Atoi(strings.TrimSpace(string(b[48:58])))
		if err != nil || 60+size > len(b) {
			t.Fatalf("%s is no archive: %v", deb, err)
		}
		names, content[name] = append(names, name), b[60:60+size]
		b = b[min(len(b), 60+size+size%2):]
	}
	return names, content
}

// debOrigin: _gpgorigin is a detached signature over the other members in their order.
func debOrigin(t *testing.T, s *rig.Service, key, _, file string) *rig.Result {
	names, content := members(t, file)
	var signed []byte
	for _, n := range names {
		if !strings.HasPrefix(n, "_gpg") {
			signed = append(signed, content[n]...)
		}
	}
	dir := t.TempDir()
	signature, what := rig.Write(t, filepath.Join(dir, "sig"), content["_gpgorigin"]), rig.Write(t, filepath.Join(dir, "signed"), signed)
	return rig.Run(t, nil, "gpg", "--homedir", keyring(t, s, key), "--batch", "--verify", signature, what)
}

// debBuilder: _gpgbuilder is a signed text that has the SHA-1 of every other member.
func debBuilder(t *testing.T, s *rig.Service, key, _, file string) *rig.Result {
	names, content := members(t, file)
	signature := rig.Write(t, filepath.Join(t.TempDir(), "sig"), content["_gpgbuilder"])
	r := rig.Run(t, nil, "gpg", "--homedir", keyring(t, s, key), "--batch", "--verify", signature)
	for _, n := range names {
		h := sha1.Sum(content[n])
		if !strings.HasPrefix(n, "_gpg") && !strings.Contains(string(content["_gpgbuilder"]), hex.EncodeToString(h[:])) {
			r.Code, r.Output = 1, r.Output+fmt.Sprintf("the signed text does not have the digest of %s\n", n)
		}
	}
	return r
}
