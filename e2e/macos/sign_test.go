package macos

import (
	"crypto"
	_ "crypto/sha1" // productsign's archives
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil {
		t.Fatalf("%v in %.100q", err, s)
	}
	return b
}

// asked is what Security asks tokens for.
var asked = []struct {
	algorithm string
	hash      crypto.Hash
	openssl   []string
	rsa, ec   bool
}{
	{"RSASignatureDigestPKCS1v15SHA1", crypto.SHA1, []string{"digest:sha1"}, true, false},
	{"RSASignatureDigestPKCS1v15SHA256", crypto.SHA256, []string{"digest:sha256"}, true, false},
	{"RSASignatureDigestPKCS1v15SHA384", crypto.SHA384, []string{"digest:sha384"}, true, false},
	{"RSASignatureDigestPKCS1v15SHA512", crypto.SHA512, []string{"digest:sha512"}, true, false},
	{"RSASignatureDigestPSSSHA1", crypto.SHA1, []string{"digest:sha1", "rsa_padding_mode:pss", "rsa_pss_saltlen:20"}, true, false},
	{"RSASignatureDigestPSSSHA256", crypto.SHA256, []string{"digest:sha256", "rsa_padding_mode:pss", "rsa_pss_saltlen:32"}, true, false},
	{"RSASignatureDigestPSSSHA384", crypto.SHA384, []string{"digest:sha384", "rsa_padding_mode:pss", "rsa_pss_saltlen:48"}, true, false},
	{"RSASignatureDigestPSSSHA512", crypto.SHA512, []string{"digest:sha512", "rsa_padding_mode:pss", "rsa_pss_saltlen:64"}, true, false},
	{"ECDSASignatureDigestX962", crypto.SHA256, nil, false, true}, // codesign: the length says which hash
	{"ECDSASignatureDigestX962", crypto.SHA1, nil, false, true},
	{"ECDSASignatureDigestX962", crypto.SHA512, nil, false, true},
	{"ECDSASignatureDigestX962SHA1", crypto.SHA1, nil, false, true},
	{"ECDSASignatureDigestX962SHA224", crypto.SHA224, nil, false, true},
	{"ECDSASignatureDigestX962SHA256", crypto.SHA256, nil, false, true},
	{"ECDSASignatureDigestX962SHA384", crypto.SHA384, nil, false, true},
	{"ECDSASignatureDigestX962SHA512", crypto.SHA512, nil, false, true},
	{"RSASignatureRaw", crypto.SHA256, nil, false, false},
	{"RSASignatureMessagePKCS1v15SHA256", crypto.SHA256, nil, false, false},
	{"RSAEncryptionPKCS1", crypto.SHA256, nil, false, false},
	{"ECDHKeyExchangeStandard", crypto.SHA256, nil, false, false},
}

// TestSign: every algorithm with every key, from the app's start to a signature
// that OpenSSL accepts; another digest is refused.
func TestSign(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	m := newMac(t, s)
	m.start(t, "--foreground").says(t, "ready: ", 1)
	for _, key := range rig.Keys() {
		instance := m.token(t, key)
		public := s.PublicKey(t, key)
		for n, a := range asked {
			want := a.rsa && rig.IsRSA(key) || a.ec && !rig.IsRSA(key)
			t.Run(fmt.Sprintf("%s %s %d", key, a.algorithm, a.hash.Size()), func(t *testing.T) {
				digest := rig.HashOf(a.hash, fmt.Appendf(nil, "%s %d", t.Name(), n))
				m.Run(t, m.program("extension"), "supports", instance, "2", a.algorithm).OK(t).Says(t, map[bool]string{true: "yes", false: "no"}[want])
				m.Run(t, m.program("extension"), "supports", instance, "3", a.algorithm).OK(t).Says(t, "no") // decrypt
				r := m.Run(t, m.program("extension"), "sign", instance, a.algorithm, hex.EncodeToString(digest))
				if !want {
					r.Fails(t).Says(t, "error -8: ") // TKErrorCodeBadParameter
					return
				}
				signature := unhex(t, r.OK(t).Output)
				verifies(t, public, signature, digest, a.openssl).OK(t).Says(t, "Signature Verified Successfully")
				digest[0] ^= 1
				verifies(t, public, signature, digest, a.openssl).Fails(t)
				digest[0] ^= 1
				s.Audited(t, digest, key)
				m.InLog(t, "signed", "algorithm="+a.algorithm, hex.EncodeToString(digest))
			})
		}
	}
	r := m.Run(t, m.program("extension"), "list").OK(t)
	s.Nowhere(t, s.Env["SIGNPATH_API_TOKEN"], m.Tool, r)
	for _, f := range rig.Must(filepath.Glob(filepath.Join(m.ctk, "tokens", "*"))) {
		if b := read(t, f); strings.Contains(b, s.Env["SIGNPATH_API_TOKEN"]) {
			t.Errorf("the API token stands in ctkd's store: %s", f)
		}
	}
}

func verifies(t *testing.T, public string, signature, digest []byte, options []string) *rig.Result {
	t.Helper()
	dir := t.TempDir()
	args := []string{"pkeyutl", "-verify", "-pubin", "-inkey", public, "-sigfile", rig.Write(t, filepath.Join(dir, "sig"), signature), "-in", rig.Write(t, filepath.Join(dir, "digest"), digest)}
	for _, o := range options {
		args = append(args, "-pkeyopt", o)
	}
	return rig.Run(t, nil, "openssl", args...)
}

// TestItems: what the keychain gets to see.
func TestItems(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	m := newMac(t, s)
	a := m.start(t, "--foreground").says(t, "ready: ", 1)
	seen := map[string]int{}
	for _, i := range m.items(t) {
		seen[i.kind]++
		switch {
		case i.kind == "TKTokenKeychainKey" && i.rights != "1000": // sign; not decrypt, not exchange keys, not log in
			t.Errorf("rights %s of %s", i.rights, i.object)
		case strings.Contains(i.object, "gpg"):
			t.Errorf("an OpenPGP key in the keychain: %s", i.object)
		case !strings.Contains(i.object, "#") && !strings.HasPrefix(i.label, "SignPath development "):
			t.Errorf("label %q of %s", i.label, i.object)
		}
		// The certificate chains up to the service's root, with what else the token holds.
		if strings.Contains(i.object, "#") {
			dir := t.TempDir()
			rig.Run(t, nil, "openssl", "verify", "-CAfile", s.File("ca.pem"), rig.Write(t, filepath.Join(dir, "issuer.der"), i.der)).OK(t)
		}
	}
	keys := len(rig.Keys()) + 1 // mail-rsa2048
	if seen["TKTokenKeychainKey"] != keys || seen["TKTokenKeychainCertificate"] != 2*keys || len(m.tokens(t)) != keys {
		t.Errorf("%v in %d tokens, want %d keys with leaf and intermediate", seen, len(m.tokens(t)), keys)
	}
	if out := a.output(); strings.Count(out, "\n  SignPath development ") != keys {
		t.Errorf("the console does not list the certificates:\n%s", out)
	}
	// One of them only.
	one := newMac(t, s)
	one.start(t, "--foreground", "--project-slug", rig.Project, "--signing-policy-slug="+rig.Keys()[0]).says(t, "ready: 1 certificate is", 1)
	if n := len(one.tokens(t)); n != 1 {
		t.Errorf("%d tokens with both slugs", n)
	}
}
