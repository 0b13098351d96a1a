package faults

import (
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
	"signpath/internal/testkit/faultproxy"
)

// TestFaultsInterrupt: Ctrl-C ends a tool at once, while an attempt runs and in
// the pause between two.
func TestFaultsInterrupt(t *testing.T) {
	s := rig.TheService(t)
	for _, fam := range families {
		for _, phase := range phases {
			for _, c := range []struct {
				name  string
				fault faultproxy.Fault
			}{
				{"during an attempt", faultproxy.Fault{Kind: faultproxy.Stall}},
				{"between attempts", status(503)},
			} {
				if fam.searches && phase.function == "C_Login" {
					continue
				}
				if fam.java && !rig.All && (phase.function == "C_Login" || c.name == "during an attempt") {
					continue
				}
				t.Run(fam.name+"/"+phase.function+"/"+c.name, func(t *testing.T) {
					t.Parallel()
					timed(t, time.Second+hurry, func() time.Duration {
						p, settings := faulty(t, s)
						first := 0
						// Whoever runs this test may ignore SIGINT, as a shell's background jobs do.
						tl := fam.start(t, s, []string{"env", "--default-signal=INT"}, func() { first = p.spoil(t, phase.before, c.fault) }, append(settings,
							"SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=600", "SIGNPATH_HTTP_REQUEST_TIMEOUT_IN_SECONDS=300", "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY=60")...)
						await(t, tl, func() bool { return p.Requests() > first })
						time.Sleep(100 * time.Millisecond)
						begin := time.Now()
						if err := tl.signal(syscall.SIGINT); err != nil {
							t.Fatal(err)
						}
						tl.wait(t).Fails(t)
						return time.Since(begin)
					})
				})
			}
		}
	}
}

// hurry is how long a busy machine may keep a process from running.
const hurry = 500 * time.Millisecond

// timed does something that must not take longer, once more and again when it
// did: a busy machine keeps processes from running, a defect does not go away.
func timed(t *testing.T, limit time.Duration, do func() time.Duration) {
	t.Helper()
	var took []time.Duration
	for range 3 {
		took = append(took, do())
		if took[len(took)-1] <= limit || t.Failed() {
			return
		}
	}
	t.Errorf("took %v, want at most %v", took, limit)
}

// await waits for what a running tool will do.
func await(t *testing.T, p *process, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			_ = p.signal(syscall.SIGKILL)
			t.Fatalf("the tool did not come that far:\n%s", p.wait(t).Output)
		}
	}
}
