// Command bench measures the product as ratios within one run: machines differ
// and are noisy, the ratio of two things measured in turn on one machine is not.
// Run scripts/bench, which builds dist/ and installs what it needs.
//
// Every figure is a median over rounds in which the two sides take turns.
package main

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

var (
	rounds   = flag.Int("rounds", 7, "rounds of each comparison; medians are printed")
	dist     = flag.String("dist", "dist/linux-"+runtime.GOARCH, "what scripts/build made")
	host     = flag.String("host", "build/host", "the host program")
	only     = flag.String("only", "", "comma-separated names of the parts to run; all without it")
	signtool = flag.String("signtool", ".cache/windows/npm/node_modules", "folder of the npm package with signtool.exe")
	hsm      = flag.String("softhsm", "/usr/lib/softhsm/libsofthsm2.so", "SoftHSM's module")
)

func main() {
	flag.Parse()
	// An interrupted run stops its services too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

// bench is one run: a service with two keys, and the same kinds of keys in SoftHSM.
type bench struct {
	dir     string
	digest  string // file with 32 bytes to sign
	service *service
}

var kinds = []string{"rsa3072", "p256"}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "signpath-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, digest: filepath.Join(dir, "digest"), service: &service{dir: filepath.Join(dir, "dev")}}
	if err := os.WriteFile(b.digest, make([]byte, 32), 0o600); err != nil {
		return err
	}
	if _, err := b.service.start(); err != nil { // makes the keys
		return err
	}
	defer b.service.stop()
	if err := b.softHSM(); err != nil {
		return err
	}
	fmt.Printf("%-*s %13s %13s %8s\n", width, "", "ours", "baseline", "ratio")
	for _, part := range b.parts() {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), part.name) {
			continue
		}
		if err := part.run(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// part is a comparison that can be run alone.
type part struct {
	name string
	run  func() error
}

func (b *bench) parts() []part {
	return []part{
		{"one-shot", b.oneShot}, {"steady", b.steady}, {"cpu", b.serviceCPU}, {"start", b.startUp}, {"requests", b.requests},
		{"round-trips", b.roundTrips}, {"policies", b.manyPolicies}, {"memory", b.memory},
		{"signtool", b.signtoolRuns},
	}
}

// width is that of the column with names.
const width = 76

func row(what string, ours, baseline float64, unit string) {
	fmt.Printf("%-*s %9.4g %-3s %9.4g %-3s %8.2f\n", width, what, ours, unit, baseline, unit, ours/baseline)
}

// figure is a row without a baseline.
func figure(what string, value float64, unit string) {
	fmt.Println(strings.TrimRight(fmt.Sprintf("%-*s %9.4g %s", width, what, value, unit), " "))
}

func median(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }

func id(kind string) string { return hex.EncodeToString([]byte("hash-signing/" + kind)) }

func module() string { return filepath.Join(*dist, "libSignPath.Cryptoki.so") }

func command(env []string, name string, args ...string) (string, error) {
	c := exec.Command(name, args...)
	c.Env = env
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(append([]string{name}, args...), " "), err, out)
	}
	return string(out), nil
}
