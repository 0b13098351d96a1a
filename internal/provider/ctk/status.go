package ctk

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// State is a phase of the app's life.
type State string

// The states, in the order of a life.
const (
	StateLoading     State = "loading"
	StateRegistering State = "registering"
	StateReady       State = "ready"
	StateFailed      State = "failed"
	StateRestarting  State = "restarting"
	StateStopping    State = "stopping"
)

// TokenStatus is one certificate for people and scripts.
type TokenStatus struct {
	Key        string    `json:"key"`        // project/policy
	CommonName string    `json:"commonName"` // what codesign -s takes
	Token      string    `json:"token"`      // TKTokenInstanceID
	NotAfter   time.Time `json:"notAfter"`
}

// Status is what the menu shows, and the content of the status file.
type Status struct {
	PID    int           `json:"pid"`
	Since  time.Time     `json:"since"`
	State  State         `json:"state"`
	Text   string        `json:"text"`
	Code   int           `json:"code"` // the Exit code that the state means; 0 unless failed
	Tokens []TokenStatus `json:"tokens"`
}

// Lines is the status for a console, one line each without line ends.
func (s Status) Lines() []string {
	lines := []string{string(s.State) + ": " + oneLine(s.Text)}
	for _, t := range s.Tokens {
		lines = append(lines, "  "+t.CommonName+"  ("+t.Key+", until "+t.NotAfter.UTC().Format(time.DateOnly)+")")
	}
	return lines
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (a *Agent) show(s Status) {
	s.PID, s.Since = os.Getpid(), time.Now().UTC().Truncate(time.Second)
	if s.State != StateReady && s.Tokens == nil {
		s.Tokens = a.statusTokens()
	}
	a.mu.Lock()
	a.status = s
	a.mu.Unlock()
	if a.Show != nil {
		a.Show(s)
	}
}

// Status is the state that was shown last.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

func (a *Agent) statusTokens() []TokenStatus {
	all := []TokenStatus{}
	for _, t := range a.current() {
		all = append(all, TokenStatus{t.Object, t.Label, t.Instance, t.NotAfter.UTC()})
	}
	return all
}

// StateFolder is where the running app keeps status.json and app.lock.
func StateFolder(home string) string {
	return filepath.Join(home, "Library", "Application Support", AppName)
}

const (
	statusFile = "status.json"
	lockFile   = "app.lock"
	maxStatus  = 16 << 20
)

// WriteStatus replaces the status file, for the user alone.
func WriteStatus(folder string, s Status) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".status")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(folder, statusFile))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// ErrNotRunning means that there is no app to ask.
var ErrNotRunning = errors.New(AppName + " does not run")

// ReadStatus gives the status of the app that runs; ErrNotRunning when none does.
func ReadStatus(folder string) (Status, error) {
	l, err := Lock(folder)
	if err == nil { // nobody holds it
		l.Release()
		return Status{}, ErrNotRunning
	}
	if !errors.Is(err, ErrLocked) {
		return Status{}, err
	}
	return readStatusFile(folder)
}

// readStatusFile reads what the app wrote last, whether it runs or not.
func readStatusFile(folder string) (Status, error) {
	path := filepath.Join(folder, statusFile)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return Status{State: StateLoading, Text: "starting"}, nil
	case err != nil:
		return Status{}, err
	case info.Size() > maxStatus:
		return Status{}, errors.New(path + " is too large to be a status file")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Status{}, err
	}
	var s Status
	if err := json.Unmarshal(data, &s); err != nil {
		return Status{}, errors.New(path + " is not a status file: " + err.Error())
	}
	return s, nil
}

// RemoveStatus is for the app's end.
func RemoveStatus(folder string) { _ = os.Remove(filepath.Join(folder, statusFile)) }
