//go:build unix && !linux

package hardening

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Process keeps this process's memory out of core dumps (setrlimit(2)).
func Process() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	return nil
}

// NoNewRights does nothing: only Linux has it.
func NoNewRights() error { return nil }
