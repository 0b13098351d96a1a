//go:build !unix

package logfile

import "errors"

// Prepare is for systems with GnuPG's Unix sockets.
func Prepare(string, ...string) error { return errors.New("not on this system") }
