package e2e

import (
	"crypto"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func idHex(key string) string { return hex.EncodeToString([]byte(project + "/" + key)) }

func pkcs11tool(args ...string) []string {
	return append([]string{"--module", module, "--pin", "CONFIG"}, args...)
}

func TestPKCS11ToolLists(t *testing.T) {
	s := theService(t)
	t.Run("objects", func(t *testing.T) {
		tl := s.tool(t)
		out := tl.run(t, "pkcs11-tool", pkcs11tool("--list-objects")...).ok(t).output
		for _, k := range append(keys(), "mail-rsa2048", "gpg-rsa3072") {
			name := project + "/" + k
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
		tl := s.tool(t)
		out := tl.run(t, "pkcs11-tool", "--module", module, "--list-objects").ok(t).output
		if !strings.Contains(out, "Certificate Object") || strings.Contains(out, "Private Key Object") {
			t.Errorf("public objects, and only these, are visible without login:\n%s", out)
		}
	})
	t.Run("mechanisms", func(t *testing.T) {
		r := s.tool(t).run(t, "pkcs11-tool", "--module", module, "--list-mechanisms").ok(t)
		for _, m := range []string{"RSA-PKCS,", "SHA1-RSA-PKCS,", "SHA256-RSA-PKCS,", "SHA384-RSA-PKCS,", "SHA512-RSA-PKCS,", "RSA-PKCS-PSS,", "SHA256-RSA-PKCS-PSS,", "SHA384-RSA-PKCS-PSS,", "SHA512-RSA-PKCS-PSS,", "ECDSA,", "ECDSA-SHA256,", "ECDSA-SHA384,", "ECDSA-SHA512,"} {
			r.says(t, "  "+m)
		}
	})
	t.Run("slots and token", func(t *testing.T) {
		r := s.tool(t).run(t, "pkcs11-tool", "--module", module, "--list-slots").ok(t)
		for _, x := range []string{"token label        : SignPath", "login required", "readonly", "token initialized", "PIN initialized"} {
			r.says(t, x)
		}
	})
	for _, key := range keys() {
		t.Run("certificate and public key/"+key, func(t *testing.T) {
			tl := s.tool(t)
			dir := t.TempDir()
			cert, pub := filepath.Join(dir, "c.der"), filepath.Join(dir, "p.der")
			tl.run(t, "pkcs11-tool", pkcs11tool("--read-object", "--type", "cert", "--id", idHex(key), "--output-file", cert)...).ok(t)
			tl.run(t, "pkcs11-tool", pkcs11tool("--read-object", "--type", "pubkey", "--id", idHex(key), "--output-file", pub)...).ok(t)
			pem := run(t, nil, "openssl", "x509", "-in", s.file("certificates", key+".pem"), "-outform", "PEM").ok(t).output
			if got := run(t, nil, "openssl", "x509", "-inform", "DER", "-in", cert, "-outform", "PEM").ok(t).output; got != pem {
				t.Error("another certificate than the service's")
			}
			want := run(t, nil, "openssl", "pkey", "-pubin", "-in", s.publicKey(t, key), "-text", "-noout").ok(t).output
			if got := run(t, nil, "openssl", "pkey", "-pubin", "-inform", "DER", "-in", pub, "-text", "-noout").ok(t).output; got != want {
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
	s := theService(t)
	hashes := map[crypto.Hash]string{crypto.SHA1: "SHA1", crypto.SHA256: "SHA256", crypto.SHA384: "SHA384", crypto.SHA512: "SHA512"}
	oldName := map[crypto.Hash]string{crypto.SHA1: "SHA-1", crypto.SHA256: "SHA256", crypto.SHA384: "SHA384", crypto.SHA512: "SHA512"}
	for _, key := range keys() {
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
			if !isRSA(key) {
				ways = []way{{"ECDSA", "digest", false, nil}, {"ECDSA-" + name, "file", false, nil}}
			}
			for _, w := range ways {
				t.Run(key+"/"+w.mechanism+"/"+name, func(t *testing.T) {
					tl := s.tool(t)
					file, tampered, content := artifact(t)
					d := h.New()
					d.Write(content)
					digest := d.Sum(nil)
					in := file
					switch w.input {
					case "digest":
						in = write(t, file+".hash", digest)
					case "digestinfo":
						prefix := must(hex.DecodeString(digestInfos[h]))
						in = write(t, file+".info", append(prefix, digest...))
					}
					sig := file + ".sig"
					args := append([]string{"--sign", "--mechanism", w.mechanism, "--id", idHex(key), "--input-file", in, "--output-file", sig}, w.more...)
					if !isRSA(key) {
						args = append(args, "--signature-format", "openssl")
					}
					tl.run(t, "pkcs11-tool", pkcs11tool(args...)...).ok(t)
					md := "-" + strings.ToLower(name)
					verify := []string{"dgst", md, "-verify", s.publicKey(t, key), "-signature", sig}
					if w.pss {
						verify = append(verify, "-sigopt", "rsa_padding_mode:pss", "-sigopt", fmt.Sprintf("rsa_pss_saltlen:%d", h.Size()), "-sigopt", "rsa_mgf1_md:"+md[1:])
					}
					run(t, nil, "openssl", append(verify, file)...).ok(t)
					run(t, nil, "openssl", append(verify, tampered)...).fails(t)
					s.audited(t, digest, key)
				})
			}
		}
	}
}

// TestPKCS11ToolDocumentedCall is the call of the documentation. pkcs11-tool up
// to 0.27 ignores --label when it signs (OpenSC issue 3635), so the slugs are configured.
func TestPKCS11ToolDocumentedCall(t *testing.T) {
	s := theService(t)
	for _, key := range keys() {
		t.Run(key, func(t *testing.T) {
			tl := s.tool(t, "SIGNPATH_PROJECT_SLUG="+project, "SIGNPATH_SIGNING_POLICY_SLUG="+key)
			file, tampered, content := artifact(t)
			in, sig := write(t, file+".hash", sha256Of(content)), file+".sig"
			args := []string{"--sign", "--mechanism", "RSA-PKCS-PSS", "--hash-algorithm", "SHA256", "--label", project + "/" + key, "--input-file", in, "--output-file", sig}
			verify := []string{"dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"}
			if !isRSA(key) {
				args[2], args = "ECDSA", append(args[:3], append(args[5:], "--signature-format", "openssl")...)
				verify = verify[:2]
			}
			tl.run(t, "pkcs11-tool", pkcs11tool(args...)...).ok(t)
			verify = append(verify, "-verify", s.publicKey(t, key), "-signature", sig)
			run(t, nil, "openssl", append(verify, file)...).ok(t)
			run(t, nil, "openssl", append(verify, tampered)...).fails(t)
			s.audited(t, sha256Of(content), key)
		})
	}
	t.Run("a warning when the tool may take any key", func(t *testing.T) {
		tl := s.tool(t)
		file, _, content := artifact(t)
		in := write(t, file+".hash", sha256Of(content))
		tl.run(t, "pkcs11-tool", pkcs11tool("--sign", "--mechanism", "ECDSA", "--label", project+"/p256", "--input-file", in, "--output-file", os.DevNull)...)
		tl.inLog(t, "WARN", "SIGNPATH_SIGNING_POLICY_SLUG")
	})
}

func TestPKCS11ToolRefusals(t *testing.T) {
	s := theService(t)
	file, _, content := artifact(t)
	hash := write(t, file+".hash", sha256Of(content))
	pin := func(pin string, args ...string) []string {
		return append([]string{"--module", module, "--pin", pin}, args...)
	}
	sign := []string{"--sign", "--mechanism", "ECDSA", "--id", idHex("p256"), "--input-file", hash, "--output-file", os.DevNull}
	org, token := s.env["SIGNPATH_ORGANIZATION_ID"], s.env["SIGNPATH_API_TOKEN"]
	t.Run("PIN of organization and token", func(t *testing.T) {
		s.tool(t, "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=").run(t, "pkcs11-tool", pin(org+":"+token, sign...)...).ok(t)
	})
	for _, c := range []struct{ name, pin, code, log string }{
		{"wrong token", org + ":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "CKR_ARGUMENTS_BAD", "401"},
		{"PIN of the wrong form", "1234", "CKR_PIN_INCORRECT", "CONFIG"},
		{"word in lower case", "config", "CKR_PIN_INCORRECT", "CONFIG"},
		{"PIN cut to 32 bytes by the tool", (org + ":" + token)[:32], "CKR_PIN_INCORRECT", "32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := s.tool(t)
			tl.run(t, "pkcs11-tool", pin(c.pin, sign...)...).fails(t).says(t, c.code)
			tl.inLog(t, c.log)
			if strings.Contains(tl.log(), "AAAAAAAAAAAAAAAA") {
				t.Error("the PIN was logged")
			}
		})
	}
	t.Run("policy of somebody else", func(t *testing.T) {
		other := strings.TrimSpace(string(must(os.ReadFile(s.file("other-token")))))
		s.tool(t, "SIGNPATH_API_TOKEN="+other).run(t, "pkcs11-tool", pkcs11tool(sign...)...).fails(t)
	})
	t.Run("digest of the wrong length", func(t *testing.T) {
		short := write(t, filepath.Join(t.TempDir(), "short"), []byte("short"))
		s.tool(t).run(t, "pkcs11-tool", pkcs11tool("--sign", "--mechanism", "ECDSA", "--id", idHex("p256"), "--input-file", short, "--output-file", os.DevNull)...).fails(t).says(t, "CKR_DATA_LEN_RANGE")
	})
	t.Run("mechanism of another key type", func(t *testing.T) {
		s.tool(t).run(t, "pkcs11-tool", pkcs11tool("--sign", "--mechanism", "SHA256-RSA-PKCS", "--id", idHex("p256"), "--input-file", file, "--output-file", os.DevNull)...).fails(t).says(t, "CKR_KEY_TYPE_INCONSISTENT")
	})
	t.Run("read/write session", func(t *testing.T) {
		args := pkcs11tool("--session-rw", "--list-objects")
		tl := s.tool(t)
		tl.run(t, "pkcs11-tool", args...).fails(t).says(t, "CKR_TOKEN_WRITE_PROTECTED")
		tl.inLog(t, "Cryptoki.DoNotFailOnReadWriteSessions", "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS")
		s.tool(t, "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true").run(t, "pkcs11-tool", args...).ok(t)
	})
	t.Run("stopped service", func(t *testing.T) {
		own := ownService(t)
		own.stop()
		tl := own.tool(t, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		r := tl.run(t, "pkcs11-tool", pkcs11tool(sign...)...).fails(t).says(t, "CKR_FUNCTION_FAILED")
		if r.took.Seconds() > 20 {
			t.Errorf("took %v with a total of 2 s", r.took)
		}
	})
	t.Run("broken settings file", func(t *testing.T) {
		broken := write(t, filepath.Join(t.TempDir(), "config.json"), []byte("{\n  \"ApiUrl\": 7\n}"))
		tl := s.tool(t, "SIGNPATH_CONFIG_FILE="+broken, "SIGNPATH_API_URL=")
		tl.run(t, "pkcs11-tool", "--module", module, "--list-slots").ok(t) // a system-wide p11-kit must not break
		tl.run(t, "pkcs11-tool", pkcs11tool(sign...)...).fails(t).says(t, "CKR_GENERAL_ERROR")
		tl.inLog(t, "config.json", "ApiUrl")
	})
	t.Run("unknown setting", func(t *testing.T) {
		tl := s.tool(t, "SIGNPATH_CONFIG_FILE="+write(t, filepath.Join(t.TempDir(), "config.json"), []byte(`{"OrganisationId": "x"}`)))
		tl.run(t, "pkcs11-tool", pkcs11tool(sign...)...).ok(t)
		tl.inLog(t, "WARN", "OrganisationId")
	})
}

// TestPKCS11ToolSelfTest is OpenSC's own test of a token.
func TestPKCS11ToolSelfTest(t *testing.T) {
	s := theService(t)
	tl := s.tool(t, "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true")
	r := tl.run(t, "pkcs11-tool", pkcs11tool("--test")...)
	for _, line := range strings.Split(r.output, "\n") {
		if strings.Contains(line, "ERR") {
			t.Errorf("%s\n%s", line, r.output)
		}
	}
	r.says(t, "all 4 signature functions seem to work")
}
