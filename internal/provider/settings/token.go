package settings

import (
	"errors"
	"strings"
)

// Beginnings of the token's protected forms (SignPath crypto providers, "API
// token options").
const (
	encryptedPrefix = "encrypted:"
	registryPrefix  = "registry:"
)

// parseToken checks a token and, on Windows, resolves its protected forms. No
// error shows any part of it.
func parseToken(v value) (string, error) {
	text := v.text
	if encrypted, registry := hasPrefixFold(text, encryptedPrefix), hasPrefixFold(text, registryPrefix); encrypted || registry {
		if v.from == fromTool {
			return "", errors.New("a tool can supply the plain token only; encrypted: and registry: belong into the configuration file or " + EnvAPIToken)
		}
		var err error
		if encrypted {
			text, err = decryptToken(strings.TrimSpace(text[len(encryptedPrefix):]))
		} else {
			text, err = registryToken(strings.TrimSpace(text[len(registryPrefix):]))
		}
		if err != nil {
			return "", err
		}
		text = strings.TrimSpace(text)
	}
	if text == "" {
		return "", errors.New("the token is empty")
	}
	for i := range len(text) {
		if text[i] <= 0x20 || text[i] >= 0x7F {
			return "", errors.New("the token holds spaces, control characters or characters outside ASCII; copy it again without line breaks")
		}
	}
	return text, nil
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// registryPath takes a registry path apart. Backslashes count the same single
// and doubled: the documentation prints them in both ways.
func registryPath(path string) (key, name string, err error) {
	for strings.Contains(path, `\\`) {
		path = strings.ReplaceAll(path, `\\`, `\`)
	}
	hive, rest, _ := strings.Cut(path, `\`)
	cut := strings.LastIndexByte(rest, '\\')
	if !strings.EqualFold(hive, "HKEY_CURRENT_USER") && !strings.EqualFold(hive, "HKCU") || cut <= 0 || cut == len(rest)-1 {
		return "", "", errors.New(`the registry path is not of the form registry:HKEY_CURRENT_USER\SOFTWARE\SignPath\{name}`)
	}
	return rest[:cut], rest[cut+1:], nil
}
