package doctor

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
	"signpath/internal/secret"
	"signpath/internal/wire"
)

const (
	org   = "7f3c2d10-5c3e-4b7a-9d52-0e6f1a2b3c4d"
	token = "AAqi7zXv-token-of-44-characters_0123456789ab"
)

var now = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func cert(from, to int) *x509.Certificate {
	return &x509.Certificate{NotBefore: now.AddDate(0, 0, from), NotAfter: now.AddDate(0, 0, to), DNSNames: []string{"sign.example.com"},
		Subject: pkix.Name{CommonName: "leaf"}, Issuer: pkix.Name{CommonName: "authority"}}
}

func key(name string, c *x509.Certificate) Key {
	project, policy, _ := strings.Cut(name, "/")
	return Key{Name: name, Project: project, Policy: policy, Type: wire.KeyRSA, Bits: 2048, Certificate: c, Issuers: 1}
}

func done(err error) remote.Step { return remote.Step{Done: true, Err: err} }

// healthy is a machine where everything works, with one key.
func healthy(t *testing.T, environ ...string) *Facts {
	t.Helper()
	s, err := settings.Load(append(environ, "SIGNPATH_ORGANIZATION_ID="+org, "SIGNPATH_API_TOKEN="+token, "SIGNPATH_API_URL=https://sign.example.com/Api"), settings.Explicit{})
	f := &Facts{Now: now, Settings: s, Asked: true, Keys: []Key{key("demo/release", cert(-10, 300))}, LogDir: &Folder{Path: "/var/log/signpath"}}
	errors.As(err, &f.LoadErr)
	f.Path = &remote.Path{Service: "sign.example.com:443", Setup: done(nil), Names: done(nil), Reach: done(nil), TLS: done(nil), Info: done(nil),
		Addresses: []string{"192.0.2.7"}, TLSVersion: "TLS 1.3", Certificate: cert(-10, 300), Chain: []*x509.Certificate{cert(-10, 300), cert(-100, 3000)},
		Status: 200, Version: "1.2.3", HasSkew: true}
	return f
}

func broken(class remote.Class, text, hint string) error {
	return &remote.Error{Class: class, Op: "examine", Err: errors.New(text), Hint: hint}
}

var clientFiles = []string{"SIGNPATH_TLS_CLIENT_CERTIFICATE_FILE=/c.pem", "SIGNPATH_TLS_CLIENT_KEY_FILE=/k.pem"}

// Each row breaks one thing and names the line that must appear.
func TestChecks(t *testing.T) {
	long := "project-" + strings.Repeat("x", 60) + "/policy-" + strings.Repeat("y", 40)
	for _, c := range []struct {
		name    string
		environ []string
		breaks  func(*Facts)
		check   string
		status  Status
		text    string // part of finding or cure
	}{
		{"token with a line break", []string{"SIGNPATH_API_TOKEN=aaaa bbbb"}, func(f *Facts) { f.Path = nil; f.Asked = false }, "settings", Failed, "copy it again without line breaks"},
		{"a broken token hides the network", []string{"SIGNPATH_API_TOKEN=aaaa bbbb"}, func(f *Facts) { f.Asked = false }, "token", Skipped, ""},
		{"no organization", nil, func(f *Facts) { f.Settings.OrganizationID = "" }, "credentials", Failed, "SIGNPATH_ORGANIZATION_ID"},
		{"unknown name", []string{"SIGNPATH_API_TOKN=x"}, nil, "names", Warning, "did you mean SIGNPATH_API_TOKEN?"},
		{"token", nil, nil, "credentials", OK, "token [redacted] (44 characters, plain) from environment variable SIGNPATH_API_TOKEN"},
		{"no file", nil, nil, "config-file", Skipped, ""},
		{"file changed by others", nil, func(f *Facts) { f.ConfigFile = &File{Path: "/c.json", Mode: 0o662} }, "config-file", Warning, "lead the token elsewhere (mode 0662)"},
		{"file without the token", nil, func(f *Facts) { f.ConfigFile = &File{Path: "/c.json", Mode: 0o644} }, "config-file", OK, "/c.json"},
		{"file of somebody", nil, func(f *Facts) { f.ConfigFile = &File{Path: "/c.json", Mode: 0o600, Owner: "eve"} }, "config-file", Warning, "belongs to eve"},
		{"address without Api", nil, func(f *Facts) { f.Settings.APIURL = &url.URL{Scheme: "https", Host: "sign.example.com"} }, "address", Note, "/Api"},
		{"no client certificate", nil, nil, "client-certificate", Skipped, "not set"},
		{"half a client certificate", []string{"SIGNPATH_TLS_CLIENT_KEY_FILE=/k.pem"}, nil, "client-certificate", Skipped, "mended"},
		{"client certificate", clientFiles, func(f *Facts) { f.Client = []*x509.Certificate{cert(-20, 300)} }, "client-certificate", OK, `"leaf", made by "authority", until 2027-12-26`},
		{"unreadable client certificate", clientFiles, func(f *Facts) {
			f.ClientErr = broken(remote.Other, "open /k.pem: no such file", "Mend it.")
			f.Path = &remote.Path{Setup: done(f.ClientErr)}
		}, "client-certificate", Failed, "no such file"},
		{"unreadable client certificate is no matter of the proxy", clientFiles, func(f *Facts) {
			f.ClientErr = broken(remote.Other, "open /k.pem: no such file", "Mend it.")
			f.Path = &remote.Path{Setup: done(f.ClientErr)}
		}, "proxy", Skipped, "mended"},
		{"old client certificate", clientFiles, func(f *Facts) { f.Client = []*x509.Certificate{cert(-20, -1)} }, "client-certificate", Failed, "expired on 2027-02-28"},
		{"client certificate of the future", clientFiles, func(f *Facts) { f.Client = []*x509.Certificate{cert(2, 9)} }, "client-certificate", Failed, "from 2027-03-03 on"},
		{"ending client certificate", clientFiles, func(f *Facts) { f.Client = []*x509.Certificate{cert(-20, 9)} }, "client-certificate", Warning, "in 9 days"},
		{"key for everybody", clientFiles, func(f *Facts) {
			f.Client, f.ClientKey = []*x509.Certificate{cert(-20, 300)}, &File{Path: "/k.pem", Mode: 0o644}
		}, "client-certificate", Warning, "may read the private key in /k.pem (mode 0644)"},
		{"key for a group", clientFiles, func(f *Facts) {
			f.Client, f.ClientKey = []*x509.Certificate{cert(-20, 300)}, &File{Path: "/k.pem", Mode: 0o640}
		}, "client-certificate", OK, "leaf"},
		{"no CA file", nil, nil, "ca-file", Skipped, "system's"},
		{"old CA", []string{"SIGNPATH_TRUSTED_CA_FILE=/ca.pem"}, func(f *Facts) { f.CAFile = []*x509.Certificate{cert(-20, -1)} }, "ca-file", Warning, "expired on 2027-02-28"},
		{"CA file missing", []string{"SIGNPATH_TRUSTED_CA_FILE=/ca.pem"}, func(f *Facts) {
			f.Path = &remote.Path{Setup: done(broken(remote.Other, "no such file", "must be a readable file"))}
		}, "ca-file", Failed, "no such file"},
		{"patient", []string{"SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=7200"}, nil, "retries", Note, "at most 7200 s"},
		{"hasty", []string{"SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=5"}, nil, "retries", Note, "no attempt gets its full time"},
		{"old retries", []string{"SIGNPATH_TIMEOUTS_RETRY_COUNT=14"}, nil, "retries", Note, "up to 14 retries, a call with all of them about"},
		{"short old retries", []string{"SIGNPATH_TIMEOUTS_RETRY_COUNT=3"}, nil, "retries", OK, "up to 3 retries, a call with all of them about"},
		{"log folder", nil, func(f *Facts) { f.LogDir = &Folder{Path: "/l", Problem: "read-only file system"} }, "log", Warning, "read-only file system"},
		{"log folder for all", nil, func(f *Facts) { f.LogDir = &Folder{Path: "/l", OpenToAll: true} }, "log", Warning, "chmod +t /l"},
		{"log of others", nil, func(f *Facts) { f.LogDir = &Folder{Path: "/l", OtherFile: true} }, "log", Note, ".uid"},
		{"new log folder", nil, func(f *Facts) { f.LogDir = &Folder{Path: "/l", Missing: true} }, "log", OK, "will be created"},
		{"no log", nil, func(f *Facts) { f.LogDir = nil }, "log", Skipped, "Log.File.Level"},
		{"no proxy", nil, nil, "proxy", OK, "none is used for sign.example.com:443"},
		{"proxy", nil, func(f *Facts) { f.Path.Proxy = "proxy:3128"; f.Path.Tunnel = done(nil) }, "proxy", OK, "proxy:3128 leads to sign.example.com:443"},
		{"proxy down", nil, func(f *Facts) {
			f.Path.Proxy, f.Path.Reach, f.Path.TLS, f.Path.Info = "proxy:3128", done(broken(remote.Transient, "refused", "check the proxy")), remote.Step{}, remote.Step{}
		}, "proxy", Failed, "check the proxy"},
		{"proxy refuses", nil, func(f *Facts) {
			f.Path.Proxy, f.Path.Tunnel, f.Path.TLS = "proxy:3128", done(broken(remote.User, "the proxy answered 407", "")), remote.Step{}
		}, "tcp", Skipped, "does not lead there"},
		{"proxy of an unknown kind", nil, func(f *Facts) { f.Path = &remote.Path{Setup: done(broken(remote.Other, "socks5 is not known", ""))} }, "proxy", Failed, "socks5"},
		{"unknown host", nil, func(f *Facts) {
			f.Path = &remote.Path{Service: "sgin.example.com:443", Setup: done(nil), Names: done(broken(remote.Transient, "no such host", "Check its spelling"))}
		}, "dns", Failed, "Check its spelling"},
		{"after an unknown host", nil, func(f *Facts) {
			f.Path = &remote.Path{Service: "sgin.example.com:443", Setup: done(nil), Names: done(errors.New("x"))}
			f.Asked = false
		}, "tls", Skipped, "the way ends before"},
		{"nothing listens", nil, func(f *Facts) {
			f.Path.Reach = done(broken(remote.Transient, "connection refused", "Nothing listens there"))
		}, "tcp", Failed, "Nothing listens"},
		{"untrusted", nil, func(f *Facts) { f.Path.TLS = done(broken(remote.Other, "unknown authority", "TrustedCaFile")) }, "tls", Failed, `made by "authority", valid from 2027-02-19 to`},
		{"trusted by the file", []string{"SIGNPATH_TRUSTED_CA_FILE=/ca.pem"}, func(f *Facts) { f.Path.FromFile = true; f.CAFile = f.Path.Chain }, "tls", OK, `trusted by "leaf" in /ca.pem`},
		{"trusted by the system", nil, nil, "tls", OK, "in the system's certificates"},
		{"TLS ends soon", nil, func(f *Facts) { f.Path.Chain[0] = cert(-10, 5) }, "tls-expiry", Warning, "ends on 2027-03-06 (in 5 days)"},
		{"the authority ends soon", nil, func(f *Facts) { f.Path.Chain[1] = cert(-10, 1) }, "tls-expiry", Warning, "above the service's certificate"},
		{"service down", nil, func(f *Facts) { f.Path.Info = done(broken(remote.Transient, "HTTP status 503", "Try again later")) }, "service", Failed, "Try again later"},
		{"service without a version", nil, func(f *Facts) { f.Path.Version, f.Path.Status = "", 404 }, "service", Note, "usually ends in /Api"},
		{"clock behind", nil, func(f *Facts) { f.Path.Skew = 2 * time.Hour }, "clock", Warning, "7200 s behind"},
		{"clock ahead", nil, func(f *Facts) { f.Path.Skew = -61 * time.Second }, "clock", Warning, "61 s ahead of"},
		{"clock nearly", nil, func(f *Facts) { f.Path.Skew = 60 * time.Second }, "clock", OK, ""},
		{"wrong token", nil, func(f *Facts) {
			f.KeysErr, f.Keys = &remote.Error{Class: remote.User, Op: "list", Problem: wire.NewProblem(401, "unknown token"), Hint: "Check ApiToken"}, nil
		}, "token", Failed, "401 Unauthorized: unknown token"},
		{"whose token", nil, func(f *Facts) { f.User = "ci" }, "token", OK, "it belongs to ci"},
		{"no policies", nil, func(f *Facts) { f.Keys = nil }, "policies", Failed, "submitter"},
		{"broken policy", nil, func(f *Facts) { f.Left = []string{"demo/odd: left out"} }, "policies", Warning, "demo/odd"},
		{"many policies", nil, func(f *Facts) {
			for range 14 {
				f.Keys = append(f.Keys, key("a/b", nil))
			}
		}, "policies", OK, "15: demo/release, a/b, a/b"},
		{"slug without match", []string{"SIGNPATH_PROJECT_SLUG=other"}, nil, "slugs", Failed, "match none of the policies in sight"},
		{"slug in another case", []string{"SIGNPATH_PROJECT_SLUG=Demo"}, nil, "slugs", Failed, "there is demo/release"},
		{"slug", []string{"SIGNPATH_PROJECT_SLUG=demo"}, nil, "slugs", OK, "1 policy"},
		{"two keys", nil, func(f *Facts) { f.Keys = append(f.Keys, key("demo/test", cert(-1, 99))) }, "choice", Warning, "SIGNPATH_SIGNING_POLICY_SLUG"},
		{"two keys, one chosen", []string{"SIGNPATH_SIGNING_POLICY_SLUG=test"}, func(f *Facts) { f.Keys = append(f.Keys, key("demo/test", cert(-1, 99))) }, "choice", OK, ""},
		{"long name", nil, func(f *Facts) { f.Keys = []Key{key(long, cert(-1, 99))} }, "key-names", Warning, "has 116 bytes"},
		{"expired, the only key", nil, func(f *Facts) { f.Keys = []Key{key("demo/release", cert(-20, -2))} }, "certificates", Failed, "expired on 2027-02-27"},
		{"expired, one of two", nil, func(f *Facts) { f.Keys = append(f.Keys, key("demo/old", cert(-20, -2))) }, "certificates", Warning, "demo/old expired"},
		{"not valid yet", nil, func(f *Facts) { f.Keys = []Key{key("demo/release", cert(1, 20))} }, "certificates", Failed, "from 2027-03-02 on only"},
		{"ends soon", nil, func(f *Facts) { f.Keys = []Key{key("demo/release", cert(-20, 29))} }, "certificates", Warning, "(in 29 days)"},
		{"no certificate", nil, func(f *Facts) { f.Keys = []Key{key("demo/release", nil)} }, "certificates", Warning, "has no certificate"},
		{"GPG alone", nil, func(f *Facts) { f.Keys[0].GPG = true }, "gpg", Warning, "SIGNPATH_INCLUDE_DUMMY"},
		{"GPG shown", []string{"SIGNPATH_INCLUDE_DUMMY_X509CERTIFICATE_FOR_GPG_KEYS=1"}, func(f *Facts) { f.Keys[0].GPG = true }, "gpg", OK, ""},
		{"module of Windows", nil, func(f *Facts) {
			f.Module = &Module{Path: "/m.dll", Problem: "it is a library for Windows", Cure: "take the other"}
		}, "module", Failed, "take the other"},
		{"module without functions", nil, func(f *Facts) { f.Module = &Module{Path: "/m.so"} }, "module", Failed, "offers no function"},
		{"cut module", nil, func(f *Facts) { f.Module = &Module{Path: "/m.so", Exports: 60, Carries: true} }, "module", Failed, "60 functions of PKCS #11 instead of 68"},
		{"old distribution", nil, func(f *Facts) { f.Module = &Module{Path: "/m.so", Exports: 68, NeedsLibc: "2.28", HasLibc: "2.27"} }, "module", Failed, "needs glibc 2.28, this machine has 2.27"},
		{"Alpine", nil, func(f *Facts) {
			f.Module = &Module{Path: "/m.so", Exports: 68, Musl: true, Absent: []string{"libc.so.6"}}
		}, "module", Failed, "musl"},
		{"libraries", nil, func(f *Facts) { f.Module = &Module{Path: "/m.so", Exports: 68, Absent: []string{"libz.so.1"}} }, "module", Failed, "libz.so.1"},
		{"other core", nil, func(f *Facts) { f.Module = &Module{Path: "/m.so", Exports: 68, Carries: true, Beside: coreOther} }, "module", Warning, "another build"},
		{"hardened kernel", nil, func(f *Facts) { f.Module = &Module{Path: "/m.so", Exports: 68, Carries: true, NoMemoryRun: true} }, "module", Failed, "vm.memfd_noexec"},
		{"module that others may write", nil, func(f *Facts) { f.Module = &Module{Path: "/m.so", Exports: 68, Open: 0o002} }, "module", Warning, "chmod go-w"},
		{"module of others", nil, func(f *Facts) { f.Module = &Module{Path: "/m.so", Exports: 68} }, "module", Note, "not the module of this product"},
		{"good module", nil, func(f *Facts) {
			f.Module = &Module{Path: "/m.so", Exports: 68, Carries: true, Beside: coreSame, NoMemoryRun: true, TriedWith: "signpath-hsm", Library: "SignPath"}
		}, "module", OK, "with its core beside it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := healthy(t, c.environ...)
			if c.breaks != nil {
				c.breaks(f)
			}
			found := false
			seen := map[string]bool{}
			for _, r := range Examine(f) {
				seen[r.Check] = true
				if r.Check == c.check && r.Status == c.status && strings.Contains(r.Text+" "+r.Cure, c.text) {
					found = true
				} else if r.Check == c.check {
					t.Logf("%s %s: %s -> %s", r.Status, r.Check, r.Text, r.Cure)
				}
				if strings.Contains(r.Text+r.Cure, token) || strings.Contains(r.Text, "bbbb") {
					t.Errorf("a token in %q", r)
				}
				if r.Text == "" || r.Status == Failed && r.Cure == "" && c.name != "proxy refuses" && c.name != "after an unknown host" && c.name != "proxy of an unknown kind" {
					t.Errorf("%s says nothing: %q", r.Check, r)
				}
			}
			if !found {
				t.Errorf("no %s line of %s with %q", c.status, c.check, c.text)
			}
			if len(seen) != len(Checks()) {
				t.Errorf("%d of %d checks say something", len(seen), len(Checks()))
			}
		})
	}
}

// On a healthy machine nothing is wrong.
func TestHealthy(t *testing.T) {
	for _, r := range Examine(healthy(t)) {
		if r.Status != OK && r.Status != Skipped {
			t.Errorf("%s %s: %s", r.Status, r.Check, r.Text)
		}
	}
}

// What a service or a proxy says may hold the token; a line never does.
func TestNoSecret(t *testing.T) {
	f := healthy(t)
	f.Settings.APIToken = secret.New(token)
	f.User = "user of " + token
	f.Left = []string{"policy " + token}
	f.KeysErr = nil
	for _, r := range Examine(f) {
		if strings.Contains(r.Text+r.Cure, token) {
			t.Errorf("%s: %s", r.Check, r.Text)
		}
	}
}
