package e2e

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// signScripts tells whether the system's osslsigncode can sign scripts: 2.8 or newer.
func (y system) signScripts(t *testing.T) bool {
	t.Helper()
	r := y.run(t, nil, "osslsigncode", "--version") // 2.5 ends this with 1
	var major, minor int
	if _, err := fmt.Sscanf(r.output, "osslsigncode %d.%d", &major, &minor); err != nil {
		t.Fatalf("%v in %s", err, r.output)
	}
	return major > 2 || minor >= 8
}

// pkcs7 takes the signature out of a signed file, as DER.
func pkcs7(t *testing.T, y system, signed string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "signature.pem")
	y.run(t, nil, "osslsigncode", "extract-signature", "-pem", "-in", signed, "-out", out).ok(t)
	block, _ := pem.Decode(must(os.ReadFile(out)))
	if block == nil {
		t.Fatal("no PEM in the extracted signature")
	}
	return block.Bytes
}

// authenticode asserts that osslsigncode (in a fresh process, without the
// module) and OpenSSL accept a signed file, that its chain is complete, that a
// changed byte is refused, and that the signature is on record.
func (s *service) authenticode(t *testing.T, y system, signed, key string) {
	t.Helper()
	verify := func(file string) *result {
		return y.run(t, nil, "osslsigncode", "verify", "-CAfile", s.file("ca.pem"), "-in", file)
	}
	verify(signed).ok(t).says(t, "Signature verification: ok")
	verify(tamper(t, signed)).fails(t)
	der := pkcs7(t, y, signed)
	sd := parseCMS(t, der)
	if n := len(sd.certificates(t)); n < 2 {
		t.Errorf("the signature carries %d certificates; the issuers are missing", n)
	}
	s.opensslAccepts(t, der, sd.signedContent(t))
	if e := filepath.Ext(signed); e == ".exe" || e == ".dll" {
		h, digest := sd.spcDigest(t)
		if got := peDigest(t, signed, h); string(got) != string(digest) {
			t.Errorf("the file's digest is %x, signed was %x", got, digest)
		}
	}
	s.audited(t, sd.digest(t, nil), key)
}

// signcode runs the documented form, or a variant of it. The options say with
// which certificates; a nil list means the documented -certs with the whole chain.
func (s *service) signcode(t *testing.T, y system, tl *tool, key, in, out string, more ...string) *result {
	t.Helper()
	args := []string{"sign", "-pkcs11module", y.module(t), "-key", "pkcs11:id=" + project + "/" + key + ";type=private;pin-value=CONFIG"}
	if !strings.Contains(strings.Join(more, " "), "cert") {
		args = append(args, "-certs", s.file("certificates", key+".chain.pem"))
	}
	return y.run(t, tl.env, "osslsigncode", append(append(args, more...), "-in", in, "-out", out)...)
}

func TestOsslsigncodeSigns(t *testing.T) {
	s := theService(t)
	type variant struct {
		name, file string
		options    func(key string) []string
		everywhere bool // in the default run also on the newer system
	}
	with := func(options ...string) func(string) []string { return func(string) []string { return options } }
	variants := []variant{
		{"PE", "hello.exe", with("-h", "sha256"), true},
		{"PE without -h", "hello.exe", with(), false},
		{"DLL with page hashes", "answer.dll", with("-ph", "-h", "sha256"), true},
		{"MSI", "hello.msi", with("-h", "sha256"), false},
		{"MSI with extended digest", "hello.msi", with("-add-msi-dse", "-h", "sha256"), false},
		{"CAB", "hello.cab", with("-h", "sha256"), false},
		{"PowerShell", "hello.ps1", with("-h", "sha256"), true},
		{"description and address", "hello.exe", with("-h", "sha256", "-n", "Hello", "-i", "https://example.com/"), false},
		{"issuers by -ac", "hello.exe", func(k string) []string {
			return []string{"-certs", s.file("certificates", k+".pem"), "-ac", s.file("certificates", k+".chain.pem")}
		}, false},
		{"-pkcs11cert", "hello.exe", func(k string) []string {
			return []string{"-pkcs11cert", "pkcs11:id=" + project + "/" + k + ";type=cert;pin-value=CONFIG", "-ac", s.file("certificates", k+".chain.pem")}
		}, true},
	}
	if all {
		for _, h := range []string{"sha384", "sha512"} {
			for _, f := range []string{"hello.exe", "hello.msi", "hello.cab"} {
				variants = append(variants, variant{h, f, with("-h", h), false})
			}
		}
	}
	for _, y := range systems() {
		scripts := y.signScripts(t)
		for _, key := range keys() {
			for _, v := range variants {
				if y != here && !v.everywhere && !all || filepath.Ext(v.file) == ".ps1" && !scripts {
					continue
				}
				t.Run(strings.Join([]string{y.name, key, v.name, v.file}, "/"), func(t *testing.T) {
					t.Parallel()
					in := sample(t, v.file)
					out := filepath.Join(t.TempDir(), "signed"+filepath.Ext(in))
					s.signcode(t, y, s.tool(t), key, in, out, v.options(key)...).ok(t)
					s.authenticode(t, y, out, key)
				})
			}
		}
	}
}

// TestOsslsigncodeSecondSignature adds a signature by another key to a signed file.
func TestOsslsigncodeSecondSignature(t *testing.T) {
	s := theService(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.exe"), filepath.Join(dir, "two.exe")
	s.signcode(t, here, s.tool(t), keys()[0], sample(t, "hello.exe"), one).ok(t)
	s.signcode(t, here, s.tool(t), "p256", one, two, "-nest").ok(t)
	s.authenticode(t, here, one, keys()[0])
	verify := func(file string) *result {
		return run(t, nil, "osslsigncode", "verify", "-CAfile", s.file("ca.pem"), "-in", file)
	}
	r := verify(two).ok(t)
	if n := strings.Count(r.output, "Signature verification: ok"); n != 2 {
		t.Errorf("%d good signatures, not 2:\n%s", n, r.output)
	}
	verify(tamper(t, two)).fails(t)
}

// TestOsslsigncodeTimestamp shows the option that makes a signature outlive its certificate.
func TestOsslsigncodeTimestamp(t *testing.T) {
	s := theService(t)
	url, tsa := timestamps(t)
	for _, y := range systems() {
		t.Run(y.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "signed.exe")
			s.signcode(t, y, s.tool(t), "p256", sample(t, "hello.exe"), out, "-h", "sha256", "-ts", url).ok(t)
			y.run(t, nil, "osslsigncode", "verify", "-CAfile", s.file("ca.pem"), "-TSA-CAfile", tsa, "-in", out).ok(t).says(t, "Timestamp Server Signature verification: ok")
		})
	}
}

func TestOsslsigncodeRefusals(t *testing.T) {
	s := theService(t)
	in := sample(t, "hello.exe")
	refused := func(t *testing.T, tl *tool, key string, more ...string) *result {
		t.Helper()
		out := filepath.Join(t.TempDir(), "signed.exe")
		r := s.signcode(t, here, tl, key, in, out, more...).fails(t)
		if _, err := os.Stat(out); err == nil {
			run(t, nil, "osslsigncode", "verify", "-CAfile", s.file("ca.pem"), "-in", out).fails(t)
		}
		return r
	}
	t.Run("wrong token", func(t *testing.T) {
		tl := s.tool(t, "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		refused(t, tl, "p256")
		tl.inLog(t, "C_Login", "CKR_ARGUMENTS_BAD")
		tl.inLog(t, "401", "SIGNPATH_API_TOKEN")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		tl := s.tool(t, "SIGNPATH_API_TOKEN="+strings.TrimSpace(string(must(os.ReadFile(s.file("other-token"))))))
		refused(t, tl, "p256")
		tl.inLog(t, "Submitter")
	})
	t.Run("certificate of another key", func(t *testing.T) {
		tl := s.tool(t)
		refused(t, tl, "p256", "-certs", s.file("certificates", keys()[0]+".chain.pem"))
	})
	t.Run("unknown policy", func(t *testing.T) {
		tl := s.tool(t)
		y := here
		y.run(t, tl.env, "osslsigncode", "sign", "-pkcs11module", module, "-key", "pkcs11:id="+project+"/no-such-policy;type=private;pin-value=CONFIG",
			"-certs", s.file("certificates", "p256.chain.pem"), "-in", in, "-out", filepath.Join(t.TempDir(), "x.exe")).fails(t)
	})
	t.Run("stopped service", func(t *testing.T) {
		own := ownService(t)
		chain := own.file("certificates", "p256.chain.pem")
		own.stop()
		tl := own.tool(t, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		r := refused(t, tl, "p256", "-certs", chain)
		if r.took > 20*time.Second {
			t.Errorf("took %v with a total of 2 s", r.took)
		}
		tl.inLog(t, "CKR_FUNCTION_FAILED")
	})
	t.Run("no secret in logs and audit", func(t *testing.T) {
		token := s.env["SIGNPATH_API_TOKEN"]
		tl := s.tool(t, "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=", "SIGNPATH_LOG_FILE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_LEVEL=verbose")
		out := filepath.Join(t.TempDir(), "signed.exe")
		// libp11 takes no PIN above 32 bytes from a URI, so this one comes by an option.
		r := tl.run(t, "osslsigncode", "sign", "-pkcs11module", module, "-key", "pkcs11:id="+project+"/p256;type=private", "-pass", s.env["SIGNPATH_ORGANIZATION_ID"]+":"+token,
			"-certs", s.file("certificates", "p256.chain.pem"), "-in", in, "-out", out).ok(t)
		s.authenticode(t, here, out, "p256")
		s.nowhere(t, token, tl, r)
	})
}
