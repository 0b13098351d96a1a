package native

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"signpath/e2e/rig"
)

// manifest writes the folder of which RAUC makes a bundle.
func manifest(t *testing.T, j *job, format string) string {
	t.Helper()
	dir := filepath.Join(j.dir, "content")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	image := j.content(t)
	for len(image) < 64<<10 { // does not shrink: a verity bundle has more than one block
		image = append(image, rig.SHA256Of(image)...)
	}
	rig.Write(t, filepath.Join(dir, "rootfs.img"), image)
	rig.Write(t, filepath.Join(dir, "manifest.raucm"), fmt.Appendf(nil, "[update]\ncompatible=board\nversion=1\n\n[bundle]\nformat=%s\n\n[image.rootfs]\nfilename=rootfs.img\n", format))
	return dir
}

// bundle splits a RAUC bundle: the squashfs, the CMS signature, its length in the last
// 8 bytes, big-endian (RAUC's reference, "Bundle Formats").
func bundle(t *testing.T, file string) (payload, der []byte) {
	t.Helper()
	b := rig.Must(os.ReadFile(file))
	n := binary.BigEndian.Uint64(b[len(b)-8:])
	if n > uint64(len(b)-8) {
		t.Fatal("no bundle")
	}
	return b[:len(b)-8-int(n)], b[len(b)-8-int(n) : len(b)-8]
}

func bootClients() []client {
	rauc := func(format string) client {
		return client{name: "rauc/" + format, where: anywhere,
			sign: func(t *testing.T, j *job) *rig.Result {
				j.out = filepath.Join(j.dir, "bundle.raucb")
				return j.with(t, []string{"RAUC_PKCS11_MODULE=" + j.y.Module(t), "RAUC_PKCS11_PIN=CONFIG"}, "rauc", "bundle", "--cert="+j.cert, "--intermediate="+j.issuers, "--key="+j.uri(), manifest(t, j, format), j.out)
			},
			judge: func(t *testing.T, j *job) {
				conf := rig.Write(t, filepath.Join(j.dir, "system.conf"), fmt.Appendf(nil, "[system]\ncompatible=board\nbootloader=noop\n[keyring]\npath=%s\ncheck-purpose=codesign\n", j.s.File("ca.pem")))
				info := func(file string) *rig.Result { return rig.Run(t, nil, "rauc", "--conf="+conf, "info", file) }
				info(j.out).OK(t).Says(t, "Compatible: \t'board'")
				payload, der := bundle(t, j.out)
				// what is covered: all of a plain bundle, the manifest of a verity bundle
				sig, in := rig.Write(t, filepath.Join(j.dir, "sig"), der), rig.Write(t, filepath.Join(j.dir, "payload"), payload)
				args := []string{"cms", "-verify", "-binary", "-inform", "DER", "-in", sig, "-CAfile", j.s.File("ca.pem"), "-purpose", "any", "-out", os.DevNull}
				b := rig.Must(os.ReadFile(j.out))
				if format == "plain" {
					args = append(args, "-content", in)
					b[len(payload)/2] ^= 1
				} else {
					at := bytes.Index(b, []byte("compatible=board"))
					b[at] ^= 1
				}
				rig.Run(t, nil, "openssl", args...).OK(t)
				info(rig.Write(t, filepath.Join(j.dir, "tampered.raucb"), b)).Fails(t)
			},
			digest: func(t *testing.T, j *job) []byte {
				payload, der := bundle(t, j.out)
				return rig.ParseCMS(t, der).Digest(t, payload)
			},
		}
	}
	verity := rauc("verity")
	return []client{
		rauc("plain"), verity,
		{name: "mkimage", where: anywhere, rsa: true,
			sign: func(t *testing.T, j *job) *rig.Result {
				j.out = filepath.Join(j.dir, "image.itb")
				control := filepath.Join(j.dir, "control.dtb")
				rig.Run(t, nil, "dtc", "-I", "dts", "-O", "dtb", "-o", control, rig.Write(t, filepath.Join(j.dir, "control.dts"), []byte("/dts-v1/; / { };\n"))).OK(t)
				source := rig.Write(t, filepath.Join(j.dir, "image.its"), fmt.Appendf(nil, `/dts-v1/;
/ {
	description = "hello";
	#address-cells = <1>;
	images {
		kernel { description = "kernel"; data = /incbin/("%s"); type = "kernel"; arch = "arm64"; os = "linux"; compression = "none"; load = <0x80000>; entry = <0x80000>; hash-1 { algo = "sha256"; }; };
	};
	configurations {
		default = "conf";
		conf { kernel = "kernel"; signature-1 { algo = "sha256,%s"; key-name-hint = "release"; sign-images = "kernel"; }; };
	};
};
`, j.file, j.key))
				// the engine gets "pkcs11:" + the text + ";type=private"
				return j.with(t, []string{"MKIMAGE_SIGN_PIN=CONFIG"}, "mkimage", "-f", source, "-N", "pkcs11", "-k", "object="+rig.Project+"%2F"+j.key, "-K", control, "-r", j.out)
			},
			judge: func(t *testing.T, j *job) {
				pub := j.s.PublicKey(t, j.key)
				verify := func(image []byte) error {
					f, err := parseFIT(image)
					if err != nil {
						return err
					}
					if err := f.imagesMatch(); err != nil {
						return err
					}
					signed, signature, err := f.signed("/configurations/conf/signature-1")
					if err != nil {
						return err
					}
					in, sig := rig.Write(t, filepath.Join(j.dir, "regions"), signed), rig.Write(t, filepath.Join(j.dir, "fit.sig"), signature)
					if r := rig.Run(t, nil, "openssl", "dgst", "-sha256", "-verify", pub, "-signature", sig, in); r.Code != 0 {
						return fmt.Errorf("%s", r.Output)
					}
					return nil
				}
				image := rig.Must(os.ReadFile(j.out))
				if err := verify(image); err != nil {
					t.Error(err)
				}
				f := rig.Must(parseFIT(image))
				for what, at := range map[string]int{
					"the kernel":       f.offset("/images/kernel", "data"),
					"its digest":       f.offset("/images/kernel/hash-1", "value"),
					"the load address": f.offset("/images/kernel", "load"),
					"the signature":    f.offset("/configurations/conf/signature-1", "value") + 20,
				} {
					b := bytes.Clone(image)
					b[at] ^= 1
					if verify(b) == nil {
						t.Errorf("a changed bit in %s was not noticed", what)
					}
				}
				// the public key that U-Boot gets is that of the certificate
				control := rig.Must(parseFIT(rig.Must(os.ReadFile(filepath.Join(j.dir, "control.dtb")))))
				modulus := control.value("/signature/key-release", "rsa,modulus")
				if n := rsaModulus(t, j.cert); !bytes.Equal(modulus, n) {
					t.Errorf("the control tree has the modulus %x, the certificate %x", modulus, n)
				}
			},
			digest: func(t *testing.T, j *job) []byte {
				signed, _, err := rig.Must(parseFIT(rig.Must(os.ReadFile(j.out)))).signed("/configurations/conf/signature-1")
				if err != nil {
					t.Fatal(err)
				}
				return rig.SHA256Of(signed)
			}},
	}
}
