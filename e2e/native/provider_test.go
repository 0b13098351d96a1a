package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// provider writes the documented configuration of OpenSSL's provider.
func (j *job) provider(t *testing.T, pin string) string {
	t.Helper()
	return rig.Write(t, filepath.Join(j.dir, "openssl-provider.cnf"), fmt.Appendf(nil, `config_diagnostics = 1
openssl_conf = openssl_init

[openssl_init]
providers = providers

[providers]
default = default_section
pkcs11 = pkcs11_section

[default_section]
activate = 1

[pkcs11_section]
module = %s
pkcs11-module-path = %s
pkcs11-module-token-pin = %s
activate = 1
`, j.y.Glob(t, "/usr/lib/*/ossl-modules/pkcs11.so"), j.y.Module(t), pin))
}

// openssl runs OpenSSL with the provider configured.
func (j *job) openssl(t *testing.T, args ...string) *rig.Result {
	t.Helper()
	return j.with(t, []string{"OPENSSL_CONF=" + j.provider(t, "CONFIG")}, "openssl", args...)
}

// opensslDgst lets this machine's OpenSSL, without any module, judge a bare signature.
func (j *job) opensslDgst(t *testing.T, hash, signature string, options ...string) {
	t.Helper()
	pub := j.s.PublicKey(t, j.key)
	verify := func(file string) *rig.Result {
		return rig.Run(t, nil, "openssl", append(append([]string{"dgst", "-" + hash, "-verify", pub, "-signature", signature}, options...), file)...)
	}
	verify(j.file).OK(t).Says(t, "Verified OK")
	verify(j.tampered).Fails(t)
}

// opensslCMS lets this machine's OpenSSL judge a detached CMS signature and its chain to the root.
func (j *job) opensslCMS(t *testing.T, form, signature string, options ...string) {
	t.Helper()
	verify := func(file string) *rig.Result {
		return rig.Run(t, nil, "openssl", append([]string{"cms", "-verify", "-binary", "-inform", form, "-in", signature, "-content", file,
			"-CAfile", j.trust, "-purpose", "any", "-out", os.DevNull}, options...)...)
	}
	verify(j.file).OK(t)
	verify(j.tampered).Fails(t)
}

// opensslCSR lets OpenSSL judge a certification request, and asserts that it is for the key.
func (j *job) opensslCSR(t *testing.T, request string) {
	t.Helper()
	rig.Run(t, nil, "openssl", "req", "-in", request, "-verify", "-noout").OK(t)
	own := rig.Run(t, nil, "openssl", "req", "-in", request, "-pubkey", "-noout").OK(t).Output
	if want := string(rig.Must(os.ReadFile(j.s.PublicKey(t, j.key)))); !strings.Contains(own, strings.TrimSpace(want)) {
		t.Errorf("the request is for another key:\n%s", own)
	}
	der := filepath.Join(j.dir, "request.der")
	rig.Run(t, nil, "openssl", "req", "-in", request, "-outform", "DER", "-out", der).OK(t)
	b := rig.Must(os.ReadFile(der))
	b[len(b)/3] ^= 1 // in the subject or the key
	if r := rig.Run(t, nil, "openssl", "req", "-inform", "DER", "-in", rig.Write(t, der, b), "-verify", "-noout"); strings.Contains(r.Output, "verify OK") {
		t.Error("a changed request was accepted")
	}
}

func sha256Of(t *testing.T, j *job) []byte { t.Helper(); return rig.SHA256Of(j.content(t)) }

// cmsDigest is what was signed in a CMS signature over the job's file.
func cmsDigest(t *testing.T, j *job) []byte {
	t.Helper()
	der := j.out + ".der" // NSS writes BER
	rig.Run(t, nil, "openssl", "cms", "-cmsout", "-inform", "DER", "-in", j.out, "-outform", "DER", "-out", der).OK(t)
	return rig.ParseCMS(t, rig.Must(os.ReadFile(der))).Digest(t, j.content(t))
}

func providerClients() []client {
	dgst := func(uri func(j *job) string) client {
		return client{where: newer, digest: sha256Of,
			sign: func(t *testing.T, j *job) *rig.Result {
				return j.openssl(t, "dgst", "-sha256", "-sign", uri(j), "-out", j.out, j.file)
			},
			judge: func(t *testing.T, j *job) { j.opensslDgst(t, "sha256", j.out) },
		}
	}
	named := func(name string, more bool, c client) client {
		c.name, c.more = "openssl-provider/"+name, more
		return c
	}
	return []client{
		named("dgst", false, dgst(func(j *job) string { return "pkcs11:id=" + rig.Project + "%2F" + j.key + ";type=private" })),
		named("dgst by label", false, dgst(func(j *job) string { return "pkcs11:object=" + rig.Project + "%2F" + j.key + ";type=private" })),
		named("dgst with a raw slash", true, dgst((*job).uri)),
		named("dgst, pin-value", true, dgst(func(j *job) string { return j.uri() + "?pin-value=CONFIG" })),
		named("dgst, pin-source", false, dgst(func(j *job) string {
			pin := filepath.Join(j.dir, "pin")
			_ = os.WriteFile(pin, []byte("CONFIG"), 0o600)
			return j.uri() + "?pin-source=file:" + pin
		})),
		named("dgst PSS", false, client{where: newer, rsa: true, digest: sha256Of,
			sign: func(t *testing.T, j *job) *rig.Result {
				return j.openssl(t, "dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1", "-sign", j.uri(), "-out", j.out, j.file)
			},
			judge: func(t *testing.T, j *job) {
				j.opensslDgst(t, "sha256", j.out, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32")
			},
		}),
		named("pkeyutl", false, client{where: newer, digest: sha256Of,
			sign: func(t *testing.T, j *job) *rig.Result {
				in := rig.Write(t, filepath.Join(j.dir, "digest"), rig.SHA256Of(j.content(t)))
				return j.openssl(t, "pkeyutl", "-sign", "-inkey", j.uri(), "-in", in, "-pkeyopt", "digest:sha256", "-out", j.out)
			},
			judge: func(t *testing.T, j *job) { j.opensslDgst(t, "sha256", j.out) },
		}),
		named("cms", false, client{where: newer, digest: cmsDigest,
			sign: func(t *testing.T, j *job) *rig.Result {
				return j.openssl(t, "cms", "-sign", "-binary", "-signer", j.cert, "-certfile", j.issuers, "-inkey", j.uri(), "-in", j.file, "-outform", "DER", "-out", j.out)
			},
			judge: func(t *testing.T, j *job) { j.opensslCMS(t, "DER", j.out) },
		}),
		named("req", false, client{where: newer,
			sign: func(t *testing.T, j *job) *rig.Result {
				return j.openssl(t, "req", "-new", "-sha256", "-subj", "/CN=hello", "-key", j.uri(), "-out", j.out)
			},
			judge: func(t *testing.T, j *job) { j.opensslCSR(t, j.out) },
		}),
		named("x509", true, client{where: newer, // the key as the issuer of certificates
			sign: func(t *testing.T, j *job) *rig.Result {
				key, request := filepath.Join(j.dir, "other.key"), filepath.Join(j.dir, "other.csr")
				rig.Run(t, nil, "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj", "/CN=other", "-out", request).OK(t)
				return j.openssl(t, "x509", "-req", "-sha256", "-in", request, "-CA", j.cert, "-CAkey", j.uri(), "-set_serial", "1", "-days", "1", "-out", j.out)
			},
			judge: func(t *testing.T, j *job) {
				verify := func(file string) *rig.Result {
					// a leaf is no issuer: only the signature is asked for
					return rig.Run(t, nil, "openssl", "verify", "-partial_chain", "-trusted", j.cert, file)
				}
				verify(j.out).Says(t, "invalid CA certificate")
				if r := verify(j.out); strings.Contains(r.Output, "signature failure") {
					t.Error(r.Output)
				}
			},
		}),
	}
}

// TestProviderRefusals is what the provider's users meet besides.
func TestProviderRefusals(t *testing.T) {
	_ = clients(t) // asks for the newer system
	s := rig.TheService(t)
	t.Run("PIN cut to 32 bytes", func(t *testing.T) { // pin-source of a long PIN
		j := newJob(t, s, newer[0], "p256")
		pin := rig.Write(t, filepath.Join(j.dir, "pin"), []byte(s.Env["SIGNPATH_ORGANIZATION_ID"]+":"+s.Env["SIGNPATH_API_TOKEN"]))
		cnf := string(rig.Must(os.ReadFile(j.provider(t, "x"))))
		cnf = strings.Replace(cnf, "pkcs11-module-token-pin = x\n", "", 1)
		rig.Write(t, filepath.Join(j.dir, "nopin.cnf"), []byte(cnf))
		j.with(t, []string{"OPENSSL_CONF=" + filepath.Join(j.dir, "nopin.cnf")}, "openssl", "dgst", "-sha256", "-sign", j.uri()+"?pin-source=file:"+pin, "-out", j.out, j.file).Fails(t)
		j.tl.InLog(t, "C_Login", "CKR_PIN_INCORRECT")
		j.tl.InLog(t, "31 bytes", "CONFIG")
	})
	t.Run("PIN of organization and token", func(t *testing.T) {
		j := newJob(t, s, newer[0], "p256", "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=")
		cnf := j.provider(t, s.Env["SIGNPATH_ORGANIZATION_ID"]+":"+s.Env["SIGNPATH_API_TOKEN"])
		r := j.with(t, []string{"OPENSSL_CONF=" + cnf}, "openssl", "dgst", "-sha256", "-sign", j.uri(), "-out", j.out, j.file).OK(t)
		j.opensslDgst(t, "sha256", j.out)
		if strings.Contains(j.tl.Log()+r.Output, s.Env["SIGNPATH_API_TOKEN"]) {
			t.Error("the token was printed")
		}
	})
	t.Run("a salt that the wire cannot carry", func(t *testing.T) {
		j := newJob(t, s, newer[0], rig.Keys()[0])
		j.openssl(t, "dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20", "-sign", j.uri(), "-out", j.out, j.file).Fails(t)
		j.tl.InLog(t, "CKR_MECHANISM_PARAM_INVALID")
	})
	t.Run("no such key", func(t *testing.T) {
		j := newJob(t, s, newer[0], "p256")
		j.openssl(t, "dgst", "-sha256", "-sign", "pkcs11:object=nobody%2Fnothing;type=private", "-out", j.out, j.file).Fails(t)
	})
}
