package ctk

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"signpath/internal/provider/ctkchannel"
	"signpath/internal/provider/hostprocess"
	"signpath/internal/provider/keyring"
	"signpath/internal/provider/logfile"
)

// App is the whole app but for macOS: settings, log, keys, channel, agent.
type App struct {
	Version  string
	Args     []string // without the program's name
	Place    Place
	Keychain Keychain
	Restarts int // how often it started itself again in a row; see RestartPause

	Show  func(Status) // told of every change; may be nil
	Print func(string) // a line for the console, with --foreground; may be nil
	Fail  func(string) // why the app cannot start; may be nil
	Ready func(*Agent) // given the agent before it runs; may be nil
	agent *Agent
}

// lockPatience is how long a start waits for another that is just ending, and for
// `signpath keychain list`, which looks whether the lock is free.
const lockPatience = 3 * time.Second

// Run runs the app until the context ends.
func (a *App) Run(ctx context.Context) Outcome {
	options, err := ParseOptions(a.Args, a.Place)
	log := logfile.Open(logfile.Options{Interface: InterfaceName, Log: options.Settings.Log, Secrets: options.Settings.Secrets()})
	defer log.Close()
	for _, w := range append(options.Settings.Warnings, options.Warnings...) {
		log.Warning(w)
	}
	var lock *Held
	folder := StateFolder(a.Place.Home)
	if err == nil {
		lock, err = lockWithPatience(ctx, folder)
	}
	var ring *keyring.Ring
	if err == nil {
		defer lock.Release()
		RemoveStatus(folder)
		ring, err = keyring.Open(options.Settings, keyring.Options{
			Product: InterfaceName, Version: a.Version, Log: log,
			Metadata: func() json.RawMessage { return hostprocess.Describe(options.Settings.Secrets()).Metadata() },
		})
		if err != nil {
			err = &Problem{ExitUsage, err.Error()}
		}
	}
	if err != nil {
		p := startProblem(err)
		log.Error("the app cannot start", "exitCode", p.Code, "cause", p.Text)
		if p.Code != ExitRunning { // for those who wait for the app; the other one's file stays
			_ = WriteStatus(folder, Status{State: StateFailed, Code: p.Code, Text: p.Text, Since: time.Now().UTC().Truncate(time.Second)})
		}
		a.fail(p.Text)
		return Outcome{Code: p.Code}
	}
	defer ring.Close()
	defer RemoveStatus(folder)
	a.agent = &Agent{Keys: ring, Keychain: a.Keychain, Log: log, Foreground: options.Foreground, Pause: RestartPause(a.Restarts)}
	gate, err := ctkchannel.Listen(a.agent.Sign, log)
	if err != nil {
		a.fail("no port of 127.0.0.1 can be opened: " + err.Error())
		return Outcome{Code: ExitFailed}
	}
	defer gate.Close()
	a.agent.Gate = gate
	a.agent.Show = func(s Status) {
		if err := WriteStatus(folder, s); err != nil {
			log.Warning("the status file cannot be written", "cause", err.Error())
		}
		if options.Foreground {
			for _, l := range s.Lines() {
				a.print(l)
			}
		}
		if a.Show != nil {
			a.Show(s)
		}
	}
	a.agent.Init()
	if a.Ready != nil {
		a.Ready(a.agent)
	}
	log.Info("the app starts", "version", a.Version, "port", gate.Port(), "projectSlug", options.Settings.ProjectSlug, "signingPolicySlug", options.Settings.SigningPolicySlug, "restarts", a.Restarts)
	return a.agent.Run(ctx)
}

// Clear removes the tokens of earlier runs and nothing else.
func (a *App) Clear(ctx context.Context) error {
	agent := &Agent{Keychain: a.Keychain}
	agent.Init()
	return agent.Clear(ctx)
}

func (a *App) fail(text string) {
	if a.Fail != nil {
		a.Fail(AppName + ": error: " + oneLine(text))
	}
}

func (a *App) print(line string) {
	if a.Print != nil {
		a.Print(line)
	}
}

func startProblem(err error) *Problem {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, ErrLocked):
		return &Problem{ExitRunning, err.Error() + "; quit it first, from its menu or with `signpath keychain remove`"}
	}
	return &Problem{ExitFailed, err.Error()}
}

func lockWithPatience(ctx context.Context, folder string) (*Held, error) {
	end := time.Now().Add(lockPatience)
	for {
		l, err := Lock(folder)
		if !errors.Is(err, ErrLocked) || time.Now().After(end) || ctx.Err() != nil {
			return l, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
