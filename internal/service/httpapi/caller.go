package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"unicode"
)

const maxUserAgent = 300 // runes that are kept

// callerIP is the caller's address without port and zone; see Config.TrustForwardedFor.
func callerIP(r *http.Request, trustForwardedFor bool) string {
	if trustForwardedFor {
		entries := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		if ip, ok := parseIP(entries[len(entries)-1]); ok {
			return ip
		}
	}
	ip, _ := parseIP(r.RemoteAddr)
	return ip
}

// parseIP reads an address with or without port and brackets.
func parseIP(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	ip, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return "", false
	}
	return ip.Unmap().WithZone("").String(), true
}

// userAgent is the header made safe for logs: valid UTF-8, printable, bounded.
func userAgent(r *http.Request) string {
	s := strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(r.UserAgent(), "?"))
	if runes := []rune(s); len(runes) > maxUserAgent {
		s = string(runes[:maxUserAgent])
	}
	return s
}
