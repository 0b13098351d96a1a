// Package kill ends services, workers and databases with SIGKILL while many
// clients sign, and holds the audit log against the signatures that they have.
package kill

import (
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
