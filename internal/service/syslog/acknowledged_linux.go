package syslog

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacknowledged is how many bytes the peer has not acknowledged yet (tcp(7), SIOCOUTQ).
func unacknowledged(c *net.TCPConn) (n int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if controlErr != nil {
		return 0, controlErr
	}
	return n, err
}
