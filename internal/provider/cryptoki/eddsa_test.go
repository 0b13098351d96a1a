package cryptoki

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"testing"

	"signpath/internal/wire"
)

// An Ed25519 key signs messages, in one part and in several, and only as pure
// Ed25519 (PKCS #11 v3.0 mechanisms, sections 2.3.5, 2.3.6 and 2.3.14).
func TestEd25519(t *testing.T) {
	const name = "hash-signing/ed25519"
	key := testKey(t, name, "ed25519")
	public := key.Public.(ed25519.PublicKey)
	f := newFixture(t, key).start()
	s := f.loggedIn()
	private, other := f.key(s, CKO_PRIVATE_KEY, name), f.key(s, CKO_PUBLIC_KEY, name)
	for _, handle := range []uint64{private, other} {
		values, rv := f.AttributeValues(s, handle, []uint64{CKA_KEY_TYPE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_VALUE, CKA_ALLOWED_MECHANISMS})
		f.want("C_GetAttributeValue", rv, CKR_OK)
		for i, want := range []string{"40" + "00000000000000", "06032b6570", "0420" + hex.EncodeToString(public)} {
			if got := hex.EncodeToString(values[i].Value); got != want {
				t.Errorf("attribute %d: %s, want %s", i, got, want)
			}
		}
		want := CKR_ATTRIBUTE_SENSITIVE
		if handle == other {
			want = CKR_ATTRIBUTE_TYPE_INVALID
		}
		f.want("CKA_VALUE", values[3].RV, want)
		if got := hex.EncodeToString(values[4].Value); got != "57"+"10000000000000" {
			t.Errorf("CKA_ALLOWED_MECHANISMS: %s", got)
		}
	}
	pure := Mechanism{Type: CKM_EDDSA, ParameterNull: true}
	out := Output{Len: 64}
	for _, size := range []int{1, 32, 5000, wire.MaxMessage} {
		message := bytes.Repeat([]byte("m"), size)
		for _, parts := range []int{1, 3} {
			f.want("C_SignInit", f.SignInit(s, pure, private), CKR_OK)
			var sig []byte
			var rv RV
			if parts == 1 {
				sig, _, rv = f.Sign(s, message, out)
			} else {
				f.want("C_SignUpdate", f.SignUpdate(s, message[:size/2]), CKR_OK)
				f.want("C_SignUpdate", f.SignUpdate(s, message[size/2:]), CKR_OK)
				sig, _, rv = f.SignFinal(s, out)
			}
			f.want("signature", rv, CKR_OK)
			if !ed25519.Verify(public, message, sig) {
				t.Errorf("%d bytes in %d parts: the signature is wrong", size, parts)
			}
			f.want("C_VerifyInit", f.VerifyInit(s, pure, other), CKR_OK)
			f.want("C_Verify", f.Verify(s, message, sig), CKR_OK)
			sig[10] ^= 1
			f.want("C_VerifyInit", f.VerifyInit(s, pure, other), CKR_OK)
			f.want("C_Verify", f.Verify(s, message, sig), CKR_SIGNATURE_INVALID)
		}
	}
	for _, size := range []int{0, wire.MaxMessage + 1} {
		f.want("C_SignInit", f.SignInit(s, pure, private), CKR_OK)
		_, _, rv := f.Sign(s, make([]byte, size), out)
		f.want("a message that is empty or too long", rv, CKR_DATA_LEN_RANGE)
	}
	f.want("C_SignInit", f.SignInit(s, pure, private), CKR_OK)
	f.want("C_SignUpdate", f.SignUpdate(s, make([]byte, wire.MaxMessage)), CKR_OK)
	f.want("C_SignUpdate beyond the limit", f.SignUpdate(s, []byte("x")), CKR_DATA_LEN_RANGE)

	f.want("Ed25519ctx", f.SignInit(s, Mechanism{Type: CKM_EDDSA, Parameter: make([]byte, 24)}, private), CKR_MECHANISM_PARAM_INVALID)
	f.want("ECDSA with an Ed25519 key", f.SignInit(s, Mechanism{Type: CKM_ECDSA_SHA256, ParameterNull: true}, private), CKR_KEY_TYPE_INCONSISTENT)
}
