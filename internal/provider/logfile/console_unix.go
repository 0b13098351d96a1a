//go:build unix

package logfile

import "golang.org/x/sys/unix"

// stream is a file descriptor of the host.
type stream int

func standardStream(stdout bool) stream {
	if stdout {
		return 1
	}
	return 2
}

// chunk is how much may be written at once.
func (s stream) chunk() int {
	var st unix.Stat_t
	if unix.Fstat(int(s), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		return maxLine + 1
	}
	return pipeChunk
}
