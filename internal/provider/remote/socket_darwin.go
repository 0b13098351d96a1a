package remote

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// quietSocket keeps a broken connection from ending the host: on macOS, SIGPIPE of a
// socket goes to the process (xnu, bsd/kern/uipc_syscalls.c), so that a host that left
// its handler alone would die of it. setsockopt(2), SO_NOSIGPIPE.
func quietSocket(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NOSIGPIPE, 1)
	}); e != nil {
		return e
	}
	return err
}
