// Package gpg is what GnuPG needs to sign with keys of the service: it reads
// OpenPGP public keys, writes a GnuPG home folder whose smart card daemon is
// gnupg-pkcs11-scd with the PKCS #11 module, and is the pinentry of that home.
//
// What enters are public keys, paths, and the lines that gpg-agent writes to a
// pinentry; what leaves are files in the home and the answers of the pinentry. No
// secret passes through: the PIN is the word CONFIG, with which the module takes
// organization and token from its own settings. The package starts no program and
// never uses the network.
//
// Sources: RFC 9580 (OpenPGP), the manuals of gpg-agent and gnupg-pkcs11-scd, the
// manual of Libassuan (line protocol).
package gpg

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // keygrips are SHA-1 by definition
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// Key is an OpenPGP public key, with the part of it that signs.
type Key struct {
	Fingerprint string // of the primary key, 40 upper-case hexadecimal digits
	UserIDs     []string
	Created     time.Time
	Expires     time.Time // zero: never; at this second it has expired
	Revoked     bool
	Keygrip     string // GnuPG's name of the RSA key that signs, 40 upper-case hexadecimal digits
	Binary      []byte // the transferable public key (RFC 9580 section 10.1)
}

// ErrOtherKey says that a public key is not that of the signing policy.
var ErrOtherKey = errors.New("the OpenPGP key does not belong to the signing policy's key")

// maxPublicKey bounds what ReadKey takes, in bytes.
const maxPublicKey = 1 << 20

// ReadKey reads one transferable public key, ASCII armour or binary, and checks
// its self-signatures. Its primary key, or one of its subkeys, must be the given
// RSA key, or the error is ErrOtherKey.
func ReadKey(data []byte, signs *rsa.PublicKey) (*Key, error) {
	if len(data) > maxPublicKey {
		return nil, errors.New("it is too long for an OpenPGP key")
	}
	binary, err := dearmor(data)
	if err != nil {
		return nil, err
	}
	ring, err := openpgp.ReadKeyRing(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("it is no OpenPGP public key: %w", err)
	}
	if len(ring) != 1 {
		return nil, fmt.Errorf("it holds %d OpenPGP keys, not one", len(ring))
	}
	e := ring[0]
	if e.PrivateKey != nil {
		return nil, errors.New("it is a private key; nothing of it is used")
	}
	main := e.PrimaryIdentity()
	if main == nil || main.SelfSignature == nil {
		return nil, errors.New("the OpenPGP key has no user ID with a good self-signature")
	}
	if !holds(e, signs) {
		return nil, ErrOtherKey
	}
	k := &Key{
		Fingerprint: strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint)),
		UserIDs:     slices.Sorted(maps.Keys(e.Identities)),
		Created:     e.PrimaryKey.CreationTime.UTC(),
		Revoked:     e.Revoked(time.Now()),
		Keygrip:     Keygrip(signs),
		Binary:      binary,
	}
	if life := main.SelfSignature.KeyLifetimeSecs; life != nil && *life != 0 {
		k.Expires = k.Created.Add(time.Duration(*life) * time.Second)
	}
	return k, nil
}

// holds tells whether an RSA key is the primary key or a subkey.
func holds(e *openpgp.Entity, want *rsa.PublicKey) bool {
	keys := []any{e.PrimaryKey.PublicKey}
	for _, s := range e.Subkeys {
		keys = append(keys, s.PublicKey.PublicKey)
	}
	for _, k := range keys {
		if r, ok := k.(*rsa.PublicKey); ok && r.Equal(want) {
			return true
		}
	}
	return false
}

// dearmor gives the binary form; text before the armour is not taken.
func dearmor(data []byte) ([]byte, error) {
	if trimmed := bytes.TrimSpace(data); len(trimmed) == 0 || trimmed[0] != '-' {
		return data, nil
	}
	block, err := armor.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("its ASCII armour cannot be read: %w", err)
	}
	if block.Type != openpgp.PublicKeyType {
		return nil, fmt.Errorf("it is no OpenPGP public key but %q", block.Type)
	}
	binary, err := io.ReadAll(io.LimitReader(block.Body, maxPublicKey))
	if err != nil {
		return nil, fmt.Errorf("its ASCII armour cannot be read: %w", err)
	}
	return binary, nil
}

// Armor gives the key as ASCII armour (RFC 9580 section 6.2).
func (k *Key) Armor() ([]byte, error) {
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(k.Binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Keygrip is GnuPG's name of an RSA key: SHA-1 of the modulus as a signed
// big-endian number, in upper-case hexadecimal digits (Libgcrypt manual,
// gcry_pk_get_keygrip).
func Keygrip(k *rsa.PublicKey) string {
	n := k.N.Bytes()
	if len(n) > 0 && n[0] >= 0x80 {
		n = append([]byte{0}, n...)
	}
	sum := sha1.Sum(n) //nolint:gosec // see the import
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
