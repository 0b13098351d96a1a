package logfile

import "golang.org/x/sys/windows"

// stream is one of the host's standard handles. It is asked for at each use: a
// host may attach a console late.
type stream uint32

func standardStream(stdout bool) stream {
	if stdout {
		return stream(uint32(windows.STD_OUTPUT_HANDLE))
	}
	return stream(uint32(windows.STD_ERROR_HANDLE))
}

func (s stream) handle() (windows.Handle, bool) {
	h, err := windows.GetStdHandle(uint32(s))
	return h, err == nil && h != 0 && h != windows.InvalidHandle
}

func (s stream) ready(int) bool {
	_, ok := s.handle() // a program without a console has none
	return ok
}

func (s stream) chunk() int { return maxLine + 1 }

func (s stream) write(b []byte) (n int, again bool, err error) {
	h, ok := s.handle()
	if !ok {
		return 0, false, windows.ERROR_INVALID_HANDLE
	}
	var done uint32
	err = windows.WriteFile(h, b, &done, nil)
	return int(done), false, err
}
