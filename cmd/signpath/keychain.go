package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"signpath/internal/provider/ctk"
	"signpath/internal/provider/settings"
)

// keychainCommands start and end SignPathCryptoTokenKit.app.
type keychainCommands struct {
	Add    keychainAdd    `cmd:"" help:"Start the app, and wait until the certificates are in the keychain."`
	Remove keychainRemove `cmd:"" help:"End the app; the certificates leave the keychain."`
	List   keychainList   `cmd:"" help:"List the certificates that the app has put into the keychain."`
}

// Help implements kong.HelpProvider.
func (keychainCommands) Help() string {
	return "The certificates are in the keychain while SignPathCryptoTokenKit.app runs; the private keys stay in the service.\n\n" + examples(
		"signpath keychain add --config ~/signpath.json --login    now and at every logon",
		"codesign -s \"Developer ID Application: Example\" --timestamp --options runtime My.app",
		"signpath keychain remove --login",
	)
}

// keychainPlace is where the app is.
type keychainPlace struct {
	App string `help:"SignPathCryptoTokenKit.app. Default: beside this program, then /Applications, then ~/Applications." placeholder:"APP"`
}

type keychainAdd struct {
	keychainPlace
	Config            string `help:"Configuration file. Default: SIGNPATH_CONFIG_FILE, then config.json beside the app." placeholder:"FILE"`
	APIURL            string `name:"api-url" help:"Address of the API." placeholder:"URL"`
	OrganizationID    string `name:"organization-id" help:"ID of the organization." placeholder:"UUID"`
	ProjectSlug       string `name:"project-slug" help:"Only this project's certificates." placeholder:"SLUG"`
	SigningPolicySlug string `name:"signing-policy-slug" help:"Only the certificates of signing policies with this slug." placeholder:"SLUG"`
	Login             bool   `help:"Also at every logon: writes a LaunchAgent. It knows no variables of this shell: the API token and all settings without an argument must stand in the configuration file."`
	JSON              bool   `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (keychainAdd) Help() string {
	return "Starts SignPathCryptoTokenKit.app when it does not run. Ends when the certificates are in sight, or says within 20 seconds why they are not.\n\n" + examples(
		"signpath keychain add",
		"signpath keychain add --config ~/signpath.json --project-slug app --login",
	)
}

type keychainRemove struct {
	Login bool `help:"Not at logon any more, either: removes the LaunchAgent."`
}

// Help implements kong.HelpProvider.
func (keychainRemove) Help() string {
	return "Ends the app, and with it the certificates' presence in the keychain.\n\n" + examples("signpath keychain remove", "signpath keychain remove --login")
}

type keychainList struct {
	JSON bool `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (keychainList) Help() string {
	return "What the running app has put into the keychain: common name, signing policy, end.\n\n" + examples("signpath keychain list", "signpath keychain list --json")
}

// errOnlyMacOS refuses on other systems.
var errOnlyMacOS = errors.New("the keychain commands exist on macOS only")

// control reaches the app of this user.
func control(app string) (*ctk.Control, error) {
	if runtime.GOOS != "darwin" {
		return nil, usage(errOnlyMacOS, "elsewhere, tools sign through the PKCS #11 module, and on Windows through the key storage provider")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	c := &ctk.Control{Home: home, UID: os.Getuid(), Run: runProgram, Terminate: func(pid int) error {
		p, err := os.FindProcess(pid)
		if err != nil {
			return err
		}
		return p.Signal(syscall.SIGTERM)
	}}
	if app == "-" { // not needed
		return c, nil
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if c.App, err = ctk.FindApp(app, program, home); err != nil {
		return nil, badInput(err, "download SignPathCryptoTokenKit.zip and unpack it into /Applications")
	}
	return c, nil
}

// runProgram runs a program of macOS.
func runProgram(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// arguments are those of the app.
func (c *keychainAdd) arguments() []string {
	var args []string
	for _, a := range []struct{ name, value string }{
		{"--config", c.Config}, {"--api-url", c.APIURL}, {"--organization-id", c.OrganizationID},
		{"--project-slug", c.ProjectSlug}, {"--signing-policy-slug", c.SigningPolicySlug},
	} {
		if a.value != "" {
			args = append(args, a.name, a.value)
		}
	}
	return args
}

// settle names the configuration file in a way that holds for the app: it has another
// working folder, and what launchd starts does not know the variables of this shell.
func (c *keychainAdd) settle(byEnvironment string) (err error) {
	if c.Config == "" && c.Login {
		c.Config = byEnvironment
	}
	if c.Config != "" {
		c.Config, err = filepath.Abs(c.Config)
	}
	return err
}

// Run starts the app.
func (c *keychainAdd) Run(ctx context.Context, t *terminal) error {
	ctx, stop := untilStopped(ctx)
	defer stop()
	app, err := control(c.App)
	if err != nil {
		return err
	}
	if err := c.settle(environment(settings.EnvConfigFile)); err != nil {
		return badInput(err, "")
	}
	s, err := app.Add(ctx, c.arguments(), c.Login)
	if err != nil {
		return keychainError(err)
	}
	if err := printStatus(t, s, c.JSON); err != nil {
		return err
	}
	if s.State == ctk.StateFailed {
		return unavailable(errors.New(s.Text), "the app's log is in ~/Library/Logs/"+ctk.AppName)
	}
	return nil
}

// Run ends the app.
func (c *keychainRemove) Run(ctx context.Context, t *terminal) error {
	app, err := control("-")
	if err != nil {
		return err
	}
	if err := app.Remove(ctx, c.Login); err != nil {
		return keychainError(err)
	}
	t.say("the certificates are not in the keychain any more")
	return nil
}

// Run lists the certificates.
func (c *keychainList) Run(t *terminal) error {
	app, err := control("-")
	if err != nil {
		return err
	}
	s, err := ctk.ReadStatus(app.Folder())
	if err != nil {
		return keychainError(err)
	}
	return printStatus(t, s, c.JSON)
}

func keychainError(err error) error {
	if errors.Is(err, ctk.ErrNotRunning) {
		return unavailable(err, "start it with: signpath keychain add")
	}
	return err
}

// printStatus prints what the app says about itself.
func printStatus(t *terminal, s ctk.Status, asJSON bool) error {
	if asJSON {
		return t.json(s)
	}
	rows := [][]string{{"COMMON NAME", "SIGNING POLICY", "VALID UNTIL"}}
	for _, x := range s.Tokens {
		rows = append(rows, []string{x.CommonName, x.Key, x.NotAfter.Format(time.DateOnly)})
	}
	if s.State == ctk.StateReady || len(s.Tokens) > 0 {
		return t.table(rows)
	}
	return t.print(string(s.State) + ": " + s.Text)
}
