package main

import (
	"context"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"

	"signpath/internal/provider/keyring"
	"signpath/internal/wire"
)

// signInput is what is signed or verified: a file, standard input, or a digest.
type signInput struct {
	File   string `arg:"" optional:"" help:"File, or - for standard input." placeholder:"FILE"`
	Digest string `help:"A digest in place of a file, in hexadecimal or base64." placeholder:"DIGEST"`
	Hash   string `help:"Hash algorithm: sha256 (default), sha384, sha512, sha1 or md5. A digest's length tells its own." enum:",sha256,sha384,sha512,sha1,md5" default:""`

	// message is what read found, for Ed25519 keys, which sign files of up to
	// wire.MaxMessage bytes themselves; one byte more when the file is longer.
	message []byte
}

// keep collects the beginning of what is written to it.
type keep struct{ bytes []byte }

func (k *keep) Write(p []byte) (int, error) {
	k.bytes = append(k.bytes, p[:min(len(p), wire.MaxMessage+1-len(k.bytes))]...)
	return len(p), nil
}

// forEd25519 is the message that an Ed25519 key signs.
func (i *signInput) forEd25519(name string) ([]byte, error) {
	switch {
	case i.Digest != "":
		return nil, refusedHint(fmt.Errorf("%s is an Ed25519 key, which signs the file itself and no digest", name), "give the file in place of --digest")
	case i.Hash != "":
		return nil, refused(fmt.Errorf("--hash is for RSA and ECDSA keys, %s is an Ed25519 key", name))
	case len(i.message) > wire.MaxMessage:
		return nil, refusedHint(fmt.Errorf("the file is longer than %d bytes, the most that an Ed25519 key of the service signs", wire.MaxMessage), "sign a list of its digests, as sha256sum writes it, or use an RSA or ECDSA key")
	case len(i.message) == 0:
		return nil, refused(errors.New("the file is empty; an Ed25519 key of the service signs 1 byte or more"))
	}
	return i.message, nil
}

func (i *signInput) check() error {
	switch {
	case i.File == "" && i.Digest == "":
		return usage(errors.New("nothing to sign or verify"), "name a file, - for standard input, or --digest")
	case i.File != "" && i.Digest != "":
		return usage(errors.New("a file and --digest are both given"), "keep one of them")
	}
	return nil
}

// read gives the digest and its algorithm.
func (i *signInput) read(ctx context.Context, t *terminal) ([]byte, wire.Hash, error) {
	hash := wire.SHA256
	if i.Hash != "" {
		hash, _ = wire.HashByName(i.Hash) // the parser has checked it
	}
	if i.Digest != "" {
		if i.Hash == "" {
			hash = 0
		}
		return parseDigest(i.Digest, hash)
	}
	in, name := t.in, "standard input"
	if i.File != "-" {
		info, err := os.Stat(i.File)
		if err != nil {
			return nil, 0, badInput(err, "")
		}
		if info.IsDir() {
			return nil, 0, badInput(fmt.Errorf("%s is a folder", i.File), "sign an archive of it")
		}
		name = i.File
	}
	start := &keep{}
	digest, err := slow(t, "reading "+name, func() ([]byte, error) {
		return readAll(ctx, func() ([]byte, error) {
			if i.File != "-" {
				f, err := os.Open(i.File)
				if err != nil {
					return nil, err
				}
				defer func() { _ = f.Close() }()
				in = f
			}
			h := hash.Crypto().New()
			_, err := io.Copy(io.MultiWriter(h, start), in)
			return h.Sum(nil), err
		})
	})
	if err != nil {
		return nil, 0, badInput(fmt.Errorf("reading %s: %w", name, err), "")
	}
	i.message = start.bytes
	return digest, hash, nil
}

// parseDigest reads hexadecimal or base64; the length decides where both could
// be meant. hash is 0 when the length shall tell it.
func parseDigest(text string, hash wire.Hash) ([]byte, wire.Hash, error) {
	text = strings.TrimSpace(text)
	var readings [][]byte
	if b, err := hex.DecodeString(text); err == nil {
		readings = append(readings, b)
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding} {
		if b, err := e.Strict().DecodeString(text); err == nil {
			readings = append(readings, b)
		}
	}
	for _, b := range readings {
		for _, h := range wire.Hashes() {
			if len(b) == h.Size() && (hash == 0 || hash == h) {
				return b, h, nil
			}
		}
	}
	switch {
	case len(readings) == 0:
		return nil, 0, usage(errors.New("the digest is neither hexadecimal nor base64"), "")
	case hash != 0:
		return nil, 0, refused(fmt.Errorf("the digest has %d bytes, a %s digest has %d", len(readings[0]), strings.ToLower(hash.String()), hash.Size()))
	}
	return nil, 0, refused(fmt.Errorf("the digest has %d bytes; digests have 16 (md5), 20 (sha1), 32 (sha256), 48 (sha384) or 64 (sha512)", len(readings[0])))
}

// signJob is one signature that is made.
type signJob struct {
	key              *keyring.Key
	digest           []byte
	hash             wire.Hash
	scheme           wire.Scheme
	format, encoding string
}

func keyKind(k *keyring.Key) string {
	switch k.Type() {
	case wire.KeyECDSA:
		return fmt.Sprintf("ECDSA P-%d", k.Bits())
	case wire.KeyEd25519:
		return "Ed25519"
	}
	return fmt.Sprintf("RSA %d", k.Bits())
}

func (j signJob) schemeName() string {
	hash := strings.ToLower(j.hash.String())
	switch {
	case j.scheme.Algorithm == wire.EdDSA:
		return "Ed25519"
	case j.scheme.Algorithm == wire.RSAPSS:
		return "PSS with " + hash
	case j.scheme.Algorithm == wire.RSAPKCS1:
		return "PKCS #1 v1.5 with " + hash
	case j.format == "ieee":
		return "ECDSA with " + hash + ", r and s side by side"
	}
	return "ECDSA with " + hash
}

// fitting says what was found to fit the key.
func (j signJob) fitting() string {
	if j.scheme.Algorithm == wire.EdDSA {
		return "Ed25519: the file is short enough"
	}
	return fmt.Sprintf("%s: the digest of %d bytes fits the key", j.schemeName(), len(j.digest))
}

// bytes is the signature in the wanted form: RSA the block, ECDSA DER or r‖s.
func (j signJob) bytes(raw []byte) ([]byte, error) {
	if j.scheme.Algorithm != wire.ECDSA || j.format == "ieee" {
		return raw, nil
	}
	return ecdsaToDER(raw)
}

func (j signJob) base64(raw []byte) string {
	b, err := j.bytes(raw)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

// encode is what is written.
func (j signJob) encode(raw []byte) ([]byte, error) {
	b, err := j.bytes(raw)
	if err != nil {
		return nil, err
	}
	switch j.encoding {
	case "base64":
		return []byte(base64.StdEncoding.EncodeToString(b) + "\n"), nil
	case "hex":
		return []byte(hex.EncodeToString(b) + "\n"), nil
	}
	return b, nil
}

// ecdsaToDER turns r‖s into SEQUENCE { r, s } (RFC 3279 section 2.2.3).
func ecdsaToDER(raw []byte) ([]byte, error) {
	half := len(raw) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
}

// ecdsaFromDER turns SEQUENCE { r, s } into r‖s of size bytes; nil when it is none.
func ecdsaFromDER(der []byte, size int) []byte {
	var v struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &v)
	if err != nil || len(rest) > 0 || v.R.Sign() <= 0 || v.S.Sign() <= 0 || v.R.BitLen() > size*4 || v.S.BitLen() > size*4 {
		return nil
	}
	raw := make([]byte, size)
	v.R.FillBytes(raw[:size/2])
	v.S.FillBytes(raw[size/2:])
	return raw
}

// howToVerify gives commands for a POSIX shell.
func (j signJob) howToVerify(in signInput, signature, publicKey string) []string {
	var lines []string
	file := in.File
	if file == "" || file == "-" {
		file = "FILE"
	}
	if signature == "" {
		signature = "SIGNATURE"
	}
	if publicKey == "" {
		publicKey = "KEY.pem"
		if len(j.key.Certificate()) > 0 {
			lines = append(lines, "openssl x509 -pubkey -noout -in CERTIFICATE.pem > KEY.pem   # or sign with --public-key KEY.pem")
		}
	}
	if j.format == "ieee" {
		target := quote(file)
		if in.Digest != "" {
			target = "--digest " + hex.EncodeToString(j.digest)
		}
		return []string{fmt.Sprintf("signpath verify %s --hash %s --signature %s --certificate CERTIFICATE.pem   # openssl wants DER", target, strings.ToLower(j.hash.String()), quote(signature))}
	}
	switch j.encoding {
	case "base64":
		lines = append(lines, fmt.Sprintf("openssl base64 -d -A -in %s -out %s", quote(signature), quote(signature+".bin")))
		signature += ".bin"
	case "hex":
		lines = append(lines, fmt.Sprintf("xxd -r -p %s %s", quote(signature), quote(signature+".bin")))
		signature += ".bin"
	}
	hash := strings.ToLower(j.hash.String())
	if j.scheme.Algorithm == wire.EdDSA {
		return append(lines, fmt.Sprintf("openssl pkeyutl -verify -rawin -pubin -inkey %s -in %s -sigfile %s", quote(publicKey), quote(file), quote(signature)))
	}
	if in.Digest != "" {
		line := fmt.Sprintf("openssl pkeyutl -verify -pubin -inkey %s -in DIGEST -sigfile %s -pkeyopt digest:%s", quote(publicKey), quote(signature), hash)
		if j.scheme.Algorithm == wire.RSAPSS {
			line += " -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest"
		}
		return append(lines, line+"   # DIGEST: a file with the digest's bytes")
	}
	line := fmt.Sprintf("openssl dgst -%s -verify %s -signature %s", hash, quote(publicKey), quote(signature))
	if j.scheme.Algorithm == wire.RSAPSS {
		line += " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"
	}
	return append(lines, line+" "+quote(file))
}

// quote quotes a word for sh where that is needed.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_") == "" && !strings.HasPrefix(s, "-") {
		return s
	}
	if strings.HasPrefix(s, "-") {
		s = "./" + s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
