//go:build !windows

package main

import "io"

// tryModule is not for this program here: loading a library needs cgo.
func tryModule([]string, io.Writer) (code int, done bool) { return 0, false }

var _ = initializeFlag
