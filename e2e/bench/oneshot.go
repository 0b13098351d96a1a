package main

import (
	"os"
	"path/filepath"
	"time"
)

func (b *bench) theirs() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "SOFTHSM2_CONF=" + filepath.Join(b.dir, "softhsm2.conf"), "HOST_PIN=1234"}
}

// softHSM makes a token with a key of each kind under the same ids.
func (b *bench) softHSM() error {
	tokens := filepath.Join(b.dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		return err
	}
	conf := "directories.tokendir = " + tokens + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := os.WriteFile(filepath.Join(b.dir, "softhsm2.conf"), []byte(conf), 0o600); err != nil {
		return err
	}
	if _, err := command(b.theirs(), "softhsm2-util", "--init-token", "--free", "--label", "bench", "--so-pin", "1234", "--pin", "1234"); err != nil {
		return err
	}
	for kind, spec := range map[string]string{"rsa3072": "rsa:3072", "p256": "EC:prime256v1"} {
		if _, err := command(b.theirs(), "pkcs11-tool", "--module", *hsm, "--login", "--pin", "1234", "--keypairgen", "--key-type", spec, "--id", id(kind), "--label", kind); err != nil {
			return err
		}
	}
	return nil
}

// signOnce is a whole process: load, log in, find the key, sign once, leave. It
// returns how many milliseconds that took.
func (b *bench) signOnce(env []string, module, pin, kind string) (float64, error) {
	args := []string{"--module", module, "--pin", pin, "--sign", "--id", id(kind), "--input-file", b.digest, "--output-file", os.DevNull}
	if kind == "p256" {
		args = append(args, "--mechanism", "ECDSA")
	} else {
		args = append(args, "--mechanism", "RSA-PKCS-PSS", "--hash-algorithm", "SHA256")
	}
	begin := time.Now()
	_, err := command(env, "pkcs11-tool", args...)
	return float64(time.Since(begin).Microseconds()) / 1000, err
}

// oneShot compares whole processes.
func (b *bench) oneShot() error {
	for _, kind := range kinds {
		var ours, theirs []float64
		for range *rounds * 3 {
			t, err := b.signOnce(b.service.env(), module(), "CONFIG", kind)
			if err != nil {
				return err
			}
			ours = append(ours, t)
			if t, err = b.signOnce(b.theirs(), *hsm, "1234", kind); err != nil {
				return err
			}
			theirs = append(theirs, t)
		}
		row("one pkcs11-tool --sign, "+kind+" : SoftHSM2", median(ours), median(theirs), "ms")
	}
	return nil
}
