package macosmodule

import (
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// TestHalf: a program that only probes starts no runtime; the first C_Initialize does,
// once; a forked child gets an error in no time, tells why, and can tidy up; its
// parent goes on; unloading does no harm.
func TestHalf(t *testing.T) {
	s := rig.TheService(t)
	library := rig.Program(t, "E2E_ASDARWIN")
	tl := s.Tool(t, "SIGNPATH_LOG_CONSOLE_LEVEL=error")
	r := tl.Run(t, "python3", filepath.Join("testdata", "probe.py"), library).OK(t)
	want := []string{
		"loaded: 1 thread", "C_GetFunctionList 0: 1 thread", "C_GetSlotList 190", "C_Initialize 0: more threads",
		"child C_GetSlotList 190", "child C_Finalize 0", "child C_Finalize 190", "child C_Initialize 5",
		"a child that initialises first 0", "parent C_GetSlotList 0", "C_Initialize 191", "C_Finalize 0", "unloaded: more threads", "C_Initialize 0", "C_Finalize 0",
	}
	at := 0
	for _, l := range strings.Split(r.Output, "\n") {
		if at < len(want) && strings.TrimSpace(l) == want[at] {
			at++
		}
	}
	if at < len(want) {
		t.Errorf("not said: %q, in\n%s", want[at], r.Output)
	}
	r.Says(t, "this process was forked from one that uses it")
}
