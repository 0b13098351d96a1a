package keys

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"signpath/internal/secret"
	"signpath/internal/service/model"
)

// KEKSize is the length of a key-encryption key in bytes (AES-256).
const KEKSize = 32

// sealVersion is the first byte of every sealed value:
//
//	01 ‖ nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)
const sealVersion = 1

// sealPrefix begins the additional data, so that a value sealed for this
// program can never be mistaken for one of another user of the same key.
const sealPrefix = "signpath/sealed/v1\x00"

// KEK is the key-encryption key: AES-256-GCM with random 96-bit nonces
// (NIST SP 800-38D section 8.2.2). One key may seal up to 2^32 values. It is
// safe for concurrent use and never printed.
type KEK struct {
	aead     cipher.AEAD
	previous *KEK // opens what has not been sealed anew yet; usually nil
}

// After gives the key while an installation goes over to it: values that the
// previous one has sealed open too, and nothing is sealed with that any more.
func (k *KEK) After(previous *KEK) *KEK { return &KEK{aead: k.aead, previous: previous} }

// Reseal gives a value sealed with this key, for the same purpose. anew is false
// when it was sealed with it already.
func (k *KEK) Reseal(purpose string, sealed []byte) (out []byte, anew bool, err error) {
	if _, err := (&KEK{aead: k.aead}).Open(purpose, sealed); err == nil {
		return sealed, false, nil
	}
	plaintext, err := k.Open(purpose, sealed)
	if err != nil {
		return nil, false, err
	}
	defer clear(plaintext)
	out, err = k.Seal(purpose, plaintext)
	return out, true, err
}

// newKEK takes 32 bytes and wipes them.
func newKEK(raw []byte) (*KEK, error) {
	defer clear(raw)
	if len(raw) != KEKSize {
		return nil, fmt.Errorf("a key-encryption key has %d bytes, not %d", KEKSize, len(raw))
	}
	if bytes.Count(raw, raw[:1]) == KEKSize {
		return nil, errors.New("the key-encryption key is one byte repeated; make a random one, e.g. with: openssl rand -base64 32")
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &KEK{aead: aead}, nil
}

// Seal encrypts plaintext. Only Open with the same purpose gives it back; the
// purpose says what the value is, e.g. "key/{id}/{version}".
func (k *KEK) Seal(purpose string, plaintext []byte) ([]byte, error) {
	if purpose == "" {
		return nil, errors.New("a sealed value needs a purpose")
	}
	out := make([]byte, 1, 1+len(plaintext)+k.aead.Overhead())
	out[0] = sealVersion
	return k.aead.Seal(out, nil, plaintext, additionalData(purpose)), nil
}

// Open gives back what Seal encrypted. It answers ErrSealed when the value was
// changed, belongs to another purpose or was sealed with another key.
func (k *KEK) Open(purpose string, sealed []byte) ([]byte, error) {
	if purpose == "" || len(sealed) < 1+k.aead.Overhead() {
		return nil, ErrSealed
	}
	if sealed[0] != sealVersion {
		return nil, fmt.Errorf("%w (format %d, this program knows %d)", ErrSealed, sealed[0], sealVersion)
	}
	plaintext, err := k.aead.Open(nil, nil, sealed[1:], additionalData(purpose))
	if err != nil && k.previous != nil {
		return k.previous.Open(purpose, sealed)
	}
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

func additionalData(purpose string) []byte { return []byte(sealPrefix + purpose) }

// ResealKey is Reseal for what a back end keeps of a key.
func (k *KEK) ResealKey(key model.Key, sealed []byte) (out []byte, anew bool, err error) {
	return k.Reseal(keyPurpose(key.ID, key.Version), sealed)
}

// keyPurpose binds a sealed private key to its record.
func keyPurpose(id string, version int) string { return "key/" + id + "/" + strconv.Itoa(version) }

// String implements fmt.Stringer.
func (KEK) String() string { return secret.Redacted }

// Format implements fmt.Formatter, so that no verb shows anything of the key.
func (KEK) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }

// LogValue implements slog.LogValuer.
func (KEK) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalText implements encoding.TextMarshaler and thereby JSON.
func (KEK) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

// CheckSetting is the name of the installation's setting that CheckKEK keeps.
const CheckSetting = "kek.check"

// checkText is what the setting holds, sealed with the key and CheckSetting as purpose.
const checkText = "signpath key-encryption key"

// CheckKEK tells whether kek is the key that the database was set up with. The
// first time it puts a check value; later it answers ErrWrongKEK when the value
// does not open. get answers nil for an absent setting, put leaves one that is
// there already as it is; both see the setting's name CheckSetting.
func CheckKEK(ctx context.Context, kek *KEK,
	get func(ctx context.Context, name string) ([]byte, error),
	put func(ctx context.Context, name string, value []byte) error,
) error {
	value, err := get(ctx, CheckSetting)
	if err != nil {
		return fmt.Errorf("read setting %s: %w", CheckSetting, err)
	}
	if value == nil {
		sealed, err := kek.Seal(CheckSetting, []byte(checkText))
		if err != nil {
			return err
		}
		if err := put(ctx, CheckSetting, sealed); err != nil {
			return fmt.Errorf("write setting %s: %w", CheckSetting, err)
		}
		// Read it again: another replica may have set itself up at the same moment with another key.
		if value, err = get(ctx, CheckSetting); err != nil {
			return fmt.Errorf("read setting %s: %w", CheckSetting, err)
		}
	}
	text, err := kek.Open(CheckSetting, value)
	if err != nil {
		return fmt.Errorf("%w (%v)", ErrWrongKEK, err)
	}
	if string(text) != checkText {
		return ErrWrongKEK
	}
	return nil
}
