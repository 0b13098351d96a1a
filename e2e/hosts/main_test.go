// Package hosts runs programs that are hard on a module: forks, signals, threads, unload, late variables.
package hosts

import (
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
