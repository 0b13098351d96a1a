package notation

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/internal/wire"
)

// ask runs a command whose request is given by its members.
func ask(t *testing.T, p *Plugin, command string, request map[string]any) ([]byte, *Error) {
	t.Helper()
	b, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return askRaw(t, p, command, b)
}

func askRaw(t *testing.T, p *Plugin, command string, request []byte) ([]byte, *Error) {
	t.Helper()
	answer, err := p.Run(context.Background(), command, request)
	if err == nil {
		return answer, nil
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *Error", err)
	}
	return nil, e
}

func toSign(key, spec, hash string, config map[string]string) map[string]any {
	return map[string]any{"contractVersion": "1.0", "keyId": key, "keySpec": spec, "hashAlgorithm": hash, "payload": []byte("the payload"), "pluginConfig": config}
}

func TestMetadata(t *testing.T) {
	p := &Plugin{Version: "1.2.3"} // without any settings: installing must work before configuring
	for _, request := range []string{"", "{}", `{"pluginConfig":{"a":"b"},"later":1}`} {
		answer, e := askRaw(t, p, "get-plugin-metadata", []byte(request))
		if e != nil {
			t.Fatal(e)
		}
		var m map[string]any
		if err := json.Unmarshal(answer, &m); err != nil {
			t.Fatal(err)
		}
		want := `{"name":"signpath","description":"` + description + `","version":"1.2.3","url":"` + pluginURL + `","supportedContractVersions":["1.0"],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`
		if string(answer) != want {
			t.Errorf("%s, want %s", answer, want)
		}
	}
}

// TestSign: every key of the table, verified with the standard library.
func TestSign(t *testing.T) {
	f := newFake(t)
	for _, c := range []struct {
		key, spec, hash, algorithm string
		digest                     crypto.Hash
	}{
		{"rsa2048", "RSA-2048", "SHA-256", "RSASSA-PSS-SHA-256", crypto.SHA256},
		{"rsa3072", "RSA-3072", "SHA-384", "RSASSA-PSS-SHA-384", crypto.SHA384},
		{"rsa4096", "RSA-4096", "SHA-512", "RSASSA-PSS-SHA-512", crypto.SHA512},
		{"p256", "EC-256", "SHA-256", "ECDSA-SHA-256", crypto.SHA256},
		{"p384", "EC-384", "SHA-384", "ECDSA-SHA-384", crypto.SHA384},
		{"p521", "EC-521", "SHA-512", "ECDSA-SHA-512", crypto.SHA512},
	} {
		t.Run(c.key, func(t *testing.T) {
			public := f.add(t, c.key).Public()
			p := f.plugin()
			answer, e := ask(t, p, "describe-key", map[string]any{"contractVersion": "1.0", "keyId": "app/" + c.key})
			if e != nil {
				t.Fatal(e)
			}
			if want := fmt.Sprintf(`{"keyId":"app/%s","keySpec":"%s"}`, c.key, c.spec); string(answer) != want {
				t.Errorf("%s, want %s", answer, want)
			}
			answer, e = ask(t, p, "generate-signature", toSign("app/"+c.key, c.spec, c.hash, nil))
			if e != nil {
				t.Fatal(e)
			}
			var a signAnswer
			if err := json.Unmarshal(answer, &a); err != nil {
				t.Fatal(err)
			}
			if a.KeyID != "app/"+c.key || a.SigningAlgorithm != c.algorithm {
				t.Errorf("keyId %s, signingAlgorithm %s", a.KeyID, a.SigningAlgorithm)
			}
			h := c.digest.New()
			h.Write([]byte("the payload"))
			digest := h.Sum(nil)
			switch public := public.(type) {
			case *rsa.PublicKey:
				if err := rsa.VerifyPSS(public, c.digest, digest, a.Signature, &rsa.PSSOptions{SaltLength: c.digest.Size()}); err != nil {
					t.Error(err)
				}
			case *ecdsa.PublicKey:
				half := (public.Params().BitSize + 7) / 8
				if len(a.Signature) != 2*half || !ecdsa.Verify(public, digest, new(big.Int).SetBytes(a.Signature[:half]), new(big.Int).SetBytes(a.Signature[half:])) {
					t.Error("the signature does not verify")
				}
			}
			var names []string
			for _, der := range a.CertificateChain {
				cert, err := x509.ParseCertificate(der)
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, cert.Subject.CommonName)
			}
			if got := strings.Join(names, " "); got != "leaf middle root" {
				t.Errorf("certificate chain %s", got)
			}
		})
	}
	// What the service is told about the caller.
	if len(f.metadata) == 0 || !strings.Contains(f.metadata[0], "CreatingProcess") {
		t.Errorf("metadata %v", f.metadata)
	}
	if log := f.log(t); !strings.Contains(log, "signed key=app/p521") || strings.Contains(log, testToken) {
		t.Errorf("log:\n%s", log)
	}
}

func TestRefused(t *testing.T) {
	f := newFake(t)
	f.add(t, "p256")
	f.add(t, "rsa2048", func(p *wire.SigningPolicy) {
		p.SigningPolicySlug = "gpg"
		p.CertificateType = wire.CertificateGPG
		p.CertificateBytes = nil
		p.CertificateChain = nil
	})
	f.add(t, "p384", func(p *wire.SigningPolicy) {
		p.SigningPolicySlug = "bare"
		p.CertificateBytes = nil
		p.CertificateChain = nil
	})
	f.add(t, "p521", func(p *wire.SigningPolicy) { p.SigningPolicySlug = "leaf-only"; p.CertificateChain = nil })
	describe := func(change map[string]any) map[string]any {
		r := map[string]any{"contractVersion": "1.0", "keyId": "app/p256"}
		for k, v := range change {
			if r[k] = v; v == nil {
				delete(r, k)
			}
		}
		return r
	}
	sign := func(change map[string]any) map[string]any {
		r := toSign("app/p256", "EC-256", "SHA-256", nil)
		for k, v := range change {
			if r[k] = v; v == nil {
				delete(r, k)
			}
		}
		return r
	}
	for _, c := range []struct {
		name, command string
		request       map[string]any
		environ       []string
		code          Code
		says          []string
	}{
		{"unknown command", "generate-envelope", nil, nil, CodeValidation, []string{"generate-envelope", "describe-key"}},
		{"no version", "describe-key", describe(map[string]any{"contractVersion": nil}), nil, CodeValidation, []string{"contractVersion"}},
		{"other version", "describe-key", describe(map[string]any{"contractVersion": "2.0"}), nil, CodeContract, []string{"2.0", "1.0"}},
		{"other version of a signature", "generate-signature", sign(map[string]any{"contractVersion": "1.1"}), nil, CodeContract, []string{"1.1"}},
		{"no key", "describe-key", describe(map[string]any{"keyId": nil}), nil, CodeValidation, []string{"keyId"}},
		{"key without a slash", "describe-key", describe(map[string]any{"keyId": "p256"}), nil, CodeValidation, []string{"PROJECT/POLICY"}},
		{"key with two slashes", "describe-key", describe(map[string]any{"keyId": "app/p256/x"}), nil, CodeValidation, []string{"PROJECT/POLICY"}},
		{"unknown key", "describe-key", describe(map[string]any{"keyId": "app/other"}), nil, CodeValidation, []string{"app/other", "submitter"}},
		{"key in other case", "describe-key", describe(map[string]any{"keyId": "App/p256"}), nil, CodeValidation, []string{"App/p256"}},
		{"hidden key", "describe-key", describe(nil), []string{"SIGNPATH_PROJECT_SLUG=other"}, CodeValidation, []string{"ProjectSlug", "SIGNPATH_PROJECT_SLUG", "other"}},
		{"OpenPGP key", "describe-key", describe(map[string]any{"keyId": "app/gpg"}), nil, CodeValidation, []string{"OpenPGP"}},
		{"key without certificate", "generate-signature", sign(map[string]any{"keyId": "app/bare", "keySpec": "EC-384", "hashAlgorithm": "SHA-384"}), nil, CodeValidation, []string{"no certificate"}},
		{"chain not complete", "generate-signature", sign(map[string]any{"keyId": "app/leaf-only", "keySpec": "EC-521", "hashAlgorithm": "SHA-512"}), nil, CodeValidation, []string{"middle", "CertificateChainFile"}},
		{"no keySpec", "generate-signature", sign(map[string]any{"keySpec": nil}), nil, CodeValidation, []string{"keySpec"}},
		{"no hash", "generate-signature", sign(map[string]any{"hashAlgorithm": nil}), nil, CodeValidation, []string{"hashAlgorithm"}},
		{"no payload", "generate-signature", sign(map[string]any{"payload": nil}), nil, CodeValidation, []string{"payload"}},
		{"payload no base64", "generate-signature", sign(map[string]any{"payload": "*"}), nil, CodeValidation, []string{"not valid"}},
		{"other keySpec", "generate-signature", sign(map[string]any{"keySpec": "RSA-2048"}), nil, CodeValidation, []string{"RSA-2048", "EC-256"}},
		{"other hash", "generate-signature", sign(map[string]any{"hashAlgorithm": "SHA-512"}), nil, CodeValidation, []string{"SHA-512", "SHA-256"}},
		{"config no map of texts", "describe-key", describe(map[string]any{"pluginConfig": map[string]any{"a": 1}}), nil, CodeValidation, []string{"pluginConfig"}},
		{"bad setting", "describe-key", describe(map[string]any{"pluginConfig": map[string]string{"OrganizationId": "acme"}}), nil, CodeValidation, []string{"OrganizationId", "UUID"}},
		{"setting twice", "describe-key", describe(map[string]any{"pluginConfig": map[string]string{"ConfigFile": "/a", "configfile": "/a"}}), nil, CodeValidation, []string{"configfile"}},
		{"file missing", "describe-key", describe(map[string]any{"pluginConfig": map[string]string{"ConfigFile": "/no/such/file"}}), nil, CodeValidation, []string{"/no/such/file"}},
		{"chain file missing", "generate-signature", sign(map[string]any{"pluginConfig": map[string]string{"CertificateChainFile": "/no/such/file"}}), nil, CodeValidation, []string{"CertificateChainFile", "no such file"}},
		{"wrong token", "describe-key", describe(nil), []string{"SIGNPATH_API_TOKEN=wrong-token-of-somebody"}, CodeAccess, []string{"ApiToken"}},
		{"service does not answer", "describe-key", describe(nil), []string{"SIGNPATH_API_URL=http://127.0.0.1:1/Api"}, CodeTimeout, []string{"Nothing listens there"}},
		{"token in the wrong setting", "describe-key", describe(nil), []string{"SIGNPATH_ORGANIZATION_ID=" + testOrg + ":" + testToken}, CodeValidation, []string{"ApiToken"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := f.count("POST")
			_, e := ask(t, f.plugin(c.environ...), c.command, c.request)
			if e == nil {
				t.Fatal("no error")
			}
			if e.Code != c.code {
				t.Errorf("code %s, want %s: %s", e.Code, c.code, e.Message)
			}
			for _, s := range c.says {
				if !strings.Contains(e.Message, s) {
					t.Errorf("%q does not say %q", e.Message, s)
				}
			}
			if strings.Contains(e.Message, testToken) {
				t.Error("the token stands in the message")
			}
			if f.count("POST") != before {
				t.Error("a signature was asked for")
			}
		})
	}
	for _, missing := range []string{"SIGNPATH_ORGANIZATION_ID", "SIGNPATH_API_TOKEN"} {
		_, e := ask(t, f.plugin(missing+"="), "describe-key", describe(nil))
		if e == nil || e.Code != CodeValidation || !strings.Contains(e.Message, missing) {
			t.Errorf("without %s: %v", missing, e)
		}
	}
}

// TestStatus: the service's refusals and the code that each becomes.
func TestStatus(t *testing.T) {
	for status, code := range map[int]Code{400: CodeValidation, 401: CodeAccess, 403: CodeAccess, 404: CodeGeneric, 409: CodeGeneric, 422: CodeValidation, 429: CodeThrottled, 500: CodeGeneric, 502: CodeTimeout, 503: CodeTimeout, 504: CodeTimeout, 302: CodeGeneric} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			f := newFake(t)
			f.add(t, "p256")
			f.status = status
			_, e := ask(t, f.plugin(), "generate-signature", toSign("app/p256", "EC-256", "SHA-256", nil))
			if status == 302 { // the fake answers 400 at least
				f.status, f.refuse = 0, 302
				_, e = ask(t, f.plugin(), "describe-key", map[string]any{"contractVersion": "1.0", "keyId": "app/p256"})
			}
			if e == nil || e.Code != code || e.Metadata["httpStatus"] != fmt.Sprint(status) {
				t.Fatalf("%+v, want %s", e, code)
			}
			if file := e.Metadata["logFile"]; !strings.HasPrefix(file, f.logs) || !strings.Contains(f.log(t), string(code)) {
				t.Errorf("log file %q", file)
			}
			var document map[string]any
			if err := json.Unmarshal(e.JSON(), &document); err != nil || document["errorCode"] != string(code) || document["errorMessage"] == "" || bytes.ContainsRune(e.JSON(), '\n') {
				t.Errorf("%s %v", e.JSON(), err)
			}
		})
	}
}

// TestPrecedence: --plugin-config before environment before file.
func TestPrecedence(t *testing.T) {
	f := newFake(t)
	f.add(t, "p256")
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"OrganizationId":"99999999-2222-3333-4444-555555555555","ApiToken":"of-the-file","Log":{"File":{"Level":"debug"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	describe := func(p *Plugin, config map[string]string) *Error {
		_, e := ask(t, p, "describe-key", map[string]any{"contractVersion": "1.0", "keyId": "app/p256", "pluginConfig": config})
		return e
	}
	if e := describe(f.plugin("SIGNPATH_API_TOKEN="), map[string]string{"ConfigFile": file}); e == nil || e.Code != CodeAccess {
		t.Errorf("the file's token: %v", e)
	}
	if e := describe(f.plugin(), map[string]string{"ConfigFile": file}); e != nil {
		t.Errorf("the environment's token: %v", e)
	}
	if e := describe(f.plugin("SIGNPATH_API_TOKEN=of-the-environment"), map[string]string{"apitoken": testToken}); e != nil {
		t.Errorf("the tool's token: %v", e)
	}
	if e := describe(f.plugin(), map[string]string{"Log.File.Level": "debug", "Log.Console.Level": "debug", "Nonsense": "1"}); e != nil {
		t.Error(e)
	}
	log := f.log(t)
	for _, want := range []string{"key described", "Log.Console.Level is ignored", "Nonsense"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, testToken) || strings.Contains(log, "of-the-file") {
		t.Error("a token stands in the log")
	}
}

// TestOneList: the list is narrowed to the key, and asked for once per command.
func TestOneList(t *testing.T) {
	f := newFake(t)
	f.add(t, "p256")
	if _, e := ask(t, f.plugin(), "generate-signature", toSign("app/p256", "EC-256", "SHA-256", nil)); e != nil {
		t.Fatal(e)
	}
	if len(f.requests) != 2 || !strings.Contains(f.requests[0], "app") || !strings.Contains(f.requests[0], "p256") {
		t.Errorf("requests %q", f.requests)
	}
}

func TestCanceled(t *testing.T) {
	f := newFake(t)
	f.add(t, "p256")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := f.plugin().Run(ctx, "describe-key", []byte(`{"contractVersion":"1.0","keyId":"app/p256"}`))
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeGeneric {
		t.Fatal(err)
	}
}

func TestChain(t *testing.T) {
	root := newAuthority(t, "root", nil)
	first := newAuthority(t, "first", root)
	second := newAuthority(t, "second", first)
	stranger := newAuthority(t, "second", newAuthority(t, "elsewhere", nil)) // same name, other key
	leaf := issue(t, "leaf", false, root.cert.PublicKey, second, nil)
	alone := issue(t, "alone", false, root.cert.PublicKey, nil, root.key)
	// Two authorities that issued each other never end in a root.
	a := newAuthority(t, "a", nil)
	b := newAuthority(t, "b", a)
	around := issue(t, "a", true, a.cert.PublicKey, b, nil)
	inCircle := issue(t, "leaf of a circle", false, root.cert.PublicKey, &authority{around, a.key}, nil)

	certs := func(as ...*authority) (out []*x509.Certificate) {
		for _, a := range as {
			out = append(out, a.cert)
		}
		return out
	}
	for _, c := range []struct {
		name    string
		leaf    *x509.Certificate
		issuers []*x509.Certificate
		want    int // certificates; 0: an error
	}{
		{"in order", leaf, certs(second, first, root), 4},
		{"in any order, with strangers", leaf, certs(stranger, root, first, stranger, second), 4},
		{"self-signed", alone, nil, 1},
		{"self-signed with strangers", alone, certs(root), 1},
		{"root missing", leaf, certs(second, first), 0},
		{"middle missing", leaf, certs(second, root), 0},
		{"issuer of that name, other key", leaf, certs(stranger, first, root), 0},
		{"nothing", leaf, nil, 0},
		{"a circle", inCircle, []*x509.Certificate{around, b.cert}, 0},
	} {
		chain, err := buildChain(c.leaf, c.issuers)
		if len(chain) != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d certificates, %v", c.name, len(chain), err)
		}
	}
}

// TestChainFile: a service that knows the leaf only, and a file that has the rest.
func TestChainFile(t *testing.T) {
	f := newFake(t)
	var issuers [][]byte
	f.add(t, "p256", func(p *wire.SigningPolicy) { issuers, p.CertificateChain = p.CertificateChain, nil })
	var text []byte
	for i := len(issuers) - 1; i >= 0; i-- {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuers[i]})...)
	}
	file := filepath.Join(t.TempDir(), "issuers.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	answer, e := ask(t, f.plugin(), "generate-signature", toSign("app/p256", "EC-256", "SHA-256", map[string]string{"certificatechainfile": file}))
	if e != nil {
		t.Fatal(e)
	}
	var a signAnswer
	if err := json.Unmarshal(answer, &a); err != nil || len(a.CertificateChain) != 3 {
		t.Errorf("%d certificates, %v", len(a.CertificateChain), err)
	}
	for name, content := range map[string]string{"empty": "", "no certificate": "-----BEGIN X-----\nAA==\n-----END X-----\n", "broken": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"} {
		if _, err := parseChain([]byte(content)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := readChainFile(t.TempDir()); err == nil {
		t.Error("a folder is accepted")
	}
}

func TestDecode(t *testing.T) {
	for name, request := range map[string]string{
		"empty": "", "spaces": " \n", "null": "null", "a list": "[]", "a text": `"x"`, "half": `{"keyId":`, "two": "{}{}",
		"member twice": `{"keyId":"a/b","keyId":"c/d"}`, "number for a text": `{"keyId":1}`, "no UTF-8": "{\"keyId\":\"\xff\"}",
	} {
		_, err := decode[keyRequest]([]byte(request))
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeValidation {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := decode[signRequest]([]byte("\ufeff" + `{"contractVersion":"1.0","keyId":"a/b","keySpec":"EC-256","hashAlgorithm":"SHA-256","payload":"AAEC","pluginConfig":{"x":"y"},"unknown":{}}`))
	if err != nil || r.KeyID != "a/b" || !bytes.Equal(r.Payload, []byte{0, 1, 2}) || r.PluginConfig["x"] != "y" {
		t.Errorf("%+v %v", r, err)
	}
}
