//go:build !windows

package settings

import "errors"

var errWindowsOnly = errors.New("the forms encrypted: and registry: exist on Windows only; give the plain token here")

func protect([]byte, Scope) ([]byte, error)      { return nil, ErrNoDPAPI }
func writeRegistry(key, name, text string) error { return ErrNoDPAPI }

func decryptToken(string) (string, error)  { return "", errWindowsOnly }
func registryToken(string) (string, error) { return "", errWindowsOnly }
