package settings

import (
	"net/url"
	"time"

	"signpath/internal/secret"
)

// setting is one row of the table: everything the package knows about a value
// that a user configures.
type setting struct {
	json string // path of JSON names; "" for the name of the file itself
	env  string
	old  []oldName
	def  string // for people
	doc  string // one line, for people
	os   string // GOOS where the setting exists; "" for everywhere
	kind kind   // JSON types that are accepted beside text
	// explicit is the tool's value, nil where Explicit has no field of its own.
	explicit func(Explicit) string
	// apply checks the value and stores it. Its errors may show text that is no
	// secret.
	apply func(d *draft, v value) error
}

// oldName is a name of earlier versions that is still understood.
type oldName struct {
	json, env string
	quiet     bool // still documented: no warning unless the new name is set too
}

// Environment variables that other packages may name in messages.
const (
	EnvConfigFile      = "SIGNPATH_CONFIG_FILE"
	EnvOrganizationID  = "SIGNPATH_ORGANIZATION_ID"
	EnvAPIToken        = "SIGNPATH_API_TOKEN"
	EnvReadWriteSwitch = "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS"
	// What the smart card daemon of a GnuPG home is started with.
	EnvProtectedAuthentication = "SIGNPATH_CRYPTOKI_PROTECTED_AUTHENTICATION_PATH"
)

const (
	nameAPIURL     = "ApiUrl"
	envAPIURL      = "SIGNPATH_API_URL"
	nameStoreCert  = "TlsClientCertificate"
	nameCertFile   = "TlsClientCertificateFile"
	nameKeyFile    = "TlsClientKeyFile"
	nameProxy      = "HttpProxy"
	nameListCache  = "SigningPolicyCacheInSeconds"
	nameTotal      = "ServiceUnavailableTimeoutInSeconds"
	nameFirstDelay = "Timeouts.FirstRetryDelay"
	nameRetryCount = "Timeouts.RetryCount"
	nameOldTotal   = "Timeouts.ServiceUnavailable"
)

// Defaults that are more than the zero value.
const (
	DefaultAPIURL          = "https://app.signpath.io/Api"
	defaultRequestTimeout  = 30 * time.Second
	defaultTotalTimeout    = 600 * time.Second
	defaultFirstRetryDelay = 1160 * time.Millisecond
	defaultRetryCount      = 10
)

// SharedLogDirectory is the default log folder outside Windows. All users of a
// machine share it.
const SharedLogDirectory = "/tmp/SignPathLogs"

// table lists every setting in the order of the documentation.
var table = []setting{
	{
		env: EnvConfigFile, def: "none",
		doc:      "path of a JSON file with the settings below",
		explicit: func(e Explicit) string { return e.ConfigFile },
	},
	{
		json: "OrganizationId", env: EnvOrganizationID, def: "mandatory",
		doc:      "ID of your organization (UUID)",
		explicit: func(e Explicit) string { return e.OrganizationID },
		apply:    func(d *draft, v value) (err error) { d.OrganizationID, err = parseOrganizationID(v.text); return },
	},
	{
		json: "ApiToken", env: EnvAPIToken, def: "mandatory",
		old:      []oldName{{json: "CIUserToken", env: "SIGNPATH_CI_USER_TOKEN"}},
		doc:      "API token; on Windows also encrypted:{base64} or registry:{path}",
		explicit: func(e Explicit) string { return e.APIToken.Reveal() },
		apply: func(d *draft, v value) error {
			t, err := parseToken(v)
			d.APIToken, d.tokenForm = secret.New(t), tokenForm(v.text)
			return err
		},
	},
	{
		json: nameAPIURL, env: envAPIURL, def: DefaultAPIURL,
		doc:      "address of the API; https, or http to this machine itself",
		explicit: func(e Explicit) string { return e.APIURL },
		apply: func(d *draft, v value) error {
			u, err := parseAPIURL(v.text)
			if err == nil {
				d.APIURL = u
			}
			return err
		},
	},
	{
		json: "TrustedCaFile", env: "SIGNPATH_TRUSTED_CA_FILE", def: "none",
		doc:      "PEM file with trusted root certificates beside those of the system",
		explicit: func(e Explicit) string { return e.TrustedCAFile },
		apply:    func(d *draft, v value) error { d.TrustedCAFile = v.text; return nil },
	},
	{
		json: nameStoreCert, env: "SIGNPATH_TLS_CLIENT_CERTIFICATE", def: "none", os: "windows",
		doc:   "TLS client certificate, thumbprint:{hex}",
		apply: func(d *draft, v value) (err error) { d.TLSClientCertificate, err = parseThumbprint(v.text); return },
	},
	{
		json: nameCertFile, env: "SIGNPATH_TLS_CLIENT_CERTIFICATE_FILE", def: "none",
		doc:   "PEM file with the TLS client certificate and its issuers, leaf first",
		apply: func(d *draft, v value) error { d.TLSClientCertificateFile = v.text; return nil },
	},
	{
		json: nameKeyFile, env: "SIGNPATH_TLS_CLIENT_KEY_FILE", def: "none",
		doc:   "PEM file with the unencrypted private key of the TLS client certificate; may be the same file",
		apply: func(d *draft, v value) error { d.TLSClientKeyFile = v.text; return nil },
	},
	{
		json: nameProxy, env: "http_proxy", def: "none, on Windows that of the Internet Options",
		doc:      "HTTP proxy, host:port or http://host:port",
		explicit: func(e Explicit) string { return e.HTTPProxy },
		apply:    func(d *draft, v value) error { return d.applyProxy(v) },
	},
	{
		json: "ProjectSlug", env: "SIGNPATH_PROJECT_SLUG", def: "all",
		doc:      "use the keys of this project only",
		explicit: func(e Explicit) string { return e.ProjectSlug },
		apply:    func(d *draft, v value) (err error) { d.ProjectSlug, err = parseSlug(v.text); return },
	},
	{
		json: "SigningPolicySlug", env: "SIGNPATH_SIGNING_POLICY_SLUG", def: "all",
		doc:      "use the keys of signing policies of this name only",
		explicit: func(e Explicit) string { return e.SigningPolicySlug },
		apply:    func(d *draft, v value) (err error) { d.SigningPolicySlug, err = parseSlug(v.text); return },
	},
	{
		json: "Cryptoki.DoNotFailOnReadWriteSessions", env: EnvReadWriteSwitch, def: "false", kind: kindBool | kindNumber,
		doc:   "let tools open read/write sessions that only read",
		apply: func(d *draft, v value) (err error) { d.DoNotFailOnReadWriteSessions, err = parseBool(v.text); return },
	},
	{
		json: "Cryptoki.ProtectedAuthenticationPath", env: EnvProtectedAuthentication, def: "false", kind: kindBool | kindNumber,
		doc:   "tell tools that the token needs no PIN from them",
		apply: func(d *draft, v value) (err error) { d.ProtectedAuthenticationPath, err = parseBool(v.text); return },
	},
	{
		json: "IncludeDummyX509CertificateForGpgKeys", env: "SIGNPATH_INCLUDE_DUMMY_X509CERTIFICATE_FOR_GPG_KEYS", def: "false", kind: kindBool | kindNumber,
		doc: "show a made-up certificate for OpenPGP keys",
		apply: func(d *draft, v value) (err error) {
			d.IncludeDummyX509CertificateForGpgKeys, err = parseBool(v.text)
			return
		},
	},
	{
		json: nameListCache, env: "SIGNPATH_SIGNING_POLICY_CACHE_IN_SECONDS", def: "0", kind: kindNumber,
		doc:   "seconds that a list of signing policies is kept on disk for the next process; 0: not at all",
		apply: func(d *draft, v value) (err error) { d.ListCache, err = parseCacheSeconds(v.text); return },
	},
	{
		json: "Log.Console.Level", env: "SIGNPATH_LOG_CONSOLE_LEVEL", def: "none",
		old:   []oldName{{env: "SIGNPATH_LOG_LEVEL"}},
		doc:   "log level of the console: none, fatal, error, warning, info, debug, verbose",
		apply: func(d *draft, v value) (err error) { return setLevel(&d.Log.ConsoleLevel, v) },
	},
	{
		json: "Log.Console.OutputStream", env: "SIGNPATH_LOG_CONSOLE_OUTPUT_STREAM", def: "stderr",
		doc:   "stream of the console log: stderr or stdout",
		apply: func(d *draft, v value) (err error) { d.Log.ConsoleStdout, err = parseStream(v.text); return },
	},
	{
		json: "Log.File.Level", env: "SIGNPATH_LOG_FILE_LEVEL", def: "info",
		old:   []oldName{{env: "SIGNPATH_LOG_LEVEL"}},
		doc:   "log level of the log file; none switches it off",
		apply: func(d *draft, v value) (err error) { return setLevel(&d.Log.FileLevel, v) },
	},
	{
		json: "Log.File.Directory", env: "SIGNPATH_LOG_FILE_DIRECTORY", def: SharedLogDirectory + `, on Windows %TEMP%\SignPathLogs`,
		doc:   "folder of the log files",
		apply: func(d *draft, v value) error { d.Log.FileDirectory = v.text; return nil },
	},
	{
		json: nameTotal, env: "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS", def: "600", kind: kindNumber,
		doc:   "seconds that one call may take with all its retries",
		apply: func(d *draft, v value) (err error) { d.Timeouts.Total, err = parseSeconds(v.text); return },
	},
	{
		json: "HttpRequestTimeoutInSeconds", env: "SIGNPATH_HTTP_REQUEST_TIMEOUT_IN_SECONDS", def: "30", kind: kindNumber,
		old: []oldName{{json: "Timeouts.HttpRequest", env: "SIGNPATH_TIMEOUTS_HTTP_REQUEST", quiet: true}},
		doc: "seconds that one attempt may take",
		apply: func(d *draft, v value) error {
			t, err := parseSeconds(v.text)
			if err == nil {
				d.Timeouts.Request = t
			}
			return err
		},
	},
	{
		json: nameFirstDelay, env: "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY", def: "1.16", kind: kindNumber,
		doc: "seconds before the first retry (median); sets the retry rule of version 5",
		apply: func(d *draft, v value) error {
			t, err := parseSeconds(v.text)
			if err == nil {
				d.Timeouts.FirstRetryDelay = t
			}
			return err
		},
	},
	{
		json: nameRetryCount, env: "SIGNPATH_TIMEOUTS_RETRY_COUNT", def: "10", kind: kindNumber,
		doc:   "number of retries; sets the retry rule of version 5",
		apply: func(d *draft, v value) (err error) { d.Timeouts.RetryCount, err = parseCount(v.text); return },
	},
	{
		json: nameOldTotal, env: "SIGNPATH_TIMEOUTS_SERVICE_UNAVAILABLE", def: "none", kind: kindNumber,
		doc:   "name of " + nameTotal + " before version 4.0.1",
		apply: func(d *draft, v value) (err error) { d.oldTotal, err = parseSeconds(v.text); return },
	},
}

func setLevel(to *Level, v value) error {
	l, err := ParseLevel(v.text)
	if err == nil {
		*to = l
	}
	return err
}

// NameInfo is one row of the table for documentation and for people.
type NameInfo struct {
	JSON, Environment       string   // the names in use; JSON is "" for the file's own path
	OldJSON, OldEnvironment []string // names of earlier versions that still work
	Default, Description    string
	OS                      string // "windows" where the setting exists there only, else ""
}

// Names lists every setting in the order of the documentation.
func Names() []NameInfo {
	all := make([]NameInfo, 0, len(table))
	for _, s := range table {
		n := NameInfo{JSON: s.json, Environment: s.env, Default: s.def, Description: s.doc, OS: s.os}
		for _, o := range s.old {
			if o.json != "" {
				n.OldJSON = append(n.OldJSON, o.json)
			}
			if o.env != "" {
				n.OldEnvironment = append(n.OldEnvironment, o.env)
			}
		}
		all = append(all, n)
	}
	return all
}

// defaults is the outcome when nothing is configured.
func defaults(env environment) Settings {
	u, _ := url.Parse(DefaultAPIURL)
	return Settings{
		APIURL:          u,
		ListCacheFolder: defaultCacheFolder(env),
		Log:             Log{FileLevel: LevelInfo, FileDirectory: defaultLogDirectory(env)},
		Timeouts: Timeouts{
			Request: defaultRequestTimeout, Total: defaultTotalTimeout,
			FirstRetryDelay: defaultFirstRetryDelay, RetryCount: -1,
		},
	}
}
