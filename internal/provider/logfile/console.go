package logfile

// console writes to the host's standard output or error stream, past Go's os
// package, which ends the process when that is a broken pipe.
//
// A stream that nobody reads must not hold up a signature: the first line that
// finds it full waits for patience milliseconds and is then dropped, later ones
// are dropped at once until the stream takes data again.
type console struct {
	stream  stream
	stalled bool
}

const (
	patience  = 100  // milliseconds
	pipeChunk = 4096 // a pipe that is ready takes this much without waiting (POSIX PIPE_BUF is at least 512, 4096 on Linux)
)

func newConsole(stdout bool) *console { return &console{stream: standardStream(stdout)} }

// write sends a line and forgets about errors.
func (c *console) write(line []byte) {
	for tries := 0; len(line) > 0 && tries < 64; tries++ {
		wait := patience
		if c.stalled {
			wait = 0
		}
		if !c.stream.ready(wait) {
			c.stalled = true
			return
		}
		n, again, err := c.stream.write(line[:min(len(line), c.stream.chunk())])
		switch {
		case again:
			continue
		case err != nil || n <= 0:
			return
		}
		c.stalled = false
		line = line[n:]
	}
}
