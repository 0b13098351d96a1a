package pki

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"signpath/internal/service/keys"
)

// UserID says whose an OpenPGP key is. Name or Email must be set; the text
// form is "Name (Comment) <Email>".
type UserID struct {
	Name, Email, Comment string
}

// maxUserID bounds the text form in bytes; GnuPG takes at most 2048.
const maxUserID = 1024

// ErrOpenPGPExpiry refuses an end of validity that OpenPGP cannot express.
var ErrOpenPGPExpiry = errors.New("the expiry cannot be expressed in an OpenPGP key")

// maxOpenPGPTime is the last second that a 32-bit time stamp holds,
// 2106-02-07 06:28:15 UTC.
var maxOpenPGPTime = time.Unix(math.MaxUint32, 0).UTC()

// NewOpenPGP makes a version 4 OpenPGP key of an RSA signer: public key, user
// ID and its self-signature (SHA-512, key flags certify and sign), as a binary
// transferable public key (RFC 9580 section 10.1). The fingerprint (40 upper-case
// hexadecimal digits) depends on the public key and created alone, so keep both.
//
// Times are cut to seconds. A zero expires means never. The key ends exactly at
// expires; what the format or GnuPG cannot express answers ErrOpenPGPExpiry:
// the format counts seconds from created in 32 bits, and GnuPG computes the end
// in 32 bits too, so that a date after 2106-02-07 06:28:15 UTC would wrap round
// and count as long past.
func NewOpenPGP(ctx context.Context, signer keys.Signer, id UserID, created, expires time.Time) (public []byte, fingerprint string, err error) {
	uid, err := id.packet()
	if err != nil {
		return nil, "", err
	}
	rsaKey, ok := signer.Public().(*rsa.PublicKey)
	if !ok {
		return nil, "", fmt.Errorf("%w: OpenPGP keys of this service are RSA keys, this is %T", keys.ErrUnsupportedKey, signer.Public())
	}
	created = created.UTC().Truncate(time.Second)
	lifetime, err := openPGPLifetime(created, expires)
	if err != nil {
		return nil, "", err
	}
	private := &attentiveSigner{Signer: keys.CryptoSigner(ctx, signer)}
	key := &packet.PrivateKey{PublicKey: *packet.NewRSAPublicKey(created, rsaKey), PrivateKey: private}
	return selfSigned4(key, private, uid, selfSignature(key, created, lifetime))
}

// selfSigned4 signs the user ID and writes the key. It reads the result as a
// stranger would: a wrong signature of the key store must not be published.
func selfSigned4(key *packet.PrivateKey, private *attentiveSigner, uid *packet.UserId, sig *packet.Signature) (public []byte, fingerprint string, err error) {
	err = sig.SignUserId(uid.Id, &key.PublicKey, key, openPGPConfig())
	if err = cmp.Or(private.err, err); err != nil {
		return nil, "", fmt.Errorf("make the self-signature: %w", err)
	}
	if public, err = writeOpenPGP(&key.PublicKey, uid, sig); err != nil {
		return nil, "", err
	}
	info, err := ReadOpenPGP(public)
	if err != nil {
		return nil, "", err
	}
	return public, info.Fingerprint, nil
}

// RenewOpenPGP gives a key that NewOpenPGP made another end of validity: the
// same public key, creation time, user ID and so fingerprint, with a new
// self-signature. Whoever imports it beside the old one counts the new one,
// because of several self-signatures the newest counts (RFC 9580 section
// 5.2.3.10): its date is now, and at least a second after the old one's. The
// rules for expires are those of NewOpenPGP; it must lie after now.
func RenewOpenPGP(ctx context.Context, signer keys.Signer, public []byte, now, expires time.Time) ([]byte, error) {
	info, err := ReadOpenPGP(public)
	if err != nil {
		return nil, err
	}
	if !sameRSA(info.Public, signer.Public()) {
		return nil, errors.New("the OpenPGP key does not belong to this private key")
	}
	now = now.UTC().Truncate(time.Second)
	if !expires.IsZero() && !expires.After(now) {
		return nil, fmt.Errorf("%w: %s is past", ErrOpenPGPExpiry, expires.UTC().Format(time.RFC3339))
	}
	lifetime, err := openPGPLifetime(info.Created, expires)
	if err != nil {
		return nil, err
	}
	private := &attentiveSigner{Signer: keys.CryptoSigner(ctx, signer)}
	key := &packet.PrivateKey{PublicKey: *packet.NewRSAPublicKey(info.Created, info.Public), PrivateKey: private}
	sig := selfSignature(key, info.Created, lifetime)
	if sig.CreationTime = now; !now.After(info.Signed) {
		sig.CreationTime = info.Signed.Add(time.Second)
	}
	// The user ID's bytes stay as they are: another spelling would be another user ID.
	renewed, fingerprint, err := selfSigned4(key, private, &packet.UserId{Id: info.UserID}, sig)
	if err == nil && fingerprint != info.Fingerprint {
		err = errors.New("the renewed OpenPGP key has another fingerprint")
	}
	return renewed, err
}

// sameRSA tells whether two RSA public keys are the same one.
func sameRSA(a *rsa.PublicKey, b crypto.PublicKey) bool {
	other, ok := b.(*rsa.PublicKey)
	return ok && a.Equal(other)
}

func writeOpenPGP(key *packet.PublicKey, uid *packet.UserId, sig *packet.Signature) ([]byte, error) {
	var out bytes.Buffer
	for _, p := range []interface{ Serialize(io.Writer) error }{key, uid, sig} {
		if err := p.Serialize(&out); err != nil {
			return nil, fmt.Errorf("write the OpenPGP key: %w", err)
		}
	}
	return out.Bytes(), nil
}

// attentiveSigner keeps the error of a signature: the OpenPGP library drops it
// for RSA keys and would complain of a missing signature later.
type attentiveSigner struct {
	crypto.Signer
	err error
}

// Sign implements crypto.Signer.
func (s *attentiveSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	sig, s.err = s.Signer.Sign(r, digest, opts)
	return sig, s.err
}

// openPGPConfig: no random salt notation, which older tools would show as an
// unknown notation; the creation time not critical, which rpm up to 4.16 cannot
// read.
func openPGPConfig() *packet.Config {
	salted := false
	return &packet.Config{
		NonDeterministicSignaturesViaNotation:            &salted,
		InsecureGenerateNonCriticalSignatureCreationTime: true,
		InsecureGenerateNonCriticalKeyFlags:              true,
	}
}

func selfSignature(key *packet.PrivateKey, created time.Time, lifetime *uint32) *packet.Signature {
	// Of several self-signatures the newest one counts, so a new one (another
	// expiry, say) bears today's date, never one before the key itself.
	signed := time.Now().UTC().Truncate(time.Second)
	if signed.Before(created) {
		signed = created
	}
	primary := true
	return &packet.Signature{
		Version:           4,
		SigType:           packet.SigTypePositiveCert,
		PubKeyAlgo:        packet.PubKeyAlgoRSA,
		Hash:              crypto.SHA512,
		CreationTime:      signed,
		KeyLifetimeSecs:   lifetime,
		IssuerKeyId:       &key.KeyId,
		IssuerFingerprint: key.Fingerprint,
		IsPrimaryId:       &primary,
		FlagsValid:        true,
		FlagCertify:       true,
		FlagSign:          true,
		PreferredHash:     []uint8{10, 9, 8}, // SHA512, SHA384, SHA256: RFC 9580 section 9.5
	}
}

func openPGPLifetime(created, expires time.Time) (*uint32, error) {
	if created.Unix() <= 0 || created.After(maxOpenPGPTime) {
		return nil, fmt.Errorf("the creation time %s cannot be expressed in an OpenPGP key; it must lie between 1970 and 2106", created.Format(time.RFC3339))
	}
	if expires.IsZero() {
		return nil, nil
	}
	expires = expires.UTC().Truncate(time.Second)
	switch {
	case !expires.After(created):
		return nil, fmt.Errorf("%w: %s is not after the key's creation on %s", ErrOpenPGPExpiry, expires.Format(time.RFC3339), created.Format(time.RFC3339))
	case expires.After(maxOpenPGPTime):
		return nil, fmt.Errorf("%w: %s is after %s, the last time that OpenPGP tools can handle; choose an earlier one or none",
			ErrOpenPGPExpiry, expires.Format(time.RFC3339), maxOpenPGPTime.Format(time.RFC3339))
	}
	seconds := uint32(expires.Unix() - created.Unix()) // both within 32 bits, so is the difference
	return &seconds, nil
}

func (id UserID) packet() (*packet.UserId, error) {
	for _, part := range []struct{ name, text string }{{"name", id.Name}, {"e-mail address", id.Email}, {"comment", id.Comment}} {
		if !utf8.ValidString(part.text) || strings.ContainsFunc(part.text, unicode.IsControl) || strings.ContainsAny(part.text, "<>()") {
			return nil, fmt.Errorf("the %s of the user ID must be text without < > ( ) and line breaks", part.name)
		}
		if strings.TrimSpace(part.text) != part.text {
			return nil, fmt.Errorf("the %s of the user ID must not begin or end with white space", part.name)
		}
	}
	if id.Name == "" && id.Email == "" {
		return nil, errors.New("the user ID needs a name or an e-mail address")
	}
	if id.Email != "" {
		local, domain, ok := strings.Cut(id.Email, "@")
		if !ok || local == "" || domain == "" || strings.Contains(domain, "@") || strings.ContainsFunc(id.Email, unicode.IsSpace) {
			return nil, fmt.Errorf("the user ID's e-mail address %q has not the form name@domain", id.Email)
		}
	}
	uid := packet.NewUserId(id.Name, id.Comment, id.Email)
	if uid == nil || len(uid.Id) > maxUserID {
		return nil, fmt.Errorf("the user ID is longer than %d bytes", maxUserID)
	}
	return uid, nil
}

// OpenPGPInfo is what a transferable public key says of itself.
type OpenPGPInfo struct {
	Fingerprint string // 40 upper-case hexadecimal digits
	UserID      string
	Public      *rsa.PublicKey
	Created     time.Time
	Expires     time.Time // zero: never; at this second it has expired
	Signed      time.Time // date of the self-signature
}

// ReadOpenPGP reads a binary transferable public key of the form that
// NewOpenPGP makes (version 4 RSA key, user ID, self-signature, nothing else)
// and verifies the self-signature.
func ReadOpenPGP(data []byte) (*OpenPGPInfo, error) {
	r := packet.NewReader(bytes.NewReader(data))
	key, err := next[*packet.PublicKey](r, "public key")
	if err != nil {
		return nil, err
	}
	uid, err := next[*packet.UserId](r, "user ID")
	if err != nil {
		return nil, err
	}
	sig, err := next[*packet.Signature](r, "self-signature")
	if err != nil {
		return nil, err
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the OpenPGP key has more packets than key, user ID and self-signature")
	}
	rsaKey, ok := key.PublicKey.(*rsa.PublicKey)
	if !ok || key.Version != 4 || key.IsSubkey {
		return nil, errors.New("the OpenPGP key is no RSA primary key of version 4")
	}
	if sig.Version != 4 || sig.SigType != packet.SigTypePositiveCert || sig.SigLifetimeSecs != nil {
		return nil, errors.New("the OpenPGP key's signature is no lasting self-signature")
	}
	if err := errors.Join(key.VerifyUserIdHashTag(uid.Id, sig), key.VerifyUserIdSignature(uid.Id, key, sig)); err != nil {
		return nil, fmt.Errorf("the OpenPGP key's self-signature is wrong: %w", err)
	}
	// The library forgives wrong packet and number lengths; others would read something else.
	again, err := writeOpenPGP(key, uid, sig)
	number := sig.RSASignature
	if err != nil || !bytes.Equal(again, data) || new(big.Int).SetBytes(number.Bytes()).BitLen() != int(number.BitLength()) {
		return nil, errors.New("the OpenPGP key is not in the form that this service writes")
	}
	info := &OpenPGPInfo{
		Fingerprint: strings.ToUpper(hex.EncodeToString(key.Fingerprint)),
		UserID:      uid.Id,
		Public:      rsaKey,
		Created:     key.CreationTime.UTC(),
		Signed:      sig.CreationTime.UTC(),
	}
	if sig.KeyLifetimeSecs != nil && *sig.KeyLifetimeSecs != 0 {
		info.Expires = info.Created.Add(time.Duration(*sig.KeyLifetimeSecs) * time.Second)
	}
	return info, nil
}

// next reads a packet that must have the given type.
func next[P packet.Packet](r *packet.Reader, what string) (P, error) {
	var none P
	p, err := r.Next()
	if err != nil {
		return none, fmt.Errorf("the OpenPGP key's %s cannot be read: %w", what, err)
	}
	q, ok := p.(P)
	if !ok {
		return none, fmt.Errorf("the OpenPGP key has no %s where one belongs", what)
	}
	return q, nil
}

// Armor gives a binary transferable public key as ASCII armour (RFC 9580
// section 6.2) with the checksum that older tools expect.
func Armor(binary []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := armor.Encode(&out, "PGP PUBLIC KEY BLOCK", nil)
	if err != nil {
		return nil, fmt.Errorf("armour the OpenPGP key: %w", err)
	}
	if _, err := w.Write(binary); err != nil {
		return nil, fmt.Errorf("armour the OpenPGP key: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("armour the OpenPGP key: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
