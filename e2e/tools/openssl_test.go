package tools

import (
	"crypto"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// setups are the ways that users name module, key and PIN.
func setups(t *testing.T, s *rig.Service) map[string]func(key string) (tl *rig.Tool, uri string) {
	id := func(key string) string { return rig.Project + "/" + key }
	pin := s.Env["SIGNPATH_ORGANIZATION_ID"] + ":" + s.Env["SIGNPATH_API_TOKEN"]
	return map[string]func(string) (*rig.Tool, string){
		"PKCS11_MODULE_PATH and pin-value": func(k string) (*rig.Tool, string) {
			return s.Tool(t), "pkcs11:id=" + id(k) + ";type=private;pin-value=CONFIG"
		},
		"OPENSSL_CONF": func(k string) (*rig.Tool, string) {
			return s.Tool(t, "OPENSSL_CONF="+rig.Configuration(t, "CONFIG"), "PKCS11_MODULE_PATH="), "pkcs11:id=" + id(k) + ";type=private"
		},
		"percent-encoded id": func(k string) (*rig.Tool, string) {
			return s.Tool(t), "pkcs11:id=" + rig.Percent(id(k)) + ";type=private;pin-value=CONFIG"
		},
		"object": func(k string) (*rig.Tool, string) {
			return s.Tool(t), "pkcs11:object=" + strings.ReplaceAll(id(k), "/", "%2F") + ";type=private;pin-value=CONFIG"
		},
		"PIN is organization and token": func(k string) (*rig.Tool, string) {
			return s.Tool(t, "OPENSSL_CONF="+rig.Configuration(t, pin), "PKCS11_MODULE_PATH=", "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN="), "pkcs11:id=" + id(k) + ";type=private"
		},
		"configuration file": func(k string) (*rig.Tool, string) {
			return s.Tool(t, "SIGNPATH_CONFIG_FILE="+s.File("config.json"), "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=", "SIGNPATH_API_URL=", "SIGNPATH_TRUSTED_CA_FILE="), "pkcs11:id=" + id(k) + ";type=private;pin-value=CONFIG"
		},
	}
}

func TestOpenSSLDgst(t *testing.T) {
	s := rig.TheService(t)
	for name, setup := range setups(t, s) {
		for _, key := range rig.Keys() {
			hashes := []crypto.Hash{crypto.SHA256}
			if name == "OPENSSL_CONF" {
				hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}
			}
			for _, h := range hashes {
				flag := "-" + strings.ToLower(strings.ReplaceAll(h.String(), "-", ""))
				t.Run(name+"/"+key+"/"+flag[1:], func(t *testing.T) {
					tl, uri := setup(key)
					file, tampered, content := rig.Artifact(t)
					sig := file + ".sig"
					tl.Run(t, "openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sign", uri, flag, "-out", sig, file).OK(t)
					pub := s.PublicKey(t, key)
					rig.Run(t, nil, "openssl", "dgst", flag, "-verify", pub, "-signature", sig, file).OK(t).Says(t, "Verified OK")
					rig.Run(t, nil, "openssl", "dgst", flag, "-verify", pub, "-signature", sig, tampered).Fails(t)
					d := h.New()
					d.Write(content)
					s.Audited(t, d.Sum(nil), key)
					rig.Row(t, "openssl dgst", "", key, rig.Here, "openssl dgst -verify")
				})
			}
		}
	}
}

func TestOpenSSLPkeyutl(t *testing.T) {
	s := rig.TheService(t)
	for _, key := range rig.Keys() {
		paddings := map[string][]string{"ecdsa": nil}
		if rig.IsRSA(key) {
			paddings = map[string][]string{"pkcs1": {"-pkeyopt", "rsa_padding_mode:pkcs1"}, "pss": {"-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:-1"}}
		}
		for padding, options := range paddings {
			for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
				md := strings.ToLower(strings.ReplaceAll(h.String(), "-", ""))
				t.Run(key+"/"+padding+"/"+md, func(t *testing.T) {
					tl := s.Tool(t)
					_, _, content := rig.Artifact(t)
					d := h.New()
					d.Write(content)
					digest := d.Sum(nil)
					dir := t.TempDir()
					in, sig := rig.Write(t, filepath.Join(dir, "artifact.hash.bin"), digest), filepath.Join(dir, "artifact.sig")
					other := append([]byte{}, digest...)
					other[3] ^= 0x10
					tampered := rig.Write(t, filepath.Join(dir, "tampered.hash.bin"), other)
					opts := append([]string{"-pkeyopt", "digest:" + md}, options...)
					if padding == "pss" {
						opts = append(opts, "-pkeyopt", "rsa_mgf1_md:"+md)
					}
					uri := "pkcs11:id=" + rig.Project + "/" + key + ";type=private;pin-value=CONFIG"
					tl.Run(t, "openssl", append([]string{"pkeyutl", "-engine", "pkcs11", "-keyform", "engine", "-inkey", uri, "-sign", "-in", in, "-out", sig}, opts...)...).OK(t)
					verify := func(in string) *rig.Result {
						return rig.Run(t, nil, "openssl", append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", s.PublicKey(t, key), "-in", in, "-sigfile", sig}, opts...)...)
					}
					verify(in).OK(t)
					verify(tampered).Fails(t)
					s.Audited(t, digest, key)
					rig.Row(t, "openssl pkeyutl", "", key, rig.Here, "openssl pkeyutl -verify")
				})
			}
		}
	}
}

func TestOpenSSLCMS(t *testing.T) {
	s := rig.TheService(t)
	for _, key := range append(rig.Keys(), "mail-rsa2048") {
		for variant, options := range map[string][]string{
			"detached PEM without attributes": {"-binary", "-noattr", "-outform", "PEM"},
			"detached DER with attributes":    {"-binary", "-outform", "DER"},
		} {
			t.Run(key+"/"+variant, func(t *testing.T) {
				tl := s.Tool(t, "OPENSSL_CONF="+rig.Configuration(t, "CONFIG"))
				file, tampered, _ := rig.Artifact(t)
				sig := file + ".cms"
				chain := string(rig.Must(os.ReadFile(s.File("certificates", key+".chain.pem"))))
				_, issuers, _ := strings.Cut(chain, "-----END CERTIFICATE-----\n") // openssl refuses the leaf twice
				certs := rig.Write(t, file+".issuers.pem", []byte(issuers))
				tl.Run(t, "openssl", append([]string{"cms", "-engine", "pkcs11", "-signer", s.File("certificates", key+".pem"), "-certfile", certs,
					"-inkey", "pkcs11:id=" + rig.Project + "/" + key + ";type=private", "-keyform", "engine", "-sign", "-in", file, "-out", sig}, options...)...).OK(t)
				purpose := "any"
				if strings.HasPrefix(key, "mail-") {
					purpose = "smimesign"
				}
				verify := func(file string) *rig.Result {
					return rig.Run(t, nil, "openssl", "cms", "-verify", "-binary", "-inform", options[len(options)-1], "-in", sig, "-content", file, "-CAfile", s.File("ca.pem"), "-purpose", purpose, "-out", os.DevNull)
				}
				verify(file).OK(t)
				verify(tampered).Fails(t)
				rig.Row(t, "openssl cms", "", key, rig.Here, "openssl cms -verify")
			})
		}
	}
}

// TestOpenSSLRefusals is what a person gets who makes one of the usual mistakes.
func TestOpenSSLRefusals(t *testing.T) {
	s := rig.TheService(t)
	file, _, content := rig.Artifact(t)
	sign := func(tl *rig.Tool, key string, more ...string) *rig.Result {
		return tl.Run(t, "openssl", append([]string{"dgst", "-engine", "pkcs11", "-keyform", "engine", "-sign", "pkcs11:id=" + rig.Project + "/" + key + ";type=private;pin-value=CONFIG", "-sha256", "-out", os.DevNull}, append(more, file)...)...)
	}
	t.Run("wrong token", func(t *testing.T) {
		tl := s.Tool(t, "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		sign(tl, "p256").Fails(t)
		tl.InLog(t, "C_Login", "CKR_ARGUMENTS_BAD")
		tl.InLog(t, "401", "SIGNPATH_API_TOKEN")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		other, err := os.ReadFile(s.File("other-token"))
		if err != nil {
			t.Fatal(err)
		}
		tl := s.Tool(t, "SIGNPATH_API_TOKEN="+strings.TrimSpace(string(other)))
		sign(tl, "p256").Fails(t)
		tl.InLog(t, "Submitter")
	})
	t.Run("unknown policy", func(t *testing.T) {
		tl := s.Tool(t)
		sign(tl, "no-such-policy").Fails(t)
	})
	t.Run("PSS salt that the wire cannot carry", func(t *testing.T) {
		tl := s.Tool(t)
		rsa := rig.Keys()[0]
		sign(tl, rsa, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20").Fails(t)
		tl.InLog(t, "CKR_MECHANISM_PARAM_INVALID")
		tl.InLog(t, "rsa_pss_saltlen:-1")
	})
	t.Run("raw data instead of a DigestInfo", func(t *testing.T) {
		tl := s.Tool(t)
		in := rig.Write(t, filepath.Join(t.TempDir(), "hash.bin"), rig.SHA256Of(content))
		tl.Run(t, "openssl", "pkeyutl", "-engine", "pkcs11", "-keyform", "engine", "-inkey", "pkcs11:id="+rig.Project+"/"+rig.Keys()[0]+";type=private;pin-value=CONFIG", "-sign", "-in", in, "-out", os.DevNull, "-pkeyopt", "rsa_padding_mode:pkcs1").Fails(t)
		tl.InLog(t, "CKR_DATA_INVALID")
		tl.InLog(t, "digest:sha256")
	})
	t.Run("stopped service", func(t *testing.T) {
		own := rig.OwnService(t)
		own.Stop()
		tl := own.Tool(t, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		r := sign(tl, "p256").Fails(t)
		if r.Took > 20*time.Second {
			t.Errorf("took %v with a total of 2 s", r.Took)
		}
		tl.InLog(t, "CKR_FUNCTION_FAILED")
		tl.InLog(t, own.Env["SIGNPATH_API_URL"][len("https://"):len(own.Env["SIGNPATH_API_URL"])-len("/Api")])
	})
	t.Run("no secret in the log", func(t *testing.T) {
		pin := s.Env["SIGNPATH_ORGANIZATION_ID"] + ":" + s.Env["SIGNPATH_API_TOKEN"]
		tl := s.Tool(t, "OPENSSL_CONF="+rig.Configuration(t, pin), "SIGNPATH_LOG_FILE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_LEVEL=verbose")
		r := tl.Run(t, "openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sign", "pkcs11:id="+rig.Project+"/p256;type=private", "-sha256", "-out", os.DevNull, file).OK(t)
		for _, where := range []string{tl.Log(), r.Output} {
			if strings.Contains(where, s.Env["SIGNPATH_API_TOKEN"]) || strings.Contains(where, hex.EncodeToString([]byte(s.Env["SIGNPATH_API_TOKEN"]))) {
				t.Error("the token was printed")
			}
			if !strings.Contains(where, "C_Login") {
				t.Error("nothing was logged")
			}
		}
	})
}
