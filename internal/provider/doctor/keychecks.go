package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"signpath/internal/wire"
)

// The checks of the keys in sight and of the module.

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
	switch k.Type {
	case wire.KeyECDSA:
		text = "ECDSA P-" + strconv.Itoa(k.Bits)
	case wire.KeyEd25519:
		text = "Ed25519"
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
	return one(status, "Where GnuPG signs: signpath gpg init sets all that it needs; or set IncludeDummyX509CertificateForGpgKeys (SIGNPATH_INCLUDE_DUMMY_X509CERTIFICATE_FOR_GPG_KEYS) to true there.",
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
	if m.Refused != "" && out == nil { // else its cause stands there already
		add(Failed, "Install what it needs, or take the module for this platform.", "%s cannot be loaded: %s said: %s", m.Path, m.TriedWith, m.Refused)
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
	text := fmt.Sprintf("%s: %s", m.Path, count(m.Exports, "function"))
	if !m.DLL {
		text += fmt.Sprintf(", needs glibc %s, here is %s", orUnknown(m.NeedsLibc), orUnknown(m.HasLibc))
	}
	if m.Beside == coreSame {
		text += ", with its core beside it"
	}
	switch {
	case !m.Carries:
		return one(Note, "", "%s; it is not the module of this product. %s", text, m.loaded())
	case m.TriedWith == "":
		return one(Note, "Install signpath-hsm beside signpath, to have it tried.", "%s. %s", text, m.loaded())
	}
	return ok("%s. %s", text, m.loaded())
}

// loaded tells in a sentence what came of loading a module.
func (m *Module) loaded() string {
	switch {
	case m.TriedWith == "":
		return "It was not loaded: nothing here could try it"
	case m.Library != "":
		return "Another process loaded and began it (" + m.Library + ")"
	case m.TriedWith == helperName():
		return "Another process loaded it"
	}
	return "The dynamic loader finds everything that it needs; it was not loaded"
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
