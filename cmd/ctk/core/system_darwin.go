//go:build cgo

package main

import (
	"os"

	"golang.org/x/sys/unix"

	"signpath/internal/hardening"
)

// daemon is the process ID of this user's ctkd, 0 when there is none (sysctl(3),
// KERN_PROC_UID).
func daemon() int {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.uid", os.Getuid())
	if err != nil {
		return 0
	}
	for i := range all {
		if unix.ByteSliceToString(all[i].Proc.P_comm[:]) == "ctkd" {
			return int(all[i].Proc.P_pid)
		}
	}
	return 0
}

// harden closes the memory of the process, which holds the API token.
func harden() error { return hardening.Process() }
