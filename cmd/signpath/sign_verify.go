package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"signpath/internal/provider/keyring"
	"signpath/internal/wire"
)

// verifyCommand verifies a signature that `signpath sign` or openssl made.
type verifyCommand struct {
	providerFlags
	signInput
	Signature   string `help:"File with the signature, binary, base64 or hexadecimal." required:"" placeholder:"FILE.sig"`
	Policy      string `help:"Verify with the key that the service has now under PROJECT/POLICY." placeholder:"PROJECT/POLICY"`
	Certificate string `help:"Verify with the key of this certificate or public key (PEM or DER); nothing is asked of the network." placeholder:"FILE"`
	Padding     string `help:"RSA padding: pkcs1 (v1.5) or pss." enum:"pkcs1,pss" default:"pkcs1"`
	JSON        bool   `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (verifyCommand) Help() string {
	return `It tells whether the key made this signature of this file, in either form of ECDSA signatures. It does not judge the certificate: neither its issuer nor its validity nor its revocation. Exit code: 0 when the signature is good, 1 when it is not.

` + examples(
		"signpath verify artifact.tar.gz --signature artifact.tar.gz.sig --certificate release.pem",
		"signpath verify artifact.tar.gz --signature artifact.tar.gz.sig --policy my-project/release --hash sha512 --padding pss",
	)
}

// Run verifies.
func (c *verifyCommand) Run(ctx context.Context, t *terminal) error {
	ctx, stop := untilStopped(ctx)
	defer stop()
	err := c.verify(ctx, t)
	if ctx.Err() != nil && err != nil {
		return stopped()
	}
	return err
}

func (c *verifyCommand) verify(ctx context.Context, t *terminal) error {
	if err := c.signInput.check(); err != nil {
		return err
	}
	if (c.Policy == "") == (c.Certificate == "") {
		return usage(errors.New("give either --policy or --certificate"), "")
	}
	digest, hash, err := c.read(ctx, t)
	if err != nil {
		return err
	}
	signature, err := readSmall(c.Signature)
	if err != nil {
		return badInput(err, "")
	}
	public, whose, err := c.key(ctx, t)
	if err != nil {
		return err
	}
	if _, ok := public.(ed25519.PublicKey); ok {
		if digest, err = c.forEd25519(whose); err != nil {
			return err
		}
	}
	good, scheme := verifySignature(public, hash, c.Padding, digest, decodeSignature(signature))
	if c.JSON {
		if err := t.json(map[string]any{"good": good, "key": whose, "scheme": scheme}); err != nil {
			return err
		}
	} else if good {
		return t.print(fmt.Sprintf("good: %s, %s", oneLine(whose), scheme))
	}
	if good {
		return nil
	}
	return &failure{exitFailed, fmt.Errorf("bad: this is no signature of that by %s (%s)", whose, scheme), "was it made with another --hash or --padding, or has the file changed?"}
}

// key gives the public key and its name for people.
func (c *verifyCommand) key(ctx context.Context, t *terminal) (crypto.PublicKey, string, error) {
	if c.Certificate == "" {
		p, err := openProvider(t, c.providerFlags, c.Policy)
		if err != nil {
			return nil, "", err
		}
		defer p.close()
		k, err := p.key(ctx, t)
		if err != nil {
			return nil, "", err
		}
		return k.Public(), k.Name(), nil
	}
	data, err := readSmall(c.Certificate)
	if err != nil {
		return nil, "", badInput(err, "")
	}
	der := data
	if block, _ := pem.Decode(data); block != nil {
		der = block.Bytes
	}
	if cert, err := x509.ParseCertificate(der); err == nil {
		if now := time.Now(); now.After(cert.NotAfter) {
			t.warning(fmt.Sprintf("the certificate expired on %s", cert.NotAfter.UTC().Format(time.DateOnly)))
		}
		return cert.PublicKey, cert.Subject.String(), nil
	}
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		return key, c.Certificate, nil
	}
	return nil, "", badInput(fmt.Errorf("%s holds neither a certificate nor a public key", c.Certificate), "PEM or DER is needed")
}

// maxSmall bounds signatures and certificates, in bytes.
const maxSmall = 1 << 20

func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSmall {
		return nil, fmt.Errorf("%s is not a regular file of at most 1 MiB", path)
	}
	return os.ReadFile(path)
}

// decodeSignature takes text encodings away. No signature consists of the
// characters of such a text by chance.
func decodeSignature(data []byte) []byte {
	text := strings.Join(strings.Fields(string(data)), "")
	if b, err := hex.DecodeString(text); err == nil && len(b) > 0 {
		return b
	}
	if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) > 0 {
		return b
	}
	return data
}

// verifySignature tries the forms that a signature of this key can have.
func verifySignature(public crypto.PublicKey, hash wire.Hash, padding string, digest, signature []byte) (good bool, scheme string) {
	name := strings.ToLower(hash.String())
	switch key := public.(type) {
	case *rsa.PublicKey:
		s := wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: hash}
		scheme = "PKCS #1 v1.5 with " + name
		if padding == "pss" {
			s.Algorithm, scheme = wire.RSAPSS, "PSS with "+name
		}
		return keyring.Verify(key, s, digest, signature) == nil, scheme
	case *ecdsa.PublicKey:
		size := 2 * ((key.Curve.Params().BitSize + 7) / 8)
		for _, raw := range [][]byte{signature, ecdsaFromDER(signature, size)} {
			if raw != nil && keyring.Verify(key, wire.Scheme{Algorithm: wire.ECDSA}, digest, raw) == nil {
				return true, "ECDSA with " + name
			}
		}
		return false, "ECDSA with " + name
	case ed25519.PublicKey:
		return keyring.Verify(key, wire.Scheme{Algorithm: wire.EdDSA}, digest, signature) == nil, "Ed25519"
	}
	return false, fmt.Sprintf("a key of type %T, which is unknown", public)
}
