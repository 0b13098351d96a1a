// Package samples runs the samples for Linux as their README tells: each scenario here,
// and in containers of other distributions that are built from the samples' own container
// files. Verifiers that are not ours judge what comes out, outside the scenario, with the
// certificates that the service has written down.
//
// Environment: E2E_BASES names the containers' bases, "debian:11 debian:13"; without it
// scenarios run here only. E2E_CONTAINERS is the folder of images of ./engine. E2E_JSIGN,
// E2E_PYHANKO (a folder of Python packages), E2E_NOTATION, E2E_COSIGN and E2E_REGISTRY are
// what Debian has no package of; the last two only with E2E_ALL.
package samples

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// place is where a scenario runs: "" is this machine, else the base of a container.
type place string

func places() []place {
	p := []place{""}
	for _, base := range strings.Fields(os.Getenv("E2E_BASES")) {
		p = append(p, place(base))
	}
	return p
}

func (p place) String() string {
	if p == "" {
		return "here"
	}
	return strings.ReplaceAll(string(p), ":", "-")
}

// system is the distribution's name for the table of tested tools.
func (p place) system(t *testing.T) string {
	if p == "" {
		return rig.Here.Release(t)
	}
	name, version, _ := strings.Cut(string(p), ":")
	return strings.ToUpper(name[:1]) + name[1:] + " " + version
}

var (
	samples = filepath.Join(rig.Root, "samples", "Linux")
	program = filepath.Join(samples, "RunScenario.sh")
	engine  = filepath.Join(rig.Root, "e2e", "samples", "engine")
)

var built sync.Map // place -> func() error

// build builds the container of a place once, in advance: that takes minutes, and a
// scenario finds it done.
func (p place) build(t *testing.T) {
	t.Helper()
	once, _ := built.LoadOrStore(p, sync.OnceValue(func() error {
		image := "signpath-samples:" + p.String()
		c := exec.Command(engine, "build", "--build-arg", "BASE="+string(p), "-t", image, "-f", filepath.Join(samples, "DebianBased", "Dockerfile"), samples)
		out, err := c.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", image, err, out[max(0, len(out)-4000):])
		}
		return nil
	}))
	if err := once.(func() error)(); err != nil {
		t.Fatal(err)
	}
}

// run runs a scenario with the service's settings in the environment and writes to out.
func (p place) run(t *testing.T, tl *rig.Tool, scenario, key, out string, more ...string) *rig.Result {
	t.Helper()
	args := append([]string{"-Scenario", scenario, "-ProjectSlug", rig.Project, "-SigningPolicySlug", key, "-LibSignPathCryptokiPath", rig.Module, "-OutputDirectory", out}, more...)
	if p != "" {
		args = append(args, "-Container", string(p), "-ContainerEngine", engine)
		p.build(t)
		inContainer := *tl
		inContainer.Env = append(slices.Clone(tl.Env), "E2E_CONTAINERS="+rig.Program(t, "E2E_CONTAINERS"))
		tl = &inContainer
	}
	return tl.Run(t, program, args...)
}
