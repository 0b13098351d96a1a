// Package tools tries OpenSSL, pkcs11-tool and osslsigncode, and what certificates of the service are worth to them.
package tools

import (
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
