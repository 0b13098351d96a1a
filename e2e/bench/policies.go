package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
	"signpath/internal/wire"
)

// manyProjects projects of manyPolicies policies each are in sight beside the one that signs.
const (
	manyProjects = 100
	manyPolicies = 100
)

// manyPolicies compares one key found and used among ten thousand with the same
// among two, with all of them shown to the host and with one chosen by its slugs.
func (b *bench) manyPolicies() error {
	crowded := &service{dir: filepath.Join(b.dir, "crowded")}
	if _, err := crowded.start(); err != nil { // makes the keys
		return err
	}
	crowded.stop()
	if err := fill(context.Background(), filepath.Join(crowded.dir, "data")); err != nil {
		return fmt.Errorf("adding policies: %w", err)
	}
	if err := b.crowdedStart(crowded); err != nil {
		return err
	}
	defer crowded.stop()
	if err := crowded.listSizes(); err != nil {
		return err
	}
	for _, c := range []struct {
		what     string
		settings []string
	}{
		{"with slugs", []string{"SIGNPATH_PROJECT_SLUG=hash-signing", "SIGNPATH_SIGNING_POLICY_SLUG=p256"}},
		{"without slugs", nil},
		{"without slugs, list kept on disk", b.keeping()},
	} {
		if len(c.settings) > 0 { // the first process keeps the list
			if _, err := b.signOnce(crowded.env(c.settings...), module(), "CONFIG", "p256"); err != nil {
				return err
			}
		}
		var many, few []float64
		for range *rounds {
			t, err := b.signOnce(crowded.env(c.settings...), module(), "CONFIG", "p256")
			if err != nil {
				return err
			}
			many = append(many, t)
			if t, err = b.signOnce(b.service.env(c.settings...), module(), "CONFIG", "p256"); err != nil {
				return err
			}
			few = append(few, t)
		}
		row(fmt.Sprintf("one key used among %d policies, %s : 2 policies", manyProjects*manyPolicies, c.what), median(many), median(few), "ms")
	}
	steps := []string{"after one signature"}
	return b.addedMemory(fmt.Sprintf(", %d policies", manyProjects*manyPolicies), "2 policies", steps,
		side{crowded.env(), module()}, side{b.service.env(), module()})
}

// crowdedStart compares starting a service with many policies and with two. It
// leaves both running.
func (b *bench) crowdedStart(crowded *service) error {
	var many, few []float64
	for range *rounds {
		for _, s := range []struct {
			service *service
			to      *[]float64
		}{{crowded, &many}, {b.service, &few}} {
			s.service.stop()
			took, err := s.service.start()
			if err != nil {
				return err
			}
			*s.to = append(*s.to, float64(took.Microseconds())/1000)
		}
	}
	row(fmt.Sprintf("start of the service with %d policies : 2 policies", manyProjects*manyPolicies), median(many), median(few), "ms")
	return nil
}

// listSizes prints how long the list of all policies is in its forms.
func (s *service) listSizes() error {
	c, err := s.client()
	if err != nil {
		return err
	}
	for _, form := range []struct{ what, prefer, encoding string }{
		{"documented form", "", "identity"}, {"compact form", wire.PreferCompact, "identity"}, {"compact form, gzip", wire.PreferCompact, "gzip"},
	} {
		n, err := s.listSize(c, form.prefer, form.encoding)
		if err != nil {
			return err
		}
		figure(fmt.Sprintf("list of %d policies, %s", manyProjects*manyPolicies, form.what), float64(n)/1e6, "MB")
	}
	return nil
}

// fill writes projects and policies into the data folder of a stopped
// development service, each policy with a certificate and a public key of its
// own, in one transaction. The administrators' commands would take minutes, and
// an audit log of how they came about is not what is measured. Their private
// keys do not exist: they are looked at, never used.
func fill(ctx context.Context, data string) (err error) {
	st, err := sqlite.Open(ctx, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	config, err := st.Config(ctx)
	if err != nil {
		return err
	}
	like, err := patternOf(config, "p256")
	if err != nil {
		return err
	}
	return st.Write(ctx, func(tx store.Tx) error {
		for p := range manyProjects {
			if err := like.putProject(tx, fmt.Sprintf("project-%02d", p)); err != nil {
				return err
			}
		}
		return nil
	})
}

// pattern is what the new objects are copies of.
type pattern struct {
	project       model.Project
	configuration model.ArtifactConfiguration
	policy        model.SigningPolicy
	certificate   model.Certificate
	key           model.Key
	issuer        *ecdsa.PrivateKey
}

func patternOf(config *model.Config, policy string) (*pattern, error) {
	p := &pattern{}
	for _, p.policy = range config.SigningPolicies {
		if p.policy.Slug == policy {
			break
		}
	}
	for _, p.project = range config.Projects {
		if p.project.ID == p.policy.ProjectID {
			break
		}
	}
	for _, p.configuration = range config.ArtifactConfigurations {
		if p.configuration.ProjectID == p.project.ID && p.configuration.Default {
			break
		}
	}
	for _, p.certificate = range config.Certificates {
		if p.certificate.ID == p.policy.CertificateID {
			break
		}
	}
	for _, p.key = range config.Keys {
		if p.key.ID == p.certificate.KeyID {
			break
		}
	}
	if p.policy.Slug != policy || p.key.ID != p.certificate.KeyID || p.configuration.ProjectID != p.project.ID {
		return nil, fmt.Errorf("the development service has no usable policy %q", policy)
	}
	var err error
	p.issuer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return p, err
}

func (p *pattern) putProject(tx store.Tx, slug string) error {
	project, configuration := p.project, p.configuration
	project.ID, project.Slug, project.Name = uuid.NewString(), slug, slug
	configuration.ID, configuration.ProjectID = uuid.NewString(), project.ID
	if err := errors.Join(tx.PutProject(project), tx.PutArtifactConfiguration(configuration)); err != nil {
		return err
	}
	for n := range manyPolicies {
		if err := p.putPolicy(tx, project, fmt.Sprintf("policy-%02d", n), n%2 == 0); err != nil {
			return err
		}
	}
	return nil
}

// putPolicy adds a policy with its certificate and key, RSA-3072 or P-256.
func (p *pattern) putPolicy(tx store.Tx, project model.Project, slug string, isRSA bool) error {
	key, certificate, policy := p.key, p.certificate, p.policy
	public, err := strangerKey(isRSA)
	if err != nil {
		return err
	}
	key.ID = uuid.NewString()
	if isRSA {
		key.Type, key.Bits = wire.KeyRSA, rsaBits
	}
	if key.Public, err = x509.MarshalPKIXPublicKey(public); err != nil {
		return err
	}
	certificate.ID, certificate.KeyID = uuid.NewString(), key.ID
	certificate.Slug = project.Slug + "-" + slug
	certificate.Name = certificate.Slug
	if certificate.Leaf, err = p.issue(certificate, public); err != nil {
		return err
	}
	policy.ID, policy.ProjectID, policy.CertificateID = uuid.NewString(), project.ID, certificate.ID
	policy.Slug, policy.Name = slug, slug
	return errors.Join(tx.PutKey(key, []byte("no such key")), tx.PutCertificate(certificate), tx.PutSigningPolicy(policy))
}

func (p *pattern) issue(c model.Certificate, public crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: c.Name, Organization: []string{"Example"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "Example issuer"}}
	return x509.CreateCertificate(rand.Reader, template, parent, public, p.issuer)
}

const rsaBits = 3072

// strangerKey is a public key. That of RSA is a random odd number, which looks
// the same as a product of primes and takes no time to find.
func strangerKey(isRSA bool) (crypto.PublicKey, error) {
	if !isRSA {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		return &k.PublicKey, nil
	}
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), rsaBits))
	if err != nil {
		return nil, err
	}
	return &rsa.PublicKey{N: n.SetBit(n.SetBit(n, 0, 1), rsaBits-1, 1), E: 65537}, nil
}
