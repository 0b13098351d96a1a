//go:build unix

package logfile

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// stream is a file descriptor of the host.
type stream int

func standardStream(stdout bool) stream {
	if stdout {
		return 1
	}
	return 2
}

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

// chunk is how much may be written at once.
func (s stream) chunk() int {
	var st unix.Stat_t
	if unix.Fstat(int(s), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		return maxLine + 1
	}
	return pipeChunk
}

func (s stream) write(b []byte) (n int, again bool, err error) {
	n, err = syscall.Write(int(s), b)
	return n, err == syscall.EINTR || err == syscall.EAGAIN, err
}
