//go:build unix && !linux

package pgtest

import "syscall"

// dieWithParent does nothing where the system has no such thing.
func dieWithParent(*syscall.SysProcAttr) {}

// children are not known there; a server's end when their parent ends.
func children(int) []int { return nil }

func running(pid int) bool { return syscall.Kill(pid, 0) == nil }
