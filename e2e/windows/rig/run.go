package winrig

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// Limit is how long one program may take; a cold Wine on two busy cores is slow.
const Limit = 3 * time.Minute

// Tool is the environment of one Windows program: that of rig.Tool, in a prefix.
type Tool struct {
	*rig.Tool
	Prefix *Prefix
	Dir    string // working folder; "" for the test's
}

// Tool prepares the environment of a program that uses the service: its settings with
// the paths as Windows writes them, a log folder of its own (read by Log and InLog),
// and more NAME=value pairs (NAME= alone unsets). iface says whose log is read: KSP,
// CSP or Cryptoki.
func (p *Prefix) Tool(t *testing.T, s *rig.Service, iface string, more ...string) *Tool {
	t.Helper()
	tl := s.Tool(t, more...)
	tl.Interface = iface
	tl.Env = p.environment(tl.Env)
	return &Tool{Tool: tl, Prefix: p}
}

// Bare is the environment of a program that needs no service.
func (p *Prefix) Bare(t *testing.T, more ...string) *Tool {
	t.Helper()
	return &Tool{Tool: &rig.Tool{Logs: t.TempDir(), Env: p.environment(more)}, Prefix: p}
}

// reserved are variables that belong to the prefix and not to the test.
var reserved = []string{"PATH", "HOME", "PKCS11_MODULE_PATH", "WINEPREFIX", "WINEDEBUG", "WINEDLLPATH", "WINEDLLOVERRIDES"}

// environment adds Wine's variables and turns the paths of settings into Windows'.
func (p *Prefix) environment(vars []string) []string {
	env := p.variables()
next:
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		for _, o := range reserved {
			if name == o {
				continue next
			}
		}
		if strings.HasPrefix(name, "SIGNPATH_") && strings.HasPrefix(value, "/") {
			value = Path(value)
		}
		env = append(env, name+"="+value)
	}
	return env
}

// variables are those of the prefix.
func (p *Prefix) variables() []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.home(), "XDG_RUNTIME_DIR=" + p.home(), "LC_ALL=C.UTF-8",
		"WINEPREFIX=" + p.Dir, "WINEDEBUG=-all", "WINEARCH=" + p.wineArch(),
	}, p.extra...)
}

// Run runs a Windows program to its end. program is a path of this machine, or the
// name of a program that Wine has ("cmd", "reg", "msiexec"). Arguments that name files
// are the program's: Path makes them.
func (tl *Tool) Run(t *testing.T, program string, args ...string) *rig.Result {
	t.Helper()
	return tl.RunWithin(t, Limit, program, args...)
}

// RunWithin is Run with a limit of its own, after which the test fails.
func (tl *Tool) RunWithin(t *testing.T, limit time.Duration, program string, args ...string) *rig.Result {
	t.Helper()
	name, rest := tl.Prefix.line(program, args)
	r := rig.RunToFile(t, tl.Env, limit, tl.Dir, name, rest...)
	r.Output = strings.ReplaceAll(r.Output, "\r\n", "\n")
	return r
}

// Command is a Windows program that the test talks to; it starts and ends it.
func (tl *Tool) Command(program string, args ...string) *exec.Cmd {
	name, rest := tl.Prefix.line(program, args)
	c := exec.Command(name, rest...)
	c.Env, c.Dir = tl.Env, tl.Dir
	return c
}

// Start starts a Windows program beside the test; it is ended with the test.
func (tl *Tool) Start(t *testing.T, program string, args ...string) *rig.Background {
	t.Helper()
	name, rest := tl.Prefix.line(program, args)
	return rig.Here.Start(t, tl.Env, name, rest...)
}
