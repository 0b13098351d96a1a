package pki

import (
	"errors"
	"strings"
	"testing"
	"time"

	"signpath/internal/wire"
)

func TestParseKeyName(t *testing.T) {
	bases := []KeySpec{
		{"rsa2048", wire.KeyRSA, 2048, ""}, {"rsa3072", wire.KeyRSA, 3072, ""}, {"rsa4096", wire.KeyRSA, 4096, ""},
		{"p256", wire.KeyECDSA, 256, ""}, {"p384", wire.KeyECDSA, 384, ""}, {"p521", wire.KeyECDSA, 521, ""},
	}
	for prefix, purpose := range map[string]Purpose{"": PurposeCode, "tls-": PurposeTLS, "mail-": PurposeMail, "gpg-": PurposeGPG} {
		for _, b := range bases {
			name := prefix + b.Name
			got, err := ParseKeyName(name)
			if purpose == PurposeGPG && b.Type != wire.KeyRSA {
				if err == nil {
					t.Errorf("%s was accepted", name)
				}
				continue
			}
			if want := (KeySpec{name, b.Type, b.Bits, purpose}); err != nil || got != want {
				t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
			}
		}
	}
	for _, name := range []string{"", "rsa", "rsa1024", "RSA2048", "tls-", "tls-tls-p256", "code-rsa2048", "p224", "p256 ", "gpg-p256", "gpg-ed25519", "ed448"} {
		if _, err := ParseKeyName(name); err == nil || !strings.Contains(err.Error(), keyNamePattern) {
			t.Errorf("%q: %v, want an error with the pattern", name, err)
		}
		if _, err := LeafTemplateFor(name); err == nil {
			t.Errorf("%q has a leaf", name)
		}
	}
}

func TestParseKeyNames(t *testing.T) {
	specs, err := ParseKeyNames(DefaultKeyNames)
	if err != nil || len(specs) != 10 {
		t.Errorf("default: %d keys, %v", len(specs), err)
	}
	if specs, err := ParseKeyNames(" p256 , rsa2048"); err != nil || len(specs) != 2 || specs[0].Name != "p256" {
		t.Errorf("white space: %+v, %v", specs, err)
	}
	for _, list := range []string{"", ",", "p256,", "p256,p256", "p256,nope"} {
		if _, err := ParseKeyNames(list); err == nil {
			t.Errorf("%q was accepted", list)
		}
	}
}

func TestLeafValidity(t *testing.T) {
	for name, days := range map[string]int{"rsa2048": 3 * 365, "tls-p256": 397, "mail-rsa2048": 3 * 365} {
		tmpl, err := LeafTemplateFor(name)
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(tmpl.NotAfter); left > time.Duration(days)*24*time.Hour || left < time.Duration(days)*24*time.Hour-time.Minute {
			t.Errorf("%s: valid for %v, want %d days", name, left, days)
		}
	}
	if _, err := LeafTemplateFor("gpg-rsa2048"); !errors.Is(err, ErrNoX509) {
		t.Errorf("gpg key: %v, want ErrNoX509", err)
	}
}

func FuzzParseKeyName(f *testing.F) {
	f.Add("tls-p256")
	f.Add("gpg-")
	f.Fuzz(func(t *testing.T, name string) {
		if spec, err := ParseKeyName(name); err == nil && (spec.Name != name || spec.Bits == 0) {
			t.Errorf("%q: %+v", name, spec)
		}
	})
}
