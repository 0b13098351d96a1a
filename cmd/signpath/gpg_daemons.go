package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"signpath/internal/buildinfo"
	"signpath/internal/provider/gpg"
	"signpath/internal/provider/logfile"
	"signpath/internal/provider/settings"
)

// findGPG finds the programs of GnuPG.
func findGPG() (paths map[string]string, err error) {
	paths = map[string]string{}
	var missing, debian, redHat []string
	for _, p := range gpgPrograms {
		path, err := exec.LookPath(p.name)
		if err == nil {
			path, err = filepath.Abs(path)
		}
		if err != nil {
			missing, debian, redHat = append(missing, p.name), append(debian, p.debian), append(redHat, p.redHat)
			continue
		}
		paths[p.name] = path
	}
	if len(missing) > 0 {
		return nil, badInput(fmt.Errorf("%s not found", strings.Join(missing, ", ")),
			fmt.Sprintf("install it: apt-get install %s; on RHEL: dnf install %s", strings.Join(debian, " "), strings.Join(redHat, " ")))
	}
	return paths, nil
}

// gnuPG runs GnuPG's programs for a home.
type gnuPG struct {
	home  *gpg.Home
	paths map[string]string
	vars  []variable
}

// run gives what a program prints on both streams. Daemons that it starts do not
// hold the streams open.
func (g gnuPG) run(ctx context.Context, stdin []byte, program string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, g.paths[program], args...) //nolint:gosec // the programs of gpgPrograms
	c.Env = os.Environ()
	for _, v := range g.vars {
		c.Env = append(c.Env, v.name+"="+v.value) // the last one counts
	}
	var out bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(stdin), &out, &out
	c.WaitDelay = time.Second
	err := c.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return out.String(), err
}

// learn imports the public key and lets gpg-agent write its reference to the
// private one.
func (g gnuPG) learn(ctx context.Context, t *terminal, public *gpg.Key) error {
	said, err := g.run(ctx, public.Binary, "gpg", "--batch", "--no-tty", "--quiet", "--import")
	if err != nil {
		return &failure{exitFailed, fmt.Errorf("gpg does not take the public key: %s", firstOf(said, err)), ""}
	}
	type outcome struct {
		said string
		err  error
	}
	o, _ := slow(t, "waiting for gpg-agent and gnupg-pkcs11-scd", func() (outcome, error) {
		said, err := g.run(ctx, nil, "gpg-connect-agent", "learn --sendinfo", "/bye")
		return outcome{said, err}, nil
	})
	if _, err := os.Stat(g.home.StubFile(public.Keygrip)); err == nil {
		return nil
	}
	cause := firstOf(o.said, o.err)
	for _, line := range strings.Split(o.said, "\n") {
		if strings.HasPrefix(line, "ERR ") {
			cause = line
		}
	}
	return &failure{exitFailed, fmt.Errorf("gnupg-pkcs11-scd did not find the key in the module: %s", cause),
		fmt.Sprintf("the reason stands in %s, %s or the module's log beside them", g.home.AgentLog, g.home.DaemonLog)}
}

// firstOf is the first line that a program said, or how it ended.
func firstOf(said string, err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	switch {
	case line != "":
		return line
	case err != nil:
		return err.Error()
	}
	return "it said nothing"
}

// stop ends the daemons of a home. A home without daemons is no error.
func (g gnuPG) stop(ctx context.Context) {
	_, _ = g.run(ctx, nil, "gpgconf", "--kill", "all")
}

// gpgRemove deletes a home.
type gpgRemove struct {
	Home string `help:"The folder that signpath gpg init made." required:"" placeholder:"DIR"`
}

// Help implements kong.HelpProvider.
func (gpgRemove) Help() string {
	return "A folder that signpath gpg init did not make is left alone.\n\n" + examples(
		"signpath gpg remove --home /tmp/release-gpg",
	)
}

// Run deletes it.
func (c *gpgRemove) Run(ctx context.Context, _ *terminal) error {
	home, err := filepath.Abs(c.Home)
	if err != nil {
		return badInput(err, "")
	}
	if _, err := os.Lstat(home); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !gpg.Ours(home) {
		return refusedHint(fmt.Errorf("%s: %w", home, gpg.ErrForeignHome), "nothing was deleted")
	}
	if conf, err := exec.LookPath("gpgconf"); err == nil {
		g := gnuPG{paths: map[string]string{"gpgconf": conf}, vars: []variable{{"GNUPGHOME", home}}}
		g.stop(ctx)
		_, _ = g.run(ctx, nil, "gpgconf", "--remove-socketdir") // outside the home, below /run/user
	}
	for try := 0; ; try++ { // daemons may still delete their sockets
		if err = os.RemoveAll(home); err == nil || try == 20 {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// runDaemon is this program started by gpg-agent as gpg.DaemonName: it becomes
// gnupg-pkcs11-scd, with an environment for that process alone.
func runDaemon(s streams, args []string) int {
	path, err := exec.LookPath(gpg.SmartCardProgram)
	if err == nil {
		err = syscall.Exec(path, append([]string{gpg.SmartCardProgram}, args...), gpg.DaemonEnvironment(os.Environ())) //nolint:gosec // that program
	}
	newTerminal(s, true).errorWithHint(fmt.Errorf("%s cannot be started: %w", gpg.SmartCardProgram, err), "install it, and see that PATH names its folder where gpg-agent starts")
	return exitInput
}

// runPinentry is this program started by gpg-agent as gpg.PinentryName. What it
// declines stands in the program's log.
func runPinentry(s streams) int {
	set, _ := settings.Load(os.Environ(), settings.Explicit{}) // with mistakes, the log settings still hold
	refused := func(what, text string) {
		log := logfile.Open(logfile.Options{Interface: "Cli", Log: set.Log, Secrets: set.Secrets()})
		defer log.Close()
		log.Warning("the pinentry declined a question of gpg-agent: it answers for the token of SignPath only, and once. If another card is asked for, organization or address changed since signpath gpg init: run it again", "asked", what, "text", text)
	}
	if err := gpg.Pinentry(s.in, s.out, os.Getpid(), buildinfo.Version(), refused); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return exitFailed
	}
	return exitOK
}
