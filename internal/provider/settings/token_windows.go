package settings

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// decryptToken opens a DPAPI blob in base64: the token in UTF-8, protected for
// the current user, without entropy.
func decryptToken(blob string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(blob)
	if err != nil || len(data) == 0 {
		return "", errors.New("the encrypted token is not base64")
	}
	in := windows.DataBlob{Size: uint32(len(data)), Data: &data[0]} //nolint:gosec // a setting has at most a few KiB
	var out windows.DataBlob
	if err := windows.CryptUnprotectData(&in, nil, nil, 0, nil, windows.CRYPTPROTECT_UI_FORBIDDEN, &out); err != nil {
		return "", fmt.Errorf("Windows cannot decrypt the token (%w); encrypt it again as the user who signs, on this machine", err)
	}
	defer func() { _, _ = windows.LocalFree(windows.Handle(unsafe.Pointer(out.Data))) }()
	if out.Size == 0 {
		return "", errors.New("the encrypted token is empty")
	}
	plain := unsafe.Slice(out.Data, out.Size)
	text := string(plain)
	clear(plain)
	return text, nil
}

// registryToken reads a DPAPI blob in base64 from a text value in the registry.
// The value may begin with encrypted: as well.
func registryToken(path string) (string, error) {
	key, name, err := registryPath(path)
	if err != nil {
		return "", err
	}
	k, err := registry.OpenKey(registry.CURRENT_USER, key, registry.QUERY_VALUE)
	if err != nil {
		return "", fmt.Errorf(`the registry key HKEY_CURRENT_USER\%s cannot be opened: %w`, clip(key), err)
	}
	defer func() { _ = k.Close() }()
	text, _, err := k.GetStringValue(name)
	if err != nil {
		return "", fmt.Errorf(`the registry value %s of HKEY_CURRENT_USER\%s cannot be read: %w`, clip(name), clip(key), err)
	}
	text = strings.TrimSpace(text)
	if hasPrefixFold(text, encryptedPrefix) {
		text = strings.TrimSpace(text[len(encryptedPrefix):])
	}
	return decryptToken(text)
}
