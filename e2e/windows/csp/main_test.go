// Package csp runs programs against SignPathCSP: in C, through Windows' own CryptoAPI,
// with the calls of well-known tools in their order; through the DLL's functions
// themselves with handles and addresses that are nobody's; with many threads, and
// while the service fails. OpenSSL judges what was signed.
package csp

import (
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
