// Package settings tries on Windows what depends on Windows: protected tokens, proxies
// of the Internet Options, TLS client certificates of the certificate store, logs of
// many processes, rights of files, and what doctor says of all that. The unit tests of
// those packages run there too.
package settings

import (
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// signpath is the program for people.
func signpath(t *testing.T) string { return winrig.DLL(t, "amd64", "signpath.exe") }
