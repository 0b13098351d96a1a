package settings

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"signpath/internal/secret"
)

// Value is one setting as it is in force, for people.
type Value struct {
	JSON, Environment string // its names; JSON is "" for the file's own path
	Value             string // "" for none; a token is "[redacted]" with its length and form
	Source            string // where it was given, as in Problem.Source; "" for the default
}

// inForce shows the value of every setting; a test holds it against the table.
var inForce = map[string]func(Settings) string{
	"":                                      func(s Settings) string { return s.ConfigFile },
	"OrganizationId":                        func(s Settings) string { return s.OrganizationID },
	"ApiToken":                              Settings.describeToken,
	nameAPIURL:                              func(s Settings) string { return s.APIURL.String() },
	"TrustedCaFile":                         func(s Settings) string { return s.TrustedCAFile },
	nameStoreCert:                           func(s Settings) string { return s.TLSClientCertificate },
	nameCertFile:                            func(s Settings) string { return s.TLSClientCertificateFile },
	nameKeyFile:                             func(s Settings) string { return s.TLSClientKeyFile },
	nameProxy:                               func(s Settings) string { return strings.Join(slices.Compact(slices.Clone(s.proxyShown)), ", ") },
	"ProjectSlug":                           func(s Settings) string { return s.ProjectSlug },
	"SigningPolicySlug":                     func(s Settings) string { return s.SigningPolicySlug },
	"Cryptoki.DoNotFailOnReadWriteSessions": func(s Settings) string { return strconv.FormatBool(s.DoNotFailOnReadWriteSessions) },
	"Cryptoki.ProtectedAuthenticationPath":  func(s Settings) string { return strconv.FormatBool(s.ProtectedAuthenticationPath) },
	"IncludeDummyX509CertificateForGpgKeys": func(s Settings) string {
		return strconv.FormatBool(s.IncludeDummyX509CertificateForGpgKeys)
	},
	"Log.Console.Level": func(s Settings) string { return s.Log.ConsoleLevel.String() },
	"Log.Console.OutputStream": func(s Settings) string {
		if s.Log.ConsoleStdout {
			return "stdout"
		}
		return "stderr"
	},
	"Log.File.Level":              func(s Settings) string { return s.Log.FileLevel.String() },
	"Log.File.Directory":          func(s Settings) string { return s.Log.FileDirectory },
	nameTotal:                     func(s Settings) string { return seconds(s.Timeouts.Total) },
	nameListCache:                 func(s Settings) string { return seconds(s.ListCache) },
	"HttpRequestTimeoutInSeconds": func(s Settings) string { return seconds(s.Timeouts.Request) },
	nameFirstDelay:                func(s Settings) string { return seconds(s.Timeouts.FirstRetryDelay) },
	nameRetryCount: func(s Settings) string {
		if s.Timeouts.RetryCount < 0 {
			return ""
		}
		return strconv.Itoa(s.Timeouts.RetryCount)
	},
	nameOldTotal: func(Settings) string { return "" }, // is in force under its new name
}

// InForce lists every setting in the order of the documentation, with its value
// and its source. No secret is in it.
func (s Settings) InForce() []Value {
	all := make([]Value, 0, len(table))
	for _, n := range Names() {
		v := Value{JSON: n.JSON, Environment: n.Environment, Value: inForce[n.JSON](s), Source: s.sources[n.JSON]}
		if n.JSON == nameTotal && v.Source == "" {
			v.Source = s.sources[nameOldTotal]
		}
		all = append(all, v)
	}
	return all
}

// Source tells where a setting was given, as in Problem.Source; "" for the default.
func (s Settings) Source(json string) string { return s.sources[json] }

func (s Settings) describeToken() string {
	if s.APIToken.IsEmpty() {
		return ""
	}
	text := fmt.Sprintf("%s (%d characters", secret.Redacted, len(s.APIToken.Reveal()))
	if s.tokenForm != "" {
		text += ", " + s.tokenForm
	}
	return text + ")"
}

// PlainToken tells whether the token was given as it is, readable for whoever can
// read where it stands.
func (s Settings) PlainToken() bool { return !s.APIToken.IsEmpty() && s.tokenForm == "plain" }

// tokenForm names the form in which a token was given.
func tokenForm(text string) string {
	switch {
	case hasPrefixFold(text, encryptedPrefix):
		return "encrypted"
	case hasPrefixFold(text, registryPrefix):
		return "registry"
	}
	return "plain"
}

func seconds(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

// Worst is how long one call may take with all its retries: Total, or with the
// retry rule of version 5 what the middle of its curve adds up to.
func (t Timeouts) Worst() time.Duration {
	if t.RetryCount < 0 {
		return t.Total
	}
	attempts := time.Duration(t.RetryCount+1) * t.Request
	if t.RetryCount == 0 {
		return attempts
	}
	// The delays are differences of one curve: their sum is its last point.
	at := float64(t.RetryCount) - 0.5
	delays := math.Pow(2, at) * math.Tanh(math.Sqrt(4*at)) / 1.4 * float64(t.FirstRetryDelay)
	worst := float64(attempts) + delays
	if t.Total > 0 {
		worst = min(worst, float64(t.Total))
	}
	return time.Duration(min(worst, float64(math.MaxInt64/2)))
}
