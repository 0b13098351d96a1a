package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
)

// Whatever DecodeJSON accepts, encoding/json accepts, and no member is lost by
// a second one of the same name.
func FuzzDecodeJSON(f *testing.F) {
	for _, v := range vectors(f, "payload.json") {
		f.Add([]byte(v.Document))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if CheckJSON(data) != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatal("accepted what is no JSON")
		}
		var raw any
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&raw); err != nil {
			t.Fatal(err)
		}
	})
}

// Windows PowerShell saves UTF-8 with a byte order mark.
func TestByteOrderMark(t *testing.T) {
	for document, ok := range map[string]bool{"\ufeff{\"a\":1}": true, "\ufeff\ufeff{}": false, "{\ufeff}": false, "{}\ufeff": false, "\ufeff": false} {
		var v struct{ A int }
		if err := DecodeJSON([]byte(document), &v); (err == nil) != ok || ok && v.A != 1 {
			t.Errorf("%q: %v, %v", document, v, err)
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"Signature", "sIGNATURE", true}, {"Signature", "\u017fignature", true}, {"k", "\u212a", true}, {"a", "b", false}, {"ı", "i", false}, {"ß", "ss", false},
	} {
		if (fold(c.a) == fold(c.b)) != c.same {
			t.Errorf("%q, %q", c.a, c.b)
		}
	}
}

func FuzzDecodeBase64(f *testing.F) {
	for _, s := range []string{"", "AA==", "AB==", "AAA=", "AAAA", "A-_A", "AA==\n", " AA=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := DecodeBase64(s)
		if err == nil && base64.StdEncoding.EncodeToString(b) != s {
			t.Fatalf("%q is not the one spelling of %x", s, b)
		}
	})
}
