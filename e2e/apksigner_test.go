package e2e

import (
	"bytes"
	"crypto"
	endian "encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// apkSignature is one signature of the schemes 2 and 3: what was signed and how
// (Android Open Source Project, "APK Signature Scheme v2" and "v3").
type apkSignature struct {
	scheme    int
	algorithm uint32
	data      []byte
	signature []byte
}

var apkHashes = map[uint32]crypto.Hash{0x0103: crypto.SHA256, 0x0104: crypto.SHA512, 0x0201: crypto.SHA256, 0x0202: crypto.SHA512}

// apkSignatures reads the signing block that lies before the zip's directory.
func apkSignatures(t *testing.T, file string) []apkSignature {
	t.Helper()
	b := must(os.ReadFile(file))
	end := bytes.Index(b, []byte("APK Sig Block 42"))
	if end < 0 {
		t.Fatal("no signing block")
	}
	size := int(endian.LittleEndian.Uint64(b[end-8:]))
	pairs := b[end+16-size : end-8]
	prefixed := func(from *[]byte) []byte { // a length of 4 bytes and its content
		n := endian.LittleEndian.Uint32(*from)
		v := (*from)[4 : 4+n]
		*from = (*from)[4+n:]
		return v
	}
	var found []apkSignature
	for len(pairs) > 0 {
		n := endian.LittleEndian.Uint64(pairs)
		id, value := endian.LittleEndian.Uint32(pairs[8:]), pairs[12:8+n]
		pairs = pairs[8+n:]
		scheme := map[uint32]int{0x7109871a: 2, 0xf05368c0: 3}[id]
		if scheme == 0 {
			continue
		}
		signers := prefixed(&value)
		signer := prefixed(&signers)
		data := prefixed(&signer)
		if scheme == 3 {
			signer = signer[8:] // range of Android versions
		}
		signatures := prefixed(&signer)
		one := prefixed(&signatures)
		algorithm := endian.LittleEndian.Uint32(one)
		one = one[4:]
		found = append(found, apkSignature{scheme, algorithm, data, prefixed(&one)})
	}
	return found
}

// apkVerifies lets apksigner judge, in a fresh process without the module.
func apkVerifies(t *testing.T, apk string, more ...string) *result {
	t.Helper()
	return run(t, nil, "apksigner", append(append([]string{"verify", "--verbose", "--print-certs"}, more...), apk)...)
}

// apksigner runs a signature; provider says how Java finds the module.
func (s *service) apksigner(t *testing.T, provider, key, in, out string, settings ...string) (*tool, *result) {
	t.Helper()
	j := jdks(t)[0]
	config := j.sunPKCS11(t, "slot=1")
	args := []string{"sign", "--ks", "NONE", "--ks-type", "PKCS11", "--ks-pass", "pass:CONFIG", "--ks-key-alias", project + "/" + key, "--in", in, "--out", out}
	var options string
	if provider == "java.security" {
		security := write(t, filepath.Join(t.TempDir(), "pkcs11.security"), fmt.Appendf(nil, "security.provider.13=SunPKCS11 %s\n", config))
		options = "-Djava.security.properties=" + security
	} else {
		options = "--add-exports=jdk.crypto.cryptoki/sun.security.pkcs11=ALL-UNNAMED"
		args = append(args, "--provider-class", "sun.security.pkcs11.SunPKCS11", "--provider-arg", config)
	}
	path := "PATH=" + filepath.Join(j.home, "bin") + ":" + os.Getenv("PATH")
	tl := s.tool(t, append([]string{"JDK_JAVA_OPTIONS=" + options, path}, settings...)...)
	return tl, tl.run(t, "apksigner", args...)
}

func TestJavaApksigner(t *testing.T) {
	s := theService(t)
	for _, key := range keys() {
		for _, provider := range []string{"java.security", "--provider-class"} {
			t.Run(key+"/"+provider, func(t *testing.T) {
				t.Parallel()
				out := filepath.Join(t.TempDir(), "signed.apk")
				_, r := s.apksigner(t, provider, key, sample(t, "hello.apk"), out)
				r.ok(t)
				v := apkVerifies(t, out).ok(t)
				for _, scheme := range []string{"v1 scheme (JAR signing)", "v2 scheme (APK Signature Scheme v2)", "v3 scheme (APK Signature Scheme v3)"} {
					v.says(t, "Verified using "+scheme+": true")
				}
				apkVerifies(t, tamper(t, out)).fails(t)
				// version 1 is a jar's signature
				der, sf := block(t, out)
				sd := parseCMS(t, der)
				s.opensslAccepts(t, der, sf)
				s.audited(t, sd.digest(t, sf), key)
				signatures := apkSignatures(t, out)
				if len(signatures) != 2 {
					t.Fatalf("%d signatures of the newer schemes, not 2", len(signatures))
				}
				for _, g := range signatures {
					h, known := apkHashes[g.algorithm]
					if !known {
						t.Fatalf("scheme %d: unknown algorithm %#x", g.scheme, g.algorithm)
					}
					dir := t.TempDir()
					data, sig := write(t, filepath.Join(dir, "data"), g.data), write(t, filepath.Join(dir, "sig"), g.signature)
					md := "-" + strings.ToLower(strings.ReplaceAll(h.String(), "-", ""))
					run(t, nil, "openssl", "dgst", md, "-verify", s.publicKey(t, key), "-signature", sig, data).ok(t)
					s.audited(t, hashOf(h, g.data), key)
				}
			})
		}
	}
}

func TestJavaApksignerRefusals(t *testing.T) {
	s := theService(t)
	refused := func(t *testing.T, key string, settings ...string) (*tool, *result) {
		t.Helper()
		out := filepath.Join(t.TempDir(), "signed.apk")
		tl, r := s.apksigner(t, "java.security", key, sample(t, "hello.apk"), out, settings...)
		r.fails(t)
		if _, err := os.Stat(out); err == nil {
			apkVerifies(t, out).fails(t)
		}
		return tl, r
	}
	t.Run("wrong token", func(t *testing.T) {
		t.Parallel()
		tl, _ := refused(t, "p256", "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		tl.inLog(t, "401", "SIGNPATH_API_TOKEN")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		t.Parallel()
		tl, _ := refused(t, "p256", "SIGNPATH_API_TOKEN="+strings.TrimSpace(string(must(os.ReadFile(s.file("other-token"))))))
		tl.inLog(t, "Submitter")
	})
	t.Run("failing service", func(t *testing.T) {
		t.Parallel()
		api, ca, _ := failing(t, s)
		tl, r := refused(t, "p256", "SIGNPATH_API_URL="+api, "SIGNPATH_TRUSTED_CA_FILE="+ca, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		r.says(t, "CKR_FUNCTION_FAILED")
		tl.inLog(t, "503")
	})
}
