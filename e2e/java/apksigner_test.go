package java

import (
	"bytes"
	"crypto"
	endian "encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
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
	b := rig.Must(os.ReadFile(file))
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
func apkVerifies(t *testing.T, apk string, more ...string) *rig.Result {
	t.Helper()
	return rig.Run(t, nil, "apksigner", append(append([]string{"verify", "--verbose", "--print-certs"}, more...), apk)...)
}

func TestJavaApksigner(t *testing.T) {
	s := rig.TheService(t)
	for _, key := range rig.Keys() {
		for _, provider := range []string{"java.security", "--provider-class"} {
			t.Run(key+"/"+provider, func(t *testing.T) {
				t.Parallel()
				out := filepath.Join(t.TempDir(), "signed.apk")
				_, r := s.Apksigner(t, provider, key, rig.Sample(t, "hello.apk"), out)
				r.OK(t)
				v := apkVerifies(t, out).OK(t)
				for _, scheme := range []string{"v1 scheme (JAR signing)", "v2 scheme (APK Signature Scheme v2)", "v3 scheme (APK Signature Scheme v3)"} {
					v.Says(t, "Verified using "+scheme+": true")
				}
				apkVerifies(t, rig.Tamper(t, out)).Fails(t)
				// version 1 is a jar's signature
				der, sf := block(t, out)
				sd := rig.ParseCMS(t, der)
				s.OpenSSLAccepts(t, der, sf)
				s.Audited(t, sd.Digest(t, sf), key)
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
					data, sig := rig.Write(t, filepath.Join(dir, "data"), g.data), rig.Write(t, filepath.Join(dir, "sig"), g.signature)
					md := "-" + strings.ToLower(strings.ReplaceAll(h.String(), "-", ""))
					rig.Run(t, nil, "openssl", "dgst", md, "-verify", s.PublicKey(t, key), "-signature", sig, data).OK(t)
					s.Audited(t, rig.HashOf(h, g.data), key)
				}
				rig.Row(t, "apksigner", "", key, rig.Here, "apksigner verify, openssl dgst -verify")
			})
		}
	}
}

func TestJavaApksignerRefusals(t *testing.T) {
	s := rig.TheService(t)
	refused := func(t *testing.T, key string, settings ...string) (*rig.Tool, *rig.Result) {
		t.Helper()
		out := filepath.Join(t.TempDir(), "signed.apk")
		tl, r := s.Apksigner(t, "java.security", key, rig.Sample(t, "hello.apk"), out, settings...)
		r.Fails(t)
		if _, err := os.Stat(out); err == nil {
			apkVerifies(t, out).Fails(t)
		}
		return tl, r
	}
	t.Run("wrong token", func(t *testing.T) {
		t.Parallel()
		tl, _ := refused(t, "p256", "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		tl.InLog(t, "401", "SIGNPATH_API_TOKEN")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		t.Parallel()
		tl, _ := refused(t, "p256", "SIGNPATH_API_TOKEN="+strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token"))))))
		tl.InLog(t, "Submitter")
	})
	t.Run("failing service", func(t *testing.T) {
		t.Parallel()
		api, ca, _ := rig.Failing(t, s)
		tl, r := refused(t, "p256", "SIGNPATH_API_URL="+api, "SIGNPATH_TRUSTED_CA_FILE="+ca, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		r.Says(t, "CKR_FUNCTION_FAILED")
		tl.InLog(t, "503")
	})
}
