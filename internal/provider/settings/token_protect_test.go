package settings

import (
	"encoding/base64"
	"encoding/hex"
	"runtime"
	"strings"
	"testing"

	"signpath/internal/secret"
)

func TestTokenBlob(t *testing.T) {
	good := append(append([]byte{}, blobStart...), "anything"...)
	for _, tt := range []struct{ name, text, err string }{
		{"a blob", base64.StdEncoding.EncodeToString(good), ""},
		{"line breaks of a long value", base64.StdEncoding.EncodeToString(good)[:12] + "\r\n" + base64.StdEncoding.EncodeToString(good)[12:], ""},
		{"empty", "", "not base64"},
		{"no base64", "geheim-geheim", "not base64"},
		{"base64 of something else", base64.StdEncoding.EncodeToString([]byte("geheimes-token")), "14 bytes that Windows' data protection did not make"},
		{"ConvertFrom-SecureString", hex.EncodeToString(good), "ConvertFrom-SecureString"},
		{"the same in upper case", strings.ToUpper(hex.EncodeToString(good)), "ConvertFrom-SecureString"},
	} {
		data, err := tokenBlob(tt.text)
		switch {
		case tt.err == "" && (err != nil || string(data) != string(good)):
			t.Errorf("%s: %q, %v", tt.name, data, err)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		case err != nil && !strings.Contains(err.Error(), "signpath token protect"):
			t.Errorf("%s: %v tells no cure", tt.name, err)
		case err != nil && strings.Contains(err.Error(), "geheim"):
			t.Errorf("%s: %v shows the value", tt.name, err)
		}
	}
}

// What no setting takes is refused before Windows is asked, and never shown.
func TestProtectTokenRefuses(t *testing.T) {
	for _, bad := range []string{"", "geheim geheim", "geheim\x00", "geheim\nzwei", "encrypted:geheim", "registry:geheim", "gehéim"} {
		_, err := ProtectToken(secret.New(bad), ForUser)
		if err == nil || strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "DPAPI") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if runtime.GOOS == "windows" {
		return // e2e/windows/settings
	}
	for _, scope := range []Scope{ForUser, ForMachine} {
		if _, err := ProtectToken(secret.New("AAqi7zXv"), scope); err != ErrNoDPAPI {
			t.Errorf("%v", err)
		}
	}
	if _, err := WriteRegistryToken(`HKEY_CURRENT_USER\SOFTWARE\SignPath\ci`, "x"); err != ErrNoDPAPI {
		t.Errorf("%v", err)
	}
	for _, path := range []string{`HKEY_LOCAL_MACHINE\SOFTWARE\SignPath\ci`, `HKEY_CURRENT_USER\ci`, `ci`, ``} {
		if _, err := WriteRegistryToken(path, "x"); err == nil || err == ErrNoDPAPI || CheckRegistryPath(path) == nil {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func FuzzTokenBlob(f *testing.F) {
	f.Add(base64.StdEncoding.EncodeToString(blobStart))
	f.Add(hex.EncodeToString(blobStart))
	f.Fuzz(func(t *testing.T, text string) {
		if data, err := tokenBlob(text); err == nil && len(data) < len(blobStart) {
			t.Errorf("%q: %x", text, data)
		}
	})
}
