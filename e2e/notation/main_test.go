// Package notation tries the plug-in of notation, whose command line tool signs and
// verifies artifacts in a registry on loopback.
//
// Environment: E2E_NOTATION is notation, E2E_REGISTRY the program of the folder
// registry; scripts/test builds both, with the versions in the go.mod files here.
package notation

import (
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
