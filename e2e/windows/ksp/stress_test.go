package ksp

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// toFile runs the probe with closed standard handles; what it says is in a file.
func (h *host) toFile(t *testing.T, tl *winrig.Tool, file string, steps ...string) *rig.Result {
	t.Helper()
	tl.Run(t, h.exe, append([]string{dll, step("to", winrig.Path(file))}, steps...)...).OK(t)
	return &rig.Result{Output: strings.ReplaceAll(string(rig.Must(os.ReadFile(file))), "\r\n", "\n")}
}

// TestThreads: sixteen threads with handles of their own; every signature verifies, and
// the list is fetched once per key.
func TestThreads(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		f := newFront(t, s)
		each := 10
		if rig.All {
			each = 100
		}
		tl := h.tool(t, s, f.env...)
		steps := []any{"threads", 16, each}
		for _, key := range rig.Keys() {
			steps = append(steps, container(key))
		}
		h.probe(t, tl, step(steps...)).Says(t, fmt.Sprintf("threads: %d good\n", 16*each))
		if got := int(f.posts.Load()); got != 16*each {
			t.Errorf("%d requests for %d signatures", got, 16*each)
		}
		if got := int(f.lists.Load()); got != len(rig.Keys()) {
			t.Errorf("%d lists for %d keys", got, len(rig.Keys()))
		}
	})
}

// TestFreeLibrary in mid-call: the DLL stays, the call ends well, and loading it again
// gives the same DLL.
func TestFreeLibrary(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		f := newFront(t, s)
		dir := t.TempDir()
		asked, answer := filepath.Join(dir, "asked"), filepath.Join(dir, "answer")
		f.spoil(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost && f.posts.Load() == 1 {
				rig.Write(t, asked, nil)
				for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
					if _, err := os.Stat(answer); err == nil {
						break
					}
				}
			}
			return false
		})
		h.probe(t, h.tool(t, s, f.env...), step("unload", container(rig.Keys()[0]), winrig.Path(asked), winrig.Path(answer))).
			Says(t, "unload: the DLL is there\n").Says(t, "unload: the call ended with "+ok+"\n").Says(t, "unload: loaded again at the same place, then "+ok+"\n")
	})
}

// TestMany: memory and handles do not grow between the first and the second half of very
// many signatures, each with a provider and a key of its own.
func TestMany(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		count := 400
		if rig.All {
			count = 10000
		}
		tl := h.tool(t, s, "SIGNPATH_LOG_FILE_LEVEL=warning")
		r := tl.RunWithin(t, 30*time.Minute, h.exe, dll, step("loop", container(ecKey), count, 4)).OK(t)
		var memory, handles [4]int
		n := 0
		for _, l := range strings.Split(r.Output, "\n") {
			var done, good int
			if _, err := fmt.Sscanf(l, "loop: %d signatures, %d good, %d KiB, next handle %d", &done, &good, &memory[n%4], &handles[n%4]); err != nil {
				continue
			}
			if n++; good != done {
				t.Errorf("only %d of %d signatures are good", good, done)
			}
		}
		if n != 4 {
			t.Fatalf("%d reports:\n%s", n, r.Output)
		}
		t.Logf("KiB after each quarter: %v, next handles: %v", memory, handles)
		if memory[0] == 0 || handles[0] == 0 {
			t.Error("nothing is measured")
		}
		// A handle that nobody frees is some 500 bytes: 2,500 KiB between half and all of 10,000.
		if rig.All && memory[3]-memory[1] > 1000 {
			t.Errorf("%d KiB more after the second half", memory[3]-memory[1])
		}
		// A leak is one for each signature; Go starts a thread now and then, with four handles.
		if handles[3] > handles[1]+100 {
			t.Errorf("%d handles more after the second half", handles[3]-handles[1])
		}
	})
}
