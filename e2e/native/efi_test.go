package native

import (
	"os"
	"path/filepath"
	"testing"

	"signpath/e2e/rig"
)

// boot puts a program for UEFI in the job's place of an artifact.
func (j *job) boot(t *testing.T) string {
	t.Helper()
	if filepath.Ext(j.out) != ".efi" {
		j.file, j.out = rig.Sample(t, "hello.exe"), j.out+".efi"
	}
	return j.file
}

// efi asserts that sbverify and osslsigncode, in processes without the module,
// accept a signed program up to the root, and refuse it with a changed byte.
func (j *job) efi(t *testing.T, issuersInside bool) {
	t.Helper()
	trust, anchor := j.trust, j.cert
	if issuersInside {
		trust, anchor = j.s.File("ca.pem"), j.s.File("ca.pem")
	}
	rig.Run(t, nil, "sbverify", "--cert", anchor, j.out).OK(t).Says(t, "Signature verification OK")
	verify := func(file string) *rig.Result {
		return rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", trust, "-in", file)
	}
	verify(j.out).OK(t).Says(t, "Signature verification: ok")
	b := rig.Must(os.ReadFile(j.out))
	b[len(b)-len(b)/4] ^= 1 // signed or signature
	tampered := rig.Write(t, j.out+".signature.efi", b)
	verify(tampered).Fails(t)
	exe := rig.Write(t, filepath.Join(j.dir, "copy.exe"), rig.Must(os.ReadFile(j.out)))
	changed := rig.Tamper(t, exe)
	verify(changed).Fails(t)
	rig.Run(t, nil, "sbverify", "--cert", anchor, changed).Fails(t)
}

func peSigned(t *testing.T, j *job) []byte {
	t.Helper()
	return rig.ParseCMS(t, rig.PKCS7(t, rig.Here, j.out)).Digest(t, nil)
}

func efiClients() []client {
	ukify := func(sign ...string) func(t *testing.T, j *job) *rig.Result {
		return func(t *testing.T, j *job) *rig.Result {
			linux := j.boot(t)
			args := []string{"build", "--linux=" + linux, "--stub=" + j.y.Glob(t, "/usr/lib/systemd/boot/efi/linux*.efi.stub"), "--uname=1", "--cmdline=quiet", "--os-release=ID=hello",
				"--no-sign-kernel", "--secureboot-private-key=" + j.uri(), "--secureboot-certificate=" + j.cert, "--output=" + j.out}
			return j.with(t, []string{"OPENSSL_CONF=" + j.provider(t, "CONFIG")}, "ukify", append(args, sign...)...)
		}
	}
	return []client{
		{name: "sbsign", where: anywhere, digest: peSigned,
			sign: func(t *testing.T, j *job) *rig.Result {
				return j.run(t, "sbsign", "--engine", "pkcs11", "--key", j.uri()+";pin-value=CONFIG", "--cert", j.cert, "--addcert", j.issuers, "--output", j.out, j.boot(t))
			},
			judge: func(t *testing.T, j *job) { j.efi(t, true) }},
		{name: "systemd-sbsign", where: newer, digest: peSigned,
			sign: func(t *testing.T, j *job) *rig.Result {
				in := j.boot(t)
				return j.with(t, []string{"OPENSSL_CONF=" + j.provider(t, "CONFIG")}, "/usr/lib/systemd/systemd-sbsign", "sign", "--private-key-source=provider:pkcs11", "--private-key", j.uri(), "--certificate", j.cert, "--output", j.out, in)
			},
			judge: func(t *testing.T, j *job) { j.efi(t, false) }},
		{name: "ukify", where: newer, digest: peSigned,
			sign:  ukify("--signtool=systemd-sbsign", "--signing-provider=pkcs11"),
			judge: func(t *testing.T, j *job) { j.efi(t, false) }},
		{name: "pesign", where: anywhere, rsa: true, digest: peSigned,
			sign: func(t *testing.T, j *job) *rig.Result {
				db, pin := j.nss(t)
				args := []string{"-n", db, "-t", "SignPath", "-c", rig.Project + "/" + j.key, "-s", "-i", j.boot(t), "-o", j.out}
				if j.y == rig.Here { // 0.112 takes the PIN from a terminal only
					return j.run(t, "python3", append([]string{filepath.Join(rig.Root, "e2e", "native", "testdata", "typed.py"), "Pin for", "CONFIG", "pesign"}, args...)...)
				}
				return j.run(t, "pesign", append(args, "--pinfile", pin)...)
			},
			judge: func(t *testing.T, j *job) { j.efi(t, j.y == rig.Here) }}, // 116 carries the leaf only
	}
}
