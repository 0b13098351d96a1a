package hardening

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Process closes this process's memory (setrlimit(2), prctl(2)): no core dumps,
// and no debugger of the same user. The limit alone would not do: a pipe in
// kernel.core_pattern takes core dumps whatever their limit (core(5)).
func Process() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	return nil
}

// NoNewRights keeps this process and its children from gaining rights by
// programs that are setuid (prctl(2), PR_SET_NO_NEW_PRIVS).
func NoNewRights() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up new rights: %w", err)
	}
	return nil
}
