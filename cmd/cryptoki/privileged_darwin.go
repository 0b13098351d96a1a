package main

// #include <unistd.h>
import "C"

// privileged tells whether this process has more rights than who started it
// (setuid, setgid).
func privileged() bool { return C.issetugid() != 0 }
