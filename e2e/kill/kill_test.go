package kill

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
	"signpath/internal/testkit/pgtest"
	"signpath/internal/testkit/softhsm"
)

// rounds is how often something is killed.
func rounds() int {
	if rig.All {
		return 12
	}
	return 4
}

// between is what clients get done before the next kill.
func between() int { return 25 + rand.IntN(50) }

// developed is what clients need of a development service.
func developed(t *testing.T, s *rig.Service) target {
	t.Helper()
	tg := target{env: s.Env, project: rig.Project, keys: map[string]crypto.PublicKey{}}
	for _, p := range policies {
		block, _ := pem.Decode(rig.Must(os.ReadFile(s.File("certificates", p+".pem"))))
		tg.keys[p] = rig.Must(x509.ParseCertificate(block.Bytes)).PublicKey
	}
	return tg
}

// TestKillService kills a service with the embedded database.
func TestKillService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := rig.Must(rig.Start(dir, strings.Join(policies, ",")))
	defer func() { s.Stop() }()
	address := strings.TrimSuffix(strings.TrimPrefix(s.Env["SIGNPATH_API_URL"], "https://"), "/Api")
	l := startLoad(t, developed(t, s))
	for range rounds() {
		l.more(between())
		if err := s.Cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.Cmd.Wait()
		var err error
		if s, err = rig.Start(dir, strings.Join(policies, ","), "--listen", address); err != nil {
			t.Fatal(err)
		}
	}
	l.more(10)
	l.end()
	s.Stop()
	if agree(t, l, false, "--data", s.File("data")) == 0 && l.failed == 0 {
		t.Error("no kill hit a signature: this test shows nothing")
	}
}

// TestKillWorker kills the worker process that has the keys, in turn with SIGKILL
// and with SIGABRT, after which no core file may be there.
func TestKillWorker(t *testing.T) {
	home := softhsm.New(t)
	const pin = "pin-6029471835"
	home.Init(t, "test", pin)
	t.Setenv("SOFTHSM2_CONF", home.Conf)
	// Started through a shell, so that core files would be written.
	var unlimited syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &unlimited); err != nil {
		t.Fatal(err)
	}
	before := unlimited
	unlimited.Cur = unlimited.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &unlimited); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &before) }()
	t.Chdir(t.TempDir())
	s := rig.Must(rig.Start(t.TempDir(), strings.Join(policies, ","), "--hsm-module", softhsm.Module(t), "--hsm-token", "test", "--hsm-pin-file", home.PINFile(t, "pin", pin)))
	defer s.Stop()
	l := startLoad(t, developed(t, s))
	for i := range rounds() {
		l.more(between())
		killed := 0
		for end := time.Now().Add(20 * time.Second); killed == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			for _, pid := range workers(s.Cmd.Process.Pid) {
				_ = syscall.Kill(pid, []syscall.Signal{syscall.SIGKILL, syscall.SIGABRT}[i%2]) // it may have ended meanwhile
				killed++
			}
		}
		if killed == 0 {
			t.Fatal("no worker process to kill")
		}
	}
	l.more(10)
	l.end()
	s.Stop()
	agree(t, l, false, "--data", s.File("data"))
	if found := rig.Must(filepath.Glob("core*")); len(found) > 0 {
		t.Errorf("core files: %q", found)
	}
}

// workers are the worker processes of a service.
func workers(parent int) (pids []int) {
	for _, file := range rig.Must(filepath.Glob("/proc/[0-9]*/stat")) {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		name, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if strings.HasSuffix(name, "(signpath-hsm") && len(fields) > 1 && fields[1] == strconv.Itoa(parent) && fields[0] != "Z" {
			pids = append(pids, rig.Must(strconv.Atoi(filepath.Base(filepath.Dir(file)))))
		}
	}
	return pids
}

// replica is a `signpath server` on a shared database.
type replica struct {
	data    string
	flags   []string
	cmd     *exec.Cmd
	address string
}

var ready = regexp.MustCompile(`msg=ready .*api=https://(\S+)/Api`)

// start starts the replica, at the address that it had before.
func (r *replica) start(t *testing.T) {
	t.Helper()
	listen := r.address
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	log, err := os.OpenFile(r.data+".log", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r.cmd = exec.Command(rig.Binary, append([]string{"server", "--data", r.data, "--listen", listen}, r.flags...)...)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text := rig.Must(os.ReadFile(r.data + ".log"))
		if m := ready.FindSubmatch(text); m != nil {
			r.address = string(m[1])
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the replica is not ready:\n%s", text)
		}
	}
}

func (r *replica) end(sig syscall.Signal) {
	if r.cmd != nil && r.cmd.ProcessState == nil {
		_ = r.cmd.Process.Signal(sig)
		_ = r.cmd.Wait()
	}
}

// TestKillPostgreSQL kills, in turn, one of two replicas and the database under both.
func TestKillPostgreSQL(t *testing.T) {
	t.Parallel()
	database := pgtest.StartServer(t)
	base := t.TempDir()
	one := &replica{data: filepath.Join(base, "one"), flags: []string{"--database", database.DSN}}
	two := &replica{data: filepath.Join(base, "two"), flags: append(one.flags, "--key-encryption-key-file", filepath.Join(one.data, "kek"))}
	for _, r := range []*replica{one, two} {
		r.start(t)
		defer r.end(syscall.SIGTERM)
	}
	env, keys := organize(t, one)
	seen := func(r *replica) target {
		mine := map[string]string{}
		for k, v := range env {
			mine[k] = v
		}
		mine["SIGNPATH_API_URL"] = "https://" + r.address + "/Api"
		mine["SIGNPATH_TRUSTED_CA_FILE"] = filepath.Join(r.data, "tls-ca.pem")
		return target{env: mine, project: "app", keys: keys}
	}
	l := startLoad(t, seen(one), seen(two))
	for i := range rounds() {
		l.more(between())
		if i%2 == 0 {
			one.end(syscall.SIGKILL)
			one.start(t)
		} else {
			database.Kill(t)
			database.Restart(t)
		}
	}
	l.more(20)
	l.end()
	for _, r := range []*replica{one, two} {
		r.end(syscall.SIGTERM)
	}
	// Intents of the killed replica may belong to a living one for five minutes.
	agree(t, l, true, "--database", database.DSN)
	if !rig.All {
		return
	}
	two.start(t)
	time.Sleep(5*time.Minute + 70*time.Second)
	two.end(syscall.SIGTERM)
	if agree(t, l, false, "--database", database.DSN) == 0 {
		t.Error("no intent of the killed replica was ended as unknown")
	}
}

// organize makes an organization with the keys of this test, through the command line.
func organize(t *testing.T, r *replica) (env map[string]string, keys map[string]crypto.PublicKey) {
	t.Helper()
	admin := func(args ...string) string {
		out := strings.TrimSpace(rig.Run(t, nil, rig.Binary, append([]string{"admin", "--data", r.data}, args...)...).OK(t).Output)
		return out[strings.LastIndexByte(out, '\n')+1:]
	}
	env = map[string]string{"SIGNPATH_ORGANIZATION_ID": admin("organization", "create", "Acme")}
	admin("project", "create", "app")
	admin("user", "create", "build", "--kind", "ci")
	keys = map[string]crypto.PublicKey{}
	for _, p := range policies {
		admin("certificate", "create", p, "--common-name", "Acme "+p, "--key-type", p)
		admin("policy", "create", "app/"+p, "--certificate", p, "--submitter", "build")
		file := filepath.Join(t.TempDir(), p)
		admin("certificate", "export", p, "--format", "spki", "--out", file)
		block, _ := pem.Decode(rig.Must(os.ReadFile(file)))
		if block == nil {
			t.Fatal(fmt.Errorf("no PEM in %s", file))
		}
		keys[p] = rig.Must(x509.ParsePKIXPublicKey(block.Bytes))
	}
	env["SIGNPATH_API_TOKEN"] = admin("token", "create", "build")
	return env, keys
}
