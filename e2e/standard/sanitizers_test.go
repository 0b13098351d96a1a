package standard

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// sanitizer is a build of the shim and of the host of e2e/hosts.
type sanitizer struct {
	name, flags, options string
	core                 bool // the C in the core is built with it, too; else the core is the built one
	modes                []string
}

// The C half is what shares the host's threads, memory and signals.
// cmd/cryptoki/linked tries both halves under Go's race detector and the address
// sanitizer. Faults belong to Go, so no sanitizer takes their signals; signals
// without SA_ONSTACK need the host's own stacks.
var (
	sanitizers = []sanitizer{
		{"address and undefined behaviour", "-fsanitize=address,undefined -fno-sanitize-recover=all", "ASAN_OPTIONS=detect_leaks=0:use_sigaltstack=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0", false,
			[]string{"sign", "threads 20", "signals 100", "forks 3", "abuse", "descriptors", "finalizers 10"}},
		{"none", "", "", false, []string{"altstack 20", "finalizers 20"}},
	}
	// The core has to tell the detector of the hand-over, so its C is built anew.
	slowSanitizers = []sanitizer{
		{"threads", "-fsanitize=thread", "TSAN_OPTIONS=halt_on_error=1:exitcode=66:use_sigaltstack=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:die_after_fork=0", true,
			[]string{"sign", "threads 50", "finalizers 50"}},
	}
)

// TestSanitizers: 16 threads in sessions of their own and 16 in one, signals on small
// stacks, forks, C_Finalize in the middle, bad arguments.
func TestSanitizers(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	all := sanitizers
	if rig.All {
		all = append(all, slowSanitizers...)
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			module, host := c.build(t)
			for _, mode := range c.modes {
				for _, key := range []string{"p256", "rsa3072"} {
					if key != "p256" && !rig.All && mode != "abuse" {
						continue
					}
					t.Run(mode+"/"+key, func(t *testing.T) {
						tl := s.Tool(t, c.options)
						rig.Run(t, tl.Env, host, append([]string{module, rig.Project + "/" + key}, strings.Fields(mode)...)...).OK(t)
					})
				}
			}
		})
	}
}

func (c sanitizer) build(t *testing.T) (module, host string) {
	t.Helper()
	dir := t.TempDir()
	module, host = filepath.Join(dir, "libSignPath.Cryptoki.so"), filepath.Join(dir, "host")
	core, shim := filepath.Join(rig.Dist, "libSignPath.Cryptoki.core.so"), filepath.Join(rig.Root, "cmd", "cryptoki", "shim")
	if c.core {
		core = filepath.Join(dir, "core.so")
		// -O1 without -Wall: what cgo makes has warnings of its own
		build := exec.Command("go", "build", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w -extldflags -Wl,-z,nodelete", "-o", core, "./cmd/cryptoki")
		build.Dir = rig.Root
		build.Env = append(os.Environ(), "CC=cc", "CGO_ENABLED=1", "CGO_CFLAGS=-O1 -g "+c.flags, "CGO_LDFLAGS="+c.flags)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	flags := append([]string{"-O1", "-g", "-Wall", "-Wextra", "-Werror"}, strings.Fields(c.flags)...)
	rig.Run(t, nil, "cc", append(flags, "-fPIC", "-shared", "-fvisibility=hidden", fmt.Sprintf("-DSP_CORE_FILE=%q", core),
		filepath.Join(shim, "shim.c"), "-o", module, "-Wl,-z,nodelete", "-Wl,--version-script="+filepath.Join(shim, "exports.map"), "-ldl", "-lpthread")...).OK(t)
	rig.Run(t, nil, "cc", append(flags, filepath.Join(rig.Root, "e2e", "hosts", "testdata", "host.c"), "-o", host, "-ldl", "-lpthread")...).OK(t)
	return module, host
}
