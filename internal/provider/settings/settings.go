// Package settings reads what a user configured: environment variables, the
// JSON file named by SIGNPATH_CONFIG_FILE, and values that a tool supplies.
//
// What enters is an environment (a list of NAME=value, never os.Environ: inside
// a C host that is frozen at exec), what leaves is one Settings value with every
// default filled in, or an error that names source, line, field and cause. Every
// name, old name, default and check stands in one table. No other package of the
// providers reads the environment. Source: SignPath crypto providers,
// "Configuration values"; old names from its changelog.
package settings

import (
	"net/url"
	"time"

	"signpath/internal/secret"
)

// Settings is the outcome. Its log settings are usable even when Load failed,
// so that the failure can be logged where the user looks.
type Settings struct {
	OrganizationID string        // UUID, lower case; "" when not configured
	APIToken       secret.Secret // empty when not configured
	APIURL         *url.URL      // without trailing slash; https, or http on loopback only

	TrustedCAFile        string // PEM file with further trusted roots
	TLSClientCertificate string // "thumbprint:{hex}", Windows only

	// PEM files of the TLS client certificate; both or neither, and not beside
	// TLSClientCertificate.
	TLSClientCertificateFile string // certificates, the leaf first
	TLSClientKeyFile         string // its private key, unencrypted; may be the same file

	ProjectSlug       string // "" means all
	SigningPolicySlug string

	DoNotFailOnReadWriteSessions          bool
	ProtectedAuthenticationPath           bool
	IncludeDummyX509CertificateForGpgKeys bool

	// ListCache is how long a list of signing policies on disk may be used without
	// asking the service; 0: nothing is kept. ListCacheFolder is where, "" when the
	// environment names no place of the user's own.
	ListCache       time.Duration
	ListCacheFolder string

	Log      Log
	Timeouts Timeouts

	// Proxy answers which proxy an address is reached through; nil means none.
	// HttpProxy serves every host. http_proxy, which wins over the file's
	// HttpProxy, https_proxy, HTTPS_PROXY and no_proxy follow curl's rules and
	// leave loopback alone (that is left to HttpProxy). http_proxy serves https
	// addresses too unless https_proxy is set. Where none of these is given, Windows
	// has the Internet Options. Errors and logs must not show the URL's password.
	Proxy func(*url.URL) (*url.URL, error)

	ConfigFile string   // the file that was read; "" for none
	Warnings   []string // unknown names, old names, both names set: to be logged once

	proxySecrets []secret.Secret   // passwords of proxies, for Secrets
	sources      map[string]string // JSON name -> where its value came from, for InForce
	tokenForm    string            // "plain", "encrypted" or "registry", for InForce
	proxyShown   []string          // the proxies without user and password, for InForce
}

// Level is a log level; higher values say more.
type Level int

// The log levels.
const (
	LevelNone Level = iota
	LevelFatal
	LevelError
	LevelWarning
	LevelInfo
	LevelDebug
	LevelVerbose
)

// Log says what is logged where.
type Log struct {
	ConsoleLevel  Level // default LevelNone
	ConsoleStdout bool  // default false: stderr
	FileLevel     Level // default LevelInfo
	FileDirectory string
}

// Timeouts bounds requests and their retries.
type Timeouts struct {
	Request         time.Duration // one attempt; default 30 s
	Total           time.Duration // one call with all its retries (ServiceUnavailableTimeoutInSeconds); default 600 s; 0: no bound but the count
	FirstRetryDelay time.Duration // default 1.16 s
	RetryCount      int           // 5.x rule; -1: no bound but Total
}
