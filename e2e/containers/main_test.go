// Package containers tries cosign with a PKCS #11 key (blobs, images in a registry on
// loopback, attestations, all without the public transparency log) and skopeo with an
// OpenPGP key (simple signing). The plug-in of notation is in e2e/notation.
//
// Environment: E2E_COSIGN is cosign built with its tag pkcs11key, E2E_REGISTRY the
// program of e2e/notation/registry; scripts/test builds both.
package containers

import (
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
