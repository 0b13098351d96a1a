package main

import (
	"errors"

	"signpath/internal/provider/settings"
)

// localTokenCommands are about API tokens on this machine.
type localTokenCommands struct {
	Protect tokenProtectCommand `cmd:"" help:"Encrypt an API token with Windows' data protection, for the configuration file."`
}

// Help implements kong.HelpProvider.
func (localTokenCommands) Help() string {
	return examples(
		"signpath token protect token.txt",
	)
}

// tokenProtectCommand makes the protected forms of a token.
type tokenProtectCommand struct {
	File     string `arg:"" optional:"" help:"File with the token in one line, - for stdin. Default: ask for it on the terminal." placeholder:"FILE"`
	Registry string `help:"Store it there too, and print the setting that names the place." placeholder:"HKEY_CURRENT_USER\\SOFTWARE\\SignPath\\NAME"`
	User     string `help:"Who can read it: current (this user), or machine (every program of this machine)." enum:"current,machine" default:"current"`
	JSON     bool   `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (tokenProtectCommand) Help() string {
	return `What is printed is the value of ApiToken in the configuration file, or of SIGNPATH_API_TOKEN: encrypted:… with the token itself, or registry:… with the place where it lies. It is what ProtectedData.Protect of .NET makes (DPAPI, UTF-8, no entropy), so values of PowerShell scripts work as well, and theirs take these.

Only the user who ran this command can read the token, on this machine: run it as the user who signs (for a service or a CI agent that is its account). With --user machine every program of this machine can read it; let the rights of the file keep others out. Windows has no such command as "show it again": keep the token where you had it, or make a new one.

The token is never taken from the command line, which others can read.

` + examples(
		"signpath token protect",
		"signpath token protect token.txt",
		`type token.txt | signpath token protect --registry HKEY_CURRENT_USER\SOFTWARE\SignPath\ci -`,
	)
}

// Run prints the setting.
func (c *tokenProtectCommand) Run(t *terminal) error {
	if c.Registry != "" {
		if err := settings.CheckRegistryPath(c.Registry); err != nil {
			return usage(err, `the form is HKEY_CURRENT_USER\SOFTWARE\SignPath\NAME`)
		}
		if c.User == "machine" {
			return usage(errors.New("--registry stores the token below HKEY_CURRENT_USER, which is this user's own"), "leave --user machine away, or put encrypted:… into a file")
		}
	}
	token, err := t.password(c.File, "API token: ")
	if errors.Is(err, errNoTerminal) {
		return usage(errors.New("there is no terminal to ask for the token"), "give it in a FILE, or give - and the token on stdin")
	}
	if err != nil {
		return err
	}
	scope := settings.ForUser
	if c.User == "machine" {
		scope = settings.ForMachine
	}
	protected, err := settings.ProtectToken(token, scope)
	if err != nil {
		return badInput(err, "")
	}
	value := "encrypted:" + protected
	if c.Registry != "" {
		if value, err = settings.WriteRegistryToken(c.Registry, protected); err != nil {
			return badInput(err, "")
		}
	}
	if c.JSON { // as it stands in a configuration file
		return t.json(map[string]string{"ApiToken": value})
	}
	return t.print(value)
}
