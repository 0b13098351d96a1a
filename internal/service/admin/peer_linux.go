package admin

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peersKnown tells whether the operating system says who calls.
const peersKnown = true

// peerOf asks the kernel who connected (SO_PEERCRED, unix(7)).
func peerOf(c *net.UnixConn) (Peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("asking who calls: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Peer{}, fmt.Errorf("asking who calls: %w", err)
	}
	if credErr != nil {
		return Peer{}, fmt.Errorf("asking who calls: %w", credErr)
	}
	return Peer{UID: cred.Uid, PID: cred.Pid}, nil
}
