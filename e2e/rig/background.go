package rig

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Background is a program that runs beside the test, with all that it starts.
type Background struct {
	Pid   int // of the program, and of its process group
	Ended chan struct{}
	Code  int // once Ended is closed
	mu    sync.Mutex
	out   bytes.Buffer
}

func (b *Background) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

// Output is what the program printed up to now.
func (b *Background) Output() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

// Start starts a program in the system, in a process group of its own, and ends the
// group after the test.
func (y System) Start(t *testing.T, env []string, program string, args ...string) *Background {
	t.Helper()
	line := append([]string{program}, args...)
	switch {
	case y.Root == "":
	case os.Geteuid() == 0:
		line = append([]string{"chroot", y.Root}, line...)
	default:
		line = append([]string{"sudo", "-E", "chroot", fmt.Sprintf("--userspec=%d:%d", os.Getuid(), os.Getgid()), y.Root}, line...)
	}
	b := &Background{Ended: make(chan struct{})}
	c := exec.Command(line[0], line[1:]...)
	c.Env, c.Stdout, c.Stderr = env, b, b
	c.WaitDelay = 5 * time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	b.Pid = c.Process.Pid
	go func() {
		_ = c.Wait()
		b.Code = c.ProcessState.ExitCode()
		close(b.Ended)
	}()
	t.Cleanup(func() {
		b.Signal(-b.Pid, syscall.SIGTERM)
		select {
		case <-b.Ended:
		case <-time.After(10 * time.Second):
		}
		b.Signal(-b.Pid, syscall.SIGKILL) // and what is left of the group
		<-b.Ended
	})
	return b
}

// Signal sends a signal to a process of the program, or to a group if negative,
// also where the program runs as another user.
func (b *Background) Signal(pid int, signal syscall.Signal) {
	if err := syscall.Kill(pid, signal); errors.Is(err, syscall.EPERM) {
		_ = exec.Command("sudo", "kill", fmt.Sprintf("-%d", signal), "--", strconv.Itoa(pid)).Run()
	}
}

// FreePort is a port on loopback that nobody listens on. It lies outside of the
// range from which systems give ports to connections and to listeners on port 0,
// so that nobody gets it by chance before it is used.
func FreePort(t *testing.T) string {
	t.Helper()
	const first, count = 10000, 20000
	for range 1000 {
		port := strconv.Itoa(first + int(rand.Uint32N(count)))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// Roots are what the certificates of the service's keys chain to.
func (s *Service) Roots(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(Must(os.ReadFile(s.File("ca.pem"))))
	return pool
}

// Handshake speaks TLS of one version with a server on loopback by Go's own TLS,
// checks its certificate for localhost, says something, and reads to the end.
func (s *Service) Handshake(t *testing.T, port string, version uint16, suites []uint16, say string) (*x509.Certificate, string, error) {
	t.Helper()
	d := &net.Dialer{Timeout: 10 * time.Second}
	c, err := tls.DialWithDialer(d, "tcp", "127.0.0.1:"+port, &tls.Config{ServerName: "localhost", RootCAs: s.Roots(t), MinVersion: version, MaxVersion: version, CipherSuites: suites})
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, say); err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(c)
	return c.ConnectionState().PeerCertificates[0], string(b), err
}
