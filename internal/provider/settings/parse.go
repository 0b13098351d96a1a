package settings

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Bounds of numbers. A day is longer than any build waits.
const (
	maxSeconds    = 24 * 60 * 60
	maxRetryCount = 1000
	maxText       = 4096 // bytes of a text value
)

var levels = [...]string{"none", "fatal", "error", "warning", "info", "debug", "verbose"}

// String is the level's name in settings.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levels) {
		return "level " + strconv.Itoa(int(l))
	}
	return levels[l]
}

// ParseLevel reads the name of a level without regard to case.
func ParseLevel(name string) (Level, error) {
	for i, l := range levels {
		if strings.EqualFold(l, name) {
			return Level(i), nil
		}
	}
	return LevelNone, fmt.Errorf("%q is no log level; give %s", clip(name), strings.Join(levels[:], ", "))
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", clip(text))
}

// parseNumber reads a decimal number as JSON writes it, without a sign.
func parseNumber(text string) (float64, error) {
	if strings.Contains(text, ",") {
		return 0, fmt.Errorf("%q is not a number; write the decimals behind a point", clip(text))
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "0123456789.eE+-") != "" || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, fmt.Errorf("%q is not a decimal number", clip(text))
	}
	return f, nil
}

// parseSeconds reads seconds, 0 < s ≤ one day.
func parseSeconds(text string) (time.Duration, error) {
	f, err := parseNumber(text)
	if err != nil {
		return 0, err
	}
	d := time.Duration(f * float64(time.Second))
	if f > maxSeconds || f <= 0 || d <= 0 {
		return 0, fmt.Errorf("%s seconds are out of range; give more than 0 and at most %d", clip(text), maxSeconds)
	}
	return d, nil
}

// maxCacheSeconds bounds how long a revoked token can go unnoticed at log-in.
const maxCacheSeconds = 3600

// parseCacheSeconds reads whole or broken seconds; 0 switches the cache off.
func parseCacheSeconds(text string) (time.Duration, error) {
	f, err := parseNumber(text)
	if err != nil {
		return 0, err
	}
	if f < 0 || f > maxCacheSeconds {
		return 0, fmt.Errorf("%s seconds are out of range; give 0 to %d", clip(text), maxCacheSeconds)
	}
	return time.Duration(f * float64(time.Second)), nil
}

func parseCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxRetryCount {
		return 0, fmt.Errorf("%q is not a whole number from 0 to %d", clip(text), maxRetryCount)
	}
	return n, nil
}

func parseStream(text string) (stdout bool, err error) {
	switch strings.ToLower(text) {
	case "stderr":
		return false, nil
	case "stdout":
		return true, nil
	}
	return false, fmt.Errorf("%q is no stream; give stderr or stdout", clip(text))
}

var uuidForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
})

// parseOrganizationID reads a UUID (RFC 9562 section 4). The value is not shown
// in the error: people paste the whole PIN here, token and all.
func parseOrganizationID(text string) (string, error) {
	id := strings.ToLower(text)
	switch {
	case uuidForm().MatchString(id):
		return id, nil
	case len(id) > 37 && id[36] == ':' && uuidForm().MatchString(id[:36]):
		return "", errors.New("the value holds more than the organization's id; the part behind the colon belongs into ApiToken")
	}
	return "", errors.New("the value is not a UUID such as 7f3c2d10-5c3e-4b7a-9d52-0e6f1a2b3c4d")
}

// parseSlug refuses what can be no slug, so that a wrong setting shows here and
// not as an unknown key.
func parseSlug(text string) (string, error) {
	for _, r := range text {
		if r < 0x21 || r == 0x7F || r == '/' || r == '\\' {
			return "", fmt.Errorf("%q is no slug: slugs hold no spaces and no slashes", clip(text))
		}
	}
	return text, nil
}

// parseAPIURL reads the address of the service. The value is not shown in
// errors: it could hold a password.
func parseAPIURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsAny(text, "\\ \t\r\n"):
		return nil, errors.New("the value is not a URL such as https://app.signpath.io/Api")
	case !strings.EqualFold(u.Scheme, "https") && !strings.EqualFold(u.Scheme, "http"), u.Opaque != "", u.Hostname() == "":
		return nil, errors.New("the value is not an absolute https URL such as https://app.signpath.io/Api")
	case u.User != nil:
		return nil, errors.New("the URL must not hold a user name or password")
	case strings.ContainsAny(text, "?#"):
		return nil, errors.New("the URL must not hold a query or fragment (? or #)")
	case !validPort(u):
		return nil, errors.New("the port of the URL is not a number from 1 to 65535")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, errors.New("http:// would send the token in clear text; it is allowed to this machine itself only (127.0.0.1, [::1], localhost), use https://")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	return u, nil
}

func validPort(u *url.URL) bool {
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if u.Port() == "" {
		return true
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// loopback tells whether a host name is this machine without asking anyone.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Zone() == "" && a.Unmap().IsLoopback()
}

// parseProxy reads host:port or a URL of the schemes that proxies have,
// with or without user and password. The value is not shown in errors.
func parseProxy(text string) (*url.URL, error) {
	wrong := errors.New("the value is not host:port or http://host:port, with user:password@ before the host where the proxy asks for it")
	if strings.ContainsAny(text, " \t\r\n") {
		return nil, wrong
	}
	bare := !strings.Contains(text, "://")
	if bare {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || !validPort(u) || strings.Trim(u.Path, "/") != "" || strings.ContainsAny(text, "?#") || bare && u.Port() == "" {
		return nil, wrong
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
	default:
		return nil, wrong
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme])
	}
	u.Path, u.RawPath = "", ""
	return u, nil
}

// parseThumbprint reads thumbprint:{hex} of a SHA-1 or SHA-256 thumbprint, also as
// Windows shows it: with spaces or colons between the bytes, and a mark in front that
// nobody sees.
func parseThumbprint(text string) (string, error) {
	digits, ok := strings.CutPrefix(strings.ToLower(text), "thumbprint:")
	digits = strings.NewReplacer(" ", "", ":", "", "\u200e", "", "\u200f", "", "\ufeff", "", "\u00a0", "").Replace(digits)
	if !ok || strings.Trim(digits, "0123456789abcdef") != "" || len(digits) != 40 && len(digits) != 64 {
		return "", errors.New("the value is not thumbprint: with the 40 hexadecimal digits of a certificate's thumbprint behind it")
	}
	return "thumbprint:" + digits, nil
}

// clip shortens foreign text for messages.
func clip(s string) string {
	const limit = 60
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
