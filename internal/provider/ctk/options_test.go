package ctk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/internal/provider/settings"
)

// TestPrecedence: arguments before environment before file; which file.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	write := func(name, slug string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(`{"ProjectSlug":"`+slug+`","SigningPolicySlug":"policy-of-`+slug+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	named, byEnv := write("named.json", "named"), write("env.json", "env")
	program := filepath.Join(dir, "X.app", "Contents", "MacOS", "X")
	base := []string{"SIGNPATH_ORGANIZATION_ID=" + testOrg, "SIGNPATH_API_TOKEN=" + testToken}
	run := func(environ, args []string) string {
		o, err := ParseOptions(args, Place{Executable: program, Environ: append(append([]string{}, environ...), base...), Home: "/home/x"})
		if err != nil {
			return "error"
		}
		return o.Settings.ProjectSlug + " " + o.Settings.SigningPolicySlug
	}
	for i, c := range []struct {
		environ, args []string
		want          string
	}{
		{nil, nil, " "},
		{nil, nil, "beside policy-of-beside"}, // from here on there is a file beside the app
		{[]string{"SIGNPATH_CONFIG_FILE=" + byEnv}, nil, "env policy-of-env"},
		{[]string{"SIGNPATH_CONFIG_FILE="}, nil, "beside policy-of-beside"},
		{[]string{"SIGNPATH_CONFIG_FILE=" + byEnv}, []string{"--config", named}, "named policy-of-named"},
		{[]string{"SIGNPATH_PROJECT_SLUG=variable"}, []string{"--config=" + named}, "variable policy-of-named"},
		{[]string{"SIGNPATH_PROJECT_SLUG=variable"}, []string{"--project-slug", "argument"}, "argument policy-of-beside"},
		{nil, []string{"--project-slug=a", "--signing-policy-slug=b"}, "a b"},
		{nil, []string{"--config", filepath.Join(dir, "none")}, "error"},
	} {
		if i == 1 {
			write("config.json", "beside")
		}
		if got := run(c.environ, c.args); got != c.want {
			t.Errorf("%v %v: %q, want %q", c.environ, c.args, got, c.want)
		}
	}
}

func TestArguments(t *testing.T) {
	environ := []string{"SIGNPATH_ORGANIZATION_ID=" + testOrg, "SIGNPATH_API_TOKEN=" + testToken}
	for _, c := range []struct {
		args []string
		says string // "": no error
	}{
		{nil, ""},
		{[]string{"-psn_0_12345"}, ""},
		{[]string{"-NSDocumentRevisionsDebugMode", "YES", "--foreground"}, ""},
		{[]string{"-ApplePersistenceIgnoreState", "YES"}, ""},
		{[]string{"--api-url", "https://example.com/Api", "--organization-id=" + testOrg, "--api-token", testToken}, ""},
		{[]string{"--foreground=yes"}, "takes no value"},
		{[]string{"--config"}, "needs a value"},
		{[]string{"--config", "--foreground"}, "needs a value"},
		{[]string{"--project-slug="}, "is empty"},
		{[]string{"--project-slug", "a", "--project-slug", "b"}, "given twice"},
		{[]string{"--organisation-id", testOrg}, "unknown argument"},
		{[]string{"file"}, "argument 1 is a value without a name"},
		{[]string{"--foreground", testToken}, "argument 2 is a value without a name"},
		{[]string{"--api-tokn=" + testToken}, `unknown argument "--api-tokn"`},
		{[]string{"--organization-id", "x"}, "OrganizationId"},
		{[]string{"--api-url", "http://example.com"}, "ApiUrl"},
	} {
		o, err := ParseOptions(c.args, Place{Executable: "/A/X.app/Contents/MacOS/X", Environ: environ, Home: "/home/x"})
		var p *Problem
		switch {
		case c.says == "" && err != nil, c.says != "" && (!errors.As(err, &p) || p.Code != ExitUsage || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%v: %v, want %q", c.args, err, c.says)
		case o.Settings.Log.FileDirectory != "/home/x/Library/Logs/SignPathCryptoTokenKit" || o.Settings.Log.ConsoleLevel != settings.LevelNone:
			t.Errorf("%v: log %+v", c.args, o.Settings.Log)
		case o.Settings.Timeouts.Total > 30*time.Second || o.Settings.Timeouts.Request >= o.Settings.Timeouts.Total:
			t.Errorf("time-outs %+v", o.Settings.Timeouts)
		}
		if strings.Contains(strings.Join(o.Warnings, ""), testToken) || err != nil && strings.Contains(err.Error(), testToken[:20]) {
			t.Errorf("the token stands in a warning or in %v", err)
		}
	}
	for _, a := range arguments {
		if !strings.Contains(Usage(), a.name) {
			t.Errorf("%s is not in the help", a.name)
		}
	}
	o, _ := ParseOptions(nil, Place{Executable: "/X", Environ: append(environ, "SIGNPATH_LOG_FILE_DIRECTORY=/elsewhere", "SIGNPATH_TIMEOUTS_RETRY_COUNT=50"), Home: "/home/x"})
	if o.Settings.Log.FileDirectory != "/elsewhere" || o.Settings.Timeouts.Total != signLimit {
		t.Errorf("%+v %+v", o.Settings.Log, o.Settings.Timeouts)
	}
}

func TestAppFolder(t *testing.T) {
	for program, want := range map[string]string{
		"/Applications/X.app/Contents/MacOS/X": "/Applications",
		"/a/b/X":                               "/a/b",
		"/a/Y.app/b/X.app/Contents/MacOS/X":    "/a/Y.app/b",
	} {
		if got := AppFolder(program); got != want {
			t.Errorf("%s: %s, want %s", program, got, want)
		}
	}
}
