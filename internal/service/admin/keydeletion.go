package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// KeyUse says what uses a private key: the answer of certificate.key-use.
type KeyUse struct {
	Certificate  string   `json:"certificate"` // slug of the one that was asked about
	Key          keyData  `json:"key"`
	Deleted      bool     `json:"deleted"`
	Certificates []string `json:"certificates"`       // slugs of all certificates of the key
	Policies     []string `json:"policies"`           // active ones that sign with it, project/policy
	Inactive     []string `json:"inactive,omitempty"` // policies that are switched off
}

func (v *view) useOf(c *model.Certificate, key *model.Key) KeyUse {
	use := KeyUse{Certificate: c.Slug, Key: showKey(key), Deleted: key.Deleted, Certificates: []string{}, Policies: []string{}}
	same := v.sameKey(key)
	for i := range v.cfg.Certificates {
		o := &v.cfg.Certificates[i]
		if !slices.ContainsFunc(same, func(k *model.Key) bool { return k.ID == o.KeyID }) {
			continue
		}
		use.Certificates = append(use.Certificates, o.Slug)
		for j := range v.cfg.SigningPolicies {
			p := &v.cfg.SigningPolicies[j]
			project := v.projectByID(p.ProjectID)
			switch {
			case p.CertificateID != o.ID:
			case p.Active && project != nil && project.Active:
				use.Policies = append(use.Policies, v.showPolicy(p).Key())
			default:
				use.Inactive = append(use.Inactive, v.showPolicy(p).Key())
			}
		}
	}
	slices.Sort(use.Certificates)
	slices.Sort(use.Policies)
	slices.Sort(use.Inactive)
	return use
}

// keyOf finds a certificate with its key.
func (v *view) keyOf(in *input, request CertificateReference) (*model.Organization, *model.Certificate, *model.Key) {
	org := v.organization(in, request.Organization)
	c := v.certificate(in, "certificate", org, request.Certificate)
	if c == nil {
		return org, nil, nil
	}
	key := v.keyByID(c.KeyID)
	if key == nil {
		in.fail("certificate", "Certificate %q has no private key.", c.Slug)
	}
	return org, c, key
}

// UseOfKey tells what uses the private key of a certificate.
func (s *Service) UseOfKey(ctx context.Context, _ Call, request CertificateReference) (KeyUse, error) {
	v, err := s.read(ctx)
	if err != nil {
		return KeyUse{}, err
	}
	in := newInput()
	_, c, key := v.keyOf(in, request)
	if err := in.err(); err != nil {
		return KeyUse{}, err
	}
	return v.useOf(c, key), nil
}

// KeyDeletion is the input of certificate.delete-key.
type KeyDeletion struct {
	CertificateReference
	Confirm string `json:"confirm"` // the certificate's slug, spelled as it is
}

// DeletedKey is the answer of certificate.delete-key: what used the key.
type DeletedKey struct {
	KeyUse
	Warnings []string `json:"warnings,omitempty"`
}

// DeleteKey deletes the private key of a certificate for good. No certificate
// of the key can sign any more; they stay, so that what was signed can be
// verified and traced.
func (s *Service) DeleteKey(ctx context.Context, call Call, request KeyDeletion) (DeletedKey, error) {
	var out DeletedKey
	var deleted []goneKey
	revocation, err := s.revocationBefore(ctx, request)
	if err != nil {
		return DeletedKey{}, err
	}
	err = s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		org, c, key := t.keyOf(in, request.CertificateReference)
		switch {
		case c == nil || key == nil:
			return in.err()
		case key.Deleted:
			in.fail("certificate", "The private key of certificate %q is deleted already.", c.Slug)
		case request.Confirm != c.Slug:
			in.fail("confirm", "Deleting a key cannot be taken back: confirm it with the certificate's slug, %q.", c.Slug)
		}
		if err := in.err(); err != nil {
			return err
		}
		out, deleted = DeletedKey{KeyUse: t.useOf(c, key)}, nil
		out.Deleted = true
		// Under each of its names: a key on a token may have been adopted twice.
		for _, k := range t.sameKey(key) {
			if k.Deleted {
				continue
			}
			sealed, err := s.Store.SealedKey(ctx, k.ID)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("reading the key: %w", err)
			}
			deleted = append(deleted, goneKey{*k, sealed})
			gone := *k
			gone.Deleted = true
			if err := t.PutKey(gone, nil); err != nil {
				return err
			}
			use := out.KeyUse
			use.Key = showKey(k)
			if err := t.record(keyDeleted, org.ID, changeData{Before: use}); err != nil {
				return err
			}
		}
		return s.keepRevocation(t, key.ID, revocation)
	})
	if err != nil {
		return DeletedKey{}, err
	}
	// The deletion is on record: whatever happens now, the service does not use
	// the key again.
	for _, k := range deleted {
		if err := s.Issuer.Destroy(context.WithoutCancel(ctx), k.key, k.sealed); err != nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("The service has forgotten the key, but its key store did not delete it: %v. Delete it there by hand.", err))
		}
	}
	return out, nil
}

// goneKey is a key that the database holds no longer.
type goneKey struct {
	key    model.Key
	sealed []byte
}

// revocationBefore makes what lastRevocation describes, once it is certain that
// the deletion is meant.
func (s *Service) revocationBefore(ctx context.Context, request KeyDeletion) ([]byte, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	_, c, key := v.keyOf(newInput(), request.CertificateReference)
	if c == nil || request.Confirm != c.Slug {
		return nil, nil // refused below, with the reason
	}
	return s.lastRevocation(ctx, c, key), nil
}
