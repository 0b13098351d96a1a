//go:build linux || darwin

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// hideInput stops a terminal from showing what is typed, until restore is
// called or a signal ends the program. An error: it is no terminal.
func hideInput(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	old, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	hidden := *old
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, setTermios, &hidden); err != nil {
		return nil, err
	}
	put := func() { _ = unix.IoctlSetTermios(fd, setTermios, old) } // nothing can be done about a terminal that is gone
	return untilRestored(put, unix.SIGINT, unix.SIGTERM, unix.SIGHUP), nil
}
