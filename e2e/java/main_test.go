// Package java tries jarsigner, keytool, apksigner and Jsign, its REST store included.
package java

import (
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
