package ctk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"signpath/internal/provider/settings"
	"signpath/internal/secret"
)

// Options are what the app was started with.
type Options struct {
	Settings   settings.Settings
	Foreground bool
	Warnings   []string // to be logged once, beside those of Settings
}

// Limits of the time that tools wait. Nobody documents how long macOS waits for
// a token's signature, so one ends well before a minute.
const (
	signLimit    = 30 * time.Second // one signature with all its retries
	requestLimit = 12 * time.Second // one attempt, so that there is a second one
)

// argument is a row of the table of arguments.
type argument struct {
	name  string
	value string // what help shows for the value; "" for a switch
	doc   string
	set   func(*settings.Explicit, *Options, string)
}

var arguments = []argument{
	{"--config", "FILE", "configuration file; default: SIGNPATH_CONFIG_FILE, then config.json beside the app",
		func(e *settings.Explicit, _ *Options, v string) { e.ConfigFile = v }},
	{"--api-url", "URL", "address of the API; default: " + settings.DefaultAPIURL,
		func(e *settings.Explicit, _ *Options, v string) { e.APIURL = v }},
	{"--organization-id", "UUID", "ID of the organization",
		func(e *settings.Explicit, _ *Options, v string) { e.OrganizationID = v }},
	{"--api-token", "TOKEN", "API token; better set SIGNPATH_API_TOKEN or the configuration file: other users see arguments",
		func(e *settings.Explicit, o *Options, v string) {
			e.APIToken = secret.New(v)
			o.Warnings = append(o.Warnings, "the API token was given as an argument, which other users of this Mac can read; use SIGNPATH_API_TOKEN or the configuration file")
		}},
	{"--project-slug", "SLUG", "only this project's certificates; default: those of all projects",
		func(e *settings.Explicit, _ *Options, v string) { e.ProjectSlug = v }},
	{"--signing-policy-slug", "SLUG", "only the certificates of signing policies with this slug; default: all",
		func(e *settings.Explicit, _ *Options, v string) { e.SigningPolicySlug = v }},
	{"--foreground", "", "tell on the console what happens, and end with an exit code when the certificates are not there in 20 seconds",
		func(_ *settings.Explicit, o *Options, _ string) { o.Foreground = true }},
}

// Usage is the help text.
func Usage() string {
	var b strings.Builder
	b.WriteString("usage: open " + AppName + ".app --args [ARGUMENT...]\n\n" +
		"Makes certificates of the signing service available in the keychain while it runs.\n\n")
	for _, a := range arguments {
		fmt.Fprintf(&b, "  %-28s %s\n", strings.TrimSpace(a.name+" "+a.value), a.doc)
	}
	b.WriteString("  --help, --version\n\nArguments are stronger than the environment (SIGNPATH_API_TOKEN …), and that is\n" +
		"stronger than the file. Exit codes:\n" + exitHelp + "\n")
	return b.String()
}

// Place is where the app runs.
type Place struct {
	Executable string   // path of the program inside the bundle
	Environ    []string // NAME=value
	Home       string   // the user's home folder, for the log
}

// AppFolder is the folder that holds the app: X for X/Y.app/Contents/MacOS/Z,
// else the program's own folder.
func AppFolder(executable string) string {
	dir := filepath.Dir(executable)
	for at := dir; at != filepath.Dir(at); at = filepath.Dir(at) {
		if strings.HasSuffix(at, ".app") {
			return filepath.Dir(at)
		}
	}
	return dir
}

// ParseOptions reads arguments (without the program's name), environment and
// file. The error is a *Problem; the settings for the log are of use all the same.
func ParseOptions(args []string, p Place) (Options, error) {
	var o Options
	var e settings.Explicit
	usage := parseArguments(args, &e, &o)
	e.ConfigFile = configFile(e.ConfigFile, p)
	var err error
	o.Settings, err = settings.Load(p.Environ, e)
	if o.Settings.Source("Log.File.Directory") == "" && p.Home != "" {
		o.Settings.Log.FileDirectory = filepath.Join(p.Home, "Library", "Logs", AppName)
	}
	o.Settings.Log.ConsoleLevel = settings.LevelNone // macOS has no console log; --foreground has its own lines
	t := &o.Settings.Timeouts
	t.Request = min(t.Request, requestLimit)
	if t.Total == 0 || t.Total > signLimit {
		t.Total = signLimit
	}
	if usage != nil {
		return o, &Problem{ExitUsage, usage.Error()}
	}
	if err == nil {
		err = o.Settings.Complete()
	}
	if err != nil {
		return o, &Problem{ExitUsage, err.Error()}
	}
	return o, nil
}

// configFile is the file that counts when none was named: config.json beside the
// app, unless the environment names another.
func configFile(named string, p Place) string {
	if named != "" {
		return named
	}
	for _, v := range p.Environ {
		if name, value, _ := strings.Cut(v, "="); name == settings.EnvConfigFile && value != "" {
			return ""
		}
	}
	beside := filepath.Join(AppFolder(p.Executable), "config.json")
	if _, err := os.Lstat(beside); err != nil {
		return ""
	}
	return beside
}

func parseArguments(args []string, e *settings.Explicit, o *Options) error {
	seen := map[string]bool{}
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		a := argumentByName(name)
		switch {
		case a == nil && fromLaunchServices(args, &i):
			continue
		case a == nil && !strings.HasPrefix(name, "-"): // not shown: it may be a token behind a name that takes none
			return fmt.Errorf("argument %d is a value without a name; --help lists what there is", i+1)
		case a == nil:
			return fmt.Errorf("unknown argument %q; --help lists what there is", clip(name))
		case seen[name]:
			return fmt.Errorf("%s is given twice", name)
		case a.value == "" && inline:
			return fmt.Errorf("%s takes no value", name)
		case a.value != "" && !inline:
			if i++; i == len(args) || strings.HasPrefix(args[i], "--") {
				return fmt.Errorf("%s needs a value: %s %s", name, name, a.value)
			}
			value = args[i]
		}
		seen[name] = true
		if a.value != "" && strings.TrimSpace(value) == "" {
			return fmt.Errorf("the value of %s is empty", name)
		}
		a.set(e, o, value)
	}
	return nil
}

func argumentByName(name string) *argument {
	for i := range arguments {
		if arguments[i].name == name {
			return &arguments[i]
		}
	}
	return nil
}

// fromLaunchServices skips what macOS and Xcode add to a command line: -psn_0_1
// and user defaults like -NSDocumentRevisionsDebugMode YES.
func fromLaunchServices(args []string, i *int) bool {
	switch a := args[*i]; {
	case strings.HasPrefix(a, "-psn_"):
		return true
	case strings.HasPrefix(a, "-NS"), strings.HasPrefix(a, "-Apple"):
		*i++
		return true
	}
	return false
}

// clip bounds a text of a user for a message.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
