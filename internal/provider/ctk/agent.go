package ctk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"signpath/internal/provider/ctkchannel"
	"signpath/internal/provider/keyring"
)

// What the app promises and how often it looks.
const (
	ReportTime = 20 * time.Second // after a start or reload it is known whether the certificates are there
	pollTime   = 500 * time.Millisecond
	watchTime  = 5 * time.Second
	lostLimit  = 3 // checks in a row that miss a token before the app starts again
	cleanTime  = 5 * time.Second
	firstRetry = 30 * time.Second // after a failure; doubled up to lastRetry
	lastRetry  = 10 * time.Minute
	drainTime  = signLimit + 2*time.Second // for signatures under way before the app starts again
	drainPoll  = 50 * time.Millisecond
	InARow     = 15 * time.Minute // an app that ran longer starts again at once
)

// Next is what the process does after Run.
type Next int

// What there is to do.
const (
	NextExit    Next = iota // end with the outcome's code
	NextRestart             // run itself again: what it holds of ctkd is stale
	NextClear               // run itself again only to remove the tokens
)

// Outcome is how Run ended.
type Outcome struct {
	Code int
	Next Next
}

// Gate is the extension's way in; *ctkchannel.Server is one.
type Gate interface {
	Admit(instance string, algorithms []byte) ctkchannel.Configuration
	Expel(instance string)
}

// Keys are the service's keys; *keyring.Ring is one.
type Keys interface {
	Keys(ctx context.Context, l keyring.Lookup) (*keyring.Snapshot, error)
	Refresh(ctx context.Context) (*keyring.Snapshot, error)
}

// Agent is the life of the app: it clears what an earlier run left, registers
// the tokens, tells within ReportTime whether the keychain shows them, watches
// ctkd, and removes the tokens at its end.
type Agent struct {
	Keys       Keys
	Keychain   Keychain
	Gate       Gate
	Log        logger
	Foreground bool          // end with a code when the certificates are not there
	Show       func(Status)  // told of every change
	Pause      time.Duration // before NextRestart, unless the app ran for long; see RestartPause

	guard   *guard
	reload  chan struct{}
	running atomic.Int64 // signatures; no WaitGroup: they begin while stale waits
	begun   time.Time

	mu     sync.Mutex
	tokens []*Token
	daemon int // ctkd when the tokens were registered
	status Status
}

// Init makes an agent ready; call it once before all else.
func (a *Agent) Init() {
	a.guard = newGuard(a.Keychain)
	a.reload = make(chan struct{}, 1)
}

// Reload asks the service for the list again and registers what has changed.
func (a *Agent) Reload() {
	select {
	case a.reload <- struct{}{}:
	default: // one is waiting already
	}
}

// Clear removes what earlier runs left, and nothing else.
func (a *Agent) Clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTime)
	defer cancel()
	left, err := a.guard.registered(ctx)
	for _, id := range left {
		err = errors.Join(err, a.guard.remove(ctx, id))
	}
	return err
}

// Run is the whole life; the context's end is the user's wish to quit.
func (a *Agent) Run(ctx context.Context) Outcome {
	a.begun = time.Now()
	retry := firstRetry
	problem := a.round(ctx, false)
	for {
		if ctx.Err() != nil {
			return a.quit(ExitOK)
		}
		a.report(problem)
		if problem != nil && a.Foreground {
			return a.quit(problem.Code)
		}
		var again <-chan time.Time
		var timer *time.Timer
		if problem != nil {
			timer = time.NewTimer(retry)
			again = timer.C
			retry = min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		event := a.watch(ctx, again, problem == nil)
		if timer != nil {
			timer.Stop()
		}
		switch event {
		case eventQuit:
			return a.quit(ExitOK)
		case eventStale:
			if a.stale(ctx) {
				return Outcome{Next: NextRestart}
			}
			return a.quit(ExitOK)
		}
		problem = a.round(ctx, true)
	}
}

type event int

const (
	eventQuit event = iota
	eventAgain
	eventStale
)

// watch waits for something to do.
func (a *Agent) watch(ctx context.Context, again <-chan time.Time, ready bool) event {
	tick := time.NewTicker(watchTime)
	defer tick.Stop()
	lost, before := 0, a.daemonThen()
	for {
		select {
		case <-ctx.Done():
			return eventQuit
		case <-again:
			return eventAgain
		case <-a.reload:
			if now := a.guard.daemon(ctx); before != 0 && now != 0 && now != before {
				return eventStale
			}
			return eventAgain
		case <-tick.C:
		}
		switch now := a.guard.daemon(ctx); {
		case before == 0:
			before = now
			a.setDaemon(now)
		case now != 0 && now != before:
			a.Log.Warning("the system's smart card service ctkd was started again; the app starts again, too", "before", before, "now", now)
			return eventStale
		}
		if !ready {
			continue
		}
		if missing, err := a.missing(ctx); err == nil && len(missing) == 0 {
			lost = 0
		} else if lost++; lost == lostLimit {
			a.Log.Warning("the keychain does not show the certificates any more; the app starts again", "tokens", len(missing), "cause", causeText(err))
			return eventStale
		}
	}
}

func causeText(err error) string {
	if err == nil {
		return "they are gone"
	}
	return err.Error()
}

// stale waits until the app may start again: for the pause and for signatures
// under way. It says false when the user quits meanwhile.
func (a *Agent) stale(ctx context.Context) bool {
	a.show(Status{State: StateRestarting, Text: "starting again, because the system's smart card service was"})
	pause := a.Pause
	if time.Since(a.begun) > InARow {
		pause = 0
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	drain := time.NewTimer(drainTime)
	defer drain.Stop()
	for a.running.Load() > 0 {
		select {
		case <-poll.C:
		case <-drain.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// RestartPause is how long an app waits before it starts itself again, when it
// has done so n times in a row.
func RestartPause(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	return min(10*time.Second<<min(n-1, 10), lastRetry)
}

// round brings the keychain to what the service lists.
func (a *Agent) round(ctx context.Context, again bool) *Problem {
	deadline := time.Now().Add(ReportTime)
	limited, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	a.show(Status{State: StateLoading, Text: "asking the service for its certificates"})
	type listing struct {
		keys *keyring.Snapshot
		err  error
	}
	listed := make(chan listing, 1)
	go func() {
		var l listing
		if again {
			l.keys, l.err = a.Keys.Refresh(limited)
		} else {
			l.keys, l.err = a.Keys.Keys(limited, keyring.Lookup{Limit: ReportTime - 2*time.Second})
		}
		listed <- l
	}()
	left, problem := a.extension(limited)
	if !again { // at once: nobody answers for the tokens of an earlier run
		a.clear(ctx, left, nil)
		left = nil
	}
	l := <-listed
	switch {
	case ctx.Err() != nil:
		return nil
	case l.err != nil && (again || problem == nil):
		if again { // what there is stays
			a.Log.Warning("the list of certificates could not be renewed", "cause", l.err.Error())
		}
		problem = listProblem(l.err)
	}
	if problem != nil {
		return problem
	}
	tokens := tokensOf(l.keys, time.Now(), a.Log)
	if len(tokens) == 0 {
		a.clear(ctx, left, nil)
		a.set(nil)
		return &Problem{ExitNothing, "the service lists no certificate for these parameters; check project slug and signing policy slug, and that the API token's user is a submitter of the signing policy"}
	}
	if problem = a.register(limited, left, tokens); problem != nil {
		return problem
	}
	return a.await(ctx, deadline)
}

// extension waits until macOS offers the extension, and gives the instances
// that are registered.
func (a *Agent) extension(ctx context.Context) ([]string, *Problem) {
	for {
		left, err := a.guard.registered(ctx)
		if err == nil {
			return left, nil
		}
		timer := time.NewTimer(pollTime)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, &Problem{ExitMacOS, noExtensionText(err)}
		}
		if !errors.Is(err, ErrNoExtension) {
			var stuck *errStuck
			if errors.As(err, &stuck) {
				return nil, &Problem{ExitMacOS, err.Error()}
			}
		}
	}
}

func noExtensionText(err error) string {
	if errors.Is(err, ErrNoExtension) || errors.Is(err, context.DeadlineExceeded) {
		return "macOS does not offer the app's token extension; move the app to the Applications folder, open it once in Finder, and look with `pluginkit -m -v -p com.apple.ctk-tokens` whether it is listed"
	}
	return err.Error()
}

// clear removes what is registered, all but keep.
func (a *Agent) clear(ctx context.Context, left []string, keep []*Token) {
	for _, id := range left {
		if slices.ContainsFunc(keep, func(t *Token) bool { return t.Instance == id }) {
			continue
		}
		if err := a.guard.remove(ctx, id); err != nil {
			a.Log.Warning("a token of an earlier run could not be removed", "instance", id, "cause", err.Error())
			continue
		}
		a.Gate.Expel(id)
		a.Log.Info("a token that is not wanted any more was removed", "instance", id)
	}
}

// register gives macOS the tokens that it does not have yet.
func (a *Agent) register(ctx context.Context, left []string, tokens []*Token) *Problem {
	a.show(Status{State: StateRegistering, Text: fmt.Sprintf("giving %d certificates to macOS", len(tokens))})
	a.clear(ctx, left, tokens)
	known := a.current()
	a.setDaemon(a.guard.daemon(ctx))
	for i, t := range tokens {
		at := slices.IndexFunc(known, func(o *Token) bool { return o.Instance == t.Instance })
		if at >= 0 && known[at].registered && known[at].equal(t) && slices.Contains(left, t.Instance) {
			t.Channel, t.registered = known[at].Channel, true // the extension holds this key
			continue
		}
		t.Channel = a.Gate.Admit(t.Instance, t.Algorithms)
		// Before macOS has it: the extension may ask at once.
		a.set(append(slices.Clone(tokens[:i+1]), without(known, tokens[:i+1])...))
		if err := a.guard.put(ctx, t); err != nil {
			return &Problem{ExitMacOS, fmt.Sprintf("macOS did not take the certificate of %s: %v", t.Object, err)}
		}
		t.registered = true
		a.Log.Info("certificate given to macOS", "key", t.Object, "instance", t.Instance, "commonName", t.Label, "issuers", len(t.Issuers), "notAfter", t.NotAfter.UTC().Format(time.DateOnly))
	}
	a.set(tokens)
	return nil
}

// without gives the tokens whose instances are not among the others.
func without(tokens, others []*Token) []*Token {
	return slices.DeleteFunc(slices.Clone(tokens), func(t *Token) bool {
		return slices.ContainsFunc(others, func(o *Token) bool { return o.Instance == t.Instance })
	})
}

// await waits until the keychain shows all.
func (a *Agent) await(ctx context.Context, deadline time.Time) *Problem {
	for {
		missing, err := a.missing(ctx)
		if err == nil && len(missing) == 0 || ctx.Err() != nil {
			return nil
		}
		if !time.Now().Before(deadline) {
			return a.notVisible(missing, err)
		}
		timer := time.NewTimer(pollTime)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func (a *Agent) notVisible(missing map[string]Visibility, err error) *Problem {
	if err != nil {
		return &Problem{ExitNotVisible, "the keychain could not be looked at: " + err.Error()}
	}
	all := len(a.current())
	absent := 0
	for _, v := range missing {
		if v == Absent {
			absent++
		}
	}
	text := fmt.Sprintf("%d of %d certificates did not appear in the keychain within %d seconds; ", len(missing), all, int(ReportTime.Seconds()))
	if absent > 0 {
		return &Problem{ExitNotVisible, text + "the system's smart card service has not started the extension: run `killall ctkd`; if that does not help, look whether `codesign -dv --entitlements -` shows a signature of the app that this Mac accepts"}
	}
	return &Problem{ExitNotVisible, text + "the extension runs, but the keychain does not show its identity: run `killall ctkd`, and look into the extension's log"}
}

// missing tells which tokens the keychain does not show.
func (a *Agent) missing(ctx context.Context) (map[string]Visibility, error) {
	missing := map[string]Visibility{}
	for _, t := range a.current() {
		v, err := a.guard.visibility(ctx, t.Instance)
		if err != nil {
			return missing, err
		}
		if v != InReach {
			missing[t.Instance] = v
		}
	}
	return missing, nil
}

// report shows how a round ended.
func (a *Agent) report(p *Problem) {
	s := Status{State: StateReady, Tokens: a.statusTokens()}
	s.Text = fmt.Sprintf("%d certificates are in the keychain", len(s.Tokens))
	if len(s.Tokens) == 1 {
		s.Text = "1 certificate is in the keychain"
	}
	if p != nil {
		s.State, s.Code, s.Text = StateFailed, p.Code, p.Text
		a.Log.Error("the certificates are not in the keychain", "exitCode", p.Code, "cause", p.Text)
	} else {
		a.Log.Info("the certificates are in the keychain", "certificates", len(s.Tokens))
	}
	a.show(s)
}

// quit removes the tokens, whatever the context says.
func (a *Agent) quit(code int) Outcome {
	a.show(Status{State: StateStopping, Text: "removing the certificates from the keychain"})
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	ours := a.current()
	if now := a.guard.daemon(ctx); now != 0 && a.daemonThen() != 0 && now != a.daemonThen() && len(ours) > 0 {
		a.Log.Info("ctkd was started again meanwhile; a fresh process removes the tokens")
		return Outcome{Code: code, Next: NextClear}
	}
	for _, t := range ours {
		a.Gate.Expel(t.Instance)
		if err := a.guard.remove(ctx, t.Instance); err != nil {
			a.Log.Warning("a token could not be removed; the next start does it", "instance", t.Instance, "cause", err.Error())
		}
	}
	a.set(nil)
	if left, err := a.guard.registered(ctx); err == nil { // what could not be removed before
		a.clear(ctx, left, nil)
	}
	a.Log.Info("the app ends", "exitCode", code)
	return Outcome{Code: code}
}

func (a *Agent) set(tokens []*Token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = tokens
}

func (a *Agent) current() []*Token {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.tokens)
}

func (a *Agent) token(instance string) *Token {
	for _, t := range a.current() {
		if t.Instance == instance {
			return t
		}
	}
	return nil
}

func (a *Agent) setDaemon(pid int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if pid != 0 {
		a.daemon = pid
	}
}

func (a *Agent) daemonThen() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.daemon
}
