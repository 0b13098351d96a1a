// Command signpath is the one program for people: it runs the signing service,
// a throw-away service for development, and administers an installation.
//
// This folder holds the command line and the wiring; nothing is decided here
// that a service package could decide. Every command prints its result on
// stdout and everything else (progress, warnings, errors, log) on stderr. No
// secret is ever printed, except a new API token, once, on stdout.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"signpath/internal/hardening"
	"signpath/internal/provider/gpg"
)

func main() {
	// Before anything is read: every command may hold a token, a password or a key.
	if err := hardening.Process(); err != nil {
		fmt.Fprintf(os.Stderr, "signpath: %v\n", err)
		os.Exit(1)
	}
	s := streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	switch filepath.Base(os.Args[0]) { // links in a home of signpath gpg init
	case gpg.PinentryName:
		os.Exit(runPinentry(s))
	case gpg.DaemonName:
		os.Exit(runDaemon(s, os.Args[1:]))
	}
	if len(os.Args) > 2 && os.Args[1] == tryFlag {
		if code, done := tryModule(os.Args[2:], s.out); done {
			os.Exit(code)
		}
	}
	os.Exit(run(os.Args[1:], s))
}
