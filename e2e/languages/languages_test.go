package languages

import (
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// host is a program HOST MODULE LABEL FILE FOLDER that signs a file in every way its
// library has and writes each signature to FOLDER/WAY.sig.
type host struct {
	name     string
	command  func(t *testing.T) []string
	settings []string
	rsa, ec  []string // the least that must come out
	more     int      // signatures by threads and forked processes
	// What the library says to a PIN of the wrong form, to a wrong token, to the
	// policy of somebody else, and to a service that does not answer.
	pin, token, other, away string
}

func script(folder, name string, variables ...string) func(t *testing.T) []string {
	return func(t *testing.T) []string {
		t.Helper()
		return append(append([]string{"env"}, variables...), filepath.Join(rig.Root, "e2e", "languages", folder, name))
	}
}

func python(name string) func(t *testing.T) []string {
	return func(t *testing.T) []string {
		t.Helper()
		return script("python", name, "PYTHONPATH="+rig.Program(t, "E2E_PYTHON_PACKAGES"), "python3")(t)
	}
}

func node(name string) func(t *testing.T) []string {
	return func(t *testing.T) []string {
		t.Helper()
		return script("node", name, "NODE_PATH="+rig.Program(t, "E2E_NODE_PACKAGES"), rig.Program(t, "E2E_NODE"))(t)
	}
}

func goHost(name string) func(t *testing.T) []string {
	return func(t *testing.T) []string {
		t.Helper()
		return []string{filepath.Join(rig.Program(t, "E2E_GO_HOSTS"), name)}
	}
}

var (
	everyRSA = []string{"pkcs1-sha256", "pkcs1-sha512", "pss-sha256", "pss-sha384"}
	everyEC  = []string{"ecdsa-sha256", "ecdsa-sha384"}
)

var hosts = []host{
	{name: "python-pkcs11", command: python("python_pkcs11.py"), rsa: append(everyRSA, "stream-pkcs1-sha256"), ec: everyEC, more: 8,
		pin: "PinIncorrect", token: "ArgumentsBad", other: "NoSuchKey", away: "FunctionFailed"},
	{name: "PyKCS11", command: python("pykcs11.py"), rsa: everyRSA, ec: everyEC, more: 8,
		pin: "CKR_PIN_INCORRECT", token: "CKR_ARGUMENTS_BAD", other: "AssertionError", away: "CKR_FUNCTION_FAILED"},
	{name: "pkcs11js", command: node("pkcs11js.js"), rsa: append(everyRSA, "stream-pkcs1-sha256"), ec: everyEC, more: 8,
		pin: "CKR_PIN_INCORRECT", token: "CKR_ARGUMENTS_BAD", other: "0 keys", away: "CKR_FUNCTION_FAILED"},
	{name: "graphene-pk11", command: node("graphene.js"), rsa: []string{"pkcs1-sha256", "pkcs1-sha512", "pss-sha256"}, ec: everyEC,
		pin: "CKR_PIN_INCORRECT", token: "CKR_ARGUMENTS_BAD", other: "0 keys", away: "CKR_FUNCTION_FAILED"},
	{name: "miekg", command: goHost("miekg"), rsa: everyRSA, ec: everyEC, more: 40,
		pin: "CKR_PIN_INCORRECT", token: "CKR_ARGUMENTS_BAD", other: "0 keys", away: "CKR_FUNCTION_FAILED"},
	{name: "crypto11", command: goHost("crypto11"), rsa: []string{"pkcs1-sha256", "pss-sha384"}, ec: []string{"ecdsader-sha256", "ecdsader-sha384"}, more: 8,
		settings: []string{"SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true"},
		pin:      "CKR_PIN_INCORRECT", token: "CKR_ARGUMENTS_BAD", other: "was not found", away: "CKR_FUNCTION_FAILED"},
	{name: "Rust cryptoki", command: func(t *testing.T) []string { return []string{rig.Program(t, "E2E_RUST_HOST")} }, rsa: append(everyRSA, "stream-pkcs1-sha256"), ec: everyEC, more: 8,
		pin: "PinIncorrect", token: "ArgumentsBad", other: "0 keys", away: "FunctionFailed"},
}

// chosen leaves out what is not there without E2E_ALL: Rust's compiler is large.
func chosen() []host {
	if rig.All {
		return hosts
	}
	return slices.DeleteFunc(slices.Clone(hosts), func(h host) bool { return h.name == "Rust cryptoki" })
}

func (h host) run(t *testing.T, tl *rig.Tool, key, file, folder string) *rig.Result {
	t.Helper()
	command := append(h.command(t), rig.Module, rig.Project+"/"+key, file, folder)
	return tl.Run(t, command[0], command[1:]...)
}

func (h host) tool(t *testing.T, s *rig.Service, more ...string) *rig.Tool {
	t.Helper()
	return s.Tool(t, append(append([]string{"TEST_PIN=CONFIG"}, h.settings...), more...)...)
}

// TestLibraries: every way of signing with every key, judged by OpenSSL.
func TestLibraries(t *testing.T) {
	s := rig.TheService(t)
	for _, h := range chosen() {
		t.Run(h.name, func(t *testing.T) {
			for _, key := range rig.Keys() {
				t.Run(key, func(t *testing.T) {
					file, tampered, content := rig.Artifact(t)
					folder := t.TempDir()
					tl := h.tool(t, s)
					r := h.run(t, tl, key, file, folder).OK(t)
					want := h.ec
					if rig.IsRSA(key) {
						want = h.rsa
					}
					for _, way := range want {
						if _, err := os.Stat(filepath.Join(folder, way+".sig")); err != nil {
							t.Error(err)
						}
					}
					files := rig.Must(filepath.Glob(filepath.Join(folder, "*.sig")))
					if len(files) != len(want)+h.more {
						t.Errorf("%d signatures instead of %d: %v", len(files), len(want)+h.more, files)
					}
					judge(t, s, key, file, tampered, files)
					s.Audited(t, rig.SHA256Of(content), key)
					rig.Row(t, h.name, packageVersion(t, h.name), key, rig.Here, "openssl dgst -verify")
					if r.Output != "" {
						t.Errorf("the program said %q", r.Output)
					}
				})
			}
		})
	}
}

// judge lets OpenSSL verify signatures whose names say how they were made.
func judge(t *testing.T, s *rig.Service, key, file, tampered string, signatures []string) {
	t.Helper()
	public := s.PublicKey(t, key)
	seen := map[string]bool{}
	for _, signature := range signatures {
		way := strings.Split(strings.TrimSuffix(filepath.Base(signature), ".sig"), "-")
		padding, hash := way[len(way)-2], way[len(way)-1]
		sig := rig.Must(os.ReadFile(signature))
		// PKCS #1 v1.5 has no chance in it: what is equal was verified once.
		if id := padding + hash + hex.EncodeToString(sig); seen[id] && padding == "pkcs1" {
			continue
		} else {
			seen[id] = true
		}
		args := []string{"dgst", "-" + hash, "-verify", public}
		switch padding {
		case "pss":
			args = append(args, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", "-sigopt", "rsa_mgf1_md:"+hash)
		case "ecdsa":
			half := len(sig) / 2
			sig = rig.Must(asn1.Marshal([]*big.Int{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])}))
		}
		args = append(args, "-signature", rig.Write(t, signature+".der", sig))
		rig.Run(t, nil, "openssl", append(args, file)...).OK(t)
		rig.Run(t, nil, "openssl", append(args, tampered)...).Fails(t)
	}
}

// TestLibrariesRefused: what the people who use a library see, and the line of the log.
func TestLibrariesRefused(t *testing.T) {
	s := rig.TheService(t)
	key := rig.Keys()[1]
	other := strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token")))))
	wrong := strings.Repeat("A", 44)
	away, ca, _ := rig.Failing(t, s)
	for _, h := range chosen() {
		t.Run(h.name, func(t *testing.T) {
			file, _, _ := rig.Artifact(t)
			for _, c := range []struct {
				name, says string
				settings   []string
				log        []string
			}{
				{"PIN of the wrong form", h.pin, []string{"TEST_PIN=1234"}, []string{"PIN", "CONFIG"}},
				{"wrong token", h.token, []string{"SIGNPATH_API_TOKEN=" + wrong}, []string{"ERROR", "401"}},
				{"wrong token as PIN", h.token, []string{"TEST_PIN=" + s.Env["SIGNPATH_ORGANIZATION_ID"] + ":" + wrong}, []string{"ERROR", "401"}},
				{"policy of somebody else", h.other, []string{"SIGNPATH_API_TOKEN=" + other}, []string{"logged in", "keys=0"}},
				{"service fails", h.away, []string{"SIGNPATH_API_URL=" + away, "SIGNPATH_TRUSTED_CA_FILE=" + ca, "SIGNPATH_TIMEOUTS_RETRY_COUNT=1", "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY=0.05"}, []string{"ERROR", "503"}},
			} {
				t.Run(c.name, func(t *testing.T) {
					tl := h.tool(t, s, c.settings...)
					r := h.run(t, tl, key, file, t.TempDir()).Fails(t).Says(t, c.says)
					tl.InLog(t, c.log...)
					if strings.Contains(r.Output+tl.Log(), wrong) {
						t.Error("the token stands in the log or on the console")
					}
				})
			}
		})
	}
}

// TestReadWrite: crypto11 opens read/write sessions only. They are refused, and the
// log names the setting that lets them be.
func TestReadWrite(t *testing.T) {
	s := rig.TheService(t)
	file, _, _ := rig.Artifact(t)
	h := hosts[slices.IndexFunc(hosts, func(h host) bool { return h.name == "crypto11" })]
	tl := h.tool(t, s, h.settings[0][:strings.Index(h.settings[0], "=")+1])
	h.run(t, tl, rig.Keys()[1], file, t.TempDir()).Fails(t).Says(t, "CKR_TOKEN_WRITE_PROTECTED")
	tl.InLog(t, "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS")
}

// pyhanko runs pyHanko's command line with a profile that names module, key and PIN.
type pyhanko struct {
	profile string // YAML below the profile's name
	options []string
	more    []string // behind "pkcs11"
}

func (p pyhanko) run(t *testing.T, tl *rig.Tool, key, in, out string) *rig.Result {
	t.Helper()
	config := rig.Write(t, filepath.Join(t.TempDir(), "pyhanko.yml"), fmt.Appendf(nil, `pkcs11-setups:
  signpath:
    module-path: %s
    token-label: SignPath
    cert-label: %s
    user-pin: CONFIG
%s`, rig.Module, rig.Project+"/"+key, p.profile))
	args := append([]string{"PYTHONPATH=" + rig.Program(t, "E2E_PYTHON_PACKAGES"), "python3", "-m", "pyhanko", "--config", config, "sign", "addsig", "--field", "Signature"}, p.options...)
	args = append(append(append(args, "pkcs11", "--p11-setup", "signpath"), p.more...), in, out)
	return tl.Run(t, "env", args...)
}

// document makes a PDF with a text that no other test has, by hand.
func document(t *testing.T) string {
	t.Helper()
	text := fmt.Sprintf("BT /F1 12 Tf 72 720 Td (%s) Tj ET", strings.Map(func(r rune) rune {
		if r == '(' || r == ')' || r == '\\' {
			return '_'
		}
		return r
	}, t.Name()+" "+t.TempDir()))
	objects := []string{
		"<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
		fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(text), text),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
	}
	var b strings.Builder
	b.WriteString("%PDF-1.7\n")
	var offsets []int
	for i, o := range objects {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return rig.Write(t, filepath.Join(t.TempDir(), "document.pdf"), []byte(b.String()))
}

// trust makes an NSS database that trusts the root of the service's certificates.
func trust(t *testing.T, s *rig.Service) string {
	t.Helper()
	dir := t.TempDir()
	rig.Run(t, nil, "certutil", "-N", "-d", "sql:"+dir, "--empty-password").OK(t)
	rig.Run(t, nil, "certutil", "-A", "-d", "sql:"+dir, "-n", "root", "-t", "CT,C,C", "-i", s.File("ca.pem")).OK(t)
	return dir
}

// signatureOf takes the CMS and what it covers out of a PDF with one signature
// (ISO 32000-1 section 12.8.1): ByteRange [a b c d], Contents <hex> between.
func signatureOf(t *testing.T, pdf []byte) (cms, covered []byte) {
	t.Helper()
	text := string(pdf)
	_, after, ok := strings.Cut(text, "/ByteRange")
	if !ok {
		t.Fatal("no ByteRange")
	}
	var r [4]int
	inside, _, _ := strings.Cut(after[strings.Index(after, "[")+1:], "]")
	for i, f := range strings.Fields(inside) {
		r[i] = rig.Must(strconv.Atoi(f))
	}
	contents := strings.Trim(text[r[0]+r[1]:r[2]], "<>")
	return rig.Must(hex.DecodeString(contents)), slices.Concat(pdf[r[0]:r[0]+r[1]], pdf[r[2]:r[2]+r[3]])
}

// TestPDF: pyHanko signs, poppler's pdfsig and OpenSSL judge.
func TestPDF(t *testing.T) {
	s := rig.TheService(t)
	database := trust(t, s)
	tsa, _ := rig.Timestamps(t)
	chain := func(key string) string {
		return "    other-certs: [" + s.File("certificates", key+".chain.pem") + "]\n"
	}
	issuers := func(t *testing.T, key string) string { // by the labels of the module's objects
		t.Helper()
		names := "    other-certs-to-pull:\n"
		r := rig.Run(t, nil, "openssl", "crl2pkcs7", "-nocrl", "-certfile", s.File("certificates", key+".chain.pem")).OK(t)
		p := rig.Write(t, filepath.Join(t.TempDir(), "chain.p7"), []byte(r.Output))
		r = rig.Run(t, nil, "openssl", "pkcs7", "-in", p, "-print_certs", "-noout").OK(t)
		for line := range strings.Lines(r.Output) {
			if _, cn, ok := strings.Cut(strings.TrimSpace(line), "CN = "); ok && strings.HasPrefix(line, "subject=") && !strings.HasSuffix(cn, key) {
				names += "      - " + cn + "\n"
			}
		}
		return names
	}
	type variant struct {
		name, key string
		pyhanko
		trusted bool
		says    []string
	}
	// pdfsig asks NSS about a certificate for mail; those for code are "unknown".
	variants := []variant{
		{"approved by NSS", "mail-rsa2048", pyhanko{profile: chain("mail-rsa2048")}, true, []string{"adbe.pkcs7.detached"}},
		{"PAdES", "mail-rsa2048", pyhanko{profile: chain("mail-rsa2048"), options: []string{"--use-pades"}}, true, []string{"ETSI.CAdES.detached"}},
		{"issuers from the module", "mail-rsa2048", pyhanko{profile: issuers(t, "mail-rsa2048")}, true, nil},
		{"PSS", rig.Keys()[0], pyhanko{profile: chain(rig.Keys()[0]), options: []string{"--prefer-pss"}}, false, nil},
		{"raw mechanism", rig.Keys()[1], pyhanko{profile: chain(rig.Keys()[1]) + "    raw-mechanism: true\n"}, false, nil},
		{"time stamp", rig.Keys()[1], pyhanko{profile: chain(rig.Keys()[1]), options: []string{"--timestamp-url", tsa}}, false, nil},
		{"certified", rig.Keys()[0], pyhanko{profile: chain(rig.Keys()[0]), options: []string{"--certify"}}, false, nil},
	}
	for _, key := range rig.Keys() {
		variants = append(variants, variant{key, key, pyhanko{profile: chain(key)}, false, nil})
	}
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			rig.Row(t, "pyHanko", packageVersion(t, "pyhanko"), v.key, rig.Here, "pdfsig")
			in := document(t)
			signed := filepath.Join(t.TempDir(), "signed.pdf")
			v.run(t, s.Tool(t), v.key, in, signed).OK(t)
			r := rig.Run(t, nil, "pdfsig", "-nssdir", database, signed).OK(t).Says(t, "Signature Validation: Signature is Valid.").Says(t, "Total document signed")
			if v.trusted {
				r.Says(t, "Certificate Validation: Certificate is Trusted.")
			}
			for _, x := range v.says {
				r.Says(t, x)
			}
			pdf := rig.Must(os.ReadFile(signed))
			cms, covered := signatureOf(t, pdf)
			sd := rig.ParseCMS(t, cms)
			s.Audited(t, sd.Digest(t, covered), v.key)
			if v.name != "PSS" { // openssl smime knows no PSS
				s.OpenSSLAccepts(t, cms, covered)
			}

			at := strings.Index(string(pdf), "72 720")
			pdf[at] ^= 1
			tampered := rig.Write(t, filepath.Join(t.TempDir(), "tampered.pdf"), pdf)
			rig.Run(t, nil, "pdfsig", "-nssdir", database, tampered).Says(t, "Signature Validation: Digest Mismatch.")
		})
	}
	t.Run("wrong token", func(t *testing.T) {
		tl := s.Tool(t, "SIGNPATH_API_TOKEN="+strings.Repeat("A", 44))
		out := filepath.Join(t.TempDir(), "signed.pdf")
		pyhanko{}.run(t, tl, rig.Keys()[1], document(t), out).Fails(t)
		tl.InLog(t, "ERROR", "401")
		if pdf, err := os.ReadFile(out); err == nil && strings.Contains(string(pdf), "/Contents<") {
			t.Error("there is a signature all the same")
		}
	})
}
