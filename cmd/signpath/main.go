// Command signpath is the one program for people: it runs the signing service,
// a throw-away service for development, and administers an installation.
//
// This folder holds the command line and the wiring; nothing is decided here
// that a service package could decide. Every command prints its result on
// stdout and everything else (progress, warnings, errors, log) on stderr. No
// secret is ever printed, except a new API token, once, on stdout.
package main

import (
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
