package tools

import (
	"crypto"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

func TestPKCS11ToolLists(t *testing.T) {
	s := rig.TheService(t)
	t.Run("objects", func(t *testing.T) {
		tl := s.Tool(t)
		out := tl.Run(t, "pkcs11-tool", rig.PKCS11Tool("--list-objects")...).OK(t).Output
		for _, k := range append(rig.Keys(), "mail-rsa2048", "gpg-rsa3072") {
			name := rig.Project + "/" + k
			if n := strings.Count(out, "label:      "+name+"\n"); n != 3 && k != "gpg-rsa3072" || n != 2 && k == "gpg-rsa3072" {
				t.Errorf("%s appears %d times:\n%s", name, n, out)
			}
		}
		for _, word := range []string{"warning", "error"} {
			if strings.Contains(strings.ToLower(out), word) {
				t.Errorf("the listing has a %s:\n%s", word, out)
			}
		}
	})
	t.Run("objects before login", func(t *testing.T) {
		tl := s.Tool(t)
		out := tl.Run(t, "pkcs11-tool", "--module", rig.Module, "--list-objects").OK(t).Output
		if !strings.Contains(out, "Certificate Object") || strings.Contains(out, "Private Key Object") {
			t.Errorf("public objects, and only these, are visible without login:\n%s", out)
		}
	})
	t.Run("mechanisms", func(t *testing.T) {
		r := s.Tool(t).Run(t, "pkcs11-tool", "--module", rig.Module, "--list-mechanisms").OK(t)
		for _, m := range []string{"RSA-PKCS,", "SHA1-RSA-PKCS,", "SHA256-RSA-PKCS,", "SHA384-RSA-PKCS,", "SHA512-RSA-PKCS,", "RSA-PKCS-PSS,", "SHA256-RSA-PKCS-PSS,", "SHA384-RSA-PKCS-PSS,", "SHA512-RSA-PKCS-PSS,", "ECDSA,", "ECDSA-SHA256,", "ECDSA-SHA384,", "ECDSA-SHA512,"} {
			r.Says(t, "  "+m)
		}
	})
	t.Run("slots and token", func(t *testing.T) {
		r := s.Tool(t).Run(t, "pkcs11-tool", "--module", rig.Module, "--list-slots").OK(t)
		for _, x := range []string{"token label        : SignPath", "login required", "readonly", "token initialized", "PIN initialized"} {
			r.Says(t, x)
		}
	})
	for _, key := range rig.Keys() {
		t.Run("certificate and public key/"+key, func(t *testing.T) {
			tl := s.Tool(t)
			dir := t.TempDir()
			cert, pub := filepath.Join(dir, "c.der"), filepath.Join(dir, "p.der")
			tl.Run(t, "pkcs11-tool", rig.PKCS11Tool("--read-object", "--type", "cert", "--id", rig.IDHex(key), "--output-file", cert)...).OK(t)
			pem := rig.Run(t, nil, "openssl", "x509", "-in", s.File("certificates", key+".pem"), "-outform", "PEM").OK(t).Output
			if got := rig.Run(t, nil, "openssl", "x509", "-inform", "DER", "-in", cert, "-outform", "PEM").OK(t).Output; got != pem {
				t.Error("another certificate than the service's")
			}
			if key == "p384" || key == "p521" {
				return // pkcs11-tool 0.23 says "cannot create EVP_PKEY" of such keys, SoftHSM's among them
			}
			tl.Run(t, "pkcs11-tool", rig.PKCS11Tool("--read-object", "--type", "pubkey", "--id", rig.IDHex(key), "--output-file", pub)...).OK(t)
			want := rig.Run(t, nil, "openssl", "pkey", "-pubin", "-in", s.PublicKey(t, key), "-text", "-noout").OK(t).Output
			if got := rig.Run(t, nil, "openssl", "pkey", "-pubin", "-inform", "DER", "-in", pub, "-text", "-noout").OK(t).Output; got != want {
				t.Errorf("another public key than the certificate's:\n%s", got)
			}
		})
	}
}

// digestInfos are the DER prefixes of EMSA-PKCS1-v1_5 (RFC 8017 section 9.2, note 1).
var digestInfos = map[crypto.Hash]string{
	crypto.SHA1: "3021300906052b0e03021a05000414", crypto.SHA256: "3031300d060960864801650304020105000420",
	crypto.SHA384: "3041300d060960864801650304020205000430", crypto.SHA512: "3051300d060960864801650304020305000440",
}

func TestPKCS11ToolSigns(t *testing.T) {
	s := rig.TheService(t)
	hashes := map[crypto.Hash]string{crypto.SHA1: "SHA1", crypto.SHA256: "SHA256", crypto.SHA384: "SHA384", crypto.SHA512: "SHA512"}
	oldName := map[crypto.Hash]string{crypto.SHA1: "SHA-1", crypto.SHA256: "SHA256", crypto.SHA384: "SHA384", crypto.SHA512: "SHA512"}
	for _, key := range rig.Keys() {
		for h, name := range hashes {
			type way struct {
				mechanism string
				input     string // file, digest or digestinfo
				pss       bool
				more      []string
			}
			ways := []way{
				{"RSA-PKCS", "digestinfo", false, nil}, {name + "-RSA-PKCS", "file", false, nil},
				{"RSA-PKCS-PSS", "digest", true, []string{"--hash-algorithm", oldName[h]}}, {name + "-RSA-PKCS-PSS", "file", true, nil},
			}
			if !rig.IsRSA(key) {
				ways = []way{{"ECDSA", "digest", false, nil}, {"ECDSA-" + name, "file", false, nil}}
			}
			for _, w := range ways {
				t.Run(key+"/"+w.mechanism+"/"+name, func(t *testing.T) {
					tl := s.Tool(t)
					file, tampered, content := rig.Artifact(t)
					d := h.New()
					d.Write(content)
					digest := d.Sum(nil)
					in := file
					switch w.input {
					case "digest":
						in = rig.Write(t, file+".hash", digest)
					case "digestinfo":
						prefix := rig.Must(hex.DecodeString(digestInfos[h]))
						in = rig.Write(t, file+".info", append(prefix, digest...))
					}
					sig := file + ".sig"
					args := append([]string{"--sign", "--mechanism", w.mechanism, "--id", rig.IDHex(key), "--input-file", in, "--output-file", sig}, w.more...)
					if !rig.IsRSA(key) {
						args = append(args, "--signature-format", "openssl")
					}
					tl.Run(t, "pkcs11-tool", rig.PKCS11Tool(args...)...).OK(t)
					md := "-" + strings.ToLower(name)
					verify := []string{"dgst", md, "-verify", s.PublicKey(t, key), "-signature", sig}
					if w.pss {
						verify = append(verify, "-sigopt", "rsa_padding_mode:pss", "-sigopt", fmt.Sprintf("rsa_pss_saltlen:%d", h.Size()), "-sigopt", "rsa_mgf1_md:"+md[1:])
					}
					rig.Run(t, nil, "openssl", append(verify, file)...).OK(t)
					rig.Run(t, nil, "openssl", append(verify, tampered)...).Fails(t)
					s.Audited(t, digest, key)
					rig.Row(t, "pkcs11-tool", "", key, rig.Here, "openssl dgst -verify")
				})
			}
		}
	}
}

// TestPKCS11ToolDocumentedCall is the call of the documentation. pkcs11-tool up
// to 0.27 ignores --label when it signs (OpenSC issue 3635), so the slugs are configured.
func TestPKCS11ToolDocumentedCall(t *testing.T) {
	s := rig.TheService(t)
	for _, key := range rig.Keys() {
		t.Run(key, func(t *testing.T) {
			tl := s.Tool(t, "SIGNPATH_PROJECT_SLUG="+rig.Project, "SIGNPATH_SIGNING_POLICY_SLUG="+key)
			file, tampered, content := rig.Artifact(t)
			in, sig := rig.Write(t, file+".hash", rig.SHA256Of(content)), file+".sig"
			args := []string{"--sign", "--mechanism", "RSA-PKCS-PSS", "--hash-algorithm", "SHA256", "--label", rig.Project + "/" + key, "--input-file", in, "--output-file", sig}
			verify := []string{"dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"}
			if !rig.IsRSA(key) {
				args[2], args = "ECDSA", append(args[:3], append(args[5:], "--signature-format", "openssl")...)
				verify = verify[:2]
			}
			tl.Run(t, "pkcs11-tool", rig.PKCS11Tool(args...)...).OK(t)
			verify = append(verify, "-verify", s.PublicKey(t, key), "-signature", sig)
			rig.Run(t, nil, "openssl", append(verify, file)...).OK(t)
			rig.Run(t, nil, "openssl", append(verify, tampered)...).Fails(t)
			s.Audited(t, rig.SHA256Of(content), key)
		})
	}
	t.Run("a warning when the tool may take any key", func(t *testing.T) {
		tl := s.Tool(t)
		file, _, content := rig.Artifact(t)
		in := rig.Write(t, file+".hash", rig.SHA256Of(content))
		tl.Run(t, "pkcs11-tool", rig.PKCS11Tool("--sign", "--mechanism", "ECDSA", "--label", rig.Project+"/p256", "--input-file", in, "--output-file", os.DevNull)...)
		tl.InLog(t, "WARN", "SIGNPATH_SIGNING_POLICY_SLUG")
	})
}

func TestPKCS11ToolRefusals(t *testing.T) {
	s := rig.TheService(t)
	file, _, content := rig.Artifact(t)
	hash := rig.Write(t, file+".hash", rig.SHA256Of(content))
	pin := func(pin string, args ...string) []string {
		return append([]string{"--module", rig.Module, "--pin", pin}, args...)
	}
	sign := []string{"--sign", "--mechanism", "ECDSA", "--id", rig.IDHex("p256"), "--input-file", hash, "--output-file", os.DevNull}
	org, token := s.Env["SIGNPATH_ORGANIZATION_ID"], s.Env["SIGNPATH_API_TOKEN"]
	t.Run("PIN of organization and token", func(t *testing.T) {
		s.Tool(t, "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=").Run(t, "pkcs11-tool", pin(org+":"+token, sign...)...).OK(t)
	})
	for _, c := range []struct{ name, pin, code, log string }{
		{"wrong token", org + ":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "CKR_ARGUMENTS_BAD", "401"},
		{"PIN of the wrong form", "1234", "CKR_PIN_INCORRECT", "CONFIG"},
		{"word in lower case", "config", "CKR_PIN_INCORRECT", "CONFIG"},
		{"PIN cut to 32 bytes by the tool", (org + ":" + token)[:32], "CKR_PIN_INCORRECT", "32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := s.Tool(t)
			tl.Run(t, "pkcs11-tool", pin(c.pin, sign...)...).Fails(t).Says(t, c.code)
			tl.InLog(t, c.log)
			if strings.Contains(tl.Log(), "AAAAAAAAAAAAAAAA") {
				t.Error("the PIN was logged")
			}
		})
	}
	t.Run("policy of somebody else", func(t *testing.T) {
		other := strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token")))))
		s.Tool(t, "SIGNPATH_API_TOKEN="+other).Run(t, "pkcs11-tool", rig.PKCS11Tool(sign...)...).Fails(t)
	})
	t.Run("digest of the wrong length", func(t *testing.T) {
		short := rig.Write(t, filepath.Join(t.TempDir(), "short"), []byte("short"))
		s.Tool(t).Run(t, "pkcs11-tool", rig.PKCS11Tool("--sign", "--mechanism", "ECDSA", "--id", rig.IDHex("p256"), "--input-file", short, "--output-file", os.DevNull)...).Fails(t).Says(t, "CKR_DATA_LEN_RANGE")
	})
	t.Run("mechanism of another key type", func(t *testing.T) {
		s.Tool(t).Run(t, "pkcs11-tool", rig.PKCS11Tool("--sign", "--mechanism", "SHA256-RSA-PKCS", "--id", rig.IDHex("p256"), "--input-file", file, "--output-file", os.DevNull)...).Fails(t).Says(t, "CKR_KEY_TYPE_INCONSISTENT")
	})
	t.Run("read/write session", func(t *testing.T) {
		args := rig.PKCS11Tool("--session-rw", "--list-objects")
		tl := s.Tool(t)
		tl.Run(t, "pkcs11-tool", args...).Fails(t).Says(t, "CKR_TOKEN_WRITE_PROTECTED")
		tl.InLog(t, "Cryptoki.DoNotFailOnReadWriteSessions", "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS")
		s.Tool(t, "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true").Run(t, "pkcs11-tool", args...).OK(t)
	})
	t.Run("stopped service", func(t *testing.T) {
		own := rig.OwnService(t)
		own.Stop()
		tl := own.Tool(t, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		r := tl.Run(t, "pkcs11-tool", rig.PKCS11Tool(sign...)...).Fails(t).Says(t, "CKR_FUNCTION_FAILED")
		if r.Took.Seconds() > 20 {
			t.Errorf("took %v with a total of 2 s", r.Took)
		}
	})
	t.Run("broken settings file", func(t *testing.T) {
		broken := rig.Write(t, filepath.Join(t.TempDir(), "config.json"), []byte("{\n  \"ApiUrl\": 7\n}"))
		tl := s.Tool(t, "SIGNPATH_CONFIG_FILE="+broken, "SIGNPATH_API_URL=")
		tl.Run(t, "pkcs11-tool", "--module", rig.Module, "--list-slots").OK(t) // a system-wide p11-kit must not break
		tl.Run(t, "pkcs11-tool", rig.PKCS11Tool(sign...)...).Fails(t).Says(t, "CKR_GENERAL_ERROR")
		tl.InLog(t, "config.json", "ApiUrl")
	})
	t.Run("unknown setting", func(t *testing.T) {
		tl := s.Tool(t, "SIGNPATH_CONFIG_FILE="+rig.Write(t, filepath.Join(t.TempDir(), "config.json"), []byte(`{"OrganisationId": "x"}`)))
		tl.Run(t, "pkcs11-tool", rig.PKCS11Tool(sign...)...).OK(t)
		tl.InLog(t, "WARN", "OrganisationId")
	})
}

// TestPKCS11ToolSelfTest is OpenSC's own test of a token.
func TestPKCS11ToolSelfTest(t *testing.T) {
	s := rig.TheService(t)
	tl := s.Tool(t, "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true")
	r := tl.Run(t, "pkcs11-tool", rig.PKCS11Tool("--test")...)
	for _, line := range strings.Split(r.Output, "\n") {
		if strings.Contains(line, "ERR") {
			t.Errorf("%s\n%s", line, r.Output)
		}
	}
	r.Says(t, "all 4 signature functions seem to work")
}
