package ctk

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"signpath/internal/provider/keyring"
	"signpath/internal/provider/remote"
	"signpath/internal/testkit/testlog"
)

// life is a running agent in a bubble of time.
type life struct {
	*Agent
	mac    *macos
	lists  *lists
	gate   *gate
	log    *testlog.Log
	quit   context.CancelFunc
	mu     sync.Mutex
	shown  []string
	end    chan Outcome
	begin  time.Time
	endsAt time.Duration
}

func live(t *testing.T, mac *macos, l *lists, foreground bool) *life {
	t.Helper()
	f := &life{mac: mac, lists: l, gate: &gate{}, log: &testlog.Log{}, end: make(chan Outcome, 1), begin: time.Now()}
	f.Agent = &Agent{Keys: l, Keychain: mac, Gate: f.gate, Log: f.log, Foreground: foreground, Show: func(s Status) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.shown = append(f.shown, string(s.State))
	}}
	f.Init()
	ctx, quit := context.WithCancel(t.Context())
	f.quit = quit
	go func() {
		o := f.Run(ctx)
		f.endsAt = time.Since(f.begin)
		f.end <- o
	}()
	return f
}

// ended gives the outcome, at the latest after an hour of the bubble's time.
func (f *life) ended(t *testing.T) Outcome {
	t.Helper()
	select {
	case o := <-f.end:
		return o
	case <-time.After(time.Hour):
		t.Error("the app does not end")
		f.quit()
		return <-f.end
	}
}

func (f *life) states() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.shown, " ")
}

func snapshots(t *testing.T, names ...[]string) []*keyring.Snapshot {
	t.Helper()
	var all []*keyring.Snapshot
	for _, n := range names {
		s := newService(t)
		for _, k := range n {
			s.add(t, k)
		}
		all = append(all, s.snapshot(t))
	}
	return all
}

// TestLife: start, certificates, end.
func TestLife(t *testing.T) {
	keys := snapshots(t, []string{"p256", "rsa2048"})
	synctest.Test(t, func(t *testing.T) {
		mac := newMacOS("left-over", "id-p256")
		f := live(t, mac, &lists{all: keys, delay: 3 * time.Second}, false)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := mac.names(); len(got) != 0 {
			t.Errorf("left-overs are there while the service is asked: %v", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := mac.names(); !slices.Equal(got, []string{"id-p256", "id-rsa2048"}) {
			t.Errorf("tokens %v", got)
		}
		if got := f.states(); got != "loading registering ready" {
			t.Errorf("states %s", got)
		}
		if s := f.Status(); len(s.Tokens) != 2 || s.Tokens[0].CommonName != "Leaf p256" || s.Tokens[0].Key != "app/p256" || s.Text != "2 certificates are in the keychain" {
			t.Errorf("status %+v", s)
		}
		f.quit()
		if o := f.ended(t); o != (Outcome{}) {
			t.Errorf("outcome %+v", o)
		}
		if got := mac.names(); len(got) != 0 || len(f.gate.expelled) < 2 {
			t.Errorf("after the end: %v, expelled %v", got, f.gate.expelled)
		}
	})
}

// TestReport: what goes wrong is told within 20 seconds, with a code.
func TestReport(t *testing.T) {
	keys := snapshots(t, []string{"p256"}, nil)
	refused := &remote.Error{Class: remote.User, Op: "list", Status: 401}
	for _, c := range []struct {
		name   string
		mac    func(*macos)
		lists  *lists
		code   int
		says   string
		within time.Duration
	}{
		{"extension comes late", func(m *macos) { m.missing = 10 }, &lists{all: keys[:1]}, 0, "", 0},
		{"no extension", func(m *macos) { m.missing = -1 }, &lists{all: keys[:1]}, ExitMacOS, "does not offer", ReportTime},
		{"ctkd hangs", func(m *macos) { m.hang = true }, &lists{all: keys[:1]}, ExitMacOS, "killall ctkd", ReportTime},
		{"never visible", func(m *macos) { m.seen = Loaded }, &lists{all: keys[:1]}, ExitNotVisible, "the extension runs", ReportTime + time.Second},
		{"never loaded", func(m *macos) { m.seen = Absent }, &lists{all: keys[:1]}, ExitNotVisible, "has not started the extension", ReportTime + time.Second},
		{"macOS refuses", func(m *macos) { m.refuse = errors.New("no room") }, &lists{all: keys[:1]}, ExitMacOS, "no room", time.Second},
		{"refused", nil, &lists{errors: []error{refused}}, ExitRefused, "401", time.Second},
		{"service away", nil, &lists{errors: []error{&remote.Error{Class: remote.Transient, Op: "list"}}}, ExitService, "list failed", time.Second},
		{"service slow", nil, &lists{all: keys[:1], delay: time.Hour}, ExitService, "deadline", ReportTime},
		{"nothing there", nil, &lists{all: keys[1:]}, ExitNothing, "no certificate", time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mac := newMacOS()
				if c.mac != nil {
					c.mac(mac)
				}
				f := live(t, mac, c.lists, true)
				if c.code == 0 {
					time.Sleep(ReportTime)
					synctest.Wait()
					if f.Status().State != StateReady {
						t.Errorf("state %s: %s", f.Status().State, f.Status().Text)
					}
					f.quit()
				}
				if o := f.ended(t); o.Code != c.code {
					t.Errorf("code %d, want %d: %s", o.Code, c.code, f.log.Text())
				}
				if c.code != 0 && (f.endsAt > c.within+cleanTime+keychainLimit || !strings.Contains(f.log.Text(), c.says)) {
					t.Errorf("after %s: %s", f.endsAt, f.log.Text())
				}
				if got := mac.names(); len(got) != 0 {
					t.Errorf("tokens of an app that failed: %v", got)
				}
				time.Sleep(2 * time.Hour) // calls that hung come back
			})
		})
	}
}

// TestRetry: an app in the menu bar goes on trying, with growing pauses.
func TestRetry(t *testing.T) {
	keys := snapshots(t, []string{"p256"})
	synctest.Test(t, func(t *testing.T) {
		away := &remote.Error{Class: remote.Transient, Op: "list"}
		f := live(t, newMacOS(), &lists{all: keys, errors: []error{away, away, nil}}, false)
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if f.lists.asked != 1 || f.Status().State != StateFailed || f.Status().Code != ExitService {
			t.Errorf("asked %d times, %+v", f.lists.asked, f.Status())
		}
		time.Sleep(50 * time.Second) // 30 s after the first failure, 60 s after the second
		synctest.Wait()
		if f.lists.asked != 2 {
			t.Errorf("asked %d times", f.lists.asked)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if f.Status().State != StateReady {
			t.Errorf("%+v", f.Status())
		}
		f.quit()
		<-f.end
	})
}

// TestReload: what is the same stays, what is gone goes.
func TestReload(t *testing.T) {
	keys := snapshots(t, []string{"p256", "rsa2048"}, []string{"p256", "p521"})
	synctest.Test(t, func(t *testing.T) {
		mac := newMacOS()
		f := live(t, mac, &lists{all: keys}, false)
		time.Sleep(time.Second)
		f.Reload()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := mac.names(); !slices.Equal(got, []string{"id-p256", "id-p521"}) {
			t.Errorf("tokens %v", got)
		}
		if f.gate.admitted["id-p521"] != 1 || !slices.Contains(f.gate.expelled, "id-rsa2048") {
			t.Errorf("admitted %v, expelled %v", f.gate.admitted, f.gate.expelled)
		}
		puts := mac.puts
		f.Reload()
		time.Sleep(time.Second)
		synctest.Wait()
		if mac.puts != puts {
			t.Error("a token that did not change was registered again: its extension would lose its key")
		}
		f.quit()
		<-f.end
	})
}

// TestStale: the app starts again when ctkd did, and when its tokens are gone.
func TestStale(t *testing.T) {
	keys := snapshots(t, []string{"p256"})
	for _, c := range []struct {
		name   string
		change func(*macos)
		after  time.Duration
	}{
		{"ctkd is another process", func(m *macos) { m.pid = 101 }, 2 * watchTime},
		{"the tokens are gone", func(m *macos) { m.seen = Absent }, (lostLimit + 1) * watchTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mac := newMacOS()
				f := live(t, mac, &lists{all: keys}, false)
				time.Sleep(2 * time.Second)
				mac.set(c.change)
				if o := f.ended(t); o.Next != NextRestart || f.endsAt > c.after+2*time.Second {
					t.Errorf("%+v after %s", o, f.endsAt)
				}
				if !strings.HasSuffix(f.states(), "ready restarting") {
					t.Errorf("states %s", f.states())
				}
			})
		})
	}
	t.Run("ctkd ends and comes with the same tokens later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			mac := newMacOS()
			f := live(t, mac, &lists{all: keys}, false)
			time.Sleep(2 * time.Second)
			mac.set(func(m *macos) { m.pid = 0 }) // launchd ends it when idle
			time.Sleep(time.Minute)
			if s := f.Status().State; s != StateReady {
				t.Errorf("state %s", s)
			}
			f.quit()
			if o := f.ended(t); o.Next != NextExit {
				t.Errorf("%+v", o)
			}
		})
	})
	t.Run("quit after ctkd was killed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			mac := newMacOS()
			f := live(t, mac, &lists{all: keys}, false)
			time.Sleep(2 * time.Second)
			mac.set(func(m *macos) { m.pid = 200 })
			f.quit()
			if o := f.ended(t); o.Next != NextClear {
				t.Errorf("%+v", o)
			}
			if err := f.Clear(t.Context()); err != nil || len(mac.names()) != 0 {
				t.Errorf("%v, %v", err, mac.names())
			}
		})
	})
}

// TestRefusedOnce: a token that macOS did not take is given to it again, although
// macOS has an older one of the same name, whose key is of no use any more.
func TestRefusedOnce(t *testing.T) {
	keys := snapshots(t, []string{"p256"}, []string{"p256"}) // with another certificate
	synctest.Test(t, func(t *testing.T) {
		mac := newMacOS()
		f := live(t, mac, &lists{all: keys}, false)
		time.Sleep(time.Second)
		mac.set(func(m *macos) { m.refuse = errors.New("no room") })
		f.Reload()
		time.Sleep(time.Second)
		synctest.Wait()
		if s := f.Status(); s.State != StateFailed || len(s.Tokens) != 1 {
			t.Errorf("%+v", s)
		}
		mac.set(func(m *macos) { m.refuse = nil })
		admitted := f.gate.count("id-p256")
		time.Sleep(firstRetry)
		synctest.Wait()
		if s := f.Status().State; s != StateReady || f.gate.count("id-p256") != admitted+1 {
			t.Errorf("state %s, given again %d times", s, f.gate.count("id-p256")-admitted)
		}
		f.quit()
		<-f.end
	})
}

// TestQuitRemovesAll: what could not be removed at the start, too.
func TestQuitRemovesAll(t *testing.T) {
	keys := snapshots(t, []string{"p256"})
	synctest.Test(t, func(t *testing.T) {
		mac := newMacOS("left-over")
		mac.stay = errors.New("busy")
		f := live(t, mac, &lists{all: keys}, false)
		time.Sleep(time.Second)
		synctest.Wait()
		mac.set(func(m *macos) { m.stay = nil })
		if got := mac.names(); !slices.Contains(got, "left-over") {
			t.Errorf("tokens %v", got)
		}
		f.quit()
		<-f.end
		if got := mac.names(); len(got) != 0 {
			t.Errorf("after the end: %v", got)
		}
	})
}

// TestRestartLater: the pause before a restart waits for signatures, those that begin
// meanwhile too, and an app that ran for long makes none.
func TestRestartLater(t *testing.T) {
	for _, c := range []struct {
		name             string
		ran, signs, want time.Duration
	}{
		{"in a row", time.Minute, 0, 20 * time.Second},
		{"a signature", time.Minute, 25 * time.Second, 25 * time.Second},
		{"a signature without end", time.Minute, time.Hour, 20*time.Second + drainTime},
		{"after a quiet time", InARow + time.Second, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &Agent{Keychain: newMacOS(), Log: &testlog.Log{}, Pause: RestartPause(2), begun: time.Now()}
				time.Sleep(c.ran)
				begin := time.Now()
				if c.signs > 0 {
					a.running.Add(1)
					time.AfterFunc(c.signs, func() { a.running.Add(-1) })
				}
				if !a.stale(t.Context()) || time.Since(begin) < c.want || time.Since(begin) > c.want+drainPoll {
					t.Errorf("after %s", time.Since(begin))
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// TestSignWhileRestarting: tools go on asking while the app waits for a moment
// without signatures; that never ends the process.
func TestSignWhileRestarting(t *testing.T) {
	a := &Agent{Keychain: newMacOS(), Log: &testlog.Log{}, Gate: &gate{}}
	a.Init()
	ctx, cancel := context.WithCancel(t.Context())
	var tools sync.WaitGroup
	for range 2 {
		tools.Go(func() {
			for range 5000 {
				_, _ = a.Sign(ctx, "none", 1, nil)
			}
		})
	}
	go func() { tools.Wait(); cancel() }()
	for ctx.Err() == nil {
		_ = a.stale(ctx)
	}
}

func TestRestartPause(t *testing.T) {
	for n, want := range map[int]time.Duration{0: 0, 1: 10 * time.Second, 2: 20 * time.Second, 5: 160 * time.Second, 7: lastRetry, 1000: lastRetry} {
		if got := RestartPause(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
