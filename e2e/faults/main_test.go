// Package faults lets everything go wrong between tool and service, and on the machine.
package faults

import (
	"flag"
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "10") // the tests wait most of the time
	rig.Main(m)
}
