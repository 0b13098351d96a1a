package settings

import (
	"crypto/sha1" //nolint:gosec // a thumbprint
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// A service that demands client certificates gets that of the store, found by its
// thumbprint, with a key that CryptoAPI keeps.
func TestClientCertificateByThumbprint(t *testing.T) {
	own := rig.OwnService(t)
	own.Stop()
	pfx := personal(t)
	ca := filepath.Join(filepath.Dir(pfx), "cert.pem")
	port := rig.FreePort(t)
	server := rig.Here.Start(t, os.Environ(), rig.Binary, "server", "--data", own.File("data"), "--listen", "127.0.0.1:"+port, "--client-ca", ca)
	for end := time.Now().Add(time.Minute); !strings.Contains(server.Output(), "msg=ready"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the service is not ready:\n%s", server.Output())
		}
	}
	w := winrig.Own(t, false)
	w.Bare(t).Run(t, winrig.Compile(t, "amd64", "import.exe", "testdata/import.c", "-municode", "-lcrypt32"), winrig.Path(pfx)).OK(t).Says(t, "imported")
	block, _ := pem.Decode(rig.Must(os.ReadFile(ca)))
	sum := sha1.Sum(block.Bytes) //nolint:gosec // a thumbprint
	thumbprint := "SIGNPATH_TLS_CLIENT_CERTIFICATE=thumbprint:" + hex.EncodeToString(sum[:])
	base := []string{"SIGNPATH_API_URL=https://127.0.0.1:" + port + "/Api", "SIGNPATH_TRUSTED_CA_FILE=" + own.File("tls-ca.pem"), "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=1"}

	dryRunWith(t, w.Tool(t, own, "Cli", base...), "rsa2048").Fails(t).Says(t, "client certificate")
	with := w.Tool(t, own, "Cli", append(base, thumbprint)...)
	dryRunWith(t, with, "rsa2048").OK(t).Says(t, "the token is accepted")
	with.Run(t, signpath(t), "doctor", "--policy", rig.Project+"/rsa2048").Says(t, `"build agent", made by "build agent"`).Says(t, "TLS 1.2")
	missing := w.Tool(t, own, "Cli", append(base, "SIGNPATH_TLS_CLIENT_CERTIFICATE=thumbprint:"+strings.Repeat("00", 20))...)
	dryRunWith(t, missing, "rsa2048").Fails(t).Says(t, `in CurrentUser\My or LocalMachine\My`)
}
