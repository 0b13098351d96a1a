package tools

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// signHash asks the service for a signature of a SHA-256 digest.
func signHash(s *rig.Service, t *testing.T, policy, options string, digest []byte) (status int, signature []byte, body string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(rig.Must(os.ReadFile(s.File("tls-ca.pem"))))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	request := fmt.Sprintf(`{"projectSlug":%q,"signingPolicySlug":%q,"hashSigningData":{"hash":%q,%s}}`, rig.Project, policy, base64.StdEncoding.EncodeToString(digest), options)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Env["SIGNPATH_API_URL"]+"/v1/"+s.Env["SIGNPATH_ORGANIZATION_ID"]+"/SigningRequests/SignHash", strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Env["SIGNPATH_API_TOKEN"])
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		HashSigningResult struct {
			Signature []byte `json:"signature"`
		} `json:"hashSigningResult"`
	}
	if answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(data, &out); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
	}
	return answer.StatusCode, out.HashSigningResult.Signature, string(data)
}

const (
	rsaSHA256 = `"signatureAlgorithm":"Rsa","rsaOptions":{"hashAlgorithmName":"Sha256","paddingMode":"Pkcs1"}`
	ecdsaASN1 = `"signatureAlgorithm":"Ecdsa","ecdsaOptions":{"signatureFormat":"Asn1"}`
)

// TestOpenSSLCertificates takes certificates their whole way: an authority made
// with openssl issues what the service asked for, a PKCS #12 file comes in, and
// openssl verifies what the keys sign.
func TestOpenSSLCertificates(t *testing.T) {
	s := rig.OwnService(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	admin := func(t *testing.T, args ...string) *rig.Result {
		t.Helper()
		return rig.Run(t, nil, rig.Binary, append([]string{"admin", "--data", s.File("data")}, args...)...)
	}
	openssl := func(t *testing.T, args ...string) *rig.Result {
		t.Helper()
		return rig.Run(t, nil, "openssl", args...).OK(t)
	}
	policy := func(t *testing.T, name, certificate string) {
		t.Helper()
		admin(t, "policy", "create", rig.Project+"/"+name, "--certificate", certificate, "--submitter", "ci").OK(t)
	}
	openssl(t, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", at("root.key"), "-subj", "/CN=Root", "-days", "3650", "-out", at("root.pem"))
	extensions := rig.Write(t, at("extensions"), []byte("basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n"))
	issue := func(t *testing.T, csr, out string) {
		t.Helper()
		openssl(t, "x509", "-req", "-in", csr, "-CA", at("root.pem"), "-CAkey", at("root.key"), "-days", "30", "-extfile", extensions, "-out", out)
	}
	// verifies asserts that openssl takes a signature by the certificate's key, and that the certificate's chain is whole.
	verifies := func(t *testing.T, certificate, policyName, options string) {
		t.Helper()
		file, tampered, content := rig.Artifact(t)
		status, signature, body := signHash(s, t, policyName, options, rig.SHA256Of(content))
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		chain, leaf, pub := at(policyName+".chain.pem"), at(policyName+".pem"), at(policyName+".pub")
		admin(t, "certificate", "export", certificate, "--format", "chain", "--out", chain).OK(t)
		admin(t, "certificate", "export", certificate, "--out", leaf).OK(t)
		openssl(t, "verify", "-CAfile", at("root.pem"), "-untrusted", chain, leaf)
		openssl(t, "x509", "-in", leaf, "-pubkey", "-noout", "-out", pub)
		sig := rig.Write(t, file+".sig", signature)
		openssl(t, "dgst", "-sha256", "-verify", pub, "-signature", sig, file).Says(t, "Verified OK")
		rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", pub, "-signature", sig, tampered).Fails(t)
		s.Audited(t, rig.SHA256Of(content), policyName)
	}

	t.Run("request", func(t *testing.T) {
		for key, options := range map[string]string{"rsa2048": rsaSHA256, "p384": ecdsaASN1} {
			name := "csr-" + key
			csr := at(name + ".csr")
			admin(t, "certificate", "create-csr", name, "--key-type", key, "--common-name", "Example "+key, "--out", csr).OK(t)
			openssl(t, "req", "-verify", "-noout", "-in", csr)
			policy(t, name, name)
			// Not issued yet: the refusal names the certificate.
			if status, _, body := signHash(s, t, name, options, rig.SHA256Of(nil)); status != http.StatusBadRequest || !strings.Contains(body, "The certificate '"+name+"' is not issued yet.") {
				t.Errorf("%d %s", status, body)
			}
			issue(t, csr, at(name+".issued.pem"))
			openssl(t, "crl2pkcs7", "-nocrl", "-certfile", at(name+".issued.pem"), "-certfile", at("root.pem"), "-outform", "DER", "-out", at(name+".p7b"))
			admin(t, "certificate", "upload", name, at(name+".p7b")).OK(t)
			verifies(t, name, name, options)
		}
	})
	t.Run("PKCS #12", func(t *testing.T) {
		openssl(t, "req", "-newkey", "rsa:3072", "-nodes", "-keyout", at("pfx.key"), "-subj", "/CN=Imported", "-out", at("pfx.csr"))
		issue(t, at("pfx.csr"), at("pfx.pem"))
		password := rig.Write(t, at("password"), []byte("sesame\n"))
		openssl(t, "pkcs12", "-export", "-inkey", at("pfx.key"), "-in", at("pfx.pem"), "-certfile", at("root.pem"), "-passout", "file:"+password, "-out", at("in.pfx"))
		admin(t, "certificate", "import-pfx", "imported", at("in.pfx"), "--password-file", password).OK(t)
		policy(t, "imported", "imported")
		verifies(t, "imported", "imported", rsaSHA256)
	})
	t.Run("renewal and end", func(t *testing.T) {
		// The same key, certified anew; the policy is switched, the old certificate stays.
		admin(t, "certificate", "renew", "csr-rsa2048", "next", "--same-key", "--out", at("next.csr")).OK(t)
		issue(t, at("next.csr"), at("next.pem"))
		admin(t, "certificate", "upload", "next", at("next.pem")).OK(t)
		policy(t, "next", "csr-rsa2048")
		admin(t, "policy", "edit", rig.Project+"/next", "--certificate", "next").OK(t)
		verifies(t, "next", "next", rsaSHA256)
		verifies(t, "csr-rsa2048", "csr-rsa2048", rsaSHA256)
		// One key: when it is deleted, both certificates have ended.
		admin(t, "certificate", "delete-key", "next", "--yes").OK(t)
		for name, certificate := range map[string]string{"next": "next", "csr-rsa2048": "csr-rsa2048"} {
			if status, _, body := signHash(s, t, name, rsaSHA256, rig.SHA256Of(nil)); status != http.StatusBadRequest || !strings.Contains(body, "The key of the certificate '"+certificate+"' was deleted.") {
				t.Errorf("%d %s", status, body)
			}
		}
		if out := admin(t, "certificate", "export", "next").OK(t).Output; !bytes.Contains([]byte(out), []byte("BEGIN CERTIFICATE")) {
			t.Errorf("the certificate is gone: %s", out)
		}
	})
}
