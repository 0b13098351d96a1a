package ctk

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// AgentLabel is the launchd name of the app's start at logon.
const AgentLabel = "io.signpath.apps.SignPathCryptoTokenKit"

// Control starts and ends the app for `signpath keychain`. It asks macOS through
// its programs open(1) and launchctl(1) and the app through its status file.
type Control struct {
	Home string // the user's home folder
	UID  int
	App  string // path of SignPathCryptoTokenKit.app; see FindApp
	// Run runs a program and gives what it printed.
	Run func(ctx context.Context, program string, args ...string) (string, error)
	// Terminate sends SIGTERM.
	Terminate func(pid int) error
}

const (
	controlPoll = 250 * time.Millisecond
	startTime   = 10 * time.Second // until an app that was started shows itself
	endTime     = 15 * time.Second
)

// FindApp looks for the app: named, beside the program, in /Applications, in
// ~/Applications.
func FindApp(named, program, home string) (string, error) {
	places := []string{named}
	if named == "" {
		places = []string{filepath.Join(filepath.Dir(program), AppName+".app"), "/Applications/" + AppName + ".app", filepath.Join(home, "Applications", AppName+".app")}
	}
	for _, p := range places {
		if _, err := os.Stat(Executable(p)); err == nil {
			return filepath.Abs(p)
		}
	}
	return "", fmt.Errorf("there is no %s.app in %s; name it with --app", AppName, strings.Join(places, ", "))
}

// Executable is the program inside the app.
func Executable(app string) string { return filepath.Join(app, "Contents", "MacOS", AppName) }

// Folder is where the app's status file is.
func (c *Control) Folder() string { return StateFolder(c.Home) }

// Plist is the path of the LaunchAgent.
func (c *Control) Plist() string {
	return filepath.Join(c.Home, "Library", "LaunchAgents", AgentLabel+".plist")
}

// ErrTokenInArguments refuses to write a secret into a LaunchAgent.
var ErrTokenInArguments = errors.New("the API token would stand in a file that launchd reads; put it into the configuration file and use --config")

// Add starts the app, at each logon too when login is set, and waits until it
// tells how it went. The status of an app that runs already is given as it is. An
// app that cannot start is not started at logon, either.
func (c *Control) Add(ctx context.Context, args []string, login bool) (Status, error) {
	if login {
		for _, a := range args {
			if name, _, _ := strings.Cut(a, "="); name == "--api-token" {
				return Status{}, ErrTokenInArguments
			}
		}
	}
	_, err := ReadStatus(c.Folder())
	running := err == nil
	switch {
	case err != nil && !errors.Is(err, ErrNotRunning):
		return Status{}, err
	case running && (len(args) > 0 || login):
		return Status{}, errors.New(AppName + " runs already; `signpath keychain remove` ends it, then it can be started with other arguments")
	case !running:
		RemoveStatus(c.Folder())
		if login {
			err = c.bootstrap(ctx, args)
		} else {
			_, err = c.Run(ctx, "open", append([]string{"-g", c.App, "--args"}, args...)...)
		}
		if err != nil {
			return Status{}, err
		}
	}
	s, err := c.wait(ctx)
	if login && ctx.Err() == nil {
		_, now := ReadStatus(c.Folder())
		if errors.Is(now, ErrNotRunning) || err == nil && s.State == StateFailed && s.PID == 0 { // launchd would try again and again
			err = errors.Join(err, c.takeBack(ctx))
		}
	}
	return s, err
}

// takeBack unloads and removes the LaunchAgent. One that is not loaded is no error:
// the file goes away all the same.
func (c *Control) takeBack(ctx context.Context) error {
	_, _ = c.Run(ctx, "launchctl", "bootout", c.domain()+"/"+AgentLabel)
	return os.Remove(c.Plist())
}

// wait polls the status until it is final.
func (c *Control) wait(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime+ReportTime)
	defer cancel()
	begin := time.Now()
	tick := time.NewTicker(controlPoll)
	defer tick.Stop()
	for {
		s, err := ReadStatus(c.Folder())
		switch {
		case err == nil && (s.State == StateReady || s.State == StateFailed):
			return s, nil
		case err != nil && !errors.Is(err, ErrNotRunning):
			return Status{}, err
		case err != nil && couldNotStart(c.Folder()) != nil:
			return *couldNotStart(c.Folder()), nil
		case err != nil && time.Since(begin) > startTime:
			return Status{}, fmt.Errorf("the app did not start, or ended at once: run %s --foreground, and look into %s", Executable(c.App), filepath.Join(c.Home, "Library", "Logs", AppName))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s, fmt.Errorf("the app does not tell how it went (%w)", ctx.Err())
		}
	}
}

// couldNotStart is what an app left that ended before it began.
func couldNotStart(folder string) *Status {
	s, err := readStatusFile(folder)
	if err != nil || s.State != StateFailed {
		return nil
	}
	return &s
}

// Remove ends the app, which removes its certificates from the keychain; with
// login it is not started at logon any more. ErrNotRunning when there was nothing.
func (c *Control) Remove(ctx context.Context, login bool) error {
	removed := false
	if login {
		if _, err := os.Lstat(c.Plist()); err == nil {
			if err := c.takeBack(ctx); err != nil {
				return err
			}
			removed = true
		}
	}
	s, err := ReadStatus(c.Folder())
	switch {
	case errors.Is(err, ErrNotRunning) && removed:
		return nil
	case err != nil:
		return err
	case s.PID <= 1:
		return errors.New("the app is just starting; try again")
	}
	if err := c.Terminate(s.PID); err != nil {
		return fmt.Errorf("process %d cannot be ended: %w", s.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	for {
		if _, err := ReadStatus(c.Folder()); errors.Is(err, ErrNotRunning) {
			return nil
		}
		select {
		case <-time.After(controlPoll):
		case <-ctx.Done():
			return fmt.Errorf("process %d does not end (%w)", s.PID, ctx.Err())
		}
	}
}

func (c *Control) domain() string { return "gui/" + strconv.Itoa(c.UID) }

// bootstrap writes the LaunchAgent and loads it.
func (c *Control) bootstrap(ctx context.Context, args []string) error {
	path := c.Plist()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil { // of before; launchd refuses to load twice
		_, _ = c.Run(ctx, "launchctl", "bootout", c.domain()+"/"+AgentLabel)
	}
	if err := os.WriteFile(path, LaunchAgent(Executable(c.App), args), 0o644); err != nil {
		return err
	}
	_, err := c.Run(ctx, "launchctl", "bootstrap", c.domain(), path)
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// LaunchAgent is the property list (launchd.plist(5)) that starts the app at
// logon, and again when it fails, but not when its user ended it.
func LaunchAgent(executable string, args []string) []byte {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>` + AgentLabel + `</string>
	<key>ProgramArguments</key>
	<array>
`)
	for _, a := range append([]string{executable}, args...) {
		b.WriteString("\t\t<string>")
		_ = xml.EscapeText(&b, []byte(a)) // a Builder takes everything
		b.WriteString("</string>\n")
	}
	b.WriteString(`	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<dict>
		<key>SuccessfulExit</key>
		<false/>
	</dict>
	<key>ThrottleInterval</key>
	<integer>30</integer>
	<key>LimitLoadToSessionType</key>
	<string>Aqua</string>
	<key>ProcessType</key>
	<string>Interactive</string>
</dict>
</plist>
`)
	return []byte(b.String())
}
