package settings

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"signpath/internal/secret"
)

// Scope says who can read a protected token.
type Scope int

// The scopes of Windows' data protection.
const (
	ForUser    Scope = iota // the present user, on this machine (with a roaming profile on others)
	ForMachine              // every program on this machine
)

// ErrNoDPAPI is how ProtectToken and WriteRegistryToken fail outside Windows.
var ErrNoDPAPI = errors.New("protected tokens (encrypted:, registry:) exist on Windows only, whose data protection (DPAPI) makes them; elsewhere put the plain token into a file that only the user who signs may read")

// ProtectToken encrypts a token for the forms encrypted: and registry:. The answer
// is the base64 of a DPAPI blob of the token in UTF-8, without entropy: what
// [Convert]::ToBase64String([Security.Cryptography.ProtectedData]::Protect(…))
// gives in PowerShell. A token that no setting would take is refused, before
// anything is encrypted; no error holds any of it.
func ProtectToken(token secret.Secret, scope Scope) (string, error) {
	text, err := parseToken(value{text: token.Reveal(), from: fromTool})
	if err != nil {
		return "", err
	}
	plain := []byte(text)
	defer clear(plain)
	blob, err := protect(plain, scope)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(blob), nil
}

// WriteRegistryToken stores what ProtectToken gave as the text value that
// registry:{path} names, and answers with that setting.
func WriteRegistryToken(path, protected string) (setting string, err error) {
	key, name, err := registryPath(path)
	if err != nil {
		return "", err
	}
	if err := writeRegistry(key, name, protected); err != nil {
		return "", err
	}
	return registryPrefix + `HKEY_CURRENT_USER\` + key + `\` + name, nil
}

// CheckRegistryPath refuses a path that registry: would refuse.
func CheckRegistryPath(path string) error {
	_, _, err := registryPath(path)
	return err
}

// blobStart is how every DPAPI blob begins: version 1, little-endian.
var blobStart = []byte{1, 0, 0, 0}

const protectHint = "; make it with: signpath token protect"

// tokenBlob reads the base64 of a DPAPI blob, whose content only Windows can judge.
// Line breaks, which PowerShell may put into long values, do not count.
func tokenBlob(text string) ([]byte, error) {
	if raw, err := hex.DecodeString(text); err == nil && bytes.HasPrefix(raw, blobStart) {
		return nil, errors.New("the encrypted token is in the form of ConvertFrom-SecureString, which is another one" + protectHint)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil || len(data) == 0:
		return nil, errors.New("the encrypted token is not base64" + protectHint)
	case !bytes.HasPrefix(data, blobStart):
		return nil, fmt.Errorf("the encrypted token is base64 of %d bytes that Windows' data protection did not make%s", len(data), protectHint)
	}
	return data, nil
}
