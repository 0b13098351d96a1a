package doctor

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
)

// Bounds.
const (
	maxSkew   = 60 * time.Second    // of clocks
	soon      = 30 * 24 * time.Hour // before a certificate ends
	maxName   = 99                  // bytes of project/policy that OpenSSL's engine can carry
	ciJob     = time.Hour           // what a CI job usually may take
	maxListed = 10                  // names in one line
)

// check is one row of the table. run gives at least one finding.
type check struct {
	name, what string
	run        func(*Facts) []Finding
}

// checks is the table, in the order of the report: each row may rely on what the
// rows before it have said.
var checks = []check{
	{"settings", "every value can be used", checkSettings},
	{"names", "no unknown or old names", checkNames},
	{"config-file", "rights of the configuration file", checkConfigFile},
	{"credentials", "organization and token are given", checkCredentials},
	{"address", "address of the API", checkAddress},
	{"ca-file", "trusted certificates of TrustedCaFile", checkCAFile},
	{"client-certificate", "the TLS client certificate", checkClientCertificate},
	{"retries", "how long a call may take", checkRetries},
	{"log", "the log can be written", checkLog},
	{"proxy", "proxy on the way", checkProxy},
	{"dns", "the host's name resolves", checkDNS},
	{"tcp", "a connection can be opened", checkTCP},
	{"tls", "the service's certificate is trusted", checkTLS},
	{"tls-expiry", "the service's certificate lasts", checkTLSExpiry},
	{"service", "the service answers", checkService},
	{"clock", "the clocks agree", checkClock},
	{"token", "the token is accepted", checkToken},
	{"policies", "signing policies in sight", checkPolicies},
	{"slugs", "the configured slugs match", checkSlugs},
	{"choice", "tools cannot take a wrong key", checkChoice},
	{"key-names", "names fit into every tool", checkKeyNames},
	{"keys", "types of the keys", checkKeys},
	{"certificates", "certificates are there and valid", checkCertificates},
	{"gpg", "OpenPGP keys can be seen by tools", checkGPG},
	{"module", "the PKCS #11 module can be loaded", checkModule},
	{"providers", "Windows finds the KSP and the CSP", checkProviders},
	{"store", "certificates in the Windows stores", checkStore},
}

func ok(format string, args ...any) []Finding { return one(OK, "", format, args...) }
func skipped(format string, args ...any) []Finding {
	return one(Skipped, "", format, args...)
}
func one(s Status, cure, format string, args ...any) []Finding {
	return []Finding{{Status: s, Text: fmt.Sprintf(format, args...), Cure: cure}}
}

// remoteFinding says what an error of the network says.
func remoteFinding(err error) []Finding {
	var e *remote.Error
	if !errors.As(err, &e) {
		return one(Failed, "", "%v", err)
	}
	bare := *e
	bare.Hint, bare.Op = "", ""
	return one(Failed, e.Hint, "%s", strings.TrimPrefix(bare.Error(), " failed: "))
}

func checkSettings(f *Facts) (out []Finding) {
	if f.LoadErr == nil {
		given := 0
		for _, v := range f.Settings.InForce() {
			if v.Source != "" && v.JSON != "" {
				given++
			}
		}
		return ok("%d given, the rest has its default", given)
	}
	for _, p := range f.LoadErr.Problems {
		where, cure := p.Field, "Mend the value, or remove it if it is not needed."
		if p.Field == "" {
			cure = "Mend the file; until then nothing in it counts."
		}
		switch { // not "…TOKEN: the value", which would look like a token to those who redact texts
		case p.Source != "" && p.Field != "":
			where += " (" + p.Source + ")"
		case p.Source != "":
			where = p.Source
		}
		out = append(out, Finding{Failed, where + ": " + p.Cause, cure})
	}
	return out
}

func checkNames(f *Facts) (out []Finding) {
	for _, w := range f.Settings.Warnings {
		out = append(out, Finding{Warning, w, "Use the names of the documentation; misspelt settings have no effect."})
	}
	if out == nil {
		return ok("all names are current")
	}
	return out
}

func checkConfigFile(f *Facts) []Finding {
	file := f.ConfigFile
	if file == nil {
		return skipped("no configuration file was read")
	}
	if file.Err != nil {
		return one(Warning, "", "%s: %v", file.Path, file.Err)
	}
	holdsToken := strings.HasPrefix(f.Settings.Source("ApiToken"), "file ")
	var out []Finding
	if f.Windows {
		return checkAccessList(file, holdsToken && f.Settings.PlainToken())
	}
	if holdsToken && file.Mode&0o004 != 0 {
		out = append(out, Finding{Warning, fmt.Sprintf("%s holds the token and every user of this machine may read it (mode %04o)", file.Path, file.Mode), "chmod 600 " + file.Path + " (or 640 with the group of those who sign), and replace the token if strangers have access to this machine."})
	}
	if file.Mode&0o022 != 0 {
		out = append(out, Finding{Warning, fmt.Sprintf("other users may change %s and so lead the token elsewhere (mode %04o)", file.Path, file.Mode), "chmod go-w " + file.Path})
	}
	if file.Owner != "" {
		out = append(out, Finding{Warning, fmt.Sprintf("%s belongs to %s, who may change it", file.Path, file.Owner), "Let it belong to root or to the user who signs."})
	}
	if out == nil {
		return ok("%s (mode %04o)", file.Path, file.Mode)
	}
	return out
}

// checkAccessList judges the configuration file where there are no modes.
func checkAccessList(file *File, plainToken bool) (out []Finding) {
	if plainToken && len(file.Readers) > 0 {
		out = append(out, Finding{Warning, fmt.Sprintf("%s holds the token in plain text, and others may read it: %s", file.Path, listed(file.Readers)),
			"Encrypt the token (signpath token protect), or take the right away: icacls FILE /inheritance:r /grant:r YOU:F. Replace the token if strangers have access to this machine."})
	}
	if len(file.Writers) > 0 {
		out = append(out, Finding{Warning, fmt.Sprintf("others may change %s and so lead the token elsewhere: %s", file.Path, listed(file.Writers)), "Take the right away, e.g. by icacls FILE /inheritance:r /grant:r Administrators:F /grant:r Users:R"})
	}
	if file.Owner != "" {
		out = append(out, Finding{Warning, fmt.Sprintf("%s belongs to %s, who may change it", file.Path, file.Owner), "Let it belong to the administrators or to the user who signs."})
	}
	if out == nil {
		return ok("%s", file.Path)
	}
	return out
}

func checkCredentials(f *Facts) (out []Finding) {
	if f.brokenSetting("") { // what is missing may stand in the file
		return skipped("the configuration file must be mended first")
	}
	var missing *settings.Error
	if errors.As(f.Settings.Complete(), &missing) {
		for _, p := range missing.Problems {
			if f.brokenSetting(p.Field) {
				continue // said above
			}
			out = append(out, Finding{Failed, p.Field + " is not given", upper(p.Cause) + "; tools can also give both as a PIN, {OrganizationId}:{ApiToken}."})
		}
		if out == nil {
			return skipped("a value above must be mended first")
		}
		return out
	}
	for _, v := range f.Settings.InForce() {
		if v.JSON == "ApiToken" {
			return ok("organization %s, token %s from %s", f.Settings.OrganizationID, v.Value, v.Source)
		}
	}
	return ok("organization %s", f.Settings.OrganizationID)
}

func checkAddress(f *Facts) []Finding {
	switch u := f.Settings.APIURL; {
	case f.brokenSetting("", "ApiUrl"):
		return skipped("a value above must be mended first")
	case f.Settings.Source("ApiUrl") == "":
		return one(Note, "If your service is another one, set ApiUrl (SIGNPATH_API_URL).", "%s, the default", u)
	case u.Scheme == "http":
		return one(Note, "", "%s, without TLS; allowed because it is this machine itself", u)
	case !strings.HasSuffix(strings.ToLower(u.Path), "/api"):
		return one(Note, "If nothing is found there, add /Api.", "%s; such addresses usually end in /Api", u)
	default:
		return ok("%s", u)
	}
}

func checkCAFile(f *Facts) (out []Finding) {
	path := f.Settings.TrustedCAFile
	switch {
	case f.brokenSetting("TrustedCaFile"):
		return skipped("TrustedCaFile must be mended first")
	case path == "":
		return skipped("TrustedCaFile is not set; the system's certificates are trusted")
	case f.CAFile == nil && (f.Path == nil || f.Path.Setup.Err == nil):
		return skipped("a value above must be mended first")
	case f.CAFile == nil:
		return remoteFinding(f.Path.Setup.Err)
	}
	for _, c := range f.CAFile {
		if f.Now.After(c.NotAfter) {
			out = append(out, Finding{Warning, fmt.Sprintf("%s in %s expired on %s", remote.Subject(c), path, day(c.NotAfter)), "Replace it by the present certificate of that authority."})
		}
	}
	if out == nil {
		return ok("%s in %s", count(len(f.CAFile), "certificate"), path)
	}
	return out
}

func checkClientCertificate(f *Facts) (out []Finding) {
	s := f.Settings
	switch {
	case f.brokenClientFiles():
		return skipped("a value above must be mended first")
	case s.TLSClientCertificateFile == "" && s.TLSClientCertificate == "":
		if f.Windows {
			return skipped("TlsClientCertificate and TlsClientCertificateFile are not set")
		}
		return skipped("TlsClientCertificateFile is not set")
	case f.ClientErr != nil:
		return remoteFinding(f.ClientErr)
	case len(f.Client) == 0:
		return skipped("it was not read")
	}
	if k := f.ClientKey; k != nil && k.Err == nil && !f.Windows && remote.OpenKeyFile(k.Mode) {
		out = append(out, Finding{Warning, fmt.Sprintf("every user of this machine may read the private key in %s (mode %04o)", k.Path, k.Mode), "chmod 600 " + k.Path + " (or 640 with the group of those who sign), and replace certificate and key if strangers have access to this machine."})
	}
	if k := f.ClientKey; k != nil && len(k.Readers) > 0 {
		out = append(out, Finding{Warning, fmt.Sprintf("others may read the private key in %s: %s", k.Path, listed(k.Readers)), "icacls FILE /inheritance:r /grant:r YOU:F, and replace certificate and key if strangers have access to this machine."})
	}
	c := f.Client[0]
	const renew = "Get a new certificate from the service's administrator."
	switch {
	case f.Now.After(c.NotAfter):
		out = append(out, Finding{Failed, fmt.Sprintf("%q expired on %s", remote.Subject(c), day(c.NotAfter)), renew})
	case f.Now.Before(c.NotBefore):
		out = append(out, Finding{Failed, fmt.Sprintf("%q is valid from %s on only", remote.Subject(c), day(c.NotBefore)), "Wait, or check this machine's clock."})
	case c.NotAfter.Sub(f.Now) < soon:
		out = append(out, Finding{Warning, fmt.Sprintf("%q ends on %s (%s)", remote.Subject(c), day(c.NotAfter), days(c.NotAfter.Sub(f.Now))), renew})
	}
	if out == nil {
		return ok("%q, made by %q, until %s", remote.Subject(c), issuer(c), day(c.NotAfter))
	}
	return out
}

func checkRetries(f *Facts) []Finding {
	t := f.Settings.Timeouts
	text := fmt.Sprintf("one attempt at most %s, ", period(t.Request))
	worst := t.Total
	if t.RetryCount >= 0 {
		worst = t.Worst()
		text += fmt.Sprintf("up to %s, a call with all of them about %s", count(t.RetryCount, "retry"), period(worst))
	} else {
		text += fmt.Sprintf("a call with all retries at most %s", period(t.Total))
	}
	switch {
	case worst > ciJob:
		return one(Note, "CI jobs are usually ended after an hour; with a smaller ServiceUnavailableTimeoutInSeconds the job still gets to say why it failed.", "%s", text)
	case t.RetryCount < 0 && t.Total < t.Request:
		return one(Note, "Raise ServiceUnavailableTimeoutInSeconds if calls end too early.", "%s: no attempt gets its full time", text)
	}
	return ok("%s", text)
}

func checkLog(f *Facts) []Finding {
	d := f.LogDir
	if d == nil {
		return skipped("Log.File.Level is none")
	}
	const cure = "Make the folder writable for the user who signs, or choose another one by Log.File.Directory (SIGNPATH_LOG_FILE_DIRECTORY)."
	switch {
	case d.Problem != "":
		return one(Warning, cure+" Signatures work without a log.", "no log can be written to %s: %s", d.Path, d.Problem)
	case d.Missing:
		return ok("%s does not exist yet and will be created", d.Path)
	case d.OpenToAll:
		return one(Warning, "chmod +t "+d.Path, "every user may remove the log files of others in %s", d.Path)
	case d.OtherFile:
		return one(Note, "Give each user a folder by Log.File.Directory (SIGNPATH_LOG_FILE_DIRECTORY) if that confuses.", "another user's log lies in %s; the name of this user's log ends in .uid and a number", d.Path)
	case d.Owner != "" && d.Path != settings.SharedLogDirectory:
		return one(Note, "", "%s belongs to %s, who may remove the log", d.Path, d.Owner)
	}
	return ok("%s", d.Path)
}
