// Package buildinfo tells which build is running. scripts/build sets the
// variables with -ldflags -X; a plain `go build` shows what the Go toolchain
// knows. It imports nothing of ours.
package buildinfo

import (
	"runtime"
	"runtime/debug"
)

// Set by the linker; see scripts/build.
var (
	version = "0.1.0-dev"
	commit  = ""
)

// Version is the release as semantic version, e.g. "0.1.0".
func Version() string { return version }

// Commit is the source revision (40 hex digits, "-dirty" appended when the
// tree had changes), or "unknown".
func Commit() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// String is the line that --version prints.
func String() string {
	return version + " (commit " + Commit() + ", " + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + ")"
}
