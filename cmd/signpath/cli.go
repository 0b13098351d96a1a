package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"

	"signpath/internal/buildinfo"
	"signpath/internal/wire"
)

// streams are the standard streams, so that tests can hand in others.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// commands is the whole command line.
type commands struct {
	NoColor bool        `help:"Print without colour, as the environment variable NO_COLOR does."`
	Version versionFlag `help:"Print version and commit."`

	Server       serverCommand        `cmd:"" help:"Run the signing service."`
	Dev          devCommand           `cmd:"" help:"Run a throw-away signing service for development and tests."`
	Admin        adminCommands        `cmd:"" help:"Administer an installation, running or not."`
	Audit        auditCommands        `cmd:"" help:"Read, export and verify the audit log."`
	Sign         signCommand          `cmd:"" help:"Sign a file or a digest with a key of the service."`
	Verify       verifyCommand        `cmd:"" help:"Verify a signature on this machine."`
	Doctor       doctorCommand        `cmd:"" help:"Find out why signing does not work, and what to mend."`
	GPG          gpgCommands          `cmd:"" name:"gpg" help:"Let GnuPG, and so rpmsign, debsign, git and others, sign with keys of the service."`
	Token        localTokenCommands   `cmd:"" help:"Protect an API token on Windows, for the configuration file."`
	Certificates certificatesCommands `cmd:"" help:"Keep certificates of signing policies in the Windows store, for tools that look there."`
	Keychain     keychainCommands     `cmd:"" help:"On macOS: put certificates of the service into the keychain, for codesign and others."`
	Show         versionCommand       `cmd:"" name:"version" help:"Print version and commit."`
	streams      streams              `kong:"-"`
}

// description stands below the usage line of `signpath --help`.
const description = `SignPath's signing service: keys stay here, signatures leave.

Examples:
  signpath dev --dir /tmp/signpath                        a service to try things with
  signpath server --data /var/lib/signpath                the real one
  signpath admin --data /var/lib/signpath user list       administration
  signpath audit verify --data /var/lib/signpath          is the audit log intact?
  signpath sign --policy my-project/release FILE          a signature of a file
  signpath doctor                                         why does signing not work?

Exit codes:
` + exitCodeHelp

// exitNow ends run from inside kong, which wants to leave after printing help.
type exitNow int

// run parses the command line and does what it says. It returns the exit code.
func run(args []string, s streams) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exitNow)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	var c commands
	c.streams = s
	parser, err := kong.New(&c,
		kong.Name("signpath"),
		kong.Description(description),
		kong.Writers(s.out, s.err),
		kong.Exit(func(code int) { panic(exitNow(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.ShortUsageOnError(),
		kong.ValueFormatter(valueHelp),
		kong.Vars{"keys": defaultKeys},
	)
	dropEmptyVariables()
	t := newTerminal(s, hasNoColor(args))
	if err != nil {
		t.error(err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		t.errorWithHint(err, usageHint(err))
		return exitUsage
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	if err := parsed.Run(t); err != nil {
		return t.fail(err)
	}
	return exitOK
}

// fail tells why a command failed and gives its exit code.
func (t *terminal) fail(err error) (code int) {
	code, hint := classify(err)
	var fields wire.FieldErrors
	if errors.As(err, &fields) {
		err = flagNames(fields)
	}
	if hint == "" {
		t.error(err)
	} else {
		t.errorWithHint(err, hint)
	}
	return code
}

// valueHelp is the help of a flag with its default, which a placeholder would hide.
func valueHelp(value *kong.Value) string {
	shown := *value
	if value.HasDefault && value.Default != "" && !strings.Contains(value.Help, "Default: ") {
		shown.Help = strings.TrimSuffix(value.Help, ".") + ". Default: " + value.Default + "."
	}
	return kong.DefaultHelpValueFormatter(&shown)
}

// flags are the flags of fields that have another name on the command line.
var flags = map[string]string{"notAfter": "expires", "requiredApprovals": "approvals"}

// flagNames spells the fields of an operation's input as the command line does.
func flagNames(fields wire.FieldErrors) wire.FieldErrors {
	out := wire.FieldErrors{}
	for name, sentences := range fields {
		flag := flags[name]
		if flag == "" {
			flag = kebab(name)
		}
		out[flag] = append(out[flag], sentences...)
	}
	return out
}

// kebab turns "commonName" into "common-name".
func kebab(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('-')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// usageHint names the help of the command that was not understood.
func usageHint(err error) string {
	command := "signpath"
	var p *kong.ParseError
	if errors.As(err, &p) && p.Context != nil {
		for _, trace := range p.Context.Path {
			if trace.Command != nil {
				command += " " + trace.Command.Name
			}
		}
	}
	return "see: " + command + " --help"
}

// hasNoColor looks for the flag before the command line is parsed, for errors of the parser.
func hasNoColor(args []string) bool {
	for _, a := range args {
		if a == "--no-color" {
			return true
		}
	}
	return false
}

// versionFlag is --version.
type versionFlag bool

// BeforeReset prints and leaves before anything else is asked for.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	fmt.Fprintln(app.Stdout, "signpath "+buildinfo.String())
	app.Exit(exitOK)
	return nil
}

// versionCommand is `signpath version`.
type versionCommand struct {
	JSON bool `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (versionCommand) Help() string {
	return examples(
		"signpath version",
		"signpath version --json",
	)
}

// Run prints the version.
func (c *versionCommand) Run(t *terminal) error {
	if c.JSON {
		return t.json(map[string]string{"version": buildinfo.Version(), "commit": buildinfo.Commit()})
	}
	return t.print("signpath " + buildinfo.String())
}

// examples is the text below a command's help.
func examples(lines ...string) string {
	return "Examples:\n  " + strings.Join(lines, "\n  ")
}

// dropEmptyVariables makes an empty variable count as not set, as it does for
// the crypto providers; the parser would take it for an empty value.
func dropEmptyVariables() {
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); value == "" && strings.HasPrefix(name, "SIGNPATH_SERVER_") {
			_ = os.Unsetenv(name) // the name is one of the environment
		}
	}
}

// environment looks a variable up; an empty one counts as not set.
func environment(name string) string { return os.Getenv(name) }
