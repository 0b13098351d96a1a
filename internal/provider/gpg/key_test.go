package gpg

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signing is the RSA key in a file: the primary key, or the subkey.
func signing(t testing.TB, name string) *rsa.PublicKey {
	t.Helper()
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(testdata(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := ring[0].PrimaryKey.PublicKey.(*rsa.PublicKey); ok {
		return k
	}
	return ring[0].Subkeys[0].PublicKey.PublicKey.(*rsa.PublicKey)
}

// TestReadKey: fingerprints and keygrips are what gpg --list-keys --with-keygrip says.
func TestReadKey(t *testing.T) {
	for _, c := range []struct {
		file, fingerprint, keygrip, userID string
		ended, revoked                     bool
	}{
		{"primary.asc", "DEBD546B0E4F846A8BDA2711B0E4877AD7E9453E", "9FFC211235547211F0FD7F9D0BE12A62EA8A0393", "SignPath development gpg-rsa3072 <gpg-rsa3072@example.com>", false, false},
		{"subkey.asc", "08BAE167DEFBDBB0FB84C29975AA226426AF27CD", "7DBB10B5A8430A2A6AFC569C867D179E65614480", "Subkey <subkey@example.com>", false, false},
		{"ended.asc", "DC0CB839A202510DD562DE393FB137794BE79D5C", "16CF882FA3F4253697343CF71CF27FA795E5A32C", "Ended <ended@example.com>", true, false},
		{"revoked.asc", "11EDB560013F5321182353ACE9452A2B08449C11", "5F462C9CB1BA45DFBC5546987EA84CBD44CE6CB1", "Revoked <revoked@example.com>", false, true},
	} {
		t.Run(c.file, func(t *testing.T) {
			public := signing(t, c.file)
			k, err := ReadKey(testdata(t, c.file), public)
			if err != nil {
				t.Fatal(err)
			}
			if k.Fingerprint != c.fingerprint || k.Keygrip != c.keygrip || len(k.UserIDs) != 1 || k.UserIDs[0] != c.userID || k.Revoked != c.revoked {
				t.Errorf("%+v", k)
			}
			if ended := !k.Expires.IsZero() && time.Now().After(k.Expires); ended != c.ended {
				t.Errorf("expires %v", k.Expires)
			}
			again, err := ReadKey(k.Binary, public)
			if err != nil || again.Fingerprint != k.Fingerprint {
				t.Errorf("binary: %v %v", again, err)
			}
			armored, err := k.Armor()
			if err != nil {
				t.Fatal(err)
			}
			if again, err = ReadKey(armored, public); err != nil || !bytes.Equal(again.Binary, k.Binary) {
				t.Errorf("armoured: %v", err)
			}
		})
	}
}

func TestReadKeyRefuses(t *testing.T) {
	primary := signing(t, "primary.asc")
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := testdata(t, "primary.asc")
	k, err := ReadKey(good, primary)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Replace(k.Binary, []byte("development"), []byte("deployments"), 1) // the user ID's signature is broken

	e, err := openpgp.NewEntity("Private", "", "private@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var private, privateArmor bytes.Buffer
	if err := e.SerializePrivate(&private, nil); err != nil {
		t.Fatal(err)
	}
	w, _ := armor.Encode(&privateArmor, openpgp.PrivateKeyType, nil)
	_, _ = w.Write(private.Bytes())
	_ = w.Close()

	for name, c := range map[string]struct {
		data []byte
		key  *rsa.PublicKey
	}{
		"another key":        {good, &other.PublicKey},
		"two keys":           {testdata(t, "two.asc"), signing(t, "subkey.asc")},
		"forged user ID":     {forged, primary},
		"private":            {private.Bytes(), e.PrimaryKey.PublicKey.(*rsa.PublicKey)},
		"private, armoured":  {privateArmor.Bytes(), e.PrimaryKey.PublicKey.(*rsa.PublicKey)},
		"cut":                {k.Binary[:len(k.Binary)-20], primary},
		"cut armour":         {good[:len(good)/2], primary},
		"nothing":            {nil, primary},
		"text":               {[]byte("<html>sign in</html>"), primary},
		"armour of a bundle": {bytes.ReplaceAll(good, []byte("PUBLIC KEY BLOCK"), []byte("MESSAGE")), primary},
		"too long":           {make([]byte, maxPublicKey+1), primary},
	} {
		k, err := ReadKey(c.data, c.key)
		if err == nil {
			t.Errorf("%s: taken as %+v", name, k)
		}
		if errors.Is(err, ErrOtherKey) != (name == "another key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadKey(f *testing.F) {
	public := signing(f, "primary.asc")
	for _, name := range []string{"primary.asc", "subkey.asc", "revoked.asc"} {
		f.Add(testdata(f, name))
		if binary, err := dearmor(testdata(f, name)); err == nil {
			f.Add(binary)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ReadKey(data, public)
		if err == nil && (len(k.Fingerprint) != 40 || len(k.UserIDs) == 0) {
			t.Errorf("%+v", k)
		}
	})
}
