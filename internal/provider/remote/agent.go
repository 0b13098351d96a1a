package remote

import (
	"runtime"
	"strings"
)

// userAgent is SignPath.CryptoProviders.{product}/{version} ({os} {osVersion}; {arch}).
func userAgent(product, version string) string {
	return "SignPath.CryptoProviders." + word(product) + "/" + word(version) + " (" + osName() + " " + word(osVersion()) + "; " + runtime.GOARCH + ")"
}

func osName() string {
	switch runtime.GOOS {
	case "linux":
		return "Linux"
	case "windows":
		return "Windows"
	case "darwin":
		return "macOS"
	}
	return runtime.GOOS
}

// word keeps what may stand in a product token (RFC 9110 section 5.6.2).
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-._+~", r) {
			return r
		}
		return -1
	}, s)
	if s == "" {
		return "unknown"
	}
	return s[:min(len(s), 64)]
}
