package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/wire"
)

// revocationIssued is the audit type of giving out a revocation certificate.
const revocationIssued = "Certificate.RevocationIssued"

// revocationSetting is where the revocation certificate of an OpenPGP key is
// kept, sealed: it was made together with the key, for the day on which the key
// itself is gone.
func revocationSetting(keyID string) string { return "key.revocation/" + keyID }

// maxRevocationText is the most characters of the text in a revocation.
const maxRevocationText = 200

// RevocationRequest is the input of certificate.revocation.
type RevocationRequest struct {
	CertificateReference
	Reason string `json:"reason,omitempty"` // none, superseded, compromised, retired; default none
	Text   string `json:"text,omitempty"`   // for people
}

// Revocation is the answer of certificate.revocation.
type Revocation struct {
	Certificate
	Revocation []byte `json:"revocation"` // OpenPGP key revocation signature, binary
	// Kept tells that this is the one that was made together with the key, without
	// a reason, because the key cannot be used any more.
	Kept bool `json:"kept,omitempty"`
}

// revocationData is the data of the audit entry.
type revocationData struct {
	CertificateID string `json:"certificateId"`
	Certificate   string `json:"certificate"` // slug
	KeyID         string `json:"keyId"`
	Fingerprint   string `json:"fingerprint"`
	Reason        string `json:"reason"`
	Text          string `json:"text,omitempty"`
	Kept          bool   `json:"kept,omitempty"`
}

// OpenPGPRevocation gives out a revocation certificate of an OpenPGP key, which
// is on record before it is given out. The key goes on signing here until it is
// switched off or deleted.
func (s *Service) OpenPGPRevocation(ctx context.Context, call Call, request RevocationRequest) (Revocation, error) {
	if request.Reason == "" {
		request.Reason = string(pki.RevokedNoReason)
	}
	request.Text = strings.TrimSpace(request.Text)
	v, err := s.read(ctx)
	if err != nil {
		return Revocation{}, err
	}
	in := newInput()
	_, c, key := v.keyOf(in, request.CertificateReference)
	if c != nil && c.Type != wire.CertificateGPG {
		in.fail("certificate", "%q is an X.509 certificate; only its authority can revoke it.", c.Slug)
	}
	if !contains(pki.RevocationReasons(), pki.RevocationReason(request.Reason)) {
		in.fail("reason", "%q is not a reason; they are %s.", clip(request.Reason), join(pki.RevocationReasons()))
	}
	in.text("text", request.Text, maxRevocationText)
	if err := in.err(); err != nil {
		return Revocation{}, err
	}
	out := Revocation{Certificate: v.showCertificate(c, key)}
	data := revocationData{CertificateID: c.ID, Certificate: c.Slug, KeyID: key.ID, Fingerprint: out.Fingerprint, Reason: request.Reason, Text: request.Text}
	if key.Deleted {
		if out.Revocation, err = s.keptRevocation(ctx, c, key); err != nil {
			return Revocation{}, err
		}
		out.Kept, data.Kept, data.Reason, data.Text = true, true, string(pki.RevokedNoReason), ""
	} else if out.Revocation, err = s.Issuer.RevokeOpenPGP(ctx, *key, c.OpenPGP, pki.RevocationReason(request.Reason), request.Text); err != nil {
		return Revocation{}, fmt.Errorf("making the revocation of %q: %w", c.Slug, err)
	}
	err = s.change(ctx, call, func(t *transaction) error {
		return t.record(revocationIssued, c.OrganizationID, data)
	})
	if err != nil {
		return Revocation{}, err
	}
	return out, nil
}

// keptRevocation opens the revocation certificate that was made with the key.
func (s *Service) keptRevocation(ctx context.Context, c *model.Certificate, key *model.Key) ([]byte, error) {
	sealed, err := s.Store.Setting(ctx, revocationSetting(key.ID))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the revocation of key %s: %w", key.ID, err)
	case sealed == nil:
		return nil, fmt.Errorf("%w: the private key of %q is deleted, and no revocation was made before", ErrConflict, c.Slug)
	case s.Open == nil:
		return nil, fmt.Errorf("%w: the revocation of %q is sealed with it", ErrNoKEK, c.Slug)
	}
	revocation, err := s.Open(revocationSetting(key.ID), sealed)
	if err != nil {
		return nil, fmt.Errorf("opening the revocation of key %s: %w", key.ID, err)
	}
	return revocation, nil
}

// keepRevocation writes the revocation certificate of a new key.
func (s *Service) keepRevocation(t *transaction, keyID string, revocation []byte) error {
	if revocation == nil {
		return nil
	}
	if s.Seal == nil {
		return errors.New("the revocation of an OpenPGP key cannot be encrypted without the key-encryption key")
	}
	sealed, err := s.Seal(revocationSetting(keyID), revocation)
	if err != nil {
		return fmt.Errorf("encrypting the revocation: %w", err)
	}
	return t.PutSetting(revocationSetting(keyID), sealed)
}

// lastRevocation makes the revocation certificate of a key that is about to be
// deleted, when none was made together with it; nil when it has one, or cannot
// make one any more: then the deletion goes on all the same.
func (s *Service) lastRevocation(ctx context.Context, c *model.Certificate, key *model.Key) []byte {
	if c == nil || key == nil || key.Deleted || c.Type != wire.CertificateGPG || s.Seal == nil {
		return nil
	}
	if there, err := s.Store.Setting(ctx, revocationSetting(key.ID)); err != nil || there != nil {
		return nil
	}
	revocation, err := s.Issuer.RevokeOpenPGP(ctx, *key, c.OpenPGP, pki.RevokedNoReason, "")
	if err != nil {
		return nil
	}
	return revocation
}
