package hosts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"signpath/e2e/rig"
)

// place is where a host program runs: this machine, or an older system's root.
type place struct {
	name string
	root string // "" for this machine
}

func places() []place {
	p := []place{{"here", ""}}
	if r := os.Getenv("E2E_DEBIAN11"); r != "" {
		p = append(p, place{"debian11", r})
	}
	return p
}

// host runs a program of hosts/ in a place, with the files that it needs inside.
type host struct {
	place   place
	module  string
	program string
	dir     string // inside the place
}

func newHost(t *testing.T, p place) *host {
	t.Helper()
	dir := "/tmp/signpath-e2e-" + strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())
	outside := p.root + dir
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(outside) })
	h := &host{place: p, dir: dir, module: dir + "/libSignPath.Cryptoki.so", program: dir + "/host"}
	h.copy(t, rig.Module, h.module)
	h.copy(t, filepath.Join(rig.Root, "build", "host"), h.program)
	return h
}

func (h *host) copy(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatalf("%v (run scripts/test, which builds it)", err)
	}
	if err := os.WriteFile(h.place.root+to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// run runs a program in the place with the service's settings.
func (h *host) run(t *testing.T, env []string, program string, args ...string) *rig.Result {
	t.Helper()
	if h.place.root == "" {
		return rig.Run(t, env, program, args...)
	}
	if os.Geteuid() == 0 {
		return rig.Run(t, env, "chroot", append([]string{h.place.root, program}, args...)...)
	}
	as := fmt.Sprintf("--userspec=%d:%d", os.Getuid(), os.Getgid())
	return rig.Run(t, env, "sudo", append([]string{"-E", "chroot", as, h.place.root, program}, args...)...)
}

// env is the tool's environment with files that the place can see.
func (h *host) env(t *testing.T, s *rig.Service, more ...string) *rig.Tool {
	t.Helper()
	h.copy(t, s.Env["SIGNPATH_TRUSTED_CA_FILE"], h.dir+"/ca.pem")
	tl := s.Tool(t, append([]string{"SIGNPATH_TRUSTED_CA_FILE=" + h.dir + "/ca.pem", "SIGNPATH_LOG_FILE_DIRECTORY=" + h.dir + "/logs"}, more...)...)
	tl.Logs = h.place.root + h.dir + "/logs"
	return tl
}

// TestHosts runs hosts that are hard on a module: forks, signals, threads, unload, environment.
func TestHosts(t *testing.T) {
	s := rig.TheService(t)
	modes := [][]string{{"threads", "10"}, {"forks", "10"}, {"forkstorm", "10"}, {"signals", "200"}, {"altstack", "10"}, {"reload", "15"}, {"setenv"}, {"pipe", "20"}, {"abuse"}, {"streams"}, {"descriptors"}, {"addresses"}}
	if rig.All {
		modes = [][]string{{"threads", "100"}, {"forks", "40"}, {"forkstorm", "40"}, {"signals", "2000"}, {"altstack", "100"}, {"reload", "50"}, {"setenv"}, {"pipe", "200"}, {"abuse"}, {"streams"}, {"descriptors"}, {"addresses"}}
	}
	for _, p := range places() {
		for _, mode := range modes {
			for _, files := range []string{"one file", "file beside"} {
				if files == "file beside" && mode[0] != "forks" && mode[0] != "reload" && !rig.All {
					continue
				}
				t.Run(p.name+"/"+mode[0]+"/"+files, func(t *testing.T) {
					h := newHost(t, p)
					if files == "file beside" {
						h.copy(t, strings.TrimSuffix(rig.Module, ".so")+".core.so", strings.TrimSuffix(h.module, ".so")+".core.so")
					}
					tl := h.env(t, s)
					h.run(t, tl.Env, h.program, append([]string{h.module, rig.Project + "/p256"}, mode...)...).OK(t)
					if mode[0] == "threads" || mode[0] == "abuse" {
						h.run(t, tl.Env, h.program, append([]string{h.module, rig.Project + "/" + rig.Keys()[0]}, mode[0], "2")...).OK(t)
					}
				})
			}
		}
		t.Run(p.name+"/signature", func(t *testing.T) {
			h := newHost(t, p)
			tl := h.env(t, s)
			sig := rig.Write(t, filepath.Join(t.TempDir(), "sig"), []byte(h.run(t, tl.Env, h.program, h.module, rig.Project+"/"+rig.Keys()[0], "sign").OK(t).Output))
			abc, abd := rig.Write(t, filepath.Join(t.TempDir(), "abc"), []byte("abc")), rig.Write(t, filepath.Join(t.TempDir(), "abd"), []byte("abd"))
			rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", s.PublicKey(t, rig.Keys()[0]), "-signature", sig, abc).OK(t)
			rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", s.PublicKey(t, rig.Keys()[0]), "-signature", sig, abd).Fails(t)
		})
		t.Run(p.name+"/a pipe beside", func(t *testing.T) { // in place of the core's file
			h := newHost(t, p)
			if err := syscall.Mkfifo(p.root+strings.TrimSuffix(h.module, ".so")+".core.so", 0o600); err != nil {
				t.Fatal(err)
			}
			h.run(t, h.env(t, s).Env, h.program, h.module, rig.Project+"/p256", "forks", "1").OK(t)
		})
		for _, script := range []string{"prefork.py", "environment.py"} {
			t.Run(p.name+"/"+script, func(t *testing.T) {
				h := newHost(t, p)
				h.copy(t, filepath.Join(rig.Root, "e2e", "hosts", "testdata", script), h.dir+"/"+script)
				tl := h.env(t, s)
				h.run(t, tl.Env, "python3", h.dir+"/"+script, h.module, rig.Project+"/p256").OK(t).Says(t, "all good")
			})
		}
	}
}

// TestHostsWhileRetrying sends signals to, and finalizes, a module that waits for a failing service.
func TestHostsWhileRetrying(t *testing.T) {
	s := rig.TheService(t)
	api, ca, signatures := rig.Failing(t, s)
	for _, p := range places() {
		for _, c := range []struct {
			mode  string
			total string
			code  int
		}{
			{"interrupt", "30", -int(syscall.SIGINT)}, // ended by the signal
			{"handler", "3", 0},
			{"finalize", "30", 0},
		} {
			t.Run(p.name+"/"+c.mode, func(t *testing.T) {
				h := newHost(t, p)
				before := signatures.Load()
				tl := h.env(t, s, "SIGNPATH_API_URL="+api, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS="+c.total)
				h.copy(t, ca, h.dir+"/ca.pem")
				r := h.run(t, tl.Env, h.program, h.module, rig.Project+"/p256", c.mode)
				if c.code == 0 {
					r.OK(t)
				} else if r.Code != -1 {
					t.Errorf("ended with %d and not by a signal:\n%s", r.Code, r.Output)
				}
				if r.Took.Seconds() > 10 {
					t.Errorf("took %v", r.Took)
				}
				if signatures.Load() == before {
					t.Error("the failing service was never asked")
				}
				if !strings.Contains(tl.Log(), "503") {
					t.Errorf("the log does not tell of the status:\n%s", tl.Log())
				}
			})
		}
	}
}
