package cryptoki

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

// The real settings, log file, keyring and requests behind the module, with a
// service that lists one key, refuses one signature and hangs at the next.
func TestRealParts(t *testing.T) {
	point, err := testkeys.ECDSA(t, 256).PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	hanging := make(chan struct{}, 1)
	posts, lists := 0, 0
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/Api/v1/"+testOrganization+"/") || r.Header.Get("Authorization") != "Bearer "+testToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet {
			lists++
			_ = json.NewEncoder(w).Encode(wire.SigningPolicies{SigningPolicies: []wire.SigningPolicy{{
				SigningPolicyID: "aaaaaaaa-1111-2222-3333-444444444444", ProjectSlug: "p", SigningPolicySlug: "s", CertificateType: wire.CertificateX509,
				KeyType: wire.KeyECDSA, KeySizeInBits: 256, PublicKeyBytes: point,
				ECParameters: &wire.ECParameters{CurveOID: "1.2.840.10045.3.1.7", Point: point},
			}}})
			return
		}
		if posts++; posts == 1 {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client is gone
		hanging <- struct{}{}
		<-r.Context().Done()
	}))
	defer service.Close()
	logs := t.TempDir()
	environ := []string{
		"SIGNPATH_API_URL=" + service.URL + "/Api", "SIGNPATH_ORGANIZATION_ID=" + testOrganization, "SIGNPATH_API_TOKEN=" + testToken,
		"SIGNPATH_LOG_FILE_LEVEL=debug", "SIGNPATH_LOG_FILE_DIRECTORY=" + logs,
	}
	f := &fixture{Module: New(Options{Version: "1.2.3"}), tb: t}
	f.want("C_Initialize", f.Initialize(environ), CKR_OK)
	s := f.open()
	if len(f.find(s)) != 1 {
		t.Error("the public key is not visible before login")
	}
	wrong := strings.Replace(testPIN, "token", "wrong", 1)
	f.want("C_Login with a wrong token", f.Login(s, CKU_USER, []byte(wrong), false), CKR_ARGUMENTS_BAD)
	f.want("C_Login", f.Login(s, CKU_USER, []byte(testPIN), false), CKR_OK)
	key := f.key(s, CKO_PRIVATE_KEY, "p/s")
	if lists != 1 {
		t.Errorf("%d list requests", lists)
	}
	mech := Mechanism{Type: CKM_ECDSA}
	f.want("C_SignInit", f.SignInit(s, mech, key), CKR_OK)
	_, _, rv := f.Sign(s, make([]byte, 32), big1K)
	f.want("C_Sign", rv, CKR_ARGUMENTS_BAD)
	// What pkcs11-tool does next: the failure is remembered.
	f.want("C_SignInit", f.SignInit(s, mech, key), CKR_OK)
	f.want("C_SignUpdate", f.SignUpdate(s, make([]byte, 32)), CKR_OK)
	_, _, rv = f.SignFinal(s, big1K)
	f.want("C_SignFinal", rv, CKR_ARGUMENTS_BAD)
	if posts != 1 {
		t.Errorf("%d requests for one signature", posts)
	}
	f.want("C_SignInit", f.SignInit(s, mech, key), CKR_OK)
	answer := make(chan RV, 1)
	go func() {
		_, _, rv := f.Sign(s, make([]byte, 48), big1K)
		answer <- rv
	}()
	<-hanging
	start := time.Now()
	f.want("C_Finalize", f.Finalize(), CKR_OK)
	f.want("C_Sign", <-answer, CKR_FUNCTION_CANCELED)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("C_Finalize and C_Sign took %s", took)
	}
	text, err := os.ReadFile(filepath.Join(logs, "SignPath.CryptoProviders.Cryptoki.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{service.URL, "[C_Sign@", "returns CKR_ARGUMENTS_BAD", "403", "[C_Finalize@"} {
		if !strings.Contains(string(text), part) {
			t.Errorf("no %q in the log:\n%s", part, text)
		}
	}
	places := map[string]bool{} // each function has lines of its own
	for _, m := range regexp.MustCompile(`\[C_(?:Initialize|Sign|SignUpdate|Finalize)@(\d+)\]`).FindAllStringSubmatch(string(text), -1) {
		places[m[1]] = true
	}
	if len(places) < 4 || places["0"] {
		t.Errorf("[function@line] names the lines %v only:\n%s", places, text)
	}
	for _, hidden := range []string{testToken, strings.TrimPrefix(wrong, testOrganization+":")} {
		if strings.Contains(string(text), hidden) {
			t.Errorf("a token is in the log:\n%s", text)
		}
	}
}

// A configuration file with a mistake: the module starts, the login does not.
func TestRealBrokenConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, []byte("{\n\"ApiUrl\": 7\n}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &fixture{Module: New(Options{}), tb: t}
	f.want("C_Initialize", f.Initialize([]string{"SIGNPATH_CONFIG_FILE=" + file, "SIGNPATH_LOG_FILE_DIRECTORY=" + dir}), CKR_OK)
	s := f.open()
	if len(f.find(s)) != 0 {
		t.Error("found objects")
	}
	f.want("C_Login", f.Login(s, CKU_USER, []byte("CONFIG"), false), CKR_GENERAL_ERROR)
	f.want("C_Login", f.Login(s, CKU_USER, []byte(testPIN), false), CKR_GENERAL_ERROR)
	f.want("C_Finalize", f.Finalize(), CKR_OK)
	text, _ := os.ReadFile(filepath.Join(dir, "SignPath.CryptoProviders.Cryptoki.txt"))
	if !strings.Contains(string(text), "config.json") || !strings.Contains(string(text), "ApiUrl") {
		t.Errorf("the log does not name the mistake:\n%s", text)
	}
}
