package faults

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
	"signpath/internal/testkit/faultproxy"
)

// spellings are the forms in which a token could stand somewhere.
func spellings(token string) (all [][]byte) {
	for _, s := range []string{token, strings.ToLower(hex.EncodeToString([]byte(token))), strings.ToUpper(hex.EncodeToString([]byte(token)))} {
		all = append(all, []byte(s))
	}
	for shift := range 3 { // base64 of a text that the token stands in
		text := base64.RawStdEncoding.EncodeToString([]byte("xxx"[:shift] + token))
		all = append(all, []byte(text[4:len(text)-4]))
	}
	return all
}

// has tells which spelling stands in data, "" for none.
func has(data []byte, token string) string {
	for i, s := range spellings(token) {
		if bytes.Contains(data, s) {
			return []string{"plain", "hexadecimal", "hexadecimal", "base64", "base64", "base64"}[i]
		}
	}
	return ""
}

// piece is what counts as found in memory: a token's copy may be cut.
const piece = 16

// pieces counts how many pieces of the token stand in data.
func pieces(data []byte, token string) (n int) {
	for i := 0; i+piece <= len(token); i++ {
		n += bytes.Count(data, []byte(token[i:i+piece]))
	}
	return n
}

// memory reads a process's memory as a core file would hold it, and what a core
// file must leave out (VmFlags dd, proc_pid_smaps(5)).
func memory(t *testing.T, pid int) (dumped, left []byte) {
	t.Helper()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var from, to int64
	readable := false
	for line := range strings.SplitSeq(string(rig.Must(os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid)))), "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) > 4 && strings.Contains(fields[0], "-") && !strings.HasSuffix(fields[0], ":"):
			a, b, _ := strings.Cut(fields[0], "-")
			from, to = int64(rig.Must(strconv.ParseUint(a, 16, 64))), int64(rig.Must(strconv.ParseUint(b, 16, 64)))
			readable = fields[1][0] == 'r' && !strings.HasPrefix(fields[len(fields)-1], "[v")
		case len(fields) > 0 && fields[0] == "VmFlags:" && readable:
			region := make([]byte, to-from)
			n, _ := mem.ReadAt(region, from) // a page may be out of reach
			if slices.Contains(fields, "dd") {
				left = append(left, region[:n]...)
			} else {
				dumped = append(dumped, region[:n]...)
			}
		}
	}
	return dumped, left
}

// inProcessList looks for the token in what every user of the machine can read
// of processes, and in the environment of all that were not given it.
func inProcessList(t *testing.T, token string) {
	t.Helper()
	for _, name := range []string{"cmdline", "environ", "comm"} {
		for _, file := range rig.Must(filepath.Glob("/proc/[0-9]*/" + name)) {
			data, err := os.ReadFile(file)
			if err == nil && has(data, token) != "" {
				t.Errorf("the token stands in %s: %q", file, data)
			}
		}
	}
}

// inFiles looks for the token in every file below the folder, but for some names.
func inFiles(t *testing.T, dir, token string, but ...string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || slices.Contains(but, d.Name()) {
			return err
		}
		data, err := os.ReadFile(path)
		if how := has(data, token); how != "" {
			t.Errorf("the token stands in %s (%s)", path, how)
		}
		files++
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

// dumping makes the kernel write a core file where it can.
var dumping = []string{"sh", "-c", `ulimit -c unlimited 2>/dev/null || :; exec "$@"`, "sh"}

// cores are the core files in a folder. ok: this machine writes them there.
func cores(t *testing.T, dir string) (files []string, ok bool) {
	t.Helper()
	pattern := string(rig.Must(os.ReadFile("/proc/sys/kernel/core_pattern")))
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
	ok = strings.HasPrefix(pattern, "core") && (limit.Max > 1<<30 || os.Geteuid() == 0)
	return rig.Must(filepath.Glob(filepath.Join(dir, "core*"))), ok
}

// TestFaultsSecrets lets a host crash in the middle of a signature. The token,
// which came from the configuration file, must stand nowhere: not in the host's
// core file, nor in any log, process list, temporary file, error or answer.
func TestFaultsSecrets(t *testing.T) {
	s := rig.Must(rig.Start(t.TempDir(), "p256,gpg-rsa3072"))
	t.Cleanup(s.Stop)
	token := s.Env["SIGNPATH_API_TOKEN"]
	t.Run("hosts", func(t *testing.T) {
		for _, fam := range families {
			for _, sig := range []syscall.Signal{syscall.SIGABRT, syscall.SIGSEGV} {
				if sig == syscall.SIGSEGV && (fam.java || fam.daemon) || fam.java && !rig.All { // Java makes use of that signal itself
					continue
				}
				t.Run(fam.name+"/"+sig.String(), func(t *testing.T) {
					if !fam.java { // whose memory is large
						t.Parallel()
					}
					crash(t, s, fam, sig, token)
				})
			}
		}
	})
	t.Run("PIN", func(t *testing.T) {
		// The user's own fault: the token is in the tool's command line. It goes no further.
		dir := t.TempDir()
		argv := families[0].command(t, s, dir)
		argv[slices.Index(argv, "CONFIG")] = s.Env["SIGNPATH_ORGANIZATION_ID"] + ":" + token
		tl := s.Tool(t, "SIGNPATH_API_TOKEN=", "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_LOG_FILE_LEVEL=verbose")
		r := tl.Run(t, argv[0], argv[1:]...).OK(t)
		tl.InLog(t, "C_Sign")
		if has([]byte(r.Output), token) != "" {
			t.Errorf("the token is on the console:\n%s", r.Output)
		}
		inFiles(t, filepath.Dir(dir), token)
	})
	s.Stop()
	if n := inFiles(t, s.File("data"), token); n < 3 {
		t.Errorf("%d files of the service were looked at", n)
	}
	if has([]byte(s.Said()), token) != "" {
		t.Error("the token stands in the service's log")
	}
	export := rig.Run(t, nil, rig.Binary, "audit", "export", "--data", s.File("data")).OK(t)
	if has([]byte(export.Output), token) != "" || !strings.Contains(export.Output, "HashSigning.Intent") {
		t.Error("the token stands in the audit log, or no signature")
	}
}

func crash(t *testing.T, s *rig.Service, fam family, sig syscall.Signal, token string) {
	t.Helper()
	p, settings := faulty(t, s)
	first := 0
	config := rig.Write(t, filepath.Join(t.TempDir(), "signpath.json"), rig.Must(json.Marshal(map[string]any{"ApiToken": token})))
	settings = append(settings, "SIGNPATH_API_TOKEN=", "SIGNPATH_CONFIG_FILE="+config, "SIGNPATH_LOG_FILE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_LEVEL=verbose",
		"SIGNPATH_HTTP_REQUEST_TIMEOUT_IN_SECONDS=60", "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=60")
	tl := fam.start(t, s, dumping, func() { first = p.spoil(t, 1, faultproxy.Fault{Kind: faultproxy.Stall, After: 20}) }, settings...)
	await(t, tl, func() bool { return p.Requests() > first })
	time.Sleep(50 * time.Millisecond)

	inProcessList(t, token)
	dumped, left := memory(t, host(t, tl))
	if n := pieces(dumped, token); n > 0 {
		t.Errorf("%d pieces of the token stand in memory that a core file holds", n)
	}
	if bytes.Contains(dumped, []byte("Bearer "+token[:8])) {
		t.Error("an authorization header stands in memory that a core file holds")
	}
	if pieces(left, token) == 0 {
		t.Error("the token stands nowhere in the host's memory: this test shows nothing")
	}

	if fam.daemon {
		sig = syscall.SIGKILL // its working folder is /: no core file must be left there
	}
	if err := syscall.Kill(host(t, tl), sig); err != nil {
		t.Fatal(err)
	}
	r := tl.wait(t).Fails(t)
	if has([]byte(r.Output), token) != "" {
		t.Errorf("the token is in the log or on the console:\n%s", r.Output)
	}
	found, ok := cores(t, tl.dir)
	if ok && len(found) != 1 && !fam.daemon {
		t.Errorf("core files: %q, want one", found)
	}
	for _, file := range found {
		if b := rig.Must(os.ReadFile(file)); has(b, token) != "" {
			t.Errorf("the token stands in %s", file)
		}
	}
	t.Logf("core files: %d; %d KiB of memory looked at, %d KiB kept out", len(found), len(dumped)>>10, len(left)>>10)
	inFiles(t, filepath.Dir(tl.dir), token, "signpath.json")
}

// host is the process that has the module loaded: the tool, the child of a
// script, or a daemon.
func host(t *testing.T, p *process) int {
	t.Helper()
	for _, pid := range p.all() {
		if maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)); err == nil && bytes.Contains(maps, []byte(filepath.Base(rig.Module))) {
			return pid
		}
	}
	t.Fatal("no process of the tool has the module loaded")
	return 0
}

// TestFaultsCoresOfPrograms: our own programs leave no core file at all, and what
// Go prints at their end shows no secret.
func TestFaultsCoresOfPrograms(t *testing.T) {
	s := rig.TheService(t)
	token := s.Env["SIGNPATH_API_TOKEN"]
	settings := func(t *testing.T) []string {
		p, more := faulty(t, s)
		if err := p.Set(faultproxy.Fault{Kind: faultproxy.Stall}); err != nil {
			t.Fatal(err)
		}
		return append(more, "SIGNPATH_HTTP_REQUEST_TIMEOUT_IN_SECONDS=60", "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=60")
	}
	for _, c := range []struct {
		name string
		args []string
		core bool // the control: another program does leave one
	}{
		{"another program", []string{"sleep", "60"}, true},
		{"sign", []string{rig.Binary, "sign", "--policy", rig.Project + "/p256", "--digest", strings.Repeat("00", 32)}, false},
		{"doctor", []string{rig.Binary, "doctor"}, false},
		{"dev", []string{rig.Binary, "dev", "--dir", "DIR", "--keys", "p256"}, false},
	} {
		for _, sig := range []syscall.Signal{syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGQUIT} {
			t.Run(c.name+"/"+sig.String(), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				args := append(slices.Clone(dumping), c.args...)
				for i, a := range args {
					if a == "DIR" {
						args[i] = filepath.Join(t.TempDir(), "dev")
					}
				}
				tl := s.Tool(t, append(settings(t), "GOTRACEBACK=crash")...)
				cmd := exec.Command(args[0], args[1:]...)
				cmd.Dir, cmd.Env = dir, tl.Env
				var errors bytes.Buffer
				cmd.Stderr = &errors
				out := rig.Must(cmd.StdoutPipe())
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if c.name == "dev" {
					_, _ = bufio.NewReader(out).ReadString('\n')
				} else {
					time.Sleep(700 * time.Millisecond)
				}
				_ = cmd.Process.Signal(sig)
				_ = cmd.Wait()
				if cmd.ProcessState.Success() {
					t.Errorf("the program ended before it crashed:\n%s", errors.String())
				}
				found, ok := cores(t, dir)
				if c.core && ok && len(found) == 0 {
					t.Error("this machine was expected to write core files: this test shows nothing")
				}
				if !c.core && len(found) > 0 {
					t.Errorf("core files: %q", found)
				}
				if has(errors.Bytes(), token) != "" {
					t.Errorf("the token is printed:\n%s", errors.String())
				}
			})
		}
	}
}
