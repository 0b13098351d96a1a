package logfile

import "runtime"

// caller is where it is called.
func caller() (pc uintptr, file string, line int, ok bool) { return runtime.Caller(1) }
