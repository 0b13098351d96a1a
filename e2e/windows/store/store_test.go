// Package store registers certificates of signing policies in the certificate stores of
// Windows and lets other programs find them there: by thumbprint and by name, linked to
// SignPathCSP on Wine as it is, and to SignPathKSP through the rig's stand-ins.
package store

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

func signpath(t *testing.T) string { return winrig.DLL(t, "amd64", "signpath.exe") }

func find(t *testing.T) string {
	t.Helper()
	return winrig.Compile(t, "amd64", "find.exe", "testdata/find.c", "-municode", "-lcrypt32", "-lncrypt", "-ladvapi32")
}

// entry is one of `signpath certificates list --json`.
type entry struct {
	Thumbprint, CommonName, Policy, Provider, FriendlyName, State, Organization string
}

func list(t *testing.T, tl *winrig.Tool, more ...string) map[string]entry {
	t.Helper()
	r := tl.Run(t, signpath(t), append([]string{"certificates", "list", "--json"}, more...)...).OK(t)
	var answer struct{ Certificates []entry }
	document := r.Output[max(strings.Index(r.Output, "{\n"), 0):] // warnings stand before it
	if err := json.Unmarshal([]byte(document), &answer); err != nil {
		t.Fatalf("%v\n%s", err, r.Output)
	}
	all := map[string]entry{}
	for _, e := range answer.Certificates {
		all[e.Policy] = e
	}
	return all
}

// leaf is the certificate of a key.
func leaf(t *testing.T, s *rig.Service, key string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(rig.Must(os.ReadFile(s.File("certificates", key+".pem"))))
	return rig.Must(x509.ParseCertificate(block.Bytes))
}

// The CSP: CryptSignMessage finds the key by the entry's link, and OpenSSL accepts.
func TestCSPLink(t *testing.T) {
	s := rig.OwnService(t)
	w := winrig.Own(t, false)
	tl := w.Tool(t, s, "CSP")
	exe, name := signpath(t), rig.Project+"/rsa2048"
	tl.Run(t, exe, "certificates", "register", "--provider", "CSP").OK(t).Says(t, "passed over").Says(t, "SignPathCSP has RSA keys only").Says(t, "issuer of "+name)
	e := list(t, tl)[name]
	if e.State != "ok" || e.Provider != "CSP" || e.FriendlyName != "SignPath "+name {
		t.Fatalf("the entry is %+v", e)
	}
	dir := t.TempDir()
	content := rig.Write(t, filepath.Join(dir, "content"), []byte("hello"))
	tampered := rig.Write(t, filepath.Join(dir, "tampered"), []byte("jello"))
	for by, value := range map[string]string{"sha1": e.Thumbprint, "name": e.CommonName} {
		cms := filepath.Join(dir, by+".p7")
		tl.Run(t, find(t), by, value, "message", winrig.Path(cms)).OK(t).Says(t, "signed")
		verify := func(content string) *rig.Result {
			return rig.Run(t, nil, "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", cms, "-content", content, "-CAfile", s.File("certificates", "rsa2048.chain.pem"), "-purpose", "any", "-out", os.DevNull)
		}
		verify(content).OK(t)
		verify(tampered).Fails(t)
	}
	s.Audited(t, rig.SHA256Of([]byte("hello")), "rsa2048")
	// a token that the service does not know: the reason is in the log
	wrong := w.Tool(t, s, "CSP", "SIGNPATH_API_TOKEN="+strings.Repeat("x", 44))
	wrong.Run(t, find(t), "sha1", e.Thumbprint, "message", winrig.Path(filepath.Join(dir, "none"))).Fails(t)
	wrong.InLog(t, "401")
}

// The KSP: a program gets a CNG key by the entry's link and signs with it, RSA and ECDSA.
func TestKSPLink(t *testing.T) {
	s := rig.OwnService(t)
	w := winrig.Taught(t)
	tl := w.Tool(t, s, "KSP")
	tl.Run(t, signpath(t), "certificates", "register", "--friendly-name", "{policy} of {project}").OK(t)
	entries := list(t, tl)
	var digest [32]byte
	for i := range digest {
		digest[i] = byte(i)
	}
	for _, key := range []string{"rsa2048", "p256"} {
		e := entries[rig.Project+"/"+key]
		if e.State != "ok" || e.Provider != "KSP" || e.FriendlyName != key+" of "+rig.Project {
			t.Fatalf("the entry is %+v of %+v", e, entries)
		}
		for by, value := range map[string]string{"sha1": e.Thumbprint, "name": e.CommonName} {
			out := filepath.Join(t.TempDir(), "signature")
			tl.Run(t, find(t), by, value, "digest", winrig.Path(out)).OK(t).Says(t, "key specification ffffffff")
			sig := rig.Must(os.ReadFile(out))
			switch public := leaf(t, s, key).PublicKey.(type) {
			case *rsa.PublicKey:
				if rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], sig) != nil || rsa.VerifyPKCS1v15(public, crypto.SHA256, rig.SHA256Of(nil), sig) == nil {
					t.Errorf("%s by %s: a wrong signature", key, by)
				}
			case *ecdsa.PublicKey:
				half := len(sig) / 2
				if !ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])) {
					t.Errorf("%s by %s: a wrong signature", key, by)
				}
			}
		}
		s.Audited(t, digest[:], key)
	}
}

// What is not ours stays; what is ours comes, changes and goes with the service.
func TestInStep(t *testing.T) {
	s := rig.OwnService(t)
	w := winrig.Own(t, false)
	tl := w.Tool(t, s, "Cli")
	exe, name, ec := signpath(t), rig.Project+"/rsa2048", rig.Project+"/p256"
	// a certificate with a private key of somebody else's
	dir := t.TempDir()
	rig.Run(t, nil, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mine", "-keyout", filepath.Join(dir, "k"), "-out", filepath.Join(dir, "c")).OK(t)
	rig.Run(t, nil, "openssl", "pkcs12", "-export", "-in", filepath.Join(dir, "c"), "-inkey", filepath.Join(dir, "k"), "-passout", "pass:pw", "-out", filepath.Join(dir, "pfx")).OK(t)
	tl.Run(t, winrig.Compile(t, "amd64", "import.exe", "testdata/import.c", "-municode", "-lcrypt32"), winrig.Path(filepath.Join(dir, "pfx"))).OK(t)
	foreign := func() int {
		return strings.Count(w.Export(t, `HKEY_CURRENT_USER\Software\Microsoft\SystemCertificates\My\Certificates`), `\Certificates\`)
	}
	if n := foreign(); n != 1 {
		t.Fatalf("%d entries before", n)
	}

	tl.Run(t, exe, "certificates", "register", "--dry-run").OK(t).Says(t, "nothing was changed")
	if n := foreign(); n != 1 {
		t.Errorf("--dry-run left %d entries", n)
	}
	tl.Run(t, exe, "certificates", "register", "--signing-policy", name).OK(t)
	if all := list(t, tl); len(all) != 1 || all[name].State != "ok" {
		t.Errorf("one policy: %+v", all)
	}
	tl.Run(t, exe, "certificates", "register").OK(t).Says(t, "unchanged").Says(t, "added")
	tl.Run(t, exe, "certificates", "register", "--provider", "CSP", "--project", rig.Project, "--signing-policy", "rsa2048").OK(t).Says(t, "provider SignPathKSP becomes SignPathCSP")
	if all := list(t, tl); len(all) != 2 || all[name].Provider != "CSP" || all[ec].Provider != "KSP" {
		t.Errorf("two providers: %+v", all)
	}
	tl.Run(t, exe, "certificates", "register").OK(t).Says(t, "provider SignPathCSP becomes SignPathKSP")
	tl.Run(t, exe, "certificates", "register", "--signing-policy", rig.Project+"/none").Fails(t).Says(t, "no signing policy of that name")

	// the policy goes out of sight
	rig.Run(t, nil, rig.Binary, "admin", "--data", s.File("data"), "policy", "deactivate", name).OK(t)
	if all := list(t, tl); all[name].State != "gone" || all[ec].State != "ok" {
		t.Errorf("after it went: %+v", all)
	}
	tl.Run(t, exe, "doctor").Says(t, "no such signing policy is in sight")
	tl.Run(t, exe, "certificates", "register").OK(t)
	if all := list(t, tl); len(all) != 2 {
		t.Errorf("without --sync something went: %+v", all)
	}

	// at logon it is put right, by the command that Windows would run
	tl.Run(t, exe, "certificates", "register", "--at-logon", "--signing-policy", ec).OK(t)
	if all := list(t, tl); len(all) != 2 {
		t.Errorf("out of its scope something went: %+v", all)
	}
	tl.Run(t, exe, "certificates", "register", "--at-logon").OK(t).Says(t, "runs at every logon")
	if all := list(t, tl); len(all) != 1 {
		t.Errorf("after --sync: %+v", all)
	}
	rig.Run(t, nil, rig.Binary, "admin", "--data", s.File("data"), "policy", "activate", name).OK(t)
	line := w.Value(t, `HKCU\Software\Microsoft\Windows\CurrentVersion\Run`, "SignPath certificates")
	if !strings.Contains(line, "certificates register --sync --provider KSP") {
		t.Fatalf("at logon: %q", line)
	}
	logon := rig.Write(t, filepath.Join(t.TempDir(), "logon.bat"), []byte("@"+line+"\r\n"))
	tl.Run(t, "cmd", "/c", winrig.Path(logon)).OK(t)
	if all := list(t, tl); len(all) != 2 {
		t.Errorf("after the logon: %+v", all)
	}
	// without the service nothing is compared, and nothing goes; a list does not wait ten minutes
	nowhere := "SIGNPATH_API_URL=https://127.0.0.1:" + rig.FreePort(t) + "/Api"
	away := w.Tool(t, s, "Cli", nowhere, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=1")
	if all := list(t, w.Tool(t, s, "Cli", nowhere)); len(all) != 2 || all[name].State != "not compared" {
		t.Errorf("without the service: %+v", all)
	}
	away.Run(t, exe, "certificates", "register", "--sync").Fails(t)
	w.Tool(t, s, "Cli", "SIGNPATH_API_TOKEN="+strings.Repeat("x", 44)).Run(t, exe, "certificates", "register", "--sync").Fails(t).Says(t, "401")

	other := w.Tool(t, s, "Cli", "SIGNPATH_ORGANIZATION_ID=11111111-2222-4333-8444-555555555555")
	other.Run(t, exe, "certificates", "unregister").OK(t)
	if all := list(t, tl); len(all) != 2 {
		t.Errorf("another organization has removed them: %+v", all)
	}
	tl.Run(t, exe, "certificates", "unregister").OK(t).Says(t, "no entry needs this issuer any more").Says(t, "nothing runs at logon any more")
	if all := list(t, tl, "--offline"); len(all) != 0 || foreign() != 1 {
		t.Errorf("what is left: %+v and %d entries", all, foreign())
	}
	if line := w.Value(t, `HKCU\Software\Microsoft\Windows\CurrentVersion\Run`, "SignPath certificates"); line != "" {
		t.Errorf("at logon still: %q", line)
	}
}

// LocalMachine is another place with other flags.
func TestLocalMachine(t *testing.T) {
	s := rig.OwnService(t)
	w := winrig.Own(t, false)
	tl := w.Tool(t, s, "Cli")
	exe, name := signpath(t), rig.Project+"/rsa2048"
	tl.Run(t, exe, "certificates", "register", "--store", "LocalMachine", "--trust-root").OK(t).Says(t, `LocalMachine\Root`)
	if all := list(t, tl); len(all) != 0 {
		t.Errorf("the user has them too: %+v", all)
	}
	if all := list(t, tl, "--store", "LocalMachine"); all[name].State != "ok" {
		t.Errorf("the machine has %+v", all)
	}
	tl.Run(t, exe, "certificates", "register", "--store", "LocalMachine", "--at-logon").Fails(t).Says(t, "schtasks")
	tl.Run(t, exe, "certificates", "unregister").OK(t)
	if all := list(t, tl, "--store", "LocalMachine"); len(all) != 2 {
		t.Errorf("the user's command removed the machine's: %+v", all)
	}
	tl.Run(t, exe, "certificates", "unregister", "--store", "LocalMachine").OK(t).Says(t, `LocalMachine\CA`)
	if all := list(t, tl, "--store", "LocalMachine"); len(all) != 0 {
		t.Errorf("left: %+v", all)
	}
}
