package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"signpath/internal/provider/redact"
	"signpath/internal/secret"
)

const (
	org   = "7f3c2d10-5c3e-4b7a-9d52-0e6f1a2b3c4d"
	token = "AIk/65sl23lA1nVV/pgSqk96SvHFsSw3xitmp5Qhr+F/"
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// loadFile reads a file with the given content beside the variables.
func loadFile(t *testing.T, content string, environ []string, e Explicit) (Settings, error) {
	t.Helper()
	if content != "" {
		environ = append(environ, EnvConfigFile+"="+writeFile(t, content))
	}
	return Load(environ, e)
}

func problems(t *testing.T, err error) []Problem {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) == 0 {
		t.Fatalf("%T %v is no *Error with problems", err, err)
	}
	return e.Problems
}

// The names of the documentation and of its changelog.
func TestNamesOfTheDocumentation(t *testing.T) {
	pairs := map[string]string{
		"":                                      "SIGNPATH_CONFIG_FILE",
		"OrganizationId":                        "SIGNPATH_ORGANIZATION_ID",
		"ApiToken":                              "SIGNPATH_API_TOKEN",
		"ApiUrl":                                "SIGNPATH_API_URL",
		"TrustedCaFile":                         "SIGNPATH_TRUSTED_CA_FILE",
		"TlsClientCertificate":                  "SIGNPATH_TLS_CLIENT_CERTIFICATE",
		"TlsClientCertificateFile":              "SIGNPATH_TLS_CLIENT_CERTIFICATE_FILE", // this and the next are additions
		"TlsClientKeyFile":                      "SIGNPATH_TLS_CLIENT_KEY_FILE",
		"HttpProxy":                             "http_proxy",
		"ProjectSlug":                           "SIGNPATH_PROJECT_SLUG",
		"SigningPolicySlug":                     "SIGNPATH_SIGNING_POLICY_SLUG",
		"Cryptoki.DoNotFailOnReadWriteSessions": "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS",
		"Cryptoki.ProtectedAuthenticationPath":  "SIGNPATH_CRYPTOKI_PROTECTED_AUTHENTICATION_PATH",
		"IncludeDummyX509CertificateForGpgKeys": "SIGNPATH_INCLUDE_DUMMY_X509CERTIFICATE_FOR_GPG_KEYS",
		"SigningPolicyCacheInSeconds":           "SIGNPATH_SIGNING_POLICY_CACHE_IN_SECONDS", // an addition
		"Log.Console.Level":                     "SIGNPATH_LOG_CONSOLE_LEVEL",
		"Log.Console.OutputStream":              "SIGNPATH_LOG_CONSOLE_OUTPUT_STREAM",
		"Log.File.Level":                        "SIGNPATH_LOG_FILE_LEVEL",
		"Log.File.Directory":                    "SIGNPATH_LOG_FILE_DIRECTORY",
		"ServiceUnavailableTimeoutInSeconds":    "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS",
		"HttpRequestTimeoutInSeconds":           "SIGNPATH_HTTP_REQUEST_TIMEOUT_IN_SECONDS",
		"Timeouts.FirstRetryDelay":              "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY",
		"Timeouts.RetryCount":                   "SIGNPATH_TIMEOUTS_RETRY_COUNT",
		"Timeouts.ServiceUnavailable":           "SIGNPATH_TIMEOUTS_SERVICE_UNAVAILABLE",
	}
	old := map[string]string{ // variable: the name in use
		"SIGNPATH_CI_USER_TOKEN": "ApiToken", "CIUserToken": "ApiToken",
		"SIGNPATH_TIMEOUTS_HTTP_REQUEST": "HttpRequestTimeoutInSeconds", "Timeouts.HttpRequest": "HttpRequestTimeoutInSeconds",
		"SIGNPATH_LOG_LEVEL": "Log.Console.Level",
	}
	names := Names()
	if len(names) != len(pairs) {
		t.Errorf("%d names, the documentation has %d", len(names), len(pairs))
	}
	for _, n := range names {
		if want, ok := pairs[n.JSON]; !ok || n.Environment != want {
			t.Errorf("%q goes with %q, not %q", n.JSON, want, n.Environment)
		}
		if n.Description == "" || n.Default == "" {
			t.Errorf("%s has no description or default", n.Environment)
		}
		for _, o := range append(n.OldJSON, n.OldEnvironment...) {
			if old[o] == n.JSON {
				delete(old, o)
			}
		}
	}
	for o := range old {
		t.Errorf("the old name %s is missing", o)
	}
}

func TestDefaults(t *testing.T) {
	s, err := Load(nil, Explicit{})
	if err != nil {
		t.Fatal(err)
	}
	want := Timeouts{Request: 30 * time.Second, Total: 600 * time.Second, FirstRetryDelay: 1160 * time.Millisecond, RetryCount: -1}
	if s.APIURL.String() != "https://app.signpath.io/Api" || s.Timeouts != want || s.Log.ConsoleLevel != LevelNone || s.Log.FileLevel != LevelInfo ||
		s.Log.ConsoleStdout || s.Proxy != nil || s.DoNotFailOnReadWriteSessions || s.ProtectedAuthenticationPath || s.IncludeDummyX509CertificateForGpgKeys || len(s.Warnings) != 0 || s.ConfigFile != "" {
		t.Errorf("%+v", s)
	}
	if runtime.GOOS != "windows" && s.Log.FileDirectory != "/tmp/SignPathLogs" {
		t.Error(s.Log.FileDirectory)
	}
}

// fields gives the settings that a person sets, as text.
func fields(s Settings) map[string]string {
	return map[string]string{
		"OrganizationId": s.OrganizationID, "ApiToken": s.APIToken.Reveal(), "ApiUrl": s.APIURL.String(), "TrustedCaFile": s.TrustedCAFile,
		"ProjectSlug": s.ProjectSlug, "SigningPolicySlug": s.SigningPolicySlug,
		"Cryptoki.DoNotFailOnReadWriteSessions": fmt.Sprint(s.DoNotFailOnReadWriteSessions),
		"Cryptoki.ProtectedAuthenticationPath":  fmt.Sprint(s.ProtectedAuthenticationPath),
		"IncludeDummyX509CertificateForGpgKeys": fmt.Sprint(s.IncludeDummyX509CertificateForGpgKeys),
		"Log.Console.Level":                     s.Log.ConsoleLevel.String(), "Log.Console.OutputStream": map[bool]string{true: "stdout", false: "stderr"}[s.Log.ConsoleStdout],
		"Log.File.Level": s.Log.FileLevel.String(), "Log.File.Directory": s.Log.FileDirectory,
		"ServiceUnavailableTimeoutInSeconds": s.Timeouts.Total.String(), "HttpRequestTimeoutInSeconds": s.Timeouts.Request.String(),
		"Timeouts.FirstRetryDelay": s.Timeouts.FirstRetryDelay.String(), "Timeouts.RetryCount": fmt.Sprint(s.Timeouts.RetryCount),
	}
}

// nested writes {"A":{"B":value}} for "A.B".
func nested(name, value string) string {
	parts := strings.Split(name, ".")
	out := value
	for _, p := range slices.Backward(parts) {
		out = fmt.Sprintf("{%q:%s}", p, out)
	}
	return out
}

// Every setting by each of its ways in, and the precedence between them.
func TestEverySetting(t *testing.T) {
	tests := []struct{ name, file, env, tool, wantFile, wantEnv, wantTool string }{
		{"OrganizationId", `"` + strings.ToUpper(org) + `"`, "8" + org[1:], "9" + org[1:], org, "8" + org[1:], "9" + org[1:]},
		{"ApiToken", `" file-token\n"`, " env-token ", "tool-token", "file-token", "env-token", "tool-token"},
		{"ApiUrl", `"https://a/Api/"`, "https://b/Api//", "http://127.0.0.1:1/Api", "https://a/Api", "https://b/Api", "http://127.0.0.1:1/Api"},
		{"TrustedCaFile", `"/a.pem"`, "/b.pem", "/c.pem", "/a.pem", "/b.pem", "/c.pem"},
		{"ProjectSlug", `"a"`, "b", "c", "a", "b", "c"},
		{"SigningPolicySlug", `"a"`, "b", "c", "a", "b", "c"},
		{"Cryptoki.DoNotFailOnReadWriteSessions", `true`, "FALSE", "1", "true", "false", "true"},
		{"Cryptoki.ProtectedAuthenticationPath", `true`, "FALSE", "1", "true", "false", "true"},
		{"IncludeDummyX509CertificateForGpgKeys", `"1"`, "0", "True", "true", "false", "true"},
		{"Log.Console.Level", `"Warning"`, "DEBUG", "fatal", "warning", "debug", "fatal"},
		{"Log.Console.OutputStream", `"STDOUT"`, "stderr", "stdout", "stdout", "stderr", "stdout"},
		{"Log.File.Level", `"none"`, "verbose", "error", "none", "verbose", "error"},
		{"Log.File.Directory", `"/a b"`, "/b", "/c", "/a b", "/b", "/c"},
		{"ServiceUnavailableTimeoutInSeconds", `120`, "0.5", "30", "2m0s", "500ms", "30s"},
		{"HttpRequestTimeoutInSeconds", `"12.5"`, "3", "2", "12.5s", "3s", "2s"},
		{"Timeouts.FirstRetryDelay", `1.5`, "2", "3", "1.5s", "2s", "3s"},
		{"Timeouts.RetryCount", `0`, "3", "4", "0", "3", "4"},
	}
	env := map[string]string{}
	for _, n := range Names() {
		env[n.JSON] = n.Environment
	}
	check := func(name, way, want string, s Settings, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s by %s: %v", name, way, err)
		} else if got := fields(s)[name]; got != want {
			t.Errorf("%s by %s: %q, want %q", name, way, got, want)
		}
		if len(s.Warnings) != 0 {
			t.Errorf("%s by %s: %q", name, way, s.Warnings)
		}
	}
	for _, tt := range tests {
		file := nested(tt.name, tt.file)
		environ := []string{env[tt.name] + "=" + tt.env}
		tool := Explicit{Values: map[string]string{tt.name: tt.tool}}
		s, err := loadFile(t, file, nil, Explicit{})
		check(tt.name, "file", tt.wantFile, s, err)
		s, err = loadFile(t, strings.Replace(file, tt.name, strings.ToLower(tt.name), 1), nil, Explicit{})
		check(tt.name, "file in lower case", tt.wantFile, s, err)
		s, err = loadFile(t, file, environ, Explicit{})
		check(tt.name, "environment over file", tt.wantEnv, s, err)
		s, err = loadFile(t, file, []string{env[tt.name] + "="}, Explicit{})
		check(tt.name, "empty variable", tt.wantFile, s, err)
		s, err = loadFile(t, file, environ, tool)
		check(tt.name, "tool over all", tt.wantTool, s, err)
		s, err = loadFile(t, nested(tt.name, `null`), environ, Explicit{})
		check(tt.name, "null in the file", tt.wantEnv, s, err)
		s, err = loadFile(t, nested(tt.name, `""`), environ, Explicit{})
		check(tt.name, "empty text in the file", tt.wantEnv, s, err)
	}
}

func TestExplicitFields(t *testing.T) {
	path := writeFile(t, `{"ApiUrl":"https://file/Api","ProjectSlug":"file","Log":{"File":{"Level":"error"}}}`)
	s, err := Load([]string{EnvConfigFile + "=/nowhere", "SIGNPATH_API_URL=https://env/Api"}, Explicit{
		OrganizationID: org, APIToken: secret.New(token), APIURL: "https://tool/Api", ProjectSlug: "p", SigningPolicySlug: "q",
		ConfigFile: path, TrustedCAFile: "/ca.pem", HTTPProxy: "proxy:1", Values: map[string]string{"projectslug": "weaker"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.OrganizationID != org || s.APIToken.Reveal() != token || s.APIURL.String() != "https://tool/Api" || s.ProjectSlug != "p" ||
		s.SigningPolicySlug != "q" || s.ConfigFile != path || s.TrustedCAFile != "/ca.pem" || s.Proxy == nil || s.Log.FileLevel != LevelError {
		t.Errorf("%+v", s)
	}
	if err := s.Complete(); err != nil {
		t.Error(err)
	}
}

func TestOldNames(t *testing.T) {
	tests := []struct {
		name, file string
		environ    []string
		field      string
		want       string
		warnings   []string // a part of each
	}{
		{"old variable", "", []string{"SIGNPATH_CI_USER_TOKEN=old"}, "ApiToken", "old", []string{"SIGNPATH_CI_USER_TOKEN is an old name"}},
		{"old member", `{"ciusertoken":"old"}`, nil, "ApiToken", "old", []string{"ciusertoken is an old name"}},
		{"both variables", "", []string{"SIGNPATH_CI_USER_TOKEN=old", "SIGNPATH_API_TOKEN=new1"}, "ApiToken", "new1", []string{"SIGNPATH_CI_USER_TOKEN is ignored"}},
		{"new in the file, old in the environment", `{"ApiToken":"new1"}`, []string{"SIGNPATH_CI_USER_TOKEN=old"}, "ApiToken", "new1", []string{"SIGNPATH_CI_USER_TOKEN is ignored"}},
		{"5.x time-out is documented", `{"Timeouts":{"HttpRequest":5}}`, nil, "HttpRequestTimeoutInSeconds", "5s", nil},
		{"5.x and 6.x time-out", `{"Timeouts":{"HttpRequest":5},"HttpRequestTimeoutInSeconds":6}`, nil, "HttpRequestTimeoutInSeconds", "6s", []string{"Timeouts.HttpRequest is ignored"}},
		{"one log level: console", "", []string{"SIGNPATH_LOG_LEVEL=debug"}, "Log.Console.Level", "debug", []string{"SIGNPATH_LOG_CONSOLE_LEVEL", "SIGNPATH_LOG_FILE_LEVEL"}},
		{"one log level: file", "", []string{"SIGNPATH_LOG_LEVEL=debug"}, "Log.File.Level", "debug", []string{"SIGNPATH_LOG_CONSOLE_LEVEL", "SIGNPATH_LOG_FILE_LEVEL"}},
		{"4.0 time-out", `{"Timeouts":{"ServiceUnavailable":50}}`, nil, "ServiceUnavailableTimeoutInSeconds", "50s", []string{"is an old name"}},
		{"4.0 and 6.x time-out", `{"Timeouts":{"ServiceUnavailable":50},"ServiceUnavailableTimeoutInSeconds":60}`, nil, "ServiceUnavailableTimeoutInSeconds", "1m0s", []string{"Timeouts.ServiceUnavailable is ignored"}},
	}
	for _, tt := range tests {
		s, err := loadFile(t, tt.file, tt.environ, Explicit{})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := fields(s)[tt.field]; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if len(s.Warnings) != len(tt.warnings) {
			t.Errorf("%s: %q", tt.name, s.Warnings)
			continue
		}
		for i, w := range tt.warnings {
			if !strings.Contains(s.Warnings[i], w) {
				t.Errorf("%s: %q has no %q", tt.name, s.Warnings[i], w)
			}
		}
	}
}

func TestRetryRules(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	tests := []struct {
		name, file string
		want       Timeouts
		warnings   int
	}{
		{"6.x", `{"ServiceUnavailableTimeoutInSeconds":60}`, Timeouts{30 * s, 60 * s, 1160 * ms, -1}, 0},
		{"5.x count", `{"Timeouts":{"RetryCount":3}}`, Timeouts{30 * s, 0, 1160 * ms, 3}, 0},
		{"5.x delay", `{"Timeouts":{"FirstRetryDelay":"0.01"}}`, Timeouts{30 * s, 0, 10 * ms, 10}, 0},
		{"5.x both", `{"Timeouts":{"FirstRetryDelay":2,"RetryCount":0,"HttpRequest":9}}`, Timeouts{9 * s, 0, 2 * s, 0}, 0},
		{"5.x request alone is no 5.x rule", `{"Timeouts":{"HttpRequest":9}}`, Timeouts{9 * s, 600 * s, 1160 * ms, -1}, 0},
		{"count and total: new wins", `{"Timeouts":{"RetryCount":3},"ServiceUnavailableTimeoutInSeconds":60}`, Timeouts{30 * s, 60 * s, 1160 * ms, -1}, 1},
		{"delay and total go together", `{"Timeouts":{"FirstRetryDelay":3},"ServiceUnavailableTimeoutInSeconds":60}`, Timeouts{30 * s, 60 * s, 3 * s, -1}, 0},
		{"count and 4.0 total", `{"Timeouts":{"RetryCount":3,"ServiceUnavailable":60}}`, Timeouts{30 * s, 0, 1160 * ms, 3}, 1},
	}
	for _, tt := range tests {
		got, err := loadFile(t, tt.file, nil, Explicit{})
		if err != nil || got.Timeouts != tt.want || len(got.Warnings) != tt.warnings {
			t.Errorf("%s: %+v %q %v", tt.name, got.Timeouts, got.Warnings, err)
		}
	}
}

func TestWrongValues(t *testing.T) {
	tests := []struct{ name, value, cause string }{
		{"OrganizationId", `"x"`, "not a UUID"},
		{"OrganizationId", `"` + org + `:` + token + `"`, "behind the colon belongs into ApiToken"},
		{"OrganizationId", `5`, "must be text, not a number"},
		{"ApiToken", `"a b"`, "spaces"},
		{"ApiToken", `"a\u0007b"`, "control characters"},
		{"ApiToken", `"grün"`, "ASCII"},
		{"ApiToken", `["x"]`, "must be text, not a list"},
		{"ApiUrl", `"app.signpath.io/Api"`, "absolute https URL"},
		{"ApiUrl", `"ftp://h/"`, "absolute https URL"},
		{"ApiUrl", `"https:///Api"`, "absolute https URL"},
		{"ApiUrl", `"https:h"`, "absolute https URL"},
		{"ApiUrl", `"http://example.com/Api"`, "clear text"},
		{"ApiUrl", `"http://127.0.0.1.example.com/"`, "clear text"},
		{"ApiUrl", `"http://127.1/"`, "clear text"},
		{"ApiUrl", `"http://0.0.0.0/"`, "clear text"},
		{"ApiUrl", `"HTTP://[::2]/"`, "clear text"},
		{"ApiUrl", `"http://localhost.example.com/"`, "clear text"},
		{"ApiUrl", `"https://u:hunter22@h/"`, "user name or password"},
		{"ApiUrl", `"https://h/?"`, "query or fragment"},
		{"ApiUrl", `"https://h/#"`, "query or fragment"},
		{"ApiUrl", `"https://h:0/"`, "port"},
		{"ApiUrl", `"https://h:/"`, "port"},
		{"ApiUrl", `"https://h:65536/"`, "port"},
		{"ApiUrl", `"https://h\\x"`, "not a URL"},
		{"ApiUrl", `"https://a b/"`, "not a URL"},
		{"HttpProxy", `"proxy"`, "host:port"},
		{"HttpProxy", `"true"`, "host:port"},
		{"HttpProxy", `"ftp://h:1"`, "host:port"},
		{"HttpProxy", `"http://h:1/path"`, "host:port"},
		{"HttpProxy", `":3128"`, "host:port"},
		{"HttpProxy", `"h:x"`, "host:port"},
		{"HttpProxy", `"u:hunter22@@h"`, "host:port"},
		{"ProjectSlug", `"a/b"`, "no slug"},
		{"SigningPolicySlug", `"a b"`, "no slug"},
		{"Cryptoki.DoNotFailOnReadWriteSessions", `"yes"`, "neither true nor false"},
		{"Cryptoki.DoNotFailOnReadWriteSessions", `2`, "neither true nor false"},
		{"IncludeDummyX509CertificateForGpgKeys", `{}`, "must be true or false, not an object"},
		{"Log.Console.Level", `"loud"`, "none, fatal, error, warning, info, debug, verbose"},
		{"Log.Console.Level", `true`, "must be text, not true or false"},
		{"Log.Console.OutputStream", `"out"`, "stderr or stdout"},
		{"Log.File.Level", `"trace"`, "no log level"},
		{"Log.File.Level", `{"x":1}`, "must be text, not an object"},
		{"ServiceUnavailableTimeoutInSeconds", `0`, "out of range"},
		{"ServiceUnavailableTimeoutInSeconds", `-1`, "out of range"},
		{"ServiceUnavailableTimeoutInSeconds", `1e-12`, "out of range"},
		{"ServiceUnavailableTimeoutInSeconds", `86401`, "out of range"},
		{"ServiceUnavailableTimeoutInSeconds", `1e999`, "not a decimal number"},
		{"HttpRequestTimeoutInSeconds", `"NaN"`, "not a decimal number"},
		{"HttpRequestTimeoutInSeconds", `"Inf"`, "not a decimal number"},
		{"HttpRequestTimeoutInSeconds", `"0x10"`, "not a decimal number"},
		{"HttpRequestTimeoutInSeconds", `"1_0"`, "not a decimal number"},
		{"HttpRequestTimeoutInSeconds", `"1,5"`, "behind a point"},
		{"HttpRequestTimeoutInSeconds", `true`, "must be a number, not true or false"},
		{"Timeouts.FirstRetryDelay", `"30s"`, "not a decimal number"},
		{"Timeouts.RetryCount", `1.5`, "whole number"},
		{"Timeouts.RetryCount", `-1`, "whole number"},
		{"Timeouts.RetryCount", `1001`, "whole number"},
		{"Timeouts.ServiceUnavailable", `"x"`, "not a decimal number"},
		{"TrustedCaFile", `"a\u0000b"`, "zero byte"},
	}
	if runtime.GOOS != "windows" {
		tests = append(tests, []struct{ name, value, cause string }{
			{"ApiToken", `"encrypted:AQAAANCMnd8="`, "on Windows only"},
			{"ApiToken", `"registry:HKEY_CURRENT_USER\\SOFTWARE\\SignPath\\T"`, "on Windows only"},
			{"TlsClientCertificate", `"thumbprint:00"`, "on Windows only"},
		}...)
	}
	for _, tt := range tests {
		s, err := loadFile(t, "\n  "+nested(tt.name, tt.value), nil, Explicit{})
		p := problems(t, err)
		if len(p) != 1 || p[0].Field != tt.name || !strings.Contains(p[0].Cause, tt.cause) || !strings.Contains(p[0].Source, "config.json, line 2, column ") {
			t.Errorf("%s %s: %v", tt.name, tt.value, err)
			continue
		}
		if m := err.Error(); strings.Contains(m, "hunter22") || strings.Contains(m, token) || strings.Contains(m, "AQAAANCM") {
			t.Errorf("%s shows its value: %s", tt.name, m)
		}
		if s.APIURL == nil || s.Log.FileDirectory == "" || s.Timeouts.Request <= 0 || s.Timeouts.FirstRetryDelay <= 0 || s.Timeouts.Total <= 0 && s.Timeouts.RetryCount < 0 {
			t.Errorf("%s: unusable %+v", tt.name, s)
		}
	}
}

func TestRightAddresses(t *testing.T) {
	for _, u := range []string{"https://h", "https://h:8443/x/Api", "HTTPS://H/Api", "http://127.0.0.1:8080/Api", "http://127.8.9.1", "http://[::1]:1/Api", "http://localhost/Api", "http://LocalHost:80"} {
		if s, err := Load([]string{"SIGNPATH_API_URL=" + u + "///"}, Explicit{}); err != nil || strings.HasSuffix(s.APIURL.String(), "/") {
			t.Errorf("%s: %v %v", u, s.APIURL, err)
		}
	}
}

// All that is wrong is told at once, and what can be read is read.
func TestAllProblemsAtOnce(t *testing.T) {
	s, err := loadFile(t, `{"OrganizationId":"x","Log":{"Console":{"Level":"debug"},"File":{"Level":"x"}}}`, []string{"SIGNPATH_API_URL=x", "SIGNPATH_TIMEOUTS_RETRY_COUNT=x"}, Explicit{})
	if p := problems(t, err); len(p) != 4 {
		t.Errorf("%v", err)
	}
	if s.Log.ConsoleLevel != LevelDebug || s.Log.FileLevel != LevelInfo {
		t.Errorf("%+v", s.Log)
	}
	for _, part := range []string{"environment variable SIGNPATH_API_URL", "config.json, line 1, column 19", "Log.File.Level"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in %v", part, err)
		}
	}
}

func TestBrokenFiles(t *testing.T) {
	big := `{"a":"` + strings.Repeat("x", 1<<20) + `"}`
	tests := []struct{ name, content, source, cause string }{
		{"cut off", "{\n\"ApiUrl\": ", "line 2, column 11", "ends too early"},
		{"comment", "{\n  // hello\n}", "line 2, column 3", "not valid JSON"},
		{"comma", "{\"ApiUrl\":\"https://h\",}", "line 1, column 23", "not valid JSON"},
		{"not JSON", "ApiUrl=x", "line 1, column 1", "not valid JSON"},
		{"two values", "{}\n{}", "line 2, column 1", "not valid JSON"},
		{"a list", "[]", "line 1, column 1", "must hold a JSON object, not a list"},
		{"empty", " \n", "config.json", "empty"},
		{"twice", "{\"ApiUrl\":\"https://a\",\n \"apiurl\":\"https://b\"}", "line 2, column 2", "appears twice"},
		{"twice within", `{"Log":{"File":{"Level":"info","level":"none"}}}`, "line 1, column 32", "appears twice"},
		{"twice in the unknown", `{"x":[{"a":1,"a":2}]}`, "line 1, column 14", "appears twice"},
		{"not UTF-8", "{\"ä\": \"\xff\"}", "line 1, column 8", "not UTF-8"},
		{"too large", big, "config.json", "1 MiB"},
		{"too deep", `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}", "line 1, column ", "deeper"},
		{"text for a group", "{\"Log\":\n\"debug\"}", "line 2, column 1", "must be an object, not text"},
	}
	for _, tt := range tests {
		s, err := loadFile(t, tt.content, []string{"SIGNPATH_LOG_FILE_LEVEL=debug"}, Explicit{})
		p := problems(t, err)
		if len(p) != 1 || !strings.Contains(p[0].Source, tt.source) || !strings.Contains(p[0].Cause, tt.cause) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if s.Log.FileLevel != LevelDebug {
			t.Errorf("%s: the environment does not count any more", tt.name)
		}
	}
	for path, cause := range map[string]string{"/nowhere/config.json": "no such file", t.TempDir(): "not a regular file", "/dev/null": "not a regular file"} {
		if _, err := Load([]string{EnvConfigFile + "=" + path}, Explicit{}); err == nil || !strings.Contains(err.Error(), cause) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestByteOrderMarks(t *testing.T) {
	const content = `{"ProjectSlug":"größe"}`
	little, big := []byte{0xFF, 0xFE}, []byte{0xFE, 0xFF}
	for _, u := range utf16.Encode([]rune(content)) {
		little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u))
	}
	for name, c := range map[string]string{"UTF-8": "\xEF\xBB\xBF" + content, "UTF-16LE": string(little), "UTF-16BE": string(big)} {
		if s, err := loadFile(t, c, nil, Explicit{}); err != nil || s.ProjectSlug != "größe" {
			t.Errorf("%s: %q %v", name, s.ProjectSlug, err)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	s, err := loadFile(t, `{"ApiTokn":"x1x1","Log":{"File":{"Levl":"info"},"Fil":{"a":1}},"Log.File.Level":"none","Whatever":[1]}`,
		[]string{"SIGNPATH_APIURL=x2x2", "SIGNPATH_API_URL=https://h/Api", "SIGNPATH_SERVER_LISTEN=x", "SIGNPATH_QQQQQQQQQQQQQQQQ=x3x3", "SIGNPATH_EMPTY=", "OTHER=1"}, Explicit{Values: map[string]string{"Projectslag": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`the tool gave an unknown setting "Projectslag"; did you mean ProjectSlug?`,
		`line 1, column 2: unknown setting "ApiTokn"; did you mean ApiToken?`,
		`unknown setting "Log.File.Levl"; did you mean Log.File.Level?`,
		`unknown setting "Log.Fil"`,
		`"Log.File.Level" is ignored: names are nested`,
		`unknown setting "Whatever"`,
		`unknown environment variable SIGNPATH_QQQQQQQQQQQQQQQQ`,
		`unknown environment variable SIGNPATH_APIURL; did you mean SIGNPATH_API_URL?`,
	}
	if len(s.Warnings) != len(want) {
		t.Fatalf("%d warnings: %q", len(s.Warnings), s.Warnings)
	}
	for i, w := range want {
		if !strings.Contains(s.Warnings[i], w) || strings.Contains(s.Warnings[i], "x2x2") || strings.Contains(s.Warnings[i], "x3x3") {
			t.Errorf("%q, want %q", s.Warnings[i], w)
		}
	}
	if s.Log.FileLevel != LevelInfo {
		t.Error("a flat name counted")
	}
}

func TestEnvironmentLists(t *testing.T) {
	s, err := Load([]string{"SIGNPATH_PROJECT_SLUG=first", "SIGNPATH_PROJECT_SLUG=second", "broken", "=x", ""}, Explicit{})
	if err != nil || s.ProjectSlug != "first" {
		t.Errorf("%q %v", s.ProjectSlug, err)
	}
}

func TestTokenFromTools(t *testing.T) {
	for _, v := range []string{"encrypted:AAAA", "registry:HKCU\\x", "Encrypted:AAAA"} {
		_, err := Load(nil, Explicit{APIToken: secret.New(v)})
		if p := problems(t, err); len(p) != 1 || !strings.Contains(p[0].Cause, "plain token only") {
			t.Errorf("%v", err)
		}
	}
}

// A token that stands in the wrong place is not shown either.
func TestTokenIsNeverShown(t *testing.T) {
	s, err := Load([]string{"SIGNPATH_API_TOKEN=" + token, "SIGNPATH_LOG_FILE_LEVEL=" + token, EnvConfigFile + "=/x/" + token, "SIGNPATH_" + token + "=1"}, Explicit{})
	if err == nil || strings.Contains(err.Error(), token) || strings.Contains(strings.Join(s.Warnings, ""), token) || !strings.Contains(err.Error(), "[redacted]") {
		t.Errorf("%v %q", err, s.Warnings)
	}
	if out := fmt.Sprintf("%+v %#v %v", s, s, s.Secrets()); strings.Contains(out, token) {
		t.Error("printed settings show the token")
	}
}

func TestComplete(t *testing.T) {
	err := Settings{}.Complete()
	for _, part := range []string{"OrganizationId", EnvOrganizationID, "ApiToken", EnvAPIToken, EnvConfigFile} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("no %s in %v", part, err)
		}
	}
	if got := redact.New().Text(err.Error()); got != err.Error() { // it goes through the log
		t.Errorf("redacted: %s", got)
	}
	if p := problems(t, Settings{OrganizationID: org}.Complete()); len(p) != 1 || p[0].Field != "ApiToken" {
		t.Errorf("%v", p)
	}
}

func TestRegistryPath(t *testing.T) {
	for _, path := range []string{`HKEY_CURRENT_USER\SOFTWARE\SignPath\My`, `HKEY_CURRENT_USER\\SOFTWARE\\SignPath\\My`, `hkcu\SOFTWARE\SignPath\My`} {
		if key, name, err := registryPath(path); key != `SOFTWARE\SignPath` || name != "My" || err != nil {
			t.Errorf("%s: %q %q %v", path, key, name, err)
		}
	}
	for _, path := range []string{"", "x", `HKEY_LOCAL_MACHINE\a\b`, `HKCU\a`, `HKCU\a\`, `HKCU\\`} {
		if _, _, err := registryPath(path); err == nil {
			t.Errorf("%s is accepted", path)
		}
	}
}

func TestSuggestionsNeedNearness(t *testing.T) {
	if got := nearest("FileLevel", jsonNames()); got != "" && !strings.Contains(got, "Level") {
		t.Error(got)
	}
	if got := nearest("Level", jsonNames()); !strings.Contains(got, "Level") {
		t.Error(got)
	}
	if got := nearest("completely-different", jsonNames()); got != "" {
		t.Error(got)
	}
	if distance("kitten", "sitting") != 3 || distance("", "abc") != 3 || !reflect.DeepEqual(distance("a", "a"), 0) {
		t.Error("distance")
	}
}

// Whatever the bytes: no panic, a usable outcome, no token in any message.
func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"ApiUrl":"https://h/Api","OrganizationId":"` + org + `","ApiToken":"` + token + `","Log":{"Console":{"Level":"warning"},"File":{"Level":"info","Directory":"C:\\SignPath\\Logs"}}}`))
	f.Add([]byte(`{"Timeouts":{"HttpRequest":30,"FirstRetryDelay":1.16,"RetryCount":10,"ServiceUnavailable":1}}`))
	f.Add([]byte(`{"HttpProxy":"http://u:p@h:1","Cryptoki":{"DoNotFailOnReadWriteSessions":true},"x":[null,{"y":1e5}]}`))
	f.Add([]byte("\xFF\xFE{\x00}\x00"))
	f.Add([]byte(`{"CIUserToken":"a b c d e f"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(string) (*node, *fileError) { return parseFile(data) }
		s, err := load([]string{"SIGNPATH_API_TOKEN=geheimes-token", EnvConfigFile + "=c.json"}, Explicit{}, read)
		if s.APIURL == nil || s.Timeouts.Request <= 0 || s.Timeouts.FirstRetryDelay <= 0 || s.Timeouts.Total <= 0 && s.Timeouts.RetryCount < 0 || s.Log.FileDirectory == "" {
			t.Fatalf("unusable: %+v", s)
		}
		if s.Log.FileLevel < LevelNone || s.Log.FileLevel > LevelVerbose {
			t.Fatalf("level %d", s.Log.FileLevel)
		}
		out := strings.Join(s.Warnings, "\n")
		if err != nil {
			problems(t, err)
			out += err.Error()
		}
		if strings.Contains(out, "geheimes-token") || strings.ContainsAny(out, "\x00") {
			t.Fatalf("%q", out)
		}
	})
}
