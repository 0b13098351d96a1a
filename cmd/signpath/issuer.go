package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"signpath/internal/service/admin"
	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/service/pki"
)

// profilePrefixes are the profiles of certificates as the prefixes of development key names.
var profilePrefixes = map[string]string{
	admin.ProfileCodeSigning: "",
	admin.ProfileTLS:         "tls-",
	admin.ProfileMail:        "mail-",
}

// profileUsages are the extended key usages of the profiles.
var profileUsages = map[string][]x509.ExtKeyUsage{
	admin.ProfileCodeSigning: {x509.ExtKeyUsageCodeSigning},
	admin.ProfileTLS:         {x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	admin.ProfileMail:        {x509.ExtKeyUsageEmailProtection},
}

// generate makes or adopts a key and opens it once, for its own certificate.
func (s *softIssuer) generate(ctx context.Context, keyType string, origin admin.KeyOrigin) (key model.Key, sealed []byte, signer keys.Signer, err error) {
	spec, err := pki.ParseKeyName(keyType)
	if err != nil {
		return model.Key{}, nil, nil, err
	}
	store := cmp.Or(origin.KeyStore, softBackend)
	if origin.AdoptKey != "" {
		key, sealed, err = s.ring.Adopt(ctx, store, origin.AdoptKey)
	} else {
		key, sealed, err = s.ring.Generate(ctx, store, spec.Type, spec.Bits)
	}
	if errors.Is(err, keys.ErrUnavailable) {
		err = storeDown{err}
	}
	if err != nil {
		return model.Key{}, nil, nil, err
	}
	signer, err = s.ring.Open(ctx, key, sealed)
	return key, sealed, signer, err
}

// storeDown is a key store that cannot work now, in the words of admin.
type storeDown struct{ error }

// Unwrap makes it admin.ErrUnavailable, too.
func (e storeDown) Unwrap() []error { return []error{admin.ErrUnavailable, e.error} }

// finish adds what the key store says about a new key. When the certificate
// could not be made, nobody will ever know of the key: it is deleted again.
func (s *softIssuer) finish(ctx context.Context, out admin.Issued, err error) (admin.Issued, error) {
	if err == nil && out.Sealed != nil {
		out.Attestation, err = s.ring.Attestation(ctx, out.Key, out.Sealed)
	}
	if err != nil && out.Sealed != nil {
		err = errors.Join(err, s.ring.Destroy(context.WithoutCancel(ctx), out.Key, out.Sealed))
	}
	if err != nil {
		return admin.Issued{}, err
	}
	return out, nil
}

// Issue implements admin.Issuer.
func (s *softIssuer) Issue(ctx context.Context, r admin.X509Request) (admin.Issued, error) {
	key, sealed, signer, err := s.keyFor(ctx, r)
	if err != nil {
		return admin.Issued{}, err
	}
	template := pki.Template{EKU: profileUsages[r.Profile]}
	if s.authority != nil {
		if template, err = pki.LeafTemplateFor(profilePrefixes[r.Profile] + r.KeyType); err != nil {
			return admin.Issued{}, err
		}
	}
	if err := describe(&template, r); err != nil {
		return admin.Issued{}, err
	}
	out := admin.Issued{Key: key, Sealed: sealed}
	if s.authority != nil {
		out.Leaf, err = s.authority.Leaf(ctx, template, signer.Public())
		out.Chain = s.authority.Chain()
	} else {
		out.Leaf, err = pki.SelfSigned(ctx, signer, template)
	}
	if err != nil {
		return s.finish(ctx, out, err)
	}
	leaf, err := x509.ParseCertificate(out.Leaf)
	if err != nil {
		return s.finish(ctx, out, fmt.Errorf("reading the new certificate: %w", err))
	}
	out.NotBefore, out.NotAfter = leaf.NotBefore.UTC(), leaf.NotAfter.UTC()
	return s.finish(ctx, out, nil)
}

// OpenPGP implements admin.Issuer.
func (s *softIssuer) OpenPGP(ctx context.Context, r admin.OpenPGPRequest) (admin.Issued, error) {
	key, sealed, signer, err := s.generate(ctx, r.KeyType, r.KeyOrigin)
	if err != nil {
		return admin.Issued{}, err
	}
	public, _, err := pki.NewOpenPGP(ctx, signer, pki.UserID{Name: r.Name, Email: r.Email}, r.Created, r.NotAfter)
	if err != nil {
		return s.finish(ctx, admin.Issued{Key: key, Sealed: sealed}, err)
	}
	out, err := openPGP(key, sealed, public)
	if err == nil {
		out.Revocation, err = pki.RevokeOpenPGP(ctx, signer, public, r.Created, pki.RevokedNoReason, "")
	}
	return s.finish(ctx, out, err)
}

// jsonObject is {name: value}, for the data of audit entries.
func jsonObject(name, value string) json.RawMessage {
	data, _ := json.Marshal(map[string]string{name: value}) // text always encodes
	return data
}
