package rig

import (
	"encoding/hex"
)

func IDHex(key string) string { return hex.EncodeToString([]byte(Project + "/" + key)) }

func PKCS11Tool(args ...string) []string {
	return append([]string{"--module", Module, "--pin", "CONFIG"}, args...)
}
