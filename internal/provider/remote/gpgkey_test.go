package remote

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestGPGPublicKey: the request, and every byte of the answer.
func TestGPGPublicKey(t *testing.T) {
	const key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n…\n"
	var got *http.Request
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Content-Type", "application/pgp-keys")
		_, _ = io.WriteString(w, key)
	})
	data, err := s.client().GPGPublicKey(context.Background(), "a b", "c/d")
	if err != nil || string(data) != key {
		t.Fatalf("%q %v", data, err)
	}
	if want := "/Api/v1/" + testOrg + "/Projects/a%20b/SigningPolicies/c%2Fd/Certificate/GpgPublicKey"; got.URL.RequestURI() != want || got.Method != http.MethodGet {
		t.Errorf("asked for %s %s", got.Method, got.URL.RequestURI())
	}
	if got.Header.Get("Authorization") != "Bearer "+testToken || !strings.HasPrefix(got.Header.Get("Accept"), "application/pgp-keys") {
		t.Errorf("header %v", got.Header)
	}
}

func TestGPGPublicKeyRefused(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		class  Class
	}{
		"no such key": {404, `{"title":"Not Found"}`, User},
		"wrong token": {401, "", User},
		"empty":       {200, "", Service},
		"too long":    {200, strings.Repeat("x", maxGPGKey+1), Service},
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		// Answers that cannot be read are class Service and not asked for again and again.
		data, err := s.client().GPGPublicKey(context.Background(), "p", "s")
		if e := asError(t, err); e.Class != c.class || data != nil {
			t.Errorf("%s: class %v, %v, %d bytes", name, e.Class, err, len(data))
		}
	}
}
