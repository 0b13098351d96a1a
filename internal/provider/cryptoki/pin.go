package cryptoki

import (
	"fmt"
	"strings"

	"signpath/internal/secret"
)

// configPIN is the PIN that stands for "use the configuration". Upper case only.
const configPIN = "CONFIG"

// MaxPINLength is ulMaxPinLen in bytes.
const MaxPINLength = 512

// credentials are what a PIN stands for. The zero value means the configuration.
type credentials struct {
	organization string // UUID, lower case
	token        secret.Secret
}

// pinError says why a PIN has the wrong form. Its text never holds the PIN.
type pinError string

func (e pinError) Error() string { return string(e) }

const pinForms = `give "{OrganizationId}:{ApiToken}" or the word CONFIG (upper case)`

// parsePIN reads a PIN of C_Login: "{OrganizationId}:{ApiToken}", cut at the
// first colon because a token may hold any character, or CONFIG (SignPath
// crypto providers, Cryptoki, "Parameters"). One line end behind it does not
// count: tools pass on a file of pin-source= whole (RFC 7512 section 2.4).
func parsePIN(pin []byte) (credentials, error) {
	text := string(pin)
	if line, ended := strings.CutSuffix(text, "\n"); ended {
		text = strings.TrimSuffix(line, "\r")
	}
	switch {
	case text == configPIN:
		return credentials{}, nil
	case strings.EqualFold(text, configPIN):
		return credentials{}, pinError("the PIN is CONFIG in lower case; write it in upper case")
	case text == "":
		return credentials{}, pinError("the PIN is empty; " + pinForms)
	case len(text) > MaxPINLength:
		return credentials{}, pinError(fmt.Sprintf("the PIN is longer than %d bytes; %s", MaxPINLength, pinForms))
	}
	organization, token, found := strings.Cut(text, ":")
	switch {
	case looksCut(text):
		return credentials{}, pinError(fmt.Sprintf("the PIN has %d bytes and is the start of an organization id: the tool cut it; use the PIN CONFIG and put organization and token into the configuration", len(text)))
	case !found:
		return credentials{}, pinError("the PIN has no colon; " + pinForms)
	case !isUUID(organization):
		return credentials{}, pinError("the part of the PIN before the first colon is not an organization id (a UUID); " + pinForms)
	}
	for _, prefix := range []string{"encrypted:", "registry:"} {
		if strings.HasPrefix(token, prefix) {
			return credentials{}, pinError("a PIN cannot hold an " + strings.TrimSuffix(prefix, ":") + " token; put it into the configuration and use the PIN CONFIG")
		}
	}
	token = strings.TrimSpace(token)
	if token == "" {
		return credentials{}, pinError("the PIN has no API token after the colon; " + pinForms)
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c >= 0x7F {
			return credentials{}, pinError("the API token in the PIN has a space or a character outside of ASCII; " + pinForms)
		}
	}
	return credentials{strings.ToLower(organization), secret.New(token)}, nil
}

// isUUID checks 8-4-4-4-12 hexadecimal digits.
func isUUID(s string) bool { return len(s) == 36 && isUUIDStart(s) }

// looksCut recognises a PIN of which a tool kept the first bytes only: libp11 up
// to 0.4.12 keeps 32, pkcs11-provider 1.0 31 of what it reads from pin-source=.
func looksCut(pin string) bool { return len(pin) >= 24 && len(pin) < 36 && isUUIDStart(pin) }

func isUUIDStart(s string) bool {
	for i, c := range []byte(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return false
		}
	}
	return true
}
