package ksp

import (
	"crypto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// client builds the Go program of the folder client, with its modules.
func client(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "client.exe")
	env := append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
	rig.RunToFile(t, env, 10*time.Minute, "", "go", "build", "-C", "client", "-trimpath", "-ldflags=-s -w", "-o", out, ".").OK(t)
	return out
}

// TestGoClient: go.step.sm/crypto with RSA keys and a client of our own with ECDSA keys,
// through ncrypt.dll: two Go programs in one process.
func TestGoClient(t *testing.T) {
	if os.Getenv("E2E_I386") != "" {
		return // the stand-ins are for 64-bit Windows
	}
	s := rig.TheService(t)
	w := winrig.Taught(t)
	exe := client(t)
	keys := []string{"rsa3072", "p256"}
	if rig.All {
		keys = rig.Keys()
	}
	for _, key := range keys {
		paddings := []string{"ecdsa"}
		if rig.IsRSA(key) {
			paddings = []string{"pkcs1", "pss"}
		}
		hash, alg := "sha256", crypto.SHA256
		switch key {
		case "p384":
			hash, alg = "sha384", crypto.SHA384
		case "p521":
			hash, alg = "sha512", crypto.SHA512
		}
		for _, padding := range paddings {
			t.Run(key+"/"+padding, func(t *testing.T) {
				f := newFiles(t, alg)
				tl := w.Tool(t, s, "KSP")
				r := tl.Run(t, exe, winrig.KSP, container(key), padding, hash, winrig.Path(f.digest), winrig.Path(f.signature)).OK(t).Says(t, "client: signed")
				if padding == "ecdsa" {
					r.Says(t, "client: Length "+strings.TrimPrefix(key, "p")+"\n").Says(t, "client: Key Usage 2\n")
				}
				var more []string
				if padding == "pss" {
					more = []string{"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"}
				}
				f.judge(t, s, key, hash, more...)
				tl.InLog(t, "signed key="+container(key))
			})
		}
	}
	t.Run("no such key", func(t *testing.T) {
		tl := w.Tool(t, s, "KSP")
		tl.Run(t, exe, winrig.KSP, container("none"), "pkcs1", "sha256", winrig.Path(quick(t)), winrig.Path(filepath.Join(t.TempDir(), "x"))).Fails(t)
		tl.InLog(t, "OpenKey", container("none"), "NTE_BAD_KEYSET")
	})
}
