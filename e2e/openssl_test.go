package e2e

import (
	"crypto"
	_ "crypto/sha1"
	_ "crypto/sha512"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// enginePath is where libp11 lives.
func enginePath(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so", "/usr/lib/aarch64-linux-gnu/engines-3/pkcs11.so", "/usr/lib64/engines-3/pkcs11.so"} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	t.Fatal("libp11's engine is missing: install libengine-pkcs11-openssl")
	return ""
}

// configuration is set-up B: the documented openssl-signpath.cnf.
func configuration(t *testing.T, pin string) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "openssl-signpath.cnf"), fmt.Appendf(nil, `config_diagnostics = 1
openssl_conf = openssl_init

[openssl_init]
engines = engines_section

[engines_section]
pkcs11 = pkcs11_section

[pkcs11_section]
engine_id = pkcs11
dynamic_path = %s
MODULE_PATH = %s
default_algorithms = ALL
init = 0
PIN = %s
`, enginePath(t), module, pin))
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// setups are the ways that users name module, key and PIN.
func setups(t *testing.T, s *service) map[string]func(key string) (tl *tool, uri string) {
	id := func(key string) string { return project + "/" + key }
	pin := s.env["SIGNPATH_ORGANIZATION_ID"] + ":" + s.env["SIGNPATH_API_TOKEN"]
	return map[string]func(string) (*tool, string){
		"PKCS11_MODULE_PATH and pin-value": func(k string) (*tool, string) {
			return s.tool(t), "pkcs11:id=" + id(k) + ";type=private;pin-value=CONFIG"
		},
		"OPENSSL_CONF": func(k string) (*tool, string) {
			return s.tool(t, "OPENSSL_CONF="+configuration(t, "CONFIG"), "PKCS11_MODULE_PATH="), "pkcs11:id=" + id(k) + ";type=private"
		},
		"percent-encoded id": func(k string) (*tool, string) {
			return s.tool(t), "pkcs11:id=" + percent(id(k)) + ";type=private;pin-value=CONFIG"
		},
		"object": func(k string) (*tool, string) {
			return s.tool(t), "pkcs11:object=" + strings.ReplaceAll(id(k), "/", "%2F") + ";type=private;pin-value=CONFIG"
		},
		"PIN is organization and token": func(k string) (*tool, string) {
			return s.tool(t, "OPENSSL_CONF="+configuration(t, pin), "PKCS11_MODULE_PATH=", "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN="), "pkcs11:id=" + id(k) + ";type=private"
		},
		"configuration file": func(k string) (*tool, string) {
			return s.tool(t, "SIGNPATH_CONFIG_FILE="+s.file("config.json"), "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=", "SIGNPATH_API_URL=", "SIGNPATH_TRUSTED_CA_FILE="), "pkcs11:id=" + id(k) + ";type=private;pin-value=CONFIG"
		},
	}
}

func TestOpenSSLDgst(t *testing.T) {
	s := theService(t)
	for name, setup := range setups(t, s) {
		for _, key := range keys() {
			hashes := []crypto.Hash{crypto.SHA256}
			if name == "OPENSSL_CONF" {
				hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}
			}
			for _, h := range hashes {
				flag := "-" + strings.ToLower(strings.ReplaceAll(h.String(), "-", ""))
				t.Run(name+"/"+key+"/"+flag[1:], func(t *testing.T) {
					tl, uri := setup(key)
					file, tampered, content := artifact(t)
					sig := file + ".sig"
					tl.run(t, "openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sign", uri, flag, "-out", sig, file).ok(t)
					pub := s.publicKey(t, key)
					run(t, nil, "openssl", "dgst", flag, "-verify", pub, "-signature", sig, file).ok(t).says(t, "Verified OK")
					run(t, nil, "openssl", "dgst", flag, "-verify", pub, "-signature", sig, tampered).fails(t)
					d := h.New()
					d.Write(content)
					s.audited(t, d.Sum(nil), key)
				})
			}
		}
	}
}

func TestOpenSSLPkeyutl(t *testing.T) {
	s := theService(t)
	for _, key := range keys() {
		paddings := map[string][]string{"ecdsa": nil}
		if isRSA(key) {
			paddings = map[string][]string{"pkcs1": {"-pkeyopt", "rsa_padding_mode:pkcs1"}, "pss": {"-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:-1"}}
		}
		for padding, options := range paddings {
			for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
				md := strings.ToLower(strings.ReplaceAll(h.String(), "-", ""))
				t.Run(key+"/"+padding+"/"+md, func(t *testing.T) {
					tl := s.tool(t)
					_, _, content := artifact(t)
					d := h.New()
					d.Write(content)
					digest := d.Sum(nil)
					dir := t.TempDir()
					in, sig := write(t, filepath.Join(dir, "artifact.hash.bin"), digest), filepath.Join(dir, "artifact.sig")
					other := append([]byte{}, digest...)
					other[3] ^= 0x10
					tampered := write(t, filepath.Join(dir, "tampered.hash.bin"), other)
					opts := append([]string{"-pkeyopt", "digest:" + md}, options...)
					if padding == "pss" {
						opts = append(opts, "-pkeyopt", "rsa_mgf1_md:"+md)
					}
					uri := "pkcs11:id=" + project + "/" + key + ";type=private;pin-value=CONFIG"
					tl.run(t, "openssl", append([]string{"pkeyutl", "-engine", "pkcs11", "-keyform", "engine", "-inkey", uri, "-sign", "-in", in, "-out", sig}, opts...)...).ok(t)
					verify := func(in string) *result {
						return run(t, nil, "openssl", append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", s.publicKey(t, key), "-in", in, "-sigfile", sig}, opts...)...)
					}
					verify(in).ok(t)
					verify(tampered).fails(t)
					s.audited(t, digest, key)
				})
			}
		}
	}
}

func TestOpenSSLCMS(t *testing.T) {
	s := theService(t)
	for _, key := range append(keys(), "mail-rsa2048") {
		for variant, options := range map[string][]string{
			"detached PEM without attributes": {"-binary", "-noattr", "-outform", "PEM"},
			"detached DER with attributes":    {"-binary", "-outform", "DER"},
		} {
			t.Run(key+"/"+variant, func(t *testing.T) {
				tl := s.tool(t, "OPENSSL_CONF="+configuration(t, "CONFIG"))
				file, tampered, _ := artifact(t)
				sig := file + ".cms"
				chain := string(must(os.ReadFile(s.file("certificates", key+".chain.pem"))))
				_, issuers, _ := strings.Cut(chain, "-----END CERTIFICATE-----\n") // openssl refuses the leaf twice
				certs := write(t, file+".issuers.pem", []byte(issuers))
				tl.run(t, "openssl", append([]string{"cms", "-engine", "pkcs11", "-signer", s.file("certificates", key+".pem"), "-certfile", certs,
					"-inkey", "pkcs11:id=" + project + "/" + key + ";type=private", "-keyform", "engine", "-sign", "-in", file, "-out", sig}, options...)...).ok(t)
				purpose := "any"
				if strings.HasPrefix(key, "mail-") {
					purpose = "smimesign"
				}
				verify := func(file string) *result {
					return run(t, nil, "openssl", "cms", "-verify", "-binary", "-inform", options[len(options)-1], "-in", sig, "-content", file, "-CAfile", s.file("ca.pem"), "-purpose", purpose, "-out", os.DevNull)
				}
				verify(file).ok(t)
				verify(tampered).fails(t)
			})
		}
	}
}

// TestOpenSSLRefusals is what a person gets who makes one of the usual mistakes.
func TestOpenSSLRefusals(t *testing.T) {
	s := theService(t)
	file, _, content := artifact(t)
	sign := func(tl *tool, key string, more ...string) *result {
		return tl.run(t, "openssl", append([]string{"dgst", "-engine", "pkcs11", "-keyform", "engine", "-sign", "pkcs11:id=" + project + "/" + key + ";type=private;pin-value=CONFIG", "-sha256", "-out", os.DevNull}, append(more, file)...)...)
	}
	t.Run("wrong token", func(t *testing.T) {
		tl := s.tool(t, "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		sign(tl, "p256").fails(t)
		tl.inLog(t, "C_Login", "CKR_ARGUMENTS_BAD")
		tl.inLog(t, "401", "SIGNPATH_API_TOKEN")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		other, err := os.ReadFile(s.file("other-token"))
		if err != nil {
			t.Fatal(err)
		}
		tl := s.tool(t, "SIGNPATH_API_TOKEN="+strings.TrimSpace(string(other)))
		sign(tl, "p256").fails(t)
		tl.inLog(t, "Submitter")
	})
	t.Run("unknown policy", func(t *testing.T) {
		tl := s.tool(t)
		sign(tl, "no-such-policy").fails(t)
	})
	t.Run("PSS salt that the wire cannot carry", func(t *testing.T) {
		tl := s.tool(t)
		rsa := keys()[0]
		sign(tl, rsa, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20").fails(t)
		tl.inLog(t, "CKR_MECHANISM_PARAM_INVALID")
		tl.inLog(t, "rsa_pss_saltlen:-1")
	})
	t.Run("raw data instead of a DigestInfo", func(t *testing.T) {
		tl := s.tool(t)
		in := write(t, filepath.Join(t.TempDir(), "hash.bin"), sha256Of(content))
		tl.run(t, "openssl", "pkeyutl", "-engine", "pkcs11", "-keyform", "engine", "-inkey", "pkcs11:id="+project+"/"+keys()[0]+";type=private;pin-value=CONFIG", "-sign", "-in", in, "-out", os.DevNull, "-pkeyopt", "rsa_padding_mode:pkcs1").fails(t)
		tl.inLog(t, "CKR_DATA_INVALID")
		tl.inLog(t, "digest:sha256")
	})
	t.Run("stopped service", func(t *testing.T) {
		own := ownService(t)
		own.stop()
		tl := own.tool(t, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		r := sign(tl, "p256").fails(t)
		if r.took > 20*time.Second {
			t.Errorf("took %v with a total of 2 s", r.took)
		}
		tl.inLog(t, "CKR_FUNCTION_FAILED")
		tl.inLog(t, own.env["SIGNPATH_API_URL"][len("https://"):len(own.env["SIGNPATH_API_URL"])-len("/Api")])
	})
	t.Run("no secret in the log", func(t *testing.T) {
		pin := s.env["SIGNPATH_ORGANIZATION_ID"] + ":" + s.env["SIGNPATH_API_TOKEN"]
		tl := s.tool(t, "OPENSSL_CONF="+configuration(t, pin), "SIGNPATH_LOG_FILE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_LEVEL=verbose")
		r := tl.run(t, "openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sign", "pkcs11:id="+project+"/p256;type=private", "-sha256", "-out", os.DevNull, file).ok(t)
		for _, where := range []string{tl.log(), r.output} {
			if strings.Contains(where, s.env["SIGNPATH_API_TOKEN"]) || strings.Contains(where, hex.EncodeToString([]byte(s.env["SIGNPATH_API_TOKEN"]))) {
				t.Error("the token was printed")
			}
			if !strings.Contains(where, "C_Login") {
				t.Error("nothing was logged")
			}
		}
	})
}
