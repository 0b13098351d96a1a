package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// harden keeps the memory of this process, which holds keys, out of core dumps (setrlimit(2)).
func harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	return nil
}
