package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
	"signpath/internal/wire"
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
		if p.Source != "" {
			where = strings.TrimPrefix(p.Field+", "+p.Source, ", ")
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
	if f.Windows {
		return ok("%s was read; who else may read it is not looked at on this system", file.Path)
	}
	holdsToken := strings.HasPrefix(f.Settings.Source("ApiToken"), "file ")
	var out []Finding
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
	case s.TLSClientCertificate != "":
		return skipped("it comes from the Windows certificate store")
	case s.TLSClientCertificateFile == "":
		return skipped("TlsClientCertificateFile is not set")
	case f.ClientErr != nil:
		return remoteFinding(f.ClientErr)
	case len(f.Client) == 0:
		return skipped("it was not read")
	}
	if k := f.ClientKey; k != nil && k.Err == nil && !f.Windows && remote.OpenKeyFile(k.Mode) {
		out = append(out, Finding{Warning, fmt.Sprintf("every user of this machine may read the private key in %s (mode %04o)", k.Path, k.Mode), "chmod 600 " + k.Path + " (or 640 with the group of those who sign), and replace certificate and key if strangers have access to this machine."})
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

// notTried says why a leg of the way was not tried, nil when it was.
func notTried(f *Facts, step func(*remote.Path) remote.Step) []Finding {
	switch {
	case f.Path == nil:
		return skipped("a value above must be mended first")
	case f.Canceled:
		return skipped("it was ended before")
	case f.Path.Setup.Err != nil:
		return skipped("the settings above must be mended first")
	case !step(f.Path).Done:
		return skipped("the way ends before")
	}
	return nil
}

func checkProxy(f *Facts) []Finding {
	if why := notTried(f, func(p *remote.Path) remote.Step { return p.Setup }); why != nil {
		if f.Path != nil && f.Path.Setup.Err != nil && f.ClientErr == nil && (f.Settings.TrustedCAFile == "" || f.CAFile != nil) {
			return remoteFinding(f.Path.Setup.Err)
		}
		return why
	}
	p := f.Path
	switch {
	case p.Proxy == "":
		return ok("none is used for %s", p.Service)
	case p.Reach.Done && p.Reach.Err != nil:
		return remoteFinding(p.Reach.Err)
	case p.Tunnel.Done && p.Tunnel.Err != nil:
		return remoteFinding(p.Tunnel.Err)
	case p.Names.Err != nil:
		return skipped("%s: its name does not resolve", p.Proxy)
	}
	from := f.Settings.Source("HttpProxy")
	if from != "" {
		from = " (" + from + ")"
	}
	return ok("%s leads to %s%s", p.Proxy, p.Service, from)
}

func checkDNS(f *Facts) []Finding {
	if why := notTried(f, func(p *remote.Path) remote.Step { return p.Names }); why != nil {
		return why
	}
	host := (&url.URL{Host: cmp.Or(f.Path.Proxy, f.Path.Service)}).Hostname()
	if err := f.Path.Names.Err; err != nil {
		found := remoteFinding(err)
		if f.Path.Proxy != "" {
			found[0].Cure = "Check the proxy's name: HttpProxy (http_proxy, https_proxy)."
		}
		return found
	}
	if slices.Contains(f.Path.Addresses, host) {
		return ok("%s is an address, no name", host)
	}
	return ok("%s is %s", host, listed(f.Path.Addresses))
}

func checkTCP(f *Facts) []Finding {
	if why := notTried(f, func(p *remote.Path) remote.Step { return p.Reach }); why != nil {
		return why
	}
	p := f.Path
	switch {
	case p.Proxy != "" && !p.Reach.OK():
		return skipped("the proxy cannot be reached")
	case p.Proxy != "" && p.Tunnel.Done && !p.Tunnel.OK():
		return skipped("the proxy does not lead there")
	case p.Reach.Err != nil:
		return remoteFinding(p.Reach.Err)
	}
	return ok("%s answers in %s", p.Service, took(p.Reach))
}

func checkTLS(f *Facts) []Finding {
	if why := notTried(f, func(p *remote.Path) remote.Step { return p.Reach }); why != nil {
		return why
	}
	p := f.Path
	switch {
	case f.Settings.APIURL.Scheme == "http":
		return skipped("the address is http, to this machine itself")
	case !p.TLS.Done:
		return skipped("the way ends before")
	case p.TLS.Err != nil:
		out := remoteFinding(p.TLS.Err)
		if c := p.Certificate; c != nil {
			out[0].Text += fmt.Sprintf("; the certificate is for %s, made by %q, valid from %s to %s", names(c), issuer(c), day(c.NotBefore), day(c.NotAfter))
		}
		return out
	}
	root := "the system's certificates"
	if p.FromFile {
		root = f.Settings.TrustedCAFile
	}
	if len(p.Chain) > 0 {
		root = fmt.Sprintf("%q in %s", remote.Subject(p.Chain[len(p.Chain)-1]), root)
	}
	return ok("%s, certificate for %s, trusted by %s", p.TLSVersion, names(p.Certificate), root)
}

func checkTLSExpiry(f *Facts) []Finding {
	if f.Path == nil || !f.Path.TLS.OK() {
		return skipped("there is no TLS connection")
	}
	for i, c := range f.Path.Chain {
		if left := c.NotAfter.Sub(f.Now); left < soon {
			who := "the service's certificate"
			if i > 0 {
				who = fmt.Sprintf("%q above the service's certificate", remote.Subject(c))
			}
			return one(Warning, "Tell the administrator of the service; afterwards no connection will be trusted.", "%s ends on %s (%s)", who, day(c.NotAfter), days(left))
		}
	}
	return ok("until %s", day(f.Path.Certificate.NotAfter))
}

func checkService(f *Facts) []Finding {
	if why := notTried(f, func(p *remote.Path) remote.Step { return p.Info }); why != nil {
		return why
	}
	p := f.Path
	switch {
	case p.Info.Err != nil:
		return remoteFinding(p.Info.Err)
	case p.Version != "":
		return ok("version %s, answered in %s", p.Version, took(p.Info))
	case p.Status == 404:
		return one(Note, "If the list of policies is not found either, ApiUrl is not the address of the API; it usually ends in /Api.", "it does not tell its version (HTTP status 404)")
	}
	return ok("it does not tell its version (HTTP status %d)", p.Status)
}

func checkClock(f *Facts) []Finding {
	p := f.Path
	if p == nil || !p.Info.Done || !p.HasSkew {
		return skipped("the service told no time")
	}
	if s := p.Skew; s.Abs() > maxSkew {
		which := "behind"
		if s < 0 {
			which = "ahead of"
		}
		return one(Warning, "Set this machine's clock (or the service's): certificates and timestamps depend on it.", "this machine's clock is %s %s the service's", period(s.Abs().Round(time.Second)), which)
	}
	return ok("they differ by less than a minute")
}

func checkToken(f *Facts) []Finding {
	switch {
	case !f.Asked:
		return skipped("the service was not asked")
	case f.KeysErr == nil && f.User != "":
		return ok("it belongs to %s", f.User)
	case f.KeysErr == nil:
		return ok("accepted; the service does not tell whose it is")
	case f.Canceled:
		return skipped("it was ended before")
	}
	return remoteFinding(f.KeysErr)
}

// noKeys says why there is nothing to judge, nil when there are keys.
func noKeys(f *Facts) []Finding {
	switch {
	case !f.Asked || f.KeysErr != nil:
		return skipped("there is no list of policies")
	case len(f.Keys) == 0:
		return skipped("no policy is in sight")
	}
	return nil
}

func checkPolicies(f *Facts) []Finding {
	if !f.Asked || f.KeysErr != nil {
		return skipped("there is no list of policies")
	}
	var out []Finding
	if len(f.Keys) == 0 {
		out = one(Failed, "Let an administrator make the token's user a submitter of the signing policy, and check that policy and project are active.", "none: this token's user may submit to no signing policy")
	} else {
		all := make([]string, len(f.Keys))
		for i, k := range f.Keys {
			all[i] = k.Name
		}
		out = ok("%d: %s", len(all), listed(all))
	}
	for _, l := range f.Left {
		out = append(out, Finding{Warning, l, "Tell the administrator of the service."})
	}
	return out
}

// chosen are the keys that the configured slugs leave.
func (f *Facts) chosen() []Key {
	var out []Key
	for _, k := range f.Keys {
		if (f.Settings.ProjectSlug == "" || k.Project == f.Settings.ProjectSlug) && (f.Settings.SigningPolicySlug == "" || k.Policy == f.Settings.SigningPolicySlug) {
			out = append(out, k)
		}
	}
	return out
}

func checkSlugs(f *Facts) []Finding {
	project, policy := f.Settings.ProjectSlug, f.Settings.SigningPolicySlug
	if project == "" && policy == "" {
		return skipped("ProjectSlug and SigningPolicySlug are not set")
	}
	if why := noKeys(f); why != nil {
		return why
	}
	asked := fmt.Sprintf("ProjectSlug %q, SigningPolicySlug %q", project, policy)
	switch n := len(f.chosen()); {
	case n > 0:
		return ok("%s: %s", asked, count(n, "policy"))
	}
	for _, k := range f.Keys { // case counts
		if (project == "" || strings.EqualFold(k.Project, project)) && (policy == "" || strings.EqualFold(k.Policy, policy)) {
			return one(Failed, "Write the slugs exactly like that.", "%s match nothing; there is %s", asked, k.Name)
		}
	}
	return one(Failed, "Correct ProjectSlug and SigningPolicySlug, or let an administrator make the token's user a submitter of that policy.", "%s match none of the policies in sight", asked)
}

func checkChoice(f *Facts) []Finding {
	if why := noKeys(f); why != nil {
		return why
	}
	switch n := len(f.chosen()); n {
	case 0:
		return skipped("the slugs match no policy")
	case 1:
		return ok("one key is in sight")
	default:
		return one(Warning, "Set ProjectSlug and SigningPolicySlug (SIGNPATH_PROJECT_SLUG, SIGNPATH_SIGNING_POLICY_SLUG) so that one key is left.",
			"%d keys are in sight: tools that name none take the first, and pkcs11-tool up to 0.27 ignores --label when it signs", n)
	}
}

func checkKeyNames(f *Facts) (out []Finding) {
	if why := noKeys(f); why != nil {
		return why
	}
	for _, k := range f.chosen() {
		if len(k.Name) > maxName {
			out = append(out, Finding{Warning, fmt.Sprintf("%s has %d bytes; OpenSSL's engine (libp11 up to 0.4.12) carries %d", k.Name, len(k.Name), maxName), "Use shorter slugs there, or another tool."})
		}
	}
	if out == nil {
		return ok("none is longer than %d bytes", maxName)
	}
	return out
}

func checkKeys(f *Facts) []Finding {
	if why := noKeys(f); why != nil {
		return why
	}
	all := []string{}
	for _, k := range f.chosen() {
		all = append(all, k.Name+" "+k.kind())
	}
	if len(all) == 0 {
		return skipped("the slugs match no policy")
	}
	return ok("%s", listed(all))
}

// kind is the type of a key for people.
func (k Key) kind() string {
	text := "RSA " + strconv.Itoa(k.Bits)
	if k.Type == wire.KeyECDSA {
		text = "ECDSA P-" + strconv.Itoa(k.Bits)
	}
	if k.GPG {
		text += " (OpenPGP)"
	}
	return text
}

func checkCertificates(f *Facts) (out []Finding) {
	if why := noKeys(f); why != nil {
		return why
	}
	keys := slices.DeleteFunc(f.chosen(), func(k Key) bool { return k.GPG })
	if len(keys) == 0 {
		return skipped("no key in use has an X.509 certificate")
	}
	unusable := Warning // for others there are other keys
	if len(keys) == 1 {
		unusable = Failed
	}
	const renew = "Let an administrator renew the certificate of that policy."
	lone := 0
	for _, k := range keys {
		c := k.Certificate
		switch {
		case c == nil:
			out = append(out, Finding{Warning, k.Name + " has no certificate (yet): tools that need one, such as jarsigner and signtool, cannot use it", "Let an administrator upload the certificate that was issued."})
		case f.Now.After(c.NotAfter):
			out = append(out, Finding{unusable, fmt.Sprintf("the certificate of %s expired on %s; the service signs nothing with it", k.Name, day(c.NotAfter)), renew})
		case f.Now.Before(c.NotBefore):
			out = append(out, Finding{unusable, fmt.Sprintf("the certificate of %s is valid from %s on only", k.Name, day(c.NotBefore)), "Wait, or check this machine's clock."})
		case c.NotAfter.Sub(f.Now) < soon:
			out = append(out, Finding{Warning, fmt.Sprintf("the certificate of %s ends on %s (%s)", k.Name, day(c.NotAfter), days(c.NotAfter.Sub(f.Now))), renew})
		case k.Issuers == 0 && c.Issuer.String() != c.Subject.String():
			lone++
		}
	}
	if out == nil {
		text := count(len(keys), "certificate") + ", all valid for 30 days and more"
		if lone > 0 {
			text += fmt.Sprintf("; the service gives no issuers for %d of them, tools need these from a file", lone)
		}
		return ok("%s", text)
	}
	return out
}

func checkGPG(f *Facts) []Finding {
	if why := noKeys(f); why != nil {
		return why
	}
	keys := f.chosen()
	n := 0
	for _, k := range keys {
		if k.GPG {
			n++
		}
	}
	status := Note
	if n == len(keys) {
		status = Warning
	}
	switch {
	case n == 0:
		return skipped("no OpenPGP key is in use")
	case f.Settings.IncludeDummyX509CertificateForGpgKeys:
		return ok("%s shown with a made-up certificate", count(n, "key"))
	}
	return one(status, "Set IncludeDummyX509CertificateForGpgKeys (SIGNPATH_INCLUDE_DUMMY_X509CERTIFICATE_FOR_GPG_KEYS) to true where GnuPG signs.",
		"%s without a certificate: gnupg-pkcs11-scd, and so gpg, does not see keys without one", count(n, "OpenPGP key"))
}

func checkModule(f *Facts) []Finding {
	m := f.Module
	if m == nil {
		return skipped("no module was named")
	}
	if m.Problem != "" {
		return one(Failed, m.Cure, "%s: %s", m.Path, m.Problem)
	}
	var out []Finding
	add := func(s Status, cure, format string, args ...any) { out = append(out, one(s, cure, format, args...)...) }
	switch {
	case m.Exports == 0:
		add(Failed, "Name the file of the module.", "%s offers no function of PKCS #11", m.Path)
	case m.Exports < functionsOfPKCS11 && m.Carries:
		add(Failed, damaged, "%s offers %d functions of PKCS #11 instead of %d", m.Path, m.Exports, functionsOfPKCS11)
	}
	switch {
	case m.Musl:
		add(Failed, "Use a distribution with glibc, e.g. a Debian or UBI image.", "this machine's C library is musl, which cannot load the module")
	case len(m.Absent) > 0:
		add(Failed, "Install the packages that hold them.", "libraries are missing: %s", listed(m.Absent))
	case m.NeedsLibc != "" && m.HasLibc != "" && newer(m.NeedsLibc, m.HasLibc):
		add(Failed, "Use a newer distribution.", "it needs glibc %s, this machine has %s", m.NeedsLibc, m.HasLibc)
	}
	switch {
	case m.Beside == coreOther && m.NoMemoryRun:
		add(Failed, "Put the core of the same build beside the module.", "the core beside it is of another build, and this kernel runs no files in memory (vm.memfd_noexec)")
	case m.Carries && m.Beside == coreAbsent && m.NoMemoryRun:
		add(Failed, "Put libSignPath.Cryptoki.core.so of the same build beside the module, or set vm.memfd_noexec below 2.", "this kernel runs no files in memory (vm.memfd_noexec), and no core lies beside the module")
	case m.Beside == coreOther:
		add(Warning, "Install both files of one build, or remove the core: the module works alone.", "the core beside it is of another build and is not used")
	}
	if m.Open != 0 {
		add(Warning, "chmod go-w "+m.Path, "other users may replace the module")
	}
	if m.Owner != "" {
		add(Warning, "Let it belong to root or to the user who signs.", "the module belongs to %s, who may replace it", m.Owner)
	}
	if out != nil {
		return out
	}
	text := fmt.Sprintf("%s: %s, needs glibc %s, here is %s", m.Path, count(m.Exports, "function"), orUnknown(m.NeedsLibc), orUnknown(m.HasLibc))
	switch {
	case !m.Carries:
		return one(Note, "", "%s; it is not the module of this product. It was not loaded", text)
	case m.Beside == coreSame:
		text += ", with its core beside it"
	}
	return ok("%s. It was not loaded", text)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
