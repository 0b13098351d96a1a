// Package languages lets programs in Python, Node, Go and Rust sign with the module,
// by the PKCS #11 library that each language's users take, and pyHanko sign PDFs.
//
// Environment, all set by scripts/test, which fetches and builds what the lock files
// in the folders here name: E2E_PYTHON_PACKAGES, E2E_NODE (the program),
// E2E_NODE_PACKAGES, E2E_GO_HOSTS (folder), E2E_RUST_HOST.
package languages

import (
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
