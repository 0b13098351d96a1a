package settings

import (
	"cmp"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"signpath/internal/provider/redact"
	"signpath/internal/secret"
)

// Explicit is what a tool supplied by its own means: a PIN, command line
// arguments, a plug-in's options. These values are the strongest. Empty means
// not supplied.
type Explicit struct {
	OrganizationID    string
	APIToken          secret.Secret // the bare token; encrypted: and registry: are for files and the environment
	APIURL            string
	ProjectSlug       string
	SigningPolicySlug string
	ConfigFile        string
	TrustedCAFile     string
	HTTPProxy         string

	// Values holds further settings by JSON name without regard to case, e.g.
	// "Log.File.Level", for tools with free-form options. A field above wins.
	Values map[string]string
}

// value is one given value of a setting.
type value struct {
	text   string
	kind   kind
	from   origin
	source string // for Problem.Source
	name   string // the name that the user wrote
}

// counts tells whether a member of the file is set: null and empty texts are not.
func (v value) counts() bool {
	return v.kind != kindNull && !(v.kind == kindString && v.text == "")
}

type origin uint8

const (
	fromTool origin = iota + 1
	fromEnvironment
	fromFile
)

// draft is the outcome while it is made.
type draft struct {
	Settings
	env      environment
	set      map[string]bool // JSON names of settings that someone gave
	oldTotal time.Duration
	proxy    proxyRules
}

type loader struct {
	draft
	system   func() internetOptions
	explicit Explicit
	tool     map[string]value // Explicit.Values, by lower-case JSON name
	file     map[string]value // likewise
	problems []Problem
	misspelt []misspelt
}

// misspelt is an unknown name that is most likely meant to be ApiUrl.
type misspelt struct{ source, name, meant, warning string }

// Load reads the configuration. environ is a list of NAME=value, the first of
// equal names counts, an empty value counts as not set; so does an empty text or
// null in the file. Precedence per value: explicit, environment, file, default.
// A newer name wins over an older one wherever either stands.
//
// The error is an *Error with everything that is wrong. The Settings are usable
// for logging in that case too: every value that could not be read has its
// default. A missing OrganizationId or ApiToken is no error here; see Complete.
func Load(environ []string, explicit Explicit) (Settings, error) {
	return load(environ, explicit, readFile)
}

func load(environ []string, explicit Explicit, read func(path string) (*node, *fileError)) (Settings, error) {
	return loadOn(systemProxy, environ, explicit, read)
}

// loadOn is load on a machine with the given Internet Options.
func loadOn(system func() internetOptions, environ []string, explicit Explicit, read func(path string) (*node, *fileError)) (Settings, error) {
	env := newEnvironment(environ)
	l := &loader{system: system, explicit: explicit, tool: map[string]value{}, file: map[string]value{}}
	l.draft = draft{Settings: defaults(env), env: env, set: map[string]bool{}}
	l.sources = map[string]string{}
	l.readTool()
	l.noteFile()
	l.readFile(read, cmp.Or(explicit.ConfigFile, env.get(EnvConfigFile)))
	l.unknownVariables()
	for i := range table {
		l.apply(&table[i])
	}
	l.finishTimeouts()
	l.finishProxy()
	l.finishClientCertificate()
	return l.Settings, l.finish()
}

// apply looks for the value of one setting, strongest first, and stores it.
func (l *loader) apply(s *setting) {
	if s.apply == nil {
		return
	}
	v, given := l.find(s, s.json, s.env)
	if s.json == nameProxy {
		l.proxy.find(l, s)
	}
	for _, o := range s.old {
		ov, ok := l.find(nil, o.json, o.env)
		switch {
		case !ok:
		case given && v.name != ov.name:
			l.warn("%s and its old name %s are both set; %s is ignored", v.name, ov.name, ov.name)
		case !given:
			v, given = ov, true
			if !o.quiet {
				l.warn("%s is an old name that will go away; use %s or %s", ov.name, s.json, s.env)
			}
		}
	}
	if s.json == nameAPIURL {
		l.finishMisspelt(given)
	}
	if !given {
		return
	}
	l.set[s.json] = true
	l.sources[s.json] = v.source
	if s.os != "" && s.os != runtime.GOOS {
		l.problem(v.source, s.json, "the setting exists on "+osNames[s.os]+" only; remove it")
		return
	}
	if v.kind&(s.kind|kindString) == 0 {
		l.problem(v.source, s.json, "the value must be "+wanted(s.kind)+", not "+kindNames[v.kind])
		return
	}
	if len(v.text) > maxText {
		l.problem(v.source, s.json, fmt.Sprintf("the value has more than %d bytes", maxText))
		return
	}
	if strings.IndexByte(v.text, 0) >= 0 {
		l.problem(v.source, s.json, "the value holds a zero byte")
		return
	}
	if err := s.apply(&l.draft, v); err != nil {
		l.problem(v.source, s.json, err.Error())
	}
}

var osNames = map[string]string{"windows": "Windows"}

// find gives the strongest value under one pair of names. s is nil for old names,
// which tools do not use.
func (l *loader) find(s *setting, json, env string) (value, bool) {
	if s != nil && s.explicit != nil {
		if t := strings.TrimSpace(s.explicit(l.explicit)); t != "" {
			return value{text: t, kind: kindString, from: fromTool, source: "the tool", name: json}, true
		}
	}
	if v, ok := l.tool[strings.ToLower(json)]; ok && json != "" {
		return v, true
	}
	if t := strings.TrimSpace(l.env.get(env)); t != "" && env != "" {
		return value{text: t, kind: kindString, from: fromEnvironment, source: "environment variable " + env, name: env}, true
	}
	v, ok := l.file[strings.ToLower(json)]
	return v, ok && json != ""
}

// readTool takes over the free-form options of a tool.
func (l *loader) readTool() {
	names := make([]string, 0, len(l.explicit.Values))
	for n := range l.explicit.Values {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		v := value{text: strings.TrimSpace(l.explicit.Values[n]), kind: kindString, from: fromTool, source: "the tool", name: clip(n)}
		fold := strings.ToLower(n)
		_, twice := l.tool[fold]
		switch {
		case !jsonNames()[fold]:
			l.unknown("the tool", n, v.text != "", jsonNames(), fmt.Sprintf("the tool gave an unknown setting %q", clip(n)))
		case twice:
			l.problem("the tool", clip(n), "the setting is given twice")
		case v.text != "":
			l.tool[fold] = v
		}
	}
}

// noteFile notes who named the configuration file.
func (l *loader) noteFile() {
	switch {
	case l.explicit.ConfigFile != "":
		l.sources[""] = "the tool"
	case l.env.get(EnvConfigFile) != "":
		l.sources[""] = "environment variable " + EnvConfigFile
	}
}

// readFile reads the configuration file into l.file.
func (l *loader) readFile(read func(path string) (*node, *fileError), path string) {
	if path == "" {
		return
	}
	root, err := read(path)
	if err != nil {
		l.problem(placeOf(path, err.line, err.column), err.field, err.cause)
		return
	}
	l.ConfigFile = path
	l.members(path, "", root)
}

func placeOf(path string, line, column int) string {
	if line == 0 {
		return "file " + path
	}
	return fmt.Sprintf("file %s, line %d, column %d", path, line, column)
}

// members sorts the members of an object into settings, groups of settings and
// unknown names.
func (l *loader) members(path, prefix string, n *node) {
	for _, m := range n.members {
		name := join(prefix, m.name)
		fold := strings.ToLower(name)
		place := placeOf(path, m.line, m.column)
		value := value{text: strings.TrimSpace(m.value.text), kind: m.value.kind, from: fromFile, source: placeOf(path, m.value.line, m.value.column), name: clip(name)}
		switch {
		case strings.Contains(m.name, ".") && jsonNames()[fold]:
			l.warn("%s: %q is ignored: names are nested, {%q: {…}}", place, clip(name), strings.Split(m.name, ".")[0])
		case strings.Contains(m.name, "."):
			l.unknownMember(place, name, value)
		case jsonNames()[fold]:
			if value.counts() {
				l.file[fold] = value
			}
		case jsonGroups()[fold]:
			switch m.value.kind {
			case kindObject:
				l.members(path, name, m.value)
			case kindNull:
			default:
				l.problem(value.source, canonical(fold), "the value must be an object, not "+kindNames[m.value.kind])
			}
		default:
			l.unknownMember(place, name, value)
		}
	}
}

func (l *loader) unknownMember(place, name string, v value) {
	l.unknown(place, name, v.counts(), jsonNames(), fmt.Sprintf("%s: unknown setting %q", place, clip(name)))
}

// unknown warns of an unknown name. One that is near ApiUrl waits until it is
// known whether there is an ApiUrl.
func (l *loader) unknown(source, name string, counts bool, known map[string]bool, warning string) {
	near := nearest(name, known)
	if near != "" {
		warning += "; did you mean " + near + "?"
	}
	if counts && (near == nameAPIURL || near == envKey(envAPIURL)) {
		l.misspelt = append(l.misspelt, misspelt{source, clip(name), near, warning})
		return
	}
	l.Warnings = append(l.Warnings, warning)
}

// finishMisspelt makes a misspelt ApiUrl a problem when no other name gives one:
// with the default in force, the token would go to a service that the user did
// not choose.
func (l *loader) finishMisspelt(given bool) {
	for _, m := range l.misspelt {
		if given {
			l.Warnings = append(l.Warnings, m.warning)
			continue
		}
		l.problem(m.source, nameAPIURL, fmt.Sprintf("%q is no setting; did you mean %s? Without an address of yours the API token would go to %s; correct the name, remove it, or set %s as well", m.name, m.meant, DefaultAPIURL, m.meant))
	}
}

// finishClientCertificate refuses halves and doubles.
func (l *loader) finishClientCertificate() {
	cert, key := l.TLSClientCertificateFile != "", l.TLSClientKeyFile != ""
	switch {
	case cert && !key && !l.set[nameKeyFile]:
		l.problem(l.sources[nameCertFile], nameCertFile, "the certificate needs its private key; name the key's file in "+nameKeyFile+" (it may be the same file)")
	case key && !cert && !l.set[nameCertFile]:
		l.problem(l.sources[nameKeyFile], nameKeyFile, "the key needs its certificate; name the certificate's file in "+nameCertFile+" (it may be the same file)")
	}
	if l.TLSClientCertificate != "" && (cert || key) {
		l.problem(l.sources[nameStoreCert], nameStoreCert, "one client certificate only: remove this one, or "+nameCertFile+" and "+nameKeyFile)
	}
}

// finishTimeouts decides between the retry rules: the newest one that is set.
func (l *loader) finishTimeouts() {
	t := &l.Timeouts
	count, delay := l.set[nameRetryCount], l.set[nameFirstDelay]
	switch {
	case l.set[nameTotal]:
		if count {
			l.warn("%s and %s are both set; %s is ignored", nameTotal, nameRetryCount, nameRetryCount)
		}
		if l.set[nameOldTotal] {
			l.warn("%s and its old name %s are both set; %s is ignored", nameTotal, nameOldTotal, nameOldTotal)
		}
		t.RetryCount = -1
	case count || delay:
		if l.set[nameOldTotal] {
			l.warn("%s is ignored because %s or %s is set", nameOldTotal, nameRetryCount, nameFirstDelay)
		}
		if !count {
			t.RetryCount = defaultRetryCount
		}
		t.Total = 0
	case l.set[nameOldTotal]:
		l.warn("%s is an old name that will go away; use %s", nameOldTotal, nameTotal)
		t.Total = l.oldTotal
	}
	if t.Total == 0 && t.RetryCount < 0 { // after an error only; a bound there must be
		t.Total = defaultTotalTimeout
	}
}

func (l *loader) problem(source, field, cause string) {
	l.problems = append(l.problems, Problem{Source: source, Field: field, Cause: cause})
}

func (l *loader) warn(format string, args ...any) {
	l.Warnings = append(l.Warnings, fmt.Sprintf(format, args...))
}

// finish removes whatever looks like a token from all messages and makes the error.
func (l *loader) finish() error {
	hide := redact.New(l.Secrets()...)
	for i := range table {
		if s := &table[i]; s.json == "ApiToken" {
			hide.Add(secret.New(strings.TrimSpace(s.explicit(l.explicit))))
			for _, v := range []string{l.env.get(s.env), l.tool["apitoken"].text, l.file["apitoken"].text} {
				hide.Add(secret.New(strings.TrimSpace(v)))
			}
			for _, o := range s.old {
				hide.Add(secret.New(strings.TrimSpace(l.env.get(o.env))), secret.New(l.file[strings.ToLower(o.json)].text))
			}
		}
	}
	for i, w := range l.Warnings {
		l.Warnings[i] = hide.Known(w)
	}
	if len(l.problems) == 0 {
		return nil
	}
	for i, p := range l.problems {
		l.problems[i] = Problem{hide.Known(p.Source), hide.Known(p.Field), hide.Known(p.Cause)}
	}
	return &Error{Problems: l.problems}
}

// Complete tells whether the service can be reached with these settings: an
// organization and a token are needed. The error is an *Error.
func (s Settings) Complete() error {
	var missing []Problem
	for _, m := range []struct {
		absent     bool
		field, env string
	}{
		{s.OrganizationID == "", "OrganizationId", EnvOrganizationID},
		{s.APIToken.IsEmpty(), "ApiToken", EnvAPIToken},
	} {
		if m.absent {
			missing = append(missing, Problem{Field: m.field, Cause: fmt.Sprintf("set %s in the configuration file (%s) or the environment variable %s", m.field, cmp.Or(s.ConfigFile, "named by "+EnvConfigFile), m.env)})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &Error{Problems: missing}
}

// Secrets lists what must not appear in any log: the token and the passwords of
// proxies.
func (s Settings) Secrets() []secret.Secret {
	all := slices.Clone(s.proxySecrets)
	if !s.APIToken.IsEmpty() {
		all = append(all, s.APIToken)
	}
	return all
}

// defaultCacheFolder is a folder in the user's own place for such things (Linux:
// XDG Base Directory Specification); "" when the environment names none.
func defaultCacheFolder(env environment) string {
	base, name := "", "signpath"
	switch home := env.get("HOME"); {
	case runtime.GOOS == "windows":
		base, name = env.get("LOCALAPPDATA"), filepath.Join("SignPath", "Cache")
	case runtime.GOOS == "darwin" && home != "":
		base, name = filepath.Join(home, "Library", "Caches"), "SignPath"
	case filepath.IsAbs(env.get("XDG_CACHE_HOME")):
		base = env.get("XDG_CACHE_HOME")
	case home != "":
		base = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(base) {
		return ""
	}
	return filepath.Join(base, name)
}

func defaultLogDirectory(env environment) string {
	if runtime.GOOS != "windows" {
		return SharedLogDirectory
	}
	temp := cmp.Or(env.get("TEMP"), env.get("TMP"))
	if temp == "" {
		temp = filepath.Join(cmp.Or(env.get("SystemRoot"), `C:\Windows`), "Temp")
	}
	return filepath.Join(temp, "SignPathLogs")
}
