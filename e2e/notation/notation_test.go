package notation

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// bench is a signer with the plug-in and a verifier without it, each with a home
// of its own, and a registry.
type bench struct {
	*rig.Service
	*rig.Registry
	notation, plugin string
}

func newBench(t *testing.T, s *rig.Service) *bench {
	t.Helper()
	return &bench{s, rig.StartRegistry(t), rig.Program(t, "E2E_NOTATION"), filepath.Join(rig.Dist, "notation-signpath")}
}

// signer is a fresh home with the plug-in in it.
func (b *bench) signer(t *testing.T, settings ...string) *rig.Tool {
	t.Helper()
	tl := b.Tool(t, settings...)
	tl.Interface = "Notation"
	tl.Run(t, b.notation, "plugin", "install", "--file", b.plugin).OK(t).Says(t, "Successfully installed plugin signpath")
	return tl
}

// verifier is a fresh home that trusts one root and has no plug-in and no settings.
func (b *bench) verifier(t *testing.T, policy, storeOptions string, roots ...string) []string {
	t.Helper()
	home := t.TempDir()
	env := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	stores := `"ca:dev"`
	for i, root := range roots {
		kind := []string{"ca", "tsa"}[i]
		rig.Run(t, env, b.notation, "certificate", "add", "--type", kind, "--store", "dev", root).OK(t)
	}
	if len(roots) > 1 {
		stores += `,"tsa:dev"`
	}
	file := rig.Write(t, filepath.Join(home, "policy.json"), fmt.Appendf(nil, `{"version":"1.0","trustPolicies":[{"name":"dev","registryScopes":["*"],
		"signatureVerification":{"level":%q%s},"trustStores":[%s],"trustedIdentities":["*"]}]}`, policy, storeOptions, stores))
	rig.Run(t, env, b.notation, "policy", "import", file).OK(t)
	return env
}

func (b *bench) sign(t *testing.T, tl *rig.Tool, key, ref string, more ...string) *rig.Result {
	t.Helper()
	return tl.Run(t, b.notation, append(append([]string{"sign", "--insecure-registry", "--plugin", "signpath", "--id", rig.Project + "/" + key}, more...), ref)...)
}

func (b *bench) verify(t *testing.T, env []string, ref string, more ...string) *rig.Result {
	t.Helper()
	return rig.Run(t, env, b.notation, append(append([]string{"verify", "--insecure-registry"}, more...), ref)...)
}

func (b *bench) ref(repository, digest string) string {
	return b.Address + "/" + repository + "@" + digest
}

// algorithms are those that the Notary Project's specification wants for each key.
var algorithms = map[string]struct {
	keySpec, name string
	hash          crypto.Hash
}{
	"rsa2048": {"RSA-2048", "RSASSA-PSS-SHA-256", crypto.SHA256},
	"rsa3072": {"RSA-3072", "RSASSA-PSS-SHA-384", crypto.SHA384},
	"rsa4096": {"RSA-4096", "RSASSA-PSS-SHA-512", crypto.SHA512},
	"p256":    {"EC-256", "ECDSA-SHA-256", crypto.SHA256},
	"p384":    {"EC-384", "ECDSA-SHA-384", crypto.SHA384},
	"p521":    {"EC-521", "ECDSA-SHA-512", crypto.SHA512},
}

// TestSign: both envelopes with each key; notation accepts the signature in a home
// that knows the root only, and refuses other artifacts and changed signatures.
func TestSign(t *testing.T) {
	b := newBench(t, rig.TheService(t))
	trusting := b.verifier(t, "strict", "", b.File("ca.pem"))
	tl := b.signer(t)
	for _, key := range rig.Keys() {
		for _, format := range []string{"jws", "cose"} {
			t.Run(key+" "+format, func(t *testing.T) {
				digest := b.Push(t, "app", t.Name())
				ref := b.ref("app", digest)
				b.verify(t, trusting, ref).Fails(t).Says(t, "no signature is associated")
				b.sign(t, tl, key, ref, "--signature-format", format).OK(t).Says(t, "Successfully signed")
				b.verify(t, trusting, ref).OK(t).Says(t, "Successfully verified")
				rig.Run(t, trusting, b.notation, "inspect", "--insecure-registry", ref).OK(t).Says(t, algorithms[key].name).
					Says(t, "issued to: CN=SignPath development "+key).Says(t, "issued by: CN=SignPath development root")

				// The very digest that the key signed is on record.
				envelope := []byte(b.Do(t, "blob", "app", digest).Output)
				signed, signature := contentOf(t, format, envelope)
				b.Audited(t, rig.HashOf(algorithms[key].hash, signed), key)
				b.opensslAccepts(t, key, signed, signature)

				// The signature of one artifact does not make another one good.
				other := b.Push(t, "app", t.Name()+" other")
				b.Do(t, "graft", "app", digest, other)
				b.verify(t, trusting, b.ref("app", other)).Fails(t).Says(t, "signature verification failed")
				b.Do(t, "flip", "app", digest)
				b.verify(t, trusting, ref).Fails(t).Says(t, "signature verification failed")
				rig.Row(t, "notation", rig.ModuleVersion(t, b.notation), key, rig.Here, "notation verify, openssl")
			})
		}
	}
	b.Nowhere(t, b.Env["SIGNPATH_API_TOKEN"], tl, b.sign(t, tl, rig.Keys()[1], b.ref("app", b.Push(t, "app", "once more"))).OK(t))
}

// contentOf takes an envelope apart: what was signed, and the signature.
func contentOf(t *testing.T, format string, envelope []byte) (signed, signature []byte) {
	t.Helper()
	if format == "jws" { // RFC 7515 section 7.2.2
		var e struct{ Payload, Protected, Signature string }
		if err := json.Unmarshal(envelope, &e); err != nil {
			t.Fatal(err)
		}
		return []byte(e.Protected + "." + e.Payload), rig.Must(base64.RawURLEncoding.DecodeString(e.Signature))
	}
	// RFC 9052 sections 4.2 and 4.4: tag 18, [protected, unprotected, payload, signature]
	c := cbor(envelope)
	c.head(t)
	if kind, n := c.head(t); kind != 4 || n != 4 {
		t.Fatalf("no COSE_Sign1: type %d, %d items", kind, n)
	}
	protected := c.item(t)
	c.item(t)
	payload := c.item(t)
	c.head(t)
	signature = c
	signed = slices.Concat([]byte("\x84\x6aSignature1"), protected, []byte{0x40}, payload)
	return signed, signature
}

// cbor reads as much of RFC 8949 as an envelope has.
type cbor []byte

func (c *cbor) head(t *testing.T) (kind, n int) {
	t.Helper()
	b := (*c)[0]
	*c = (*c)[1:]
	n = int(b & 0x1f)
	if n >= 24 && n < 28 {
		size := 1 << (n - 24)
		n = int(new(big.Int).SetBytes((*c)[:size]).Int64())
		*c = (*c)[size:]
	}
	return int(b >> 5), n
}

// item cuts off one item with all that is in it.
func (c *cbor) item(t *testing.T) []byte {
	t.Helper()
	begin := *c
	kind, n := c.head(t)
	switch kind {
	case 2, 3:
		*c = (*c)[n:]
	case 4, 5:
		for range n * (kind - 3) {
			c.item(t)
		}
	case 6:
		c.item(t)
	}
	return begin[:len(begin)-len(*c)]
}

// opensslAccepts lets OpenSSL judge the bare signature with the policy's public key.
func (b *bench) opensslAccepts(t *testing.T, key string, signed, signature []byte) {
	t.Helper()
	dir := t.TempDir()
	hash := "-" + strings.ToLower(strings.ReplaceAll(algorithms[key].hash.String(), "-", ""))
	args := []string{"dgst", hash, "-verify", b.PublicKey(t, key)}
	if rig.IsRSA(key) {
		args = append(args, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest")
	} else { // r‖s, each half padded to the curve
		half := len(signature) / 2
		signature = rig.Must(asn1.Marshal([]*big.Int{new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])}))
	}
	args = append(args, "-signature", rig.Write(t, filepath.Join(dir, "sig"), signature))
	rig.Run(t, nil, "openssl", append(args, rig.Write(t, filepath.Join(dir, "signed"), signed))...).OK(t)
	rig.Run(t, nil, "openssl", append(args, rig.Write(t, filepath.Join(dir, "other"), append([]byte{1}, signed...)))...).Fails(t)
}

// TestStranger: a verifier that trusts another root, or other identities, refuses.
func TestStranger(t *testing.T) {
	b := newBench(t, rig.TheService(t))
	ref := b.ref("app", b.Push(t, "app", t.Name()))
	b.sign(t, b.signer(t), rig.Keys()[1], ref).OK(t)
	_, certificate := rig.Timestamps(t) // any root of somebody else
	b.verify(t, b.verifier(t, "strict", "", certificate), ref).Fails(t).Says(t, "signature verification failed")
}

// TestSettings: what --plugin-config, the environment and the file say, strongest
// first; and a key that notation keeps with its settings.
func TestSettings(t *testing.T) {
	b := newBench(t, rig.TheService(t))
	key := rig.Keys()[1]
	organization, token := b.Env["SIGNPATH_ORGANIZATION_ID"], b.Env["SIGNPATH_API_TOKEN"]
	nobody := "99999999-2222-3333-4444-555555555555"
	for _, c := range []struct {
		name     string
		settings []string
		options  []string
		fails    string
	}{
		{"documented call", []string{"SIGNPATH_ORGANIZATION_ID="}, []string{"--plugin-config", "OrganizationId=" + organization}, ""},
		{"option before environment", []string{"SIGNPATH_ORGANIZATION_ID=" + nobody}, []string{"--plugin-config", "organizationid=" + organization}, ""},
		{"environment before file", []string{"SIGNPATH_CONFIG_FILE=" + rig.Write(t, filepath.Join(t.TempDir(), "c.json"), []byte(`{"OrganizationId":"`+nobody+`"}`))}, nil, ""},
		{"file", []string{"SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=", "SIGNPATH_API_URL=", "SIGNPATH_TRUSTED_CA_FILE=", "SIGNPATH_CONFIG_FILE=" + b.File("config.json")}, nil, ""},
		{"file named by an option", []string{"SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=", "SIGNPATH_API_URL=", "SIGNPATH_TRUSTED_CA_FILE="}, []string{"--plugin-config", "ConfigFile=" + b.File("config.json")}, ""},
		{"every setting by option", []string{"SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_URL=", "SIGNPATH_TRUSTED_CA_FILE="},
			[]string{"--plugin-config", "OrganizationId=" + organization, "--plugin-config", "ApiUrl=" + b.Env["SIGNPATH_API_URL"], "--plugin-config", "TrustedCaFile=" + b.Env["SIGNPATH_TRUSTED_CA_FILE"],
				"--plugin-config", "HttpRequestTimeoutInSeconds=20", "--plugin-config", "Log.File.Level=debug"}, ""},
		{"console log does not break the protocol", []string{"SIGNPATH_LOG_CONSOLE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_OUTPUT_STREAM=stdout"}, nil, ""},
		{"no organization", []string{"SIGNPATH_ORGANIZATION_ID="}, nil, "SIGNPATH_ORGANIZATION_ID"},
		{"no token", []string{"SIGNPATH_API_TOKEN="}, nil, "SIGNPATH_API_TOKEN"},
		{"organization is no UUID", nil, []string{"--plugin-config", "OrganizationId=acme"}, "UUID"},
		{"key hidden by a setting", []string{"SIGNPATH_SIGNING_POLICY_SLUG=other"}, nil, "SIGNPATH_SIGNING_POLICY_SLUG"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := b.signer(t, c.settings...)
			ref := b.ref("app", b.Push(t, "app", t.Name()))
			r := b.sign(t, tl, key, ref, c.options...)
			if c.fails != "" {
				r.Fails(t).Says(t, c.fails)
				tl.InLog(t, "ERROR", "VALIDATION_ERROR", c.fails)
				return
			}
			r.OK(t)
			if r.Output != "Successfully signed "+ref+"\n" && !strings.Contains(r.Output, "Successfully signed") {
				t.Error(r.Output)
			}
		})
	}
	t.Run("key add", func(t *testing.T) {
		tl := b.signer(t, "SIGNPATH_ORGANIZATION_ID=")
		tl.Run(t, b.notation, "key", "add", "--default", "--plugin", "signpath", "--id", rig.Project+"/"+key, "--plugin-config", "OrganizationId="+organization, "release").OK(t)
		tl.Run(t, b.notation, "sign", "--insecure-registry", b.ref("app", b.Push(t, "app", t.Name()))).OK(t)
	})
	t.Run("token stays out of the log", func(t *testing.T) {
		tl := b.signer(t, "SIGNPATH_API_TOKEN=", "SIGNPATH_LOG_FILE_LEVEL=verbose")
		r := b.sign(t, tl, key, b.ref("app", b.Push(t, "app", t.Name())), "--plugin-config", "ApiToken="+token).OK(t)
		b.Nowhere(t, token, tl, r)
	})
}

// TestArchive: notation installs the archive of the release, too.
func TestArchive(t *testing.T) {
	b := newBench(t, rig.TheService(t))
	b.plugin += ".tar.gz"
	tl := b.signer(t)
	tl.Run(t, b.notation, "plugin", "list").OK(t).Says(t, "signpath").Says(t, "[SIGNATURE_GENERATOR.RAW]").Says(t, "<nil>")
	b.sign(t, tl, rig.Keys()[0], b.ref("app", b.Push(t, "app", t.Name()))).OK(t)
	tl.Run(t, b.notation, "plugin", "uninstall", "--yes", "signpath").OK(t)
}

// TestRefused: what the service refuses, as the plug-in tells it to notation (the
// code) and notation to people (the text).
func TestRefused(t *testing.T) {
	b := newBench(t, rig.TheService(t))
	key := rig.Keys()[1]
	other := strings.TrimSpace(string(rig.Must(os.ReadFile(b.File("other-token")))))
	away, ca, _ := rig.Failing(t, b.Service)
	quick := []string{"SIGNPATH_TIMEOUTS_RETRY_COUNT=1", "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY=0.05"}
	for _, c := range []struct {
		name, key, code, text string
		settings              []string
	}{
		{"wrong token", key, "ACCESS_DENIED", "Check ApiToken (SIGNPATH_API_TOKEN)", []string{"SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}},
		{"policy of somebody else", key, "VALIDATION_ERROR", "there is no signing policy " + rig.Project + "/" + key, []string{"SIGNPATH_API_TOKEN=" + other}},
		{"unknown policy", "no-such-policy", "VALIDATION_ERROR", "there is no signing policy", nil},
		{"OpenPGP key", "gpg-rsa3072", "VALIDATION_ERROR", "OpenPGP key", nil},
		{"nothing listens", key, "TIMEOUT", "Nothing listens there", append(quick, "SIGNPATH_API_URL=https://127.0.0.1:1/Api")},
		{"untrusted TLS certificate", key, "ERROR", "TrustedCaFile", []string{"SIGNPATH_TRUSTED_CA_FILE="}},
		{"signatures fail with 503", key, "TIMEOUT", "503", append(quick, "SIGNPATH_API_URL="+away, "SIGNPATH_TRUSTED_CA_FILE="+ca)},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := b.signer(t, c.settings...)
			ref := b.ref("app", b.Push(t, "app", t.Name()))
			b.sign(t, tl, c.key, ref).Fails(t).Says(t, c.text)
			tl.InLog(t, "ERROR", c.code, c.text)
			b.verify(t, b.verifier(t, "strict", "", b.File("ca.pem")), ref).Fails(t).Says(t, "no signature is associated")

			// The same by hand: the error is one JSON document on standard error, the
			// exit code is 1, and standard output is empty.
			request := fmt.Sprintf(`{"contractVersion":"1.0","keyId":"%s/%s","keySpec":%q,"hashAlgorithm":"SHA-%d","payload":"e30=","pluginConfig":{}}`,
				rig.Project, c.key, algorithms[key].keySpec, algorithms[key].hash.Size()*8)
			code, out, errs := b.plug(t, tl, "generate-signature", request)
			var e struct {
				ErrorCode, ErrorMessage string
				ErrorMetadata           map[string]string
			}
			if err := json.Unmarshal([]byte(errs), &e); err != nil {
				t.Fatalf("%v: %s", err, errs)
			}
			if code != 1 || out != "" || e.ErrorCode != c.code || !strings.Contains(e.ErrorMessage, c.text) || !strings.HasPrefix(e.ErrorMetadata["logFile"], tl.Logs) {
				t.Errorf("exit code %d, stdout %q, %+v", code, out, e)
			}
		})
	}
}

// plug runs the plug-in itself.
func (b *bench) plug(t *testing.T, tl *rig.Tool, command, request string) (code int, out, errs string) {
	t.Helper()
	c := exec.Command(b.plugin, command)
	c.Env, c.Stdin = tl.Env, strings.NewReader(request)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	_ = c.Run()
	return c.ProcessState.ExitCode(), o.String(), e.String()
}

// TestProtocol: the documents that notation reads, byte for byte.
func TestProtocol(t *testing.T) {
	b := newBench(t, rig.TheService(t))
	tl := b.Tool(t)
	bare := &rig.Tool{Env: []string{"PATH=/usr/bin:/bin"}} // without any setting
	version := strings.TrimSpace(string(rig.Must(os.ReadFile(filepath.Join(rig.Root, "VERSION")))))
	for _, request := range []string{"", "{}"} {
		code, out, errs := b.plug(t, bare, "get-plugin-metadata", request)
		want := regexp.MustCompile(`^\{"name":"signpath","description":"[^"]+","version":"` + regexp.QuoteMeta(version) + `[^"]*","url":"https://[^"]+","supportedContractVersions":\["1\.0"\],"capabilities":\["SIGNATURE_GENERATOR\.RAW"\]\}\n$`)
		if code != 0 || errs != "" || !want.MatchString(out) {
			t.Errorf("%d %q %q", code, out, errs)
		}
	}
	for _, key := range rig.Keys() {
		code, out, errs := b.plug(t, tl, "describe-key", fmt.Sprintf(`{"contractVersion":"1.0","keyId":"%s/%s"}`, rig.Project, key))
		if want := fmt.Sprintf(`{"keyId":"%s/%s","keySpec":%q}`+"\n", rig.Project, key, algorithms[key].keySpec); code != 0 || errs != "" || out != want {
			t.Errorf("%d %q %q, want %q", code, out, errs, want)
		}
	}
	for _, c := range []struct{ command, request, code string }{
		{"describe-key", "", "VALIDATION_ERROR"},
		{"describe-key", "{", "VALIDATION_ERROR"},
		{"describe-key", `{"contractVersion":"9.0","keyId":"a/b"}`, "UNSUPPORTED_CONTRACT_VERSION"},
		{"generate-envelope", "{}", "VALIDATION_ERROR"},
		{"verify-signature", "{}", "VALIDATION_ERROR"},
	} {
		code, out, errs := b.plug(t, tl, c.command, c.request)
		if code != 1 || out != "" || !strings.HasPrefix(errs, `{"errorCode":"`+c.code+`","errorMessage":"`) || !json.Valid([]byte(errs)) {
			t.Errorf("%s %s: %d %q %q", c.command, c.request, code, out, errs)
		}
	}
}

// TestTimestamp: notation adds the time stamp of an authority, and a policy that
// wants one accepts it.
func TestTimestamp(t *testing.T) {
	b := newBench(t, rig.TheService(t))
	// notation wants a root and, below it, an authority with these extensions
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	rig.Write(t, file("authority.ext"), []byte("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n"))
	for _, args := range [][]string{
		{"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file("root.key"), "-out", file("root.pem"), "-days", "2", "-subj", "/CN=Root of time", "-addext", "keyUsage=critical,keyCertSign"},
		{"req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file("tsa.key"), "-out", file("tsa.csr"), "-subj", "/CN=Time"},
		{"x509", "-req", "-in", file("tsa.csr"), "-CA", file("root.pem"), "-CAkey", file("root.key"), "-days", "2", "-extfile", file("authority.ext"), "-out", file("tsa.pem")},
	} {
		rig.Run(t, nil, "openssl", args...).OK(t)
	}
	certificate := file("root.pem")
	rig.Write(t, file("chain.pem"), slices.Concat(rig.Must(os.ReadFile(file("tsa.pem"))), rig.Must(os.ReadFile(certificate))))
	url := rig.TimestampsBy(t, file("tsa.key"), file("tsa.pem"), file("chain.pem"))
	ref := b.ref("app", b.Push(t, "app", t.Name()))
	b.sign(t, b.signer(t), rig.Keys()[1], ref, "--timestamp-url", url, "--timestamp-root-cert", certificate).OK(t)
	trusting := b.verifier(t, "strict", `,"verifyTimestamp":"always"`, b.File("ca.pem"), certificate)
	b.verify(t, trusting, ref).OK(t)
	rig.Run(t, trusting, b.notation, "inspect", "--insecure-registry", ref).OK(t).Says(t, "timestamp signature")
}

// TestMetadata: what is signed beside the digest stays what it was.
func TestMetadata(t *testing.T) {
	b := newBench(t, rig.TheService(t))
	trusting := b.verifier(t, "strict", "", b.File("ca.pem"))
	ref := b.ref("app", b.Push(t, "app", t.Name()))
	b.sign(t, b.signer(t), rig.Keys()[0], ref, "--user-metadata", "commit=4711", "--expiry", "1h").OK(t)
	b.verify(t, trusting, ref, "--user-metadata", "commit=4711").OK(t)
	b.verify(t, trusting, ref, "--user-metadata", "commit=4712").Fails(t)
}
