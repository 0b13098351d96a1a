package wire

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// An EdDSA key signs the message itself: both forms carry it in place of the hash.
func TestEdDSAForms(t *testing.T) {
	message := []byte("a message")
	sum := sha512.Sum512(message)
	m := base64.StdEncoding.EncodeToString(message)
	large := base64.StdEncoding.EncodeToString(make([]byte, MaxMessage+1))
	digest := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, c := range []struct{ name, classic, newer, classicError, newerField string }{
		{"good", `"Base64EncodedMessage":"` + m + `"`, `"message":"` + m + `"`, "", ""},
		{"no message", ``, ``, "Base64EncodedMessage is missing", "Message"},
		{"a hash", `"Base64EncodedHash":"` + digest + `"`, `"hash":"` + digest + `"`, "Base64EncodedHash does not go with", "Hash"},
		{"both", `"Base64EncodedMessage":"` + m + `","Base64EncodedHash":"` + digest + `"`, `"message":"` + m + `","hash":"` + digest + `"`, "Base64EncodedHash does not go with", "Hash"},
		{"too long", `"Base64EncodedMessage":"` + large + `"`, `"message":"` + large + `"`, "1048576 are allowed", "Message"},
		{"no base64", `"Base64EncodedMessage":"%"`, `"message":"%"`, "Base64EncodedMessage is", "Message"},
		{"hash algorithm", `"RsaHashAlgorithm":"2.16.840.1.101.3.4.2.3","Base64EncodedMessage":"` + m + `"`, `"rsaOptions":{"hashAlgorithmName":"Sha512"},"message":"` + m + `"`, "RsaHashAlgorithm does not go with", "RsaOptions"},
		{"ECDSA's format", `"EcdsaSignatureFormat":"Asn1","Base64EncodedMessage":"` + m + `"`, `"ecdsaOptions":{"signatureFormat":"Asn1"},"message":"` + m + `"`, "EcdsaSignatureFormat goes with", "EcdsaOptions"},
	} {
		with := func(members string) string {
			if members == "" {
				return ""
			}
			return "," + members
		}
		h, err := ParsePayload([]byte(`{"SignatureAlgorithm":"eddsa"` + with(c.classic) + `}`))
		checkEdDSA(t, c.name+", classic", h, err, "", c.classicError, message, sum[:])
		var d HashSigningData
		if err := json.Unmarshal([]byte(`{"signatureAlgorithm":"EdDsa"`+with(c.newer)+`}`), &d); err != nil {
			t.Fatal(err)
		}
		h, err = d.HashSigning()
		field := ""
		if c.newerField != "" {
			field = "HashSigningData." + c.newerField
		}
		checkEdDSA(t, c.name+", SignHash", h, err, field, "", message, sum[:])
	}
	_, err := ParsePayload([]byte(`{"SignatureAlgorithm":"Ecdsa","Base64EncodedMessage":"` + m + `","Base64EncodedHash":"` + digest + `"}`))
	checkEdDSA(t, "a message for ECDSA", nil, err, "", "goes with SignatureAlgorithm EdDsa only", nil, nil)

	sent := NewHashSigning(Scheme{Algorithm: EdDSA}, message)
	text, err := json.Marshal(NewPayload(sent))
	if err != nil || strings.Contains(string(text), "Hash") {
		t.Errorf("%s, %v", text, err)
	}
	back, err := ParsePayload(text)
	checkEdDSA(t, "round trip", back, err, "", "", message, sum[:])
}

func checkEdDSA(t *testing.T, name string, h *HashSigning, err error, field, says string, message, digest []byte) {
	t.Helper()
	if field == "" && says == "" {
		if err != nil || h.Scheme != (Scheme{Algorithm: EdDSA}) || !bytes.Equal(h.Message, message) || !bytes.Equal(h.Digest, digest) || !bytes.Equal(h.Input(), message) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
		return
	}
	var fields FieldErrors
	if !errors.As(err, &fields) || len(fields[field]) == 0 || !strings.Contains(strings.Join(fields[field], " "), says) {
		t.Errorf("%s: %v, want the field %q to say %q", name, err, field, says)
	}
}

// What a list may say of an Ed25519 key.
func TestEd25519PublicKey(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	for _, c := range []struct {
		name string
		p    SigningPolicy
		good bool
	}{
		{"the key", SigningPolicy{KeyType: "ED25519", KeySizeInBits: 256, PublicKeyBytes: key}, true},
		{"without size", SigningPolicy{KeyType: KeyEd25519, PublicKeyBytes: key}, true},
		{"another size", SigningPolicy{KeyType: KeyEd25519, KeySizeInBits: 255, PublicKeyBytes: key}, false},
		{"too short", SigningPolicy{KeyType: KeyEd25519, PublicKeyBytes: key[:31]}, false},
		{"called EC", SigningPolicy{KeyType: KeyECDSA, PublicKeyBytes: key}, false},
		{"called RSA", SigningPolicy{KeyType: KeyRSA, PublicKeyBytes: key}, false},
		{"no key", SigningPolicy{KeyType: KeyEd25519}, false},
	} {
		got, err := c.p.PublicKey()
		if c.good != (err == nil) || c.good && !key.Equal(got) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}
