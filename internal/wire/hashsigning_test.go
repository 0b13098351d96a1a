package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// vector is one case of testdata/payload.json and testdata/signhash.json; the
// files are meant for other implementations too.
type vector struct {
	Name      string
	Document  string
	Algorithm Algorithm
	Hash      string
	Format    ECDSAFormat
	Digest    string // hexadecimal
	Metadata  string
	Field     string // of the refusal
	Refused   string // part of the sentence; "": accepted
}

func vectors(t testing.TB, file string) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var v []vector
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v vector) check(t *testing.T, h *HashSigning, err error) {
	t.Helper()
	if v.Refused != "" {
		var fields FieldErrors
		if !errors.As(err, &fields) {
			t.Fatalf("error %v, want FieldErrors", err)
		}
		if !strings.Contains(strings.Join(fields[v.Field], "\n"), v.Refused) {
			t.Errorf("refused with %q, want %q under %q", fields, v.Refused, v.Field)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if h.Scheme.Algorithm != v.Algorithm || h.Scheme.Hash.String() != v.Hash || h.ECDSAFormat != v.Format || hex.EncodeToString(h.Digest) != v.Digest {
		t.Errorf("got %v %v %v %x", h.Scheme.Algorithm, h.Scheme.Hash, h.ECDSAFormat, h.Digest)
	}
	if v.Metadata != "" && string(h.Metadata) != v.Metadata {
		t.Errorf("metadata %s, want %s", h.Metadata, v.Metadata)
	}
}

func TestPayloadVectors(t *testing.T) {
	for _, v := range vectors(t, "payload.json") {
		t.Run(v.Name, func(t *testing.T) {
			h, err := ParsePayload([]byte(v.Document))
			v.check(t, h, err)
			if err != nil {
				return
			}
			again, err := json.Marshal(NewPayload(*h))
			if err != nil {
				t.Fatal(err)
			}
			h2, err := ParsePayload(again)
			v.Metadata = "" // json.Marshal may spell it in another way
			v.check(t, h2, err)
		})
	}
}

func TestPayloadInvalidUTF8(t *testing.T) {
	_, err := ParsePayload([]byte("{\"SignatureAlgorithm\":\"Ecdsa\",\"Metadata\":\"\xff\"}"))
	if err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("error %v", err)
	}
}

func TestNewPayloadGolden(t *testing.T) {
	digest, _ := hex.DecodeString("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
	for _, c := range []struct {
		h    HashSigning
		want string
	}{
		{HashSigning{Scheme: Scheme{RSAPKCS1, SHA256}, Digest: digest, Metadata: json.RawMessage(`{"CreatingProcess":{"User":"a"}}`)},
			`{"SignatureAlgorithm":"RsaPkcs1","RsaHashAlgorithm":"2.16.840.1.101.3.4.2.1","Base64EncodedHash":"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=","Metadata":{"CreatingProcess":{"User":"a"}}}`},
		{HashSigning{Scheme: Scheme{Algorithm: ECDSA}, ECDSAFormat: IEEE, Digest: digest},
			`{"SignatureAlgorithm":"Ecdsa","EcdsaSignatureFormat":"Ieee","Base64EncodedHash":"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="}`},
	} {
		got, err := json.Marshal(NewPayload(c.h))
		if err != nil || string(got) != c.want {
			t.Errorf("got %s (%v)\nwant %s", got, err, c.want)
		}
	}
}

func TestSignHashVectors(t *testing.T) {
	for _, v := range vectors(t, "signhash.json") {
		t.Run(v.Name, func(t *testing.T) {
			var r SignHashRequest
			if err := DecodeJSON([]byte(v.Document), &r); err != nil {
				t.Fatal(err)
			}
			h, err := r.Check()
			v.check(t, h, err)
		})
	}
}

// The table of the documentation: OID, size in bytes, name.
func TestHashes(t *testing.T) {
	for _, c := range []struct {
		hash Hash
		oid  string
		size int
		name string
	}{
		{MD5, "1.2.840.113549.2.5", 16, "Md5"},
		{SHA1, "1.3.14.3.2.26", 20, "Sha1"},
		{SHA256, "2.16.840.1.101.3.4.2.1", 32, "Sha256"},
		{SHA384, "2.16.840.1.101.3.4.2.2", 48, "Sha384"},
		{SHA512, "2.16.840.1.101.3.4.2.3", 64, "Sha512"},
		{0, "", 0, "none"},
		{99, "", 0, "none"},
	} {
		if c.hash.OID() != c.oid || c.hash.Size() != c.size || c.hash.String() != c.name {
			t.Errorf("%d: %q %d %q", c.hash, c.hash.OID(), c.hash.Size(), c.hash.String())
		}
		if c.size == 0 {
			continue
		}
		byOID, ok1 := HashByOID(c.oid)
		byName, ok2 := HashByName(strings.ToUpper(c.name))
		if !ok1 || !ok2 || byOID != c.hash || byName != c.hash || c.hash.Crypto().Size() != c.size || !c.hash.Crypto().Available() {
			t.Errorf("%v is not found", c.hash)
		}
	}
	if len(Hashes()) != 5 {
		t.Errorf("Hashes() = %v", Hashes())
	}
}

func FuzzParsePayload(f *testing.F) {
	for _, v := range vectors(f, "payload.json") {
		f.Add([]byte(v.Document))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParsePayload(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(NewPayload(*h))
		if err != nil {
			t.Fatalf("accepted, but cannot be written: %v", err)
		}
		h2, err := ParsePayload(again)
		if err != nil {
			t.Fatalf("written form is refused: %v\n%s", err, again)
		}
		if h2.Scheme != h.Scheme || h2.ECDSAFormat != h.ECDSAFormat || !bytes.Equal(h2.Digest, h.Digest) {
			t.Fatalf("%+v became %+v", h, h2)
		}
	})
}

func FuzzSignHash(f *testing.F) {
	for _, v := range vectors(f, "signhash.json") {
		f.Add([]byte(v.Document))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r SignHashRequest
		if DecodeJSON(data, &r) != nil {
			return
		}
		h, err := r.Check()
		if err != nil {
			return
		}
		if n := h.Scheme.Hash.Size(); n != 0 && n != len(h.Digest) || len(h.Digest) > 64 || h.Scheme.Hash == MD5 {
			t.Fatalf("accepted %+v", h)
		}
	})
}
