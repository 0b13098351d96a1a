package standard

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
	"signpath/internal/testkit/softhsm"
)

// token is a module with a token that holds an RSA key of 3072 bits and an EC key on
// P-256, each as private and public key with the same CKA_ID.
type token struct {
	name           string
	module         string
	pin            string
	rsaID, ecID    string
	writeProtected bool // only read-only sessions open
	ours           bool
	env            func(*testing.T) []string
	more           []string // settings beside the service's
}

// ourToken is the built module before a development service.
func ourToken(t *testing.T, more ...string) *token {
	s := rig.TheService(t)
	module := rig.Module
	if windows {
		module = winrig.Path(winrig.DLL(t, "amd64", "SignPath.Cryptoki.dll"))
	}
	return &token{
		more: more, name: "signpath", module: module, pin: "CONFIG", rsaID: rig.Project + "/rsa3072", ecID: rig.Project + "/p256", writeProtected: true, ours: true,
		env: func(t *testing.T) []string { return s.Tool(t, more...).Env },
	}
}

// softHSM is SoftHSM 2 with keys of the same kinds.
func softHSM(t *testing.T) *token {
	const pin = "123456"
	home := softhsm.New(t)
	home.Init(t, "standard", pin)
	tok := &token{name: "softhsm", module: softhsm.Module(t), pin: pin, rsaID: "project/rsa3072", ecID: "project/p256"}
	for id, options := range map[string][]string{tok.rsaID: {"RSA", "-pkeyopt", "rsa_keygen_bits:3072"}, tok.ecID: {"EC", "-pkeyopt", "ec_paramgen_curve:P-256"}} {
		file := filepath.Join(home.Dir, filepath.Base(id)+".pem")
		rig.Run(t, nil, "openssl", append([]string{"genpkey", "-quiet", "-out", file, "-algorithm"}, options...)...).OK(t)
		home.Run(t, "softhsm2-util", "--import", file, "--token", "standard", "--label", id, "--id", hex.EncodeToString([]byte(id)), "--pin", pin)
	}
	tok.env = func(*testing.T) []string { return []string{"PATH=" + os.Getenv("PATH"), "SOFTHSM2_CONF=" + home.Conf} }
	return tok
}
