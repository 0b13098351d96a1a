//go:build unix

package faultproxy

import (
	"net"

	"golang.org/x/sys/unix"
)

// Hold keeps a port of 127.0.0.1 (addr: host:port) at which nobody listens any more, until
// release: connections are refused, and the system gives the port to nobody. A test that
// only closes its listener may find the listener of another test there.
func Hold(addr string) (release func(), err error) {
	a, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	to := &unix.SockaddrInet4{Port: a.Port}
	copy(to.Addr[:], a.IP.To4())
	// The connections that were accepted there may still be about to end.
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
		err = unix.Bind(fd, to)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return func() { _ = unix.Close(fd) }, nil
}
