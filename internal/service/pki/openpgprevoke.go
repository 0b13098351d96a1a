package pki

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"signpath/internal/service/keys"
)

// RevocationReason says why an OpenPGP key must not be used any more (RFC 9580
// section 5.2.3.31).
type RevocationReason string

// The reasons.
const (
	RevokedNoReason    RevocationReason = "none"
	RevokedSuperseded  RevocationReason = "superseded"
	RevokedCompromised RevocationReason = "compromised"
	RevokedRetired     RevocationReason = "retired"
)

var revocationCodes = map[RevocationReason]packet.ReasonForRevocation{
	RevokedNoReason: packet.NoReason, RevokedSuperseded: packet.KeySuperseded, RevokedCompromised: packet.KeyCompromised, RevokedRetired: packet.KeyRetired,
}

// RevocationReasons are the reasons by their names.
func RevocationReasons() []RevocationReason {
	return []RevocationReason{RevokedNoReason, RevokedSuperseded, RevokedCompromised, RevokedRetired}
}

// maxRevocationText bounds the text for people, in bytes.
const maxRevocationText = 500

// RevokeOpenPGP makes a revocation certificate of a key that NewOpenPGP made: a
// key revocation signature (type 0x20, RFC 9580 section 5.2.1.11) in binary.
// Whoever imports it beside the key holds the key revoked from now on; the key
// itself is not changed. text tells people why and may be empty.
func RevokeOpenPGP(ctx context.Context, signer keys.Signer, public []byte, now time.Time, reason RevocationReason, text string) ([]byte, error) {
	info, err := ReadOpenPGP(public)
	if err != nil {
		return nil, err
	}
	if !sameRSA(info.Public, signer.Public()) {
		return nil, errors.New("the OpenPGP key does not belong to this private key")
	}
	code, ok := revocationCodes[reason]
	if !ok {
		return nil, fmt.Errorf("%q is no reason for a revocation", reason)
	}
	if len(text) > maxRevocationText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return nil, fmt.Errorf("the text of a revocation must be one line of at most %d bytes", maxRevocationText)
	}
	private := &attentiveSigner{Signer: keys.CryptoSigner(ctx, signer)}
	key := &packet.PrivateKey{PublicKey: *packet.NewRSAPublicKey(info.Created, info.Public), PrivateKey: private}
	sig := &packet.Signature{
		Version: 4, SigType: packet.SigTypeKeyRevocation, PubKeyAlgo: packet.PubKeyAlgoRSA, Hash: crypto.SHA512,
		CreationTime: now.UTC().Truncate(time.Second), IssuerKeyId: &key.KeyId, IssuerFingerprint: key.Fingerprint,
		RevocationReason: &code, RevocationReasonText: text,
	}
	err = sig.RevokeKey(&key.PublicKey, key, openPGPConfig())
	if err = cmp.Or(private.err, err); err != nil {
		return nil, fmt.Errorf("make the revocation: %w", err)
	}
	var out bytes.Buffer
	if err := sig.Serialize(&out); err != nil {
		return nil, fmt.Errorf("write the revocation: %w", err)
	}
	// As a stranger reads it: a wrong signature of the key store is worth nothing.
	return out.Bytes(), CheckRevocation(public, out.Bytes())
}

// CheckRevocation verifies that a revocation certificate (binary) revokes the key.
func CheckRevocation(public, revocation []byte) error {
	info, err := ReadOpenPGP(public)
	if err != nil {
		return err
	}
	r := packet.NewReader(bytes.NewReader(revocation))
	sig, err := next[*packet.Signature](r, "revocation")
	if err != nil {
		return err
	}
	key := packet.NewRSAPublicKey(info.Created, info.Public)
	if sig.SigType != packet.SigTypeKeyRevocation {
		return errors.New("the OpenPGP signature is no revocation of a key")
	}
	if err := key.VerifyRevocationSignature(sig); err != nil {
		return fmt.Errorf("the revocation is wrong: %w", err)
	}
	return nil
}

// ArmorRevocation gives a revocation certificate as ASCII armour, which "gpg
// --import" takes.
func ArmorRevocation(binary []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := armor.Encode(&out, "PGP PUBLIC KEY BLOCK", map[string]string{"Comment": "This is a revocation certificate"})
	if err != nil {
		return nil, fmt.Errorf("armour the revocation: %w", err)
	}
	if _, err := w.Write(binary); err != nil {
		return nil, fmt.Errorf("armour the revocation: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("armour the revocation: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
