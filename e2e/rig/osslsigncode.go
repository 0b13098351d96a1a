package rig

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// SignScripts tells whether the system's osslsigncode can sign scripts: 2.8 or newer.
func (y System) SignScripts(t *testing.T) bool {
	t.Helper()
	r := y.Run(t, nil, "osslsigncode", "--version") // 2.5 ends this with 1
	var major, minor int
	if _, err := fmt.Sscanf(r.Output, "osslsigncode %d.%d", &major, &minor); err != nil {
		t.Fatalf("%v in %s", err, r.Output)
	}
	return major > 2 || minor >= 8
}

// PKCS7 takes the signature out of a signed file, as DER.
func PKCS7(t *testing.T, y System, signed string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "signature.pem")
	y.Run(t, nil, "osslsigncode", "extract-signature", "-pem", "-in", signed, "-out", out).OK(t)
	block, _ := pem.Decode(Must(os.ReadFile(out)))
	if block == nil {
		t.Fatal("no PEM in the extracted signature")
	}
	return block.Bytes
}

// Authenticode asserts that osslsigncode (in a fresh process, without the
// module) and OpenSSL accept a signed file, that its chain is complete, that a
// changed byte is refused, and that the signature is on record.
func (s *Service) Authenticode(t *testing.T, y System, signed, key string) {
	t.Helper()
	verify := func(file string) *Result {
		return y.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-in", file)
	}
	verify(signed).OK(t).Says(t, "Signature verification: ok")
	verify(Tamper(t, signed)).Fails(t)
	der := PKCS7(t, y, signed)
	sd := ParseCMS(t, der)
	if n := len(sd.Certificates(t)); n < 2 {
		t.Errorf("the signature carries %d certificates; the issuers are missing", n)
	}
	s.OpenSSLAccepts(t, der, sd.signedContent(t))
	if e := filepath.Ext(signed); e == ".exe" || e == ".dll" {
		h, digest := sd.SPCDigest(t)
		if got := peDigest(t, signed, h); string(got) != string(digest) {
			t.Errorf("the file's digest is %x, signed was %x", got, digest)
		}
	}
	s.Audited(t, sd.Digest(t, nil), key)
}

// Signcode runs the documented form, or a variant of it. The options say with
// which certificates; a nil list means the documented -certs with the whole chain.
func (s *Service) Signcode(t *testing.T, y System, tl *Tool, key, in, out string, more ...string) *Result {
	t.Helper()
	args := []string{"sign", "-pkcs11module", y.Module(t), "-key", "pkcs11:id=" + Project + "/" + key + ";type=private;pin-value=CONFIG"}
	if !strings.Contains(strings.Join(more, " "), "cert") {
		args = append(args, "-certs", s.File("certificates", key+".chain.pem"))
	}
	return y.Run(t, tl.Env, "osslsigncode", append(append(args, more...), "-in", in, "-out", out)...)
}
