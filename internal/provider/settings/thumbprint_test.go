package settings

import (
	"strings"
	"testing"
)

// Windows' dialogues show a thumbprint with spaces, and copying takes an invisible mark
// along (U+200E).
func TestParseThumbprint(t *testing.T) {
	const plain = "28c82d9c7b0d8dad8d00002a87ba57deb5003ee0"
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "thumbprint:" + plain, plain},
		{"capitals", "Thumbprint:" + strings.ToUpper(plain), plain},
		{"as the dialogue shows it", "thumbprint:\u200e28 c8 2d 9c 7b 0d 8d ad 8d 00 00 2a 87 ba 57 de b5 00 3e e0", plain},
		{"as openssl shows it", "thumbprint: 28:C8:2D:9C:7B:0D:8D:AD:8D:00:00:2A:87:BA:57:DE:B5:00:3E:E0", plain},
		{"SHA-256", "thumbprint:" + strings.Repeat("0a", 32), strings.Repeat("0a", 32)},
		{"without its beginning", plain, ""},
		{"a digit too few", "thumbprint:" + plain[1:], ""},
		{"no digits", "thumbprint:" + strings.Repeat("x", 40), ""},
		{"another mark", "thumbprint:" + plain[:39] + "\u2013", ""},
		{"nothing", "thumbprint:", ""},
	} {
		got, err := parseThumbprint(tt.text)
		switch {
		case tt.want == "" && (err == nil || !strings.Contains(err.Error(), "40 hexadecimal digits")):
			t.Errorf("%s: %q, %v", tt.name, got, err)
		case tt.want != "" && (err != nil || got != "thumbprint:"+tt.want):
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
}
