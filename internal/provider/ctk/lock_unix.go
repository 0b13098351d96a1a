//go:build unix

package ctk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrLocked means that another app of this user runs.
var ErrLocked = errors.New("another " + AppName + " of this user runs")

// Held is the right to be the one app of a user, until Release or the process's end.
type Held struct{ f *os.File }

// Lock takes it, or says ErrLocked (flock(2); a crash leaves no lock behind).
func Lock(folder string) (*Held, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("%s cannot be locked: %w", f.Name(), err)
	}
	return &Held{f}, nil
}

// Release gives it back.
func (h *Held) Release() { _ = h.f.Close() }
