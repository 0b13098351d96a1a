package main

// #include <sys/auxv.h>
import "C"

// privileged tells whether this process has more rights than who started it
// (setuid, setgid, file capabilities).
func privileged() bool { return C.getauxval(C.AT_SECURE) != 0 }
