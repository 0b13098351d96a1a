package logfile

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ready waits until a write will not block, at most so many milliseconds. By select:
// poll(2) of macOS does not know devices, and a terminal is one.
func (s stream) ready(milliseconds int) bool {
	end := time.Now().Add(time.Duration(milliseconds) * time.Millisecond)
	for range 8 {
		var w unix.FdSet
		w.Set(int(s))
		left := unix.NsecToTimeval(max(0, time.Until(end)).Nanoseconds())
		n, err := unix.Select(int(s)+1, nil, &w, nil, &left)
		if err == unix.EINTR {
			continue
		}
		return err == nil && n == 1
	}
	return false
}

// write raises no SIGPIPE, which macOS sends to the process and not to this thread:
// the open file is told so for the moment (fcntl(2), F_SETNOSIGPIPE). What is no pipe
// and no socket has no such flag.
func (s stream) write(b []byte) (n int, again bool, err error) {
	if raises, err := unix.FcntlInt(uintptr(s), unix.F_GETNOSIGPIPE, 0); err == nil && raises == 0 {
		if _, err := unix.FcntlInt(uintptr(s), unix.F_SETNOSIGPIPE, 1); err != nil {
			return 0, false, err
		}
		defer func() { _, _ = unix.FcntlInt(uintptr(s), unix.F_SETNOSIGPIPE, 0) }()
	}
	n, err = syscall.Write(int(s), b)
	return n, err == syscall.EINTR || err == syscall.EAGAIN, err
}
