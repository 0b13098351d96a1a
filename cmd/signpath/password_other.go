//go:build !linux && !darwin && !windows

package main

import (
	"errors"
	"os"
)

// hideInput is for terminals of Unix and Windows; elsewhere the password comes from a file.
func hideInput(*os.File) (restore func(), err error) { return nil, errors.ErrUnsupported }
