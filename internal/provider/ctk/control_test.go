//go:build unix

package ctk

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// desk is a user's Mac for Control: open and launchctl start a fake of the app.
type desk struct {
	*Control
	mu    sync.Mutex
	calls []string
	held  *Held
	state Status // what the app says once it runs; State "" for one that ends at once
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{state: Status{PID: 4711, State: StateReady, Tokens: []TokenStatus{{Key: "app/p256"}}}}
	d.Control = &Control{Home: t.TempDir(), UID: 501, App: "/Applications/" + AppName + ".app"}
	d.Run = func(_ context.Context, program string, args ...string) (string, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.calls = append(d.calls, program+" "+strings.Join(args, " "))
		if program == "open" || len(args) > 0 && args[0] == "bootstrap" {
			var err error
			if d.state.State != "" {
				if d.held, err = Lock(d.Folder()); err != nil {
					return "", err
				}
			}
			if d.state.Text != "" || d.state.State != "" {
				return "", WriteStatus(d.Folder(), d.state)
			}
		}
		return "", nil
	}
	d.Terminate = func(pid int) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if pid != 4711 || d.held == nil {
			return errors.New("no such process")
		}
		d.held.Release()
		d.held = nil
		return nil
	}
	t.Cleanup(func() {
		if d.held != nil {
			d.held.Release()
		}
	})
	return d
}

func (d *desk) log() string { return strings.Join(d.calls, "\n") }

func TestControl(t *testing.T) {
	d := newDesk(t)
	if err := d.Remove(t.Context(), false); !errors.Is(err, ErrNotRunning) {
		t.Errorf("remove: %v", err)
	}
	s, err := d.Add(t.Context(), []string{"--config", "/c.json"}, false)
	if err != nil || s.State != StateReady || len(s.Tokens) != 1 {
		t.Fatalf("add: %+v, %v", s, err)
	}
	if want := "open -g /Applications/SignPathCryptoTokenKit.app --args --config /c.json"; d.log() != want {
		t.Errorf("calls %s, want %s", d.log(), want)
	}
	if _, err := d.Add(t.Context(), nil, false); err != nil {
		t.Errorf("a second add tells how it is: %v", err)
	}
	if _, err := d.Add(t.Context(), []string{"--foreground"}, false); err == nil {
		t.Error("an app that runs takes other arguments")
	}
	if s, err := ReadStatus(d.Folder()); err != nil || s.PID != 4711 {
		t.Errorf("list: %+v, %v", s, err)
	}
	if err := d.Remove(t.Context(), false); err != nil {
		t.Error(err)
	}
	if _, err := ReadStatus(d.Folder()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("list after remove: %v", err)
	}
}

func TestLogin(t *testing.T) {
	d := newDesk(t)
	if _, err := d.Add(t.Context(), []string{"--api-token=" + testToken}, true); !errors.Is(err, ErrTokenInArguments) {
		t.Errorf("a token for launchd: %v", err)
	}
	if _, err := d.Add(t.Context(), []string{"--config", "/a&b.json"}, true); err != nil {
		t.Fatal(err)
	}
	if want := "launchctl bootstrap gui/501 " + d.Plist(); d.log() != want {
		t.Errorf("calls %s, want %s", d.log(), want)
	}
	text, err := os.ReadFile(d.Plist())
	if err != nil || !strings.Contains(string(text), "/a&amp;b.json") || !strings.Contains(string(text), "/Contents/MacOS/"+AppName) {
		t.Errorf("%s, %v", text, err)
	}
	for x := xml.NewDecoder(strings.NewReader(string(text))); ; {
		if _, err := x.Token(); err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
	}
	if err := d.Remove(t.Context(), true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(d.Plist()); err == nil || !strings.Contains(d.log(), "launchctl bootout gui/501/"+AgentLabel) {
		t.Errorf("%v\n%s", err, d.log())
	}
	// An agent without a running app is removed, too.
	if err := os.WriteFile(d.Plist(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), true); err != nil {
		t.Error(err)
	}
}

// TestCannotStart: what an app said that ended at once.
func TestCannotStart(t *testing.T) {
	d := newDesk(t)
	d.state = Status{Text: "left"}
	d.Run = func(context.Context, string, ...string) (string, error) {
		return "", WriteStatus(d.Folder(), Status{State: StateFailed, Code: ExitUsage, Text: "no token"})
	}
	if s, err := d.Add(t.Context(), nil, false); err != nil || s.Text != "no token" {
		t.Errorf("%+v, %v", s, err)
	}
	d.Run = func(context.Context, string, ...string) (string, error) { return "", errors.New("no such app") }
	if _, err := d.Add(t.Context(), nil, false); err == nil || !strings.Contains(err.Error(), "no such app") {
		t.Error(err)
	}
}

// TestLoginCannotStart: launchd does not start an app at each logon that cannot start.
func TestLoginCannotStart(t *testing.T) {
	d := newDesk(t)
	start := d.Run
	for _, c := range []struct {
		name string
		run  func() error // what happens at bootstrap
	}{
		{"launchctl refuses", func() error { return errors.New("Bootstrap failed: 5") }},
		{"a wrong setting", func() error {
			return WriteStatus(d.Folder(), Status{State: StateFailed, Code: ExitUsage, Text: "no token"})
		}},
	} {
		d.calls = nil
		d.Run = func(ctx context.Context, program string, args ...string) (string, error) {
			_, err := os.Stat(d.Plist())
			if len(args) == 0 || args[0] != "bootstrap" {
				return start(ctx, program, args...)
			}
			if err != nil {
				t.Errorf("%s: nothing to load: %v", c.name, err)
			}
			return "", c.run()
		}
		s, err := d.Add(t.Context(), nil, true)
		if err == nil && s.State != StateFailed {
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
		if _, err := os.Stat(d.Plist()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the LaunchAgent is still there: %v", c.name, err)
		}
	}
	if !strings.Contains(d.log(), "launchctl bootout gui/501/"+AgentLabel) {
		t.Errorf("it was not unloaded:\n%s", d.log())
	}
	// One that runs and only cannot reach the service tries again by itself.
	d.Run, d.state = start, Status{PID: 4711, State: StateFailed, Code: ExitService, Text: "away"}
	if s, err := d.Add(t.Context(), nil, true); err != nil || s.Text != "away" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := os.Stat(d.Plist()); err != nil {
		t.Error(err)
	}
}

func TestFindApp(t *testing.T) {
	dir := t.TempDir()
	app := filepath.Join(dir, AppName+".app")
	if err := os.MkdirAll(filepath.Dir(Executable(app)), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := FindApp(app, "", dir); err == nil {
		t.Error("an app without a program")
	}
	if err := os.WriteFile(Executable(app), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, named := range []string{app, ""} {
		if got, err := FindApp(named, filepath.Join(dir, "signpath"), "/nobody"); err != nil || got != app {
			t.Errorf("%s, %v", got, err)
		}
	}
	if _, err := FindApp(filepath.Join(dir, "Other.app"), "", ""); err == nil || !strings.Contains(err.Error(), "--app") {
		t.Error(err)
	}
}

// TestLock: one holder; the next gets it when the first is gone.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	first, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("a second holder: %v", err)
	}
	time.AfterFunc(100*time.Millisecond, first.Release)
	second, err := lockWithPatience(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	second.Release()
}

// TestApp: from arguments to a signature through the real channel.
func TestApp(t *testing.T) {
	s := newService(t)
	s.add(t, "p256")
	mac := newMacOS("left-over")
	var mu sync.Mutex
	var printed []string
	home := t.TempDir()
	app := &App{Version: "1.0.0", Args: []string{"--foreground"}, Keychain: mac, Place: Place{Executable: "/X", Environ: s.environ, Home: home},
		Print: func(l string) { mu.Lock(); defer mu.Unlock(); printed = append(printed, l) }}
	ctx, quit := context.WithCancel(t.Context())
	ready := make(chan bool, 8)
	app.Show = func(s Status) {
		if s.State == StateReady {
			ready <- true
		}
	}
	end := make(chan Outcome, 1)
	go func() { end <- app.Run(ctx) }()
	<-ready
	if st, err := ReadStatus(StateFolder(home)); err != nil || st.State != StateReady {
		t.Errorf("%+v, %v", st, err)
	}
	second := &App{Args: nil, Keychain: newMacOS(), Place: app.Place, Fail: func(l string) { mu.Lock(); defer mu.Unlock(); printed = append(printed, l) }}
	if o := second.Run(ctx); o.Code != ExitRunning {
		t.Errorf("a second app: %+v", o)
	}
	quit()
	if o := <-end; o.Code != ExitOK || len(mac.names()) != 0 {
		t.Errorf("%+v, %v", o, mac.names())
	}
	if text := strings.Join(printed, "\n"); !strings.Contains(text, "ready: 1 certificate") || !strings.Contains(text, "another") {
		t.Error(text)
	}
}
