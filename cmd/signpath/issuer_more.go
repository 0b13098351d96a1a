package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/service/pki"
)

// keyFor gives the key that a certificate is wanted for: the one that is there
// already (sealed is nil then), or a new one.
func (s *softIssuer) keyFor(ctx context.Context, r admin.X509Request) (model.Key, []byte, keys.Signer, error) {
	if r.Key == nil {
		return s.generate(ctx, r.KeyType, r.KeyOrigin)
	}
	signer, err := s.ring.Signer(ctx, *r.Key)
	return *r.Key, nil, signer, err
}

// describe puts what is asked for into a template.
func describe(template *pki.Template, r admin.X509Request) error {
	template.CommonName, template.NotAfter = r.CommonName, r.NotAfter
	if r.Organization != "" {
		template.Organization = r.Organization
	}
	template.OrganizationalUnit, template.Locality, template.State, template.Country = r.OrganizationalUnit, r.Locality, r.State, r.Country
	if r.Email != "" {
		template.Emails = []string{r.Email}
	}
	if len(r.AlternativeNames) > 0 {
		// They replace those of the profile.
		template.DNSNames, template.IPs = nil, nil
	}
	for _, name := range r.AlternativeNames {
		if err := template.AddAlternativeName(name); err != nil {
			return err
		}
	}
	return nil
}

// Request implements admin.Issuer.
func (s *softIssuer) Request(ctx context.Context, r admin.X509Request) (admin.Issued, error) {
	template := pki.Template{EKU: profileUsages[r.Profile]}
	if err := describe(&template, r); err != nil {
		return admin.Issued{}, err
	}
	key, sealed, signer, err := s.keyFor(ctx, r)
	if err != nil {
		return admin.Issued{}, err
	}
	csr, err := pki.NewRequest(ctx, signer, template)
	return s.finish(ctx, admin.Issued{Key: key, Sealed: sealed, CSR: csr}, err)
}

// RenewOpenPGP implements admin.Issuer.
func (s *softIssuer) RenewOpenPGP(ctx context.Context, key model.Key, public []byte, notAfter time.Time) (admin.Issued, error) {
	signer, err := s.ring.Signer(ctx, key)
	if err != nil {
		return admin.Issued{}, err
	}
	renewed, err := pki.RenewOpenPGP(ctx, signer, public, time.Now(), notAfter)
	if err != nil {
		return admin.Issued{}, err
	}
	return openPGP(key, nil, renewed)
}

// RevokeOpenPGP implements admin.Issuer.
func (s *softIssuer) RevokeOpenPGP(ctx context.Context, key model.Key, public []byte, reason pki.RevocationReason, text string) ([]byte, error) {
	signer, err := s.ring.Signer(ctx, key)
	if err != nil {
		return nil, err
	}
	return pki.RevokeOpenPGP(ctx, signer, public, time.Now(), reason, text)
}

// openPGP tells what an OpenPGP key says of itself.
func openPGP(key model.Key, sealed, public []byte) (admin.Issued, error) {
	info, err := pki.ReadOpenPGP(public)
	if err != nil {
		return admin.Issued{}, fmt.Errorf("reading the OpenPGP key: %w", err)
	}
	return admin.Issued{Key: key, Sealed: sealed, OpenPGP: public, NotBefore: info.Created, NotAfter: info.Expires}, nil
}

// ImportPFX implements admin.Issuer.
func (s *softIssuer) ImportPFX(ctx context.Context, pfx []byte, password secret.Secret) (admin.Issued, error) {
	content, err := pki.ParsePFX(pfx, password)
	if err != nil {
		return admin.Issued{}, err
	}
	key, sealed, err := s.ring.Import(ctx, softBackend, content.Key)
	if errors.Is(err, keys.ErrUnsupportedKey) {
		return admin.Issued{}, fmt.Errorf("%w: %w", pki.ErrPFXContent, err)
	}
	if err != nil {
		return admin.Issued{}, err
	}
	out := admin.Issued{Key: key, Sealed: sealed, Leaf: content.Leaf.Raw}
	for _, c := range content.Chain {
		out.Chain = append(out.Chain, c.Raw)
	}
	return out, nil
}

// Destroy implements admin.Issuer.
func (s *softIssuer) Destroy(ctx context.Context, key model.Key, sealed []byte) error {
	return s.ring.Destroy(ctx, key, sealed)
}

// What needs a key-encryption key fails where none was given.

func (noIssuer) Request(context.Context, admin.X509Request) (admin.Issued, error) {
	return admin.Issued{}, keys.ErrNoKEK
}

func (noIssuer) RenewOpenPGP(context.Context, model.Key, []byte, time.Time) (admin.Issued, error) {
	return admin.Issued{}, keys.ErrNoKEK
}

func (noIssuer) RevokeOpenPGP(context.Context, model.Key, []byte, pki.RevocationReason, string) ([]byte, error) {
	return nil, keys.ErrNoKEK
}

func (noIssuer) ImportPFX(context.Context, []byte, secret.Secret) (admin.Issued, error) {
	return admin.Issued{}, keys.ErrNoKEK
}

// Destroy has nothing to do for keys that lie in the database alone; others
// cannot be reached without the key-encryption key.
func (noIssuer) Destroy(_ context.Context, key model.Key, _ []byte) error {
	if key.Backend == softBackend {
		return nil
	}
	return keys.ErrNoKEK
}
