//go:build unix

// Package pgtest starts a real PostgreSQL server for tests.
//
// What enters is a test, what leaves is a connection string. The server listens
// on a Unix socket in a private temporary folder and on no network port, keeps
// its durability settings, and is stopped by its process ID when the test ends.
// It needs the server's programs (Debian: package postgresql); a machine
// without them fails the test, it does not skip it.
package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// debianFolders is where Debian keeps the programs of each version.
const debianFolders = "/usr/lib/postgresql/*/bin"

const (
	startLimit = 60 * time.Second
	stopLimit  = 20 * time.Second
)

// Start starts a server with one empty database for the time of the test.
func Start(t testing.TB) (dsn string) {
	t.Helper()
	return StartServer(t).DSN
}

// Server is a running server that a test may kill.
type Server struct {
	DSN     string // the connection string of its empty database
	command func(name string, args ...string) *exec.Cmd
	dir     string

	process *os.Process
	ended   chan struct{}
	log     bytes.Buffer
}

// StartServer is Start for tests that kill the server.
func StartServer(t testing.TB) *Server {
	t.Helper()
	bin, err := find(debianFolders)
	if err != nil {
		t.Fatal(err)
	}
	account, err := unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := folder(account)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{DSN: "postgres://test@/postgres?host=" + dir, dir: dir}
	s.command = func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = dir // the test's own folder may be closed to the account
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + dir}
		cmd.SysProcAttr = account.attributes()
		return cmd
	}
	if out, err := s.command("initdb", "--pgdata="+s.data(), "--username=test", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if s.process == nil {
			return
		}
		if err := stop(s.process, s.ended); err != nil {
			t.Errorf("stopping postgres: %v", err)
		}
	})
	s.Restart(t)
	return s
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Restart starts the server after Kill, with the data that survived.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	server := s.command("postgres", "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=",
		"-c", "unix_socket_permissions=0777", "-c", "max_connections=60")
	s.log.Reset()
	server.Stdout, server.Stderr = &s.log, &s.log
	ended, err := run(server)
	if err != nil {
		t.Fatalf("postgres: %v", err)
	}
	s.process, s.ended = server.Process, ended
	if err := wait(s.DSN, ended); err != nil {
		stop(s.process, ended) // so that the log is complete
		t.Fatalf("postgres does not answer: %v\n%s", err, s.log.String())
	}
}

// Kill kills the server and all of its processes with SIGKILL, as if the machine
// had lost its power (but that what was written stays in the system's cache).
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	all := append(children(s.process.Pid), s.process.Pid)
	for _, pid := range all {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	<-s.ended
	// A server that starts while one of them lives would refuse the data folder.
	for limit := time.Now().Add(stopLimit); len(all) > 0; time.Sleep(5 * time.Millisecond) {
		all = slices.DeleteFunc(all, func(pid int) bool { return !running(pid) })
		if time.Now().After(limit) {
			t.Fatalf("the processes %v of postgres live on", all)
		}
	}
}

// NewDatabase makes another empty database on the server of dsn; much faster
// than another server.
func NewDatabase(t testing.TB, dsn string) string {
	t.Helper()
	name := "test_" + rand.Text()
	if err := execute(dsn, `CREATE DATABASE "`+name+`"`); err != nil {
		t.Fatal(err)
	}
	config, err := withDatabase(dsn, name)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func withDatabase(dsn, name string) (string, error) {
	before, after, ok := strings.Cut(dsn, "/postgres?")
	if !ok {
		return "", fmt.Errorf("%q is no connection string of Start", dsn)
	}
	return before + "/" + name + "?" + after, nil
}

// find finds the folder of initdb and postgres: in PATH, or in the folders that
// match pattern, the newest version first.
func find(pattern string) (string, error) {
	var folders []string
	if path, err := exec.LookPath("initdb"); err == nil {
		folders = append(folders, filepath.Dir(path))
	}
	debian, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	slices.SortFunc(debian, func(a, b string) int { return majorVersion(b) - majorVersion(a) })
	for _, dir := range append(folders, debian...) {
		if executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", errors.New("this test needs a PostgreSQL server: initdb and postgres are neither in PATH " +
		"nor in " + pattern + "; install the Debian package postgresql")
}

func majorVersion(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return n
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// account is whom the server runs as; nil: ourselves.
type account struct{ uid, gid int }

// unprivileged is the account for the server, which refuses to run as root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return &account{uid, gid}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody; " +
		"install the Debian package postgresql or run the tests as another user")
}

func (a *account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches the test, which then stops the server
	dieWithParent(attr)
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: []uint32{}}
	}
	return attr
}

// folder makes the private folder. Its path is short: that of a Unix socket
// must not pass 107 bytes.
func folder(a *account) (string, error) {
	dir, err := os.MkdirTemp("/tmp", "pg")
	if err != nil {
		return "", err
	}
	if a != nil {
		if err := os.Chown(dir, a.uid, a.gid); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// run starts the server. The goroutine keeps its thread until the server has
// ended, because a child that dies with its parent dies with the thread that
// started it.
func run(server *exec.Cmd) (ended chan struct{}, err error) {
	ended = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := server.Start()
		started <- err
		if err == nil {
			server.Wait() // its status says nothing about the test
			close(ended)
		}
	}()
	return ended, <-started
}

// stop asks for the fast shutdown, then for the immediate one, then kills.
func stop(server *os.Process, ended chan struct{}) error {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := server.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		select {
		case <-ended:
			return nil
		case <-time.After(stopLimit):
		}
	}
	return fmt.Errorf("process %d does not end", server.Pid)
}

// wait waits until the server answers.
func wait(dsn string, ended chan struct{}) error {
	limit := time.Now().Add(startLimit)
	for {
		err := execute(dsn, "SELECT 1")
		if err == nil {
			return nil
		}
		if time.Now().After(limit) {
			return err
		}
		select {
		case <-ended:
			return errors.New("the server has ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func execute(dsn, statement string) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	_, err = db.ExecContext(ctx, statement)
	return err
}
