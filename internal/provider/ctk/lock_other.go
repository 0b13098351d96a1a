//go:build !unix

package ctk

import "errors"

// ErrLocked means that another app of this user runs.
var ErrLocked = errors.New("another " + AppName + " of this user runs")

// Held is the right to be the one app of a user.
type Held struct{}

// Lock fails: the app exists on macOS only.
func Lock(string) (*Held, error) { return nil, errors.New("the app exists on macOS only") }

// Release gives it back.
func (*Held) Release() {}
