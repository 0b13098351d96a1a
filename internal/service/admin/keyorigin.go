package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// softStore is the name of the embedded key store.
const softStore = "soft"

// keyAdopted is the audit type of keys that a token had already.
const keyAdopted = "Key.Adopted"

// maxKeyLabel bounds the label of a key on a token.
const maxKeyLabel = 255

// event is what the audit log calls a new key.
func (o KeyOrigin) event() string {
	if o.AdoptKey != "" {
		return keyAdopted
	}
	return keyGenerated
}

// keyOrigin checks where a key is to come from; stores are those besides the embedded one.
func (in *input) keyOrigin(o KeyOrigin, stores []string) {
	soft := o.KeyStore == "" || o.KeyStore == softStore
	if !soft && !slices.Contains(stores, o.KeyStore) {
		known := append([]string{softStore}, stores...)
		in.fail("keyStore", "There is no key store %q; there are %s. Tokens are configured with --hsm-config.", clip(o.KeyStore), strings.Join(known, ", "))
	}
	if o.AdoptKey == "" {
		return
	}
	in.text("adoptKey", o.AdoptKey, maxKeyLabel)
	if soft {
		in.fail("adoptKey", "Only a key on a token can be adopted: name its key store, e.g. hsm:main.")
	}
}

// attestationSetting is where the attestation of a key is kept.
func attestationSetting(keyID string) string { return "key.attestation/" + keyID }

// keepAttestation writes what the key store said about a new key; the audit
// entry has its digest.
func (t *transaction) keepAttestation(data *keyData, attestation []byte) error {
	if attestation == nil {
		return nil
	}
	sum := sha256.Sum256(attestation)
	data.Attestation = hex.EncodeToString(sum[:])
	return t.PutSetting(attestationSetting(data.ID), attestation)
}

// attestationOf gives what the key store said about a key, nil when it said nothing.
func (s *Service) attestationOf(ctx context.Context, key *model.Key) ([]byte, error) {
	doc, err := s.Store.Setting(ctx, attestationSetting(key.ID))
	if err != nil {
		return nil, fmt.Errorf("reading the attestation of key %s: %w", key.ID, err)
	}
	return doc, nil
}

// discard deletes a new key on its token when its record was refused. After
// other errors the record may have been written, so the key stays.
func (s *Service) discard(ctx context.Context, issued Issued, cause error) error {
	var fields wire.FieldErrors
	if issued.Sealed == nil || !errors.As(cause, &fields) && !errors.Is(cause, ErrConflict) && !errors.Is(cause, ErrQuota) {
		return cause
	}
	if err := s.Issuer.Destroy(context.WithoutCancel(ctx), issued.Key, issued.Sealed); err != nil {
		return errors.Join(cause, fmt.Errorf("the new key is left on its token: %w", err))
	}
	return cause
}
