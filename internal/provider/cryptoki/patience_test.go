package cryptoki

import (
	"context"
	"errors"
	"testing"

	"signpath/internal/provider/remote"
	"signpath/internal/wire"
)

// A login right behind a signature that was waited for in vain does not wait
// again (gnupg-pkcs11-scd logs in anew after every failed C_Sign).
func TestLoginBehindAFailedSignature(t *testing.T) {
	for _, c := range []struct {
		class remote.Class
		once  bool
	}{
		{remote.Transient, true}, {remote.Service, true}, {remote.User, false}, {remote.Other, false}, {remote.Canceled, false},
	} {
		key := testKey(t, "hash-signing/rsa", "rsa2048")
		key.Sign = func(context.Context, wire.Scheme, []byte) ([]byte, error) {
			return nil, &remote.Error{Class: c.class, Op: "sign", Err: errors.New("not today")}
		}
		f := newFixture(t, key).start()
		s := f.loggedIn()
		object := f.key(s, CKO_PRIVATE_KEY, key.Name)
		f.want("C_SignInit", f.SignInit(s, Mechanism{Type: CKM_SHA256_RSA_PKCS, ParameterNull: true}, object), CKR_OK)
		if _, _, rv := f.Sign(s, []byte("data"), Output{Len: 256}); rv == CKR_OK {
			t.Fatal("the signature did not fail")
		}
		before := f.ring.count()
		f.want("C_Logout", f.Logout(s), CKR_OK)
		f.want("C_Login", f.Login(s, CKU_USER, []byte("CONFIG"), false), CKR_OK)
		if got := f.ring.lookups[before].Once; got != c.once {
			t.Errorf("class %v: the login asks once only: %v, want %v", c.class, got, c.once)
		}
		f.want("C_Finalize", f.Finalize(), CKR_OK)
	}
}
