package settings

import (
	"bytes"
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
	data, err := tokenBlob(blob)
	if err != nil {
		return "", err
	}
	in := windows.DataBlob{Size: uint32(len(data)), Data: &data[0]} //nolint:gosec // a setting has at most a few KiB
	var out windows.DataBlob
	if err := windows.CryptUnprotectData(&in, nil, nil, 0, nil, windows.CRYPTPROTECT_UI_FORBIDDEN, &out); err != nil {
		return "", fmt.Errorf("Windows cannot decrypt the token (%w); encrypt it again as the user who signs, on this machine", err)
	}
	defer func() { _, _ = windows.LocalFree(windows.Handle(unsafe.Pointer(out.Data))) }()
	if out.Size == 0 || out.Data == nil {
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

// protect makes a DPAPI blob without entropy, as .NET's ProtectedData does. Of the
// plain text no copy stays behind.
func protect(plain []byte, scope Scope) ([]byte, error) {
	in := windows.DataBlob{Size: uint32(len(plain)), Data: &plain[0]} //nolint:gosec // a token
	flags := uint32(windows.CRYPTPROTECT_UI_FORBIDDEN)
	if scope == ForMachine {
		flags |= windows.CRYPTPROTECT_LOCAL_MACHINE
	}
	var out windows.DataBlob
	if err := windows.CryptProtectData(&in, nil, nil, 0, nil, flags, &out); err != nil {
		return nil, fmt.Errorf("Windows cannot encrypt the token: %w", err)
	}
	defer func() { _, _ = windows.LocalFree(windows.Handle(unsafe.Pointer(out.Data))) }()
	return bytes.Clone(unsafe.Slice(out.Data, out.Size)), nil
}

// writeRegistry puts a text value below HKEY_CURRENT_USER.
func writeRegistry(key, name, text string) error {
	k, _, err := registry.CreateKey(registry.CURRENT_USER, key, registry.SET_VALUE)
	if err != nil {
		return fmt.Errorf(`the registry key HKEY_CURRENT_USER\%s cannot be made: %w`, clip(key), err)
	}
	defer func() { _ = k.Close() }()
	if err := k.SetStringValue(name, text); err != nil {
		return fmt.Errorf(`the registry value %s of HKEY_CURRENT_USER\%s cannot be written: %w`, clip(name), clip(key), err)
	}
	return nil
}
