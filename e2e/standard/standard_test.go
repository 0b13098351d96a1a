package standard

import (
	"fmt"
	"slices"
	"testing"
)

// kase is one case: what the section says about one situation.
type kase struct {
	section string
	name    string
	do      func(*run)
	fits    func(*token) bool // nil: every module
}

// tables are all cases, by chapter of the standard.
var tables = [][]kase{general, interfaces, slots, sessions, logins, objects, signing, verifying, rest, choices, forks}

func ours(t *token) bool { return t.ours }

// TestModule holds the built module against the standard.
func TestModule(t *testing.T) {
	t.Parallel()
	conform(t, ourToken(t), nil, 4)
}

// TestSoftHSM is the baseline: the cases ask of the built module what holds
// elsewhere, too. What SoftHSM does differently stands in the list, with the reason.
func TestSoftHSM(t *testing.T) {
	t.Parallel()
	conform(t, softHSM(t), softHSMDeviations, 1) // two at once on one token make it fail at random
}

// conform runs all cases, some side by side. deviations are those that have to fail.
func conform(t *testing.T, tok *token, deviations map[string]string, atOnce int) {
	seen := map[string]bool{}
	turn := make(chan struct{}, atOnce)
	for _, k := range slices.Concat(tables...) {
		name := k.section + "/" + k.name
		if seen[name] {
			t.Fatalf("two cases are named %s", name)
		}
		seen[name] = true
		if k.fits != nil && !k.fits(tok) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			turn <- struct{}{}
			defer func() { <-turn }()
			why, deviates := deviations[name]
			switch problem := try(t, tok, k); {
			case problem != "" && deviates:
				t.Logf("differs, as known (%s): %s", why, problem)
			case problem != "":
				t.Error(problem)
			case deviates:
				t.Errorf("passes now: take it off the list of deviations (%s)", why)
			}
		})
	}
	for name := range deviations {
		if !seen[name] {
			t.Errorf("the list of deviations names %q, which is no case", name)
		}
	}
}

// try runs a case and says what was wrong.
func try(t *testing.T, tok *token, k kase) (problem string) {
	r := start(t, tok)
	defer func() {
		switch f := recover().(type) {
		case nil:
			if err := r.stop(); err != nil {
				problem = fmt.Sprintf("the process ended badly: %v %s", err, r.stderr)
			}
		case failure:
			problem = string(f)
			_ = r.stop()
		default:
			_ = r.stop()
			panic(f)
		}
	}()
	k.do(r)
	return ""
}
