package tools

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
)

func TestOsslsigncodeSigns(t *testing.T) {
	s := rig.TheService(t)
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
			return []string{"-certs", s.File("certificates", k+".pem"), "-ac", s.File("certificates", k+".chain.pem")}
		}, false},
		{"-pkcs11cert", "hello.exe", func(k string) []string {
			return []string{"-pkcs11cert", "pkcs11:id=" + rig.Project + "/" + k + ";type=cert;pin-value=CONFIG", "-ac", s.File("certificates", k+".chain.pem")}
		}, true},
	}
	if rig.All {
		for _, h := range []string{"sha384", "sha512"} {
			for _, f := range []string{"hello.exe", "hello.msi", "hello.cab"} {
				variants = append(variants, variant{h, f, with("-h", h), false})
			}
		}
	}
	for _, y := range rig.Systems() {
		scripts := y.SignScripts(t)
		for _, key := range rig.Keys() {
			for _, v := range variants {
				if y != rig.Here && !v.everywhere && !rig.All || filepath.Ext(v.file) == ".ps1" && !scripts {
					continue
				}
				t.Run(strings.Join([]string{y.Name, key, v.name, v.file}, "/"), func(t *testing.T) {
					t.Parallel()
					in := rig.Sample(t, v.file)
					out := filepath.Join(t.TempDir(), "signed"+filepath.Ext(in))
					s.Signcode(t, y, s.Tool(t), key, in, out, v.options(key)...).OK(t)
					s.Authenticode(t, y, out, key)
					rig.Row(t, "osslsigncode", "", key, y, "osslsigncode verify, openssl cms -verify")
				})
			}
		}
	}
}

// TestOsslsigncodeSecondSignature adds a signature by another key to a signed file.
func TestOsslsigncodeSecondSignature(t *testing.T) {
	s := rig.TheService(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.exe"), filepath.Join(dir, "two.exe")
	s.Signcode(t, rig.Here, s.Tool(t), rig.Keys()[0], rig.Sample(t, "hello.exe"), one).OK(t)
	s.Signcode(t, rig.Here, s.Tool(t), "p256", one, two, "-nest").OK(t)
	s.Authenticode(t, rig.Here, one, rig.Keys()[0])
	verify := func(file string) *rig.Result {
		return rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-in", file)
	}
	r := verify(two).OK(t)
	if n := strings.Count(r.Output, "Signature verification: ok"); n != 2 {
		t.Errorf("%d good signatures, not 2:\n%s", n, r.Output)
	}
	verify(rig.Tamper(t, two)).Fails(t)
}

// TestOsslsigncodeTimestamp shows the option that makes a signature outlive its certificate.
func TestOsslsigncodeTimestamp(t *testing.T) {
	s := rig.TheService(t)
	url, tsa := rig.Timestamps(t)
	for _, y := range rig.Systems() {
		t.Run(y.Name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "signed.exe")
			s.Signcode(t, y, s.Tool(t), "p256", rig.Sample(t, "hello.exe"), out, "-h", "sha256", "-ts", url).OK(t)
			y.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-TSA-CAfile", tsa, "-in", out).OK(t).Says(t, "Timestamp Server Signature verification: ok")
		})
	}
}

func TestOsslsigncodeRefusals(t *testing.T) {
	s := rig.TheService(t)
	in := rig.Sample(t, "hello.exe")
	refused := func(t *testing.T, tl *rig.Tool, key string, more ...string) *rig.Result {
		t.Helper()
		out := filepath.Join(t.TempDir(), "signed.exe")
		r := s.Signcode(t, rig.Here, tl, key, in, out, more...).Fails(t)
		if _, err := os.Stat(out); err == nil {
			rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-in", out).Fails(t)
		}
		return r
	}
	t.Run("wrong token", func(t *testing.T) {
		tl := s.Tool(t, "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		refused(t, tl, "p256")
		tl.InLog(t, "C_Login", "CKR_ARGUMENTS_BAD")
		tl.InLog(t, "401", "SIGNPATH_API_TOKEN")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		tl := s.Tool(t, "SIGNPATH_API_TOKEN="+strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token"))))))
		refused(t, tl, "p256")
		tl.InLog(t, "Submitter")
	})
	t.Run("certificate of another key", func(t *testing.T) {
		tl := s.Tool(t)
		refused(t, tl, "p256", "-certs", s.File("certificates", rig.Keys()[0]+".chain.pem"))
	})
	t.Run("unknown policy", func(t *testing.T) {
		tl := s.Tool(t)
		y := rig.Here
		y.Run(t, tl.Env, "osslsigncode", "sign", "-pkcs11module", rig.Module, "-key", "pkcs11:id="+rig.Project+"/no-such-policy;type=private;pin-value=CONFIG",
			"-certs", s.File("certificates", "p256.chain.pem"), "-in", in, "-out", filepath.Join(t.TempDir(), "x.exe")).Fails(t)
	})
	t.Run("stopped service", func(t *testing.T) {
		own := rig.OwnService(t)
		chain := own.File("certificates", "p256.chain.pem")
		own.Stop()
		tl := own.Tool(t, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		r := refused(t, tl, "p256", "-certs", chain)
		if r.Took > 20*time.Second {
			t.Errorf("took %v with a total of 2 s", r.Took)
		}
		tl.InLog(t, "CKR_FUNCTION_FAILED")
	})
	t.Run("no secret in logs and audit", func(t *testing.T) {
		token := s.Env["SIGNPATH_API_TOKEN"]
		tl := s.Tool(t, "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=", "SIGNPATH_LOG_FILE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_LEVEL=verbose")
		out := filepath.Join(t.TempDir(), "signed.exe")
		// libp11 takes no PIN above 32 bytes from a URI, so this one comes by an option.
		r := tl.Run(t, "osslsigncode", "sign", "-pkcs11module", rig.Module, "-key", "pkcs11:id="+rig.Project+"/p256;type=private", "-pass", s.Env["SIGNPATH_ORGANIZATION_ID"]+":"+token,
			"-certs", s.File("certificates", "p256.chain.pem"), "-in", in, "-out", out).OK(t)
		s.Authenticode(t, rig.Here, out, "p256")
		s.Nowhere(t, token, tl, r)
	})
}
