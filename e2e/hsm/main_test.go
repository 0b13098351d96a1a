// Package hsm tries keys on a PKCS #11 token: SoftHSM behind signpath dev and signpath server.
package hsm

import (
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
