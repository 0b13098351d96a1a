package pki

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"signpath/internal/service/keys"
	"signpath/internal/service/keys/keystest"
)

// A revocation revokes its own key, no other one, and no bit of it may change.
func TestRevokeOpenPGP(t *testing.T) {
	soft := keys.NewSoft(keystest.KEK(t))
	made := func(name string) (keys.Signer, []byte) {
		t.Helper()
		key, sealed := keystest.Import(t, soft, name)
		signer, err := soft.Open(t.Context(), key, sealed)
		if err != nil {
			t.Fatal(err)
		}
		public, _, err := NewOpenPGP(t.Context(), signer, UserID{Name: "x"}, time.Unix(1_700_000_000, 0), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return signer, public
	}
	signer, public := made("rsa2048")
	otherSigner, otherPublic := made("rsa3072")
	now := time.Unix(1_800_000_000, 0)
	for _, reason := range RevocationReasons() {
		revocation, err := RevokeOpenPGP(t.Context(), signer, public, now, reason, "why")
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckRevocation(public, revocation); err != nil {
			t.Error(err)
		}
		if CheckRevocation(otherPublic, revocation) == nil {
			t.Error("it revokes another key, too")
		}
		changed := bytes.Clone(revocation)
		changed[len(changed)-1] ^= 1
		if CheckRevocation(public, changed) == nil {
			t.Error("a changed one revokes")
		}
		armored, err := ArmorRevocation(revocation)
		if err != nil || !bytes.HasPrefix(armored, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")) {
			t.Errorf("%s %v", armored, err)
		}
	}
	for what, f := range map[string]func() ([]byte, error){
		"another key": func() ([]byte, error) {
			return RevokeOpenPGP(t.Context(), otherSigner, public, now, RevokedRetired, "")
		},
		"no reason at all": func() ([]byte, error) { return RevokeOpenPGP(t.Context(), signer, public, now, "why not", "") },
		"two lines":        func() ([]byte, error) { return RevokeOpenPGP(t.Context(), signer, public, now, RevokedRetired, "a\nb") },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s was revoked", what)
		}
	}
	// What is no revocation revokes nothing.
	if CheckRevocation(public, public) == nil {
		t.Error("a public key passed for a revocation")
	}
}

func FuzzCheckRevocation(f *testing.F) {
	f.Add([]byte{0xc2, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := CheckRevocation(data, data); err == nil {
			t.Error(errors.New("the same bytes are key and revocation"))
		}
	})
}
