package winstore

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// What runs when the user logs on ("Run and RunOnce Registry Keys").
const (
	runKey   = `Software\Microsoft\Windows\CurrentVersion\Run`
	runValue = "SignPath certificates"
)

// SetLogon lets a command run when the present user logs on, in place of the one
// that was set here before.
func SetLogon(command []string) error {
	words := make([]string, len(command))
	for i, w := range command {
		words[i] = windows.EscapeArg(w)
	}
	k, _, err := registry.CreateKey(registry.CURRENT_USER, runKey, registry.SET_VALUE)
	if err != nil {
		return fmt.Errorf(`opening HKEY_CURRENT_USER\%s: %w`, runKey, err)
	}
	defer func() { _ = k.Close() }()
	if err := k.SetStringValue(runValue, strings.Join(words, " ")); err != nil {
		return fmt.Errorf(`writing HKEY_CURRENT_USER\%s: %w`, runKey, err)
	}
	return nil
}

// Logon is the command line that SetLogon has set, "" for none.
func Logon() (string, error) {
	k, err := registry.OpenKey(registry.CURRENT_USER, runKey, registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf(`opening HKEY_CURRENT_USER\%s: %w`, runKey, err)
	}
	defer func() { _ = k.Close() }()
	line, _, err := k.GetStringValue(runValue)
	if err != nil && !errors.Is(err, registry.ErrNotExist) {
		return "", fmt.Errorf(`reading HKEY_CURRENT_USER\%s: %w`, runKey, err)
	}
	return line, nil
}

// ClearLogon takes back what SetLogon set and tells whether there was anything.
func ClearLogon() (bool, error) {
	k, err := registry.OpenKey(registry.CURRENT_USER, runKey, registry.SET_VALUE|registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf(`opening HKEY_CURRENT_USER\%s: %w`, runKey, err)
	}
	defer func() { _ = k.Close() }()
	switch err := k.DeleteValue(runValue); {
	case errors.Is(err, registry.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf(`changing HKEY_CURRENT_USER\%s: %w`, runKey, err)
	}
	return true, nil
}
