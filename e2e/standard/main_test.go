// Package standard holds a PKCS #11 module against the standard: each case names the
// section, makes the calls and says which return values the section allows. The same
// cases drive the built module and, as the baseline, SoftHSM 2; deviations_test.go
// lists what SoftHSM does differently, and each entry has to stay true.
//
// Sections are those of PKCS #11 Base Specification v2.40; "3.0" before one means
// v3.0, whose numbers v3.1 kept. A case runs in a process of its own
// (testdata/caller.c), whose buffers end at pages that nobody may touch: one byte too
// far is a crash, and a crash is a failed case.
package standard

import (
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
