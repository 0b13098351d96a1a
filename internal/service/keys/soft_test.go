package keys_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"testing"

	"signpath/internal/service/keys"
	"signpath/internal/service/keys/keystest"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

func TestSoftConformance(t *testing.T) {
	keystest.Run(t, func(t *testing.T) keys.Backend { return keys.NewSoft(keystest.KEK(t)) })
}

func TestImport(t *testing.T) {
	soft := keys.NewSoft(keystest.KEK(t))
	for _, name := range testkeys.Names() {
		want := testkeys.Signer(t, name)
		key, sealed := keystest.Import(t, soft, name)
		signer, err := soft.Open(t.Context(), key, sealed)
		if err != nil {
			t.Fatal(err)
		}
		if !signer.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(want.Public()) {
			t.Errorf("%s: another public key came back", name)
		}
		scheme := wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}
		if key.Type == wire.KeyECDSA {
			scheme = wire.Scheme{Algorithm: wire.ECDSA}
		}
		digest := make([]byte, 32)
		sig, err := signer.Sign(t.Context(), scheme, digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := keystest.Verify(want.Public(), scheme, digest, sig); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImportRefused(t *testing.T) {
	soft := keys.NewSoft(keystest.KEK(t))
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed[40] ^= 1 // the public half
	broken := testkeys.RSA(t, 2048)
	broken.D = testkeys.RSA(t, 3072).D
	for name, key := range map[string]crypto.Signer{
		"P-224": p224, "Ed25519 with another public key": ed, "empty Ed25519": ed25519.PrivateKey(nil), "nil": nil, "nil RSA": (*rsa.PrivateKey)(nil), "empty RSA": &rsa.PrivateKey{},
		"nil ECDSA": (*ecdsa.PrivateKey)(nil), "empty ECDSA": &ecdsa.PrivateKey{}, "wrong private exponent": broken,
	} {
		if _, sealed, err := soft.Import(t.Context(), key); !errors.Is(err, keys.ErrUnsupportedKey) || sealed != nil {
			t.Errorf("%s: %v, want ErrUnsupportedKey", name, err)
		}
	}
}

// Another installation's key must not open, however good its record is.
func TestOpenWithOtherKEK(t *testing.T) {
	key, sealed := keystest.Import(t, keys.NewSoft(keystest.KEK(t)), "p256")
	if _, err := keys.NewSoft(keystest.KEK(t)).Open(t.Context(), key, sealed); !errors.Is(err, keys.ErrSealed) {
		t.Errorf("Open = %v, want ErrSealed", err)
	}
}

// Whoever can seal anything could still not pass off another key's private part.
func TestOpenChecksRecord(t *testing.T) {
	kek := keystest.KEK(t)
	soft := keys.NewSoft(kek)
	key, _ := keystest.Import(t, soft, "p256")
	other, err := x509.MarshalPKCS8PrivateKey(testkeys.Signer(t, "p384"))
	if err != nil {
		t.Fatal(err)
	}
	for name, plain := range map[string][]byte{"another key": other, "no PKCS #8": []byte("x")} {
		sealed, err := kek.Seal("key/"+key.ID+"/1", plain)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := soft.Open(t.Context(), key, sealed); !errors.Is(err, keys.ErrKeyMismatch) {
			t.Errorf("%s: %v, want ErrKeyMismatch", name, err)
		}
	}
}
