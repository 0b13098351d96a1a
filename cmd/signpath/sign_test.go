//go:build unix

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	"signpath/internal/wire"
)

func TestParseDigest(t *testing.T) {
	b := func(n int) []byte { return bytes.Repeat([]byte{0xab}, n) }
	for _, c := range []struct {
		name, text string
		hash, want wire.Hash
		size, code int
	}{
		{"hex", hex.EncodeToString(b(32)), 0, wire.SHA256, 32, 0},
		{"upper-case hex", "ABABABABABABABABABABABABABABABABABABABAB", 0, wire.SHA1, 20, 0},
		{"base64", base64.StdEncoding.EncodeToString(b(32)), 0, wire.SHA256, 32, 0},
		{"base64 without padding", base64.RawStdEncoding.EncodeToString(b(64)), 0, wire.SHA512, 64, 0},
		{"spaces around", " " + hex.EncodeToString(b(48)) + "\n", 0, wire.SHA384, 48, 0},
		// 64 hexadecimal digits are the base64 of 48 bytes as well: the algorithm decides.
		{"both, hex", hex.EncodeToString(b(32)), wire.SHA256, wire.SHA256, 32, 0},
		{"both, base64", hex.EncodeToString(b(32)), wire.SHA384, wire.SHA384, 48, 0},
		{"named", hex.EncodeToString(b(16)), wire.MD5, wire.MD5, 16, 0},
		{"another length", hex.EncodeToString(b(20)), wire.SHA256, 0, 0, exitRefused},
		{"no digest's length", hex.EncodeToString(b(21)), 0, 0, 0, exitRefused},
		{"neither", "!?", 0, 0, 0, exitUsage},
		{"empty", "", 0, 0, 0, exitRefused},
		{"base64 that is not canonical", base64.StdEncoding.EncodeToString(b(32))[:42] + "t=", 0, 0, 0, exitUsage},
	} {
		digest, hash, err := parseDigest(c.text, c.hash)
		var f *failure
		code := 0
		if errors.As(err, &f) {
			code = f.code
		}
		if len(digest) != c.size || hash != c.want || code != c.code {
			t.Errorf("%s: %d bytes, %s, %v", c.name, len(digest), hash, err)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"a.tar.gz": "a.tar.gz", "it's": `'it'\''s'`, "-rf": "'./-rf'", "": "''", "a b": "'a b'", "$(x)": "'$(x)'"} {
		if got := quote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// Whatever comes as a signature, only the one that the key made is good.
func FuzzVerify(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	digest := sha256.Sum256([]byte("a real file"))
	other := sha256.Sum256([]byte("another file"))
	der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		f.Fatal(err)
	}
	raw := ecdsaFromDER(der, 64)
	back, err := ecdsaToDER(raw)
	if err != nil || !bytes.Equal(back, der) {
		f.Fatalf("%x, %v", back, err)
	}
	n := key.Params().N
	for _, seed := range [][]byte{der, raw, []byte(hex.EncodeToString(der)), []byte(base64.StdEncoding.EncodeToString(raw)), append(der, 0), raw[:63], {0x30, 6, 2, 1, 0, 2, 1, 0}, make([]byte, 64),
		new(big.Int).Lsh(n, 256).Bytes()} {
		f.Add(seed)
	}
	for _, good := range [][]byte{der, raw, []byte(hex.EncodeToString(der) + "\n"), []byte(base64.StdEncoding.EncodeToString(raw) + "\n")} {
		if ok, _ := verifySignature(key.Public(), wire.SHA256, "pkcs1", digest[:], decodeSignature(good)); !ok {
			f.Errorf("%q is not good", good)
		}
	}
	f.Fuzz(func(t *testing.T, signature []byte) {
		if ok, _ := verifySignature(key.Public(), wire.SHA256, "pkcs1", other[:], decodeSignature(signature)); ok {
			t.Errorf("%x is a signature of another file", signature)
		}
	})
}
