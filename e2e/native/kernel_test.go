package native

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"signpath/e2e/rig"
)

// moduleSignature is the PKCS #7 signature at the end of a signed kernel module
// (Linux, Documentation/admin-guide/module-signing.rst; struct module_signature: 8
// bytes, then the length of the signature, big-endian, then a fixed text), and what
// stands before it.
func moduleSignature(t *testing.T, file string) (module, der []byte) {
	t.Helper()
	b := rig.Must(os.ReadFile(file))
	b, ok := bytes.CutSuffix(b, []byte("~Module signature appended~\n"))
	if !ok || len(b) < 12 {
		t.Fatal("the module is not signed")
	}
	info := b[len(b)-12:]
	n := int(binary.BigEndian.Uint32(info[8:]))
	if info[2] != 2 || n > len(b)-12 {
		t.Fatalf("kind %d, not PKCS #7, or length %d", info[2], n)
	}
	return b[:len(b)-12-n], b[len(b)-12-n : len(b)-12]
}

// imaSignature is a signature of version 2 in evmctl's .sig file: a byte 3, the
// version, the hash, four bytes that name the key, the length (big-endian), the signature.
func imaSignature(t *testing.T, file string) []byte {
	t.Helper()
	b := rig.Must(os.ReadFile(file))
	if len(b) < 9 || b[0] != 3 || b[1] != 2 || int(binary.BigEndian.Uint16(b[7:])) != len(b)-9 {
		t.Fatalf("no IMA signature: %x", b)
	}
	return b[9:]
}

func kernelClients() []client {
	return []client{
		{name: "sign-file", where: newer, digest: sha256Of,
			sign: func(t *testing.T, j *job) *rig.Result {
				// Debian 12's build of the program: it wants OpenSSL's provider, which is in Debian 13
				program := filepath.Join(j.dir, "sign-file")
				if err := os.WriteFile(program, rig.Must(os.ReadFile(rig.Here.Glob(t, "/usr/lib/linux-kbuild-6.1/scripts/sign-file"))), 0o700); err != nil {
					t.Fatal(err)
				}
				return j.with(t, []string{"PKCS11_PROVIDER_MODULE=" + j.y.Module(t)}, program, "sha256", j.uri()+"?pin-value=CONFIG", j.cert, j.file, j.out)
			},
			judge: func(t *testing.T, j *job) {
				module, der := moduleSignature(t, j.out)
				if !bytes.Equal(module, j.content(t)) {
					t.Error("the module was changed")
				}
				j.opensslCMS(t, "DER", rig.Write(t, j.out+".p7s", der), "-certfile", j.cert)
			}},
		{name: "evmctl", where: anywhere, digest: sha256Of,
			sign: func(t *testing.T, j *job) *rig.Result {
				return j.run(t, "evmctl", "ima_sign", "--engine", "pkcs11", "--key", j.uri()+";pin-value=CONFIG", "--keyid-from-cert", j.cert, "-a", "sha256", "--sigfile", j.file)
			},
			judge: func(t *testing.T, j *job) {
				der := filepath.Join(j.dir, "cert.der")
				rig.Run(t, nil, "openssl", "x509", "-in", j.cert, "-outform", "DER", "-out", der).OK(t)
				rig.Write(t, j.tampered+".sig", rig.Must(os.ReadFile(j.file+".sig")))
				verify := func(file string) *rig.Result {
					return rig.Run(t, nil, "evmctl", "ima_verify", "--key", der, "-a", "sha256", "--sigfile", file)
				}
				// The signature names the key as the certificate does; ima_verify computes
				// the name from the key and says "unknown keyid" where the two differ.
				verify(j.file).OK(t).Says(t, "verification is OK")
				verify(j.tampered).Fails(t)
				j.opensslDgst(t, "sha256", rig.Write(t, j.out, imaSignature(t, j.file+".sig")))
			}},
	}
}
