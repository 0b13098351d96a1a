package cryptoki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

// A list kept on disk (SigningPolicyCacheInSeconds): the next process signs with
// one request; a token that was revoked meanwhile shows at the signature with the
// code that C_Login would have given, and from then on at C_Login again.
// Privileged hosts keep nothing.
func TestListKeptOnDisk(t *testing.T) {
	signer := testkeys.ECDSA(t, 256)
	point, err := signer.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	revoked := false
	var asked []string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method)
		switch {
		case revoked:
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodGet:
			_ = json.NewEncoder(w).Encode(wire.SigningPolicies{SigningPolicies: []wire.SigningPolicy{{
				SigningPolicyID: "aaaaaaaa-1111-2222-3333-444444444444", ProjectSlug: "p", SigningPolicySlug: "s",
				KeyType: wire.KeyECDSA, KeySizeInBits: 256, PublicKeyBytes: point,
			}}})
		default:
			a, b, err := ecdsa.Sign(rand.Reader, signer, make([]byte, 32))
			if err != nil {
				t.Error(err)
			}
			_, _ = fmt.Fprintf(w, `{"Signature":%q}`, base64.StdEncoding.EncodeToString(fill(a, b)))
		}
	}))
	defer service.Close()
	home := t.TempDir()
	// process signs once in a new process and tells what C_Login and C_Sign answered.
	process := func(what string, options Options, pin string, login, sign RV, requests ...string) {
		t.Helper()
		asked = nil
		f := &fixture{Module: New(options), tb: t}
		f.want("C_Initialize", f.Initialize([]string{
			"SIGNPATH_API_URL=" + service.URL + "/Api", "SIGNPATH_ORGANIZATION_ID=" + testOrganization, "SIGNPATH_API_TOKEN=" + testToken,
			"SIGNPATH_LOG_FILE_LEVEL=none", "HOME=" + home, "SIGNPATH_SIGNING_POLICY_CACHE_IN_SECONDS=600",
		}), CKR_OK)
		defer f.Finalize()
		s := f.open()
		f.want(what+": C_Login", f.Login(s, CKU_USER, []byte(pin), false), login)
		if login == CKR_OK {
			f.want("C_SignInit", f.SignInit(s, Mechanism{Type: CKM_ECDSA}, f.key(s, CKO_PRIVATE_KEY, "p/s")), CKR_OK)
			_, _, rv := f.Sign(s, make([]byte, 32), big1K)
			f.want(what+": C_Sign", rv, sign)
		}
		if !slices.Equal(asked, requests) {
			t.Errorf("%s: asked for %v, want %v", what, asked, requests)
		}
	}
	process("a privileged host", Options{Privileged: true}, "CONFIG", CKR_OK, CKR_OK, "GET", "POST")
	if files, _ := filepath.Glob(home + "/.cache/*"); len(files) != 0 {
		t.Errorf("a privileged host kept %q", files)
	}
	process("the first", Options{}, "CONFIG", CKR_OK, CKR_OK, "GET", "POST")
	process("the second", Options{}, "CONFIG", CKR_OK, CKR_OK, "POST")
	process("a privileged host beside it", Options{Privileged: true}, "CONFIG", CKR_OK, CKR_OK, "GET", "POST")
	process("the token in the PIN", Options{}, testPIN, CKR_OK, CKR_OK, "POST")
	process("another token", Options{}, strings.Replace(testPIN, "token", "other", 1), CKR_OK, CKR_OK, "GET", "POST")
	revoked = true
	process("a revoked token", Options{}, "CONFIG", CKR_OK, CKR_ARGUMENTS_BAD, "POST")
	process("afterwards", Options{}, "CONFIG", CKR_ARGUMENTS_BAD, CKR_OK, "GET")
	entries, err := os.ReadDir(filepath.Join(home, ".cache", "signpath"))
	if err != nil || len(entries) != 1 { // that of the other token
		t.Errorf("%d lists are left, %v", len(entries), err)
	}
}

// fill is r‖s, 32 bytes each.
func fill(a, b *big.Int) []byte {
	return append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
}
