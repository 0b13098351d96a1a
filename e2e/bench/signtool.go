package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	winrig "signpath/e2e/windows/rig"
)

// localKSP is the baseline: a provider whose key answers at once.
const localKSP = "Local test key"

// signtoolRuns compares whole signtool runs in a warm Wine, and counts what one asks of
// the service.
func (b *bench) signtoolRuns() error {
	tools, err := winrig.Signtools(*signtool, filepath.Join(b.dir, "signtool"))
	if err != nil {
		return fmt.Errorf("%w (run scripts/bench, which fetches it)", err)
	}
	tool := tools[0].Exe
	w, remove, err := winrig.Make()
	if err != nil {
		return err
	}
	defer remove()
	if err := w.AddLocalKSP(localKSP); err != nil {
		return err
	}
	blob, local, err := b.localKey()
	if err != nil {
		return err
	}
	sample, err := os.ReadFile(filepath.Join("build", "samples", "hello.exe"))
	if err != nil {
		return err
	}
	leaf, err := b.leaf("rsa3072")
	if err != nil {
		return err
	}
	run := func(vars []string, certificate, provider, container string) (float64, error) {
		file := filepath.Join(b.dir, "sample.exe")
		if err := os.WriteFile(file, sample, 0o600); err != nil {
			return 0, err
		}
		begin := time.Now()
		out, err := w.Run(vars, tool, "sign", "/f", winrig.Path(certificate), "/csp", provider, "/kc", container, "/fd", "SHA256", winrig.Path(file))
		if err != nil {
			return 0, fmt.Errorf("signtool: %w\n%s", err, out)
		}
		return float64(time.Since(begin).Microseconds()) / 1000, nil
	}
	for _, provider := range []string{winrig.KSP, winrig.CSP} {
		var ours, theirs []float64
		for i := range *rounds + 1 {
			t, err := run(b.service.env(), leaf, provider, "hash-signing/rsa3072")
			if err != nil {
				return err
			}
			l, err := run([]string{"RIG_LOCAL_KEY=" + winrig.Path(blob)}, local, localKSP, "any")
			if err != nil {
				return err
			}
			if i > 0 { // the first run warms Wine
				ours, theirs = append(ours, t), append(theirs, l)
			}
		}
		row("one signtool sign, rsa3072, "+provider+" : a key that answers at once", median(ours), median(theirs), "ms")
	}
	requests, connections, err := b.counted(func(vars []string) error {
		_, err := run(vars, leaf, winrig.KSP, "hash-signing/rsa3072")
		return err
	})
	if err != nil {
		return err
	}
	figure("requests of one signtool sign (aim: 2)", requests, "")
	figure("connections of one signtool sign (aim: 1)", connections, "")
	return nil
}

// localKey makes a key of the same kind: its blob for the local provider, and its
// certificate.
func (b *bench) localKey() (blob, certificate string, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "A key that answers at once"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", "", err
	}
	blob, certificate = filepath.Join(b.dir, "local.key"), filepath.Join(b.dir, "local.cer")
	return blob, certificate, errors.Join(os.WriteFile(blob, fullPrivateBlob(key), 0o600), os.WriteFile(certificate, der, 0o600))
}

// fullPrivateBlob is a BCRYPT_RSAFULLPRIVATE_BLOB (CNG, "BCRYPT_RSAKEY_BLOB structure"):
// six 32-bit numbers, little-endian, then the numbers of the key, big-endian.
func fullPrivateBlob(key *rsa.PrivateKey) []byte {
	n, half := key.Size(), key.Size()/2
	e := big.NewInt(int64(key.E)).Bytes()
	var b []byte
	for _, v := range []int{0x33415352 /* RSA3 */, n * 8, len(e), n, half, half} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	p, q := key.Primes[0], key.Primes[1]
	b = append(b, e...)
	b = append(b, key.N.FillBytes(make([]byte, n))...)
	for _, v := range []*big.Int{p, q, key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv} {
		b = append(b, v.FillBytes(make([]byte, half))...)
	}
	return append(b, key.D.FillBytes(make([]byte, n))...)
}

// leaf is a policy's certificate as DER.
func (b *bench) leaf(kind string) (string, error) {
	text, err := os.ReadFile(filepath.Join(b.service.dir, "certificates", kind+".pem"))
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return "", errors.New("no certificate of " + kind)
	}
	name := filepath.Join(b.dir, kind+".cer")
	return name, os.WriteFile(name, block.Bytes, 0o600)
}
