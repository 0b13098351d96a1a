//go:build unix

package hsm

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a worker's process with the service's end of the socket.
type process struct {
	socket  net.Conn
	command *exec.Cmd
	exited  chan struct{}
	once    sync.Once
}

// startProcess starts the worker in a process group of its own, so that Ctrl-C
// in a terminal reaches the service first, and so that the children of a
// vendor's module end with it. It inherits one end of a socket pair as file
// descriptor 3 and nothing else.
func startProcess(path string, environment []string, output io.Writer) (*process, error) {
	// The lock keeps another fork from inheriting the ends before they are marked.
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("making a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "service")
	defer theirs.Close()
	defer ours.Close() // FileConn has a copy of its own
	socket, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("using the socket pair: %w", err)
	}
	c := exec.Command(path)
	c.Env = environment
	c.Dir = "/"
	c.ExtraFiles = []*os.File{theirs}
	c.Stdout, c.Stderr = output, output
	c.WaitDelay = time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		_ = socket.Close()
		return nil, err
	}
	p := &process{socket: socket, command: c, exited: make(chan struct{})}
	go func() {
		_ = c.Wait() // ProcessState has the result
		close(p.exited)
	}()
	return p, nil
}

func (p *process) pid() int { return p.command.Process.Pid }

// kill ends process and children, after it had some time to end by itself. The
// result says how it ended, as far as that is known soon.
func (p *process) kill(patience time.Duration) (how string, known bool) {
	if patience > 0 {
		select {
		case <-p.exited:
		case <-time.After(patience):
		}
	}
	p.once.Do(func() {
		select {
		case <-p.exited: // its number may belong to another process by now
		default:
			_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
			_ = p.command.Process.Kill()
		}
	})
	// A process that hangs in the kernel cannot be waited for.
	select {
	case <-p.exited:
		return p.command.ProcessState.String(), true
	case <-time.After(time.Second):
		return "", false
	}
}
