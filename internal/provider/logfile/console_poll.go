//go:build unix && !darwin

package logfile

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ready waits until a write will not block, at most so many milliseconds.
func (s stream) ready(milliseconds int) bool {
	p := []unix.PollFd{{Fd: int32(s), Events: unix.POLLOUT}}
	for range 8 {
		n, err := unix.Poll(p, milliseconds)
		if err == unix.EINTR {
			continue
		}
		return err == nil && n == 1 && p[0].Revents&unix.POLLOUT != 0 && p[0].Revents&(unix.POLLERR|unix.POLLNVAL) == 0
	}
	return false
}

func (s stream) write(b []byte) (n int, again bool, err error) {
	n, err = syscall.Write(int(s), b)
	return n, err == syscall.EINTR || err == syscall.EAGAIN, err
}
