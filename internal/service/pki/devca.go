package pki

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"signpath/internal/secret"
)

// devOrganization stands in every certificate of the development authority, so
// that nobody takes one for a real one.
const devOrganization = "SignPath development (not for production)"

// Validity of the authorities. A root outlives its intermediates, these outlive leaves.
const (
	rootValidity         = 20 * 365 * 24 * time.Hour
	intermediateValidity = 10 * 365 * 24 * time.Hour
)

// DevCA is the certificate authority of a development service: a root and an
// intermediate, both ECDSA P-256, which every verifier in use accepts also
// above RSA leaves.
type DevCA struct {
	root, intermediate       *x509.Certificate
	rootKey, intermediateKey *ecdsa.PrivateKey
}

// DevCAFiles is a DevCA to be stored: certificates in DER, private keys as PKCS
// #8 in PEM. Whoever has the keys can issue certificates that a machine which
// trusts the root accepts: seal them or write them with mode 0600.
type DevCAFiles struct {
	Root, Intermediate       []byte
	RootKey, IntermediateKey secret.Secret
}

// NewDevCA makes a root and an intermediate below it.
func NewDevCA(ctx context.Context) (*DevCA, error) {
	now := time.Now()
	rootKey, err := newP256()
	if err != nil {
		return nil, err
	}
	root, err := newAuthority("SignPath development root", rootKey, now.Add(rootValidity), 1)
	if err != nil {
		return nil, err
	}
	interKey, err := newP256()
	if err != nil {
		return nil, err
	}
	name, err := distinctName("SignPath development CA", interKey.Public())
	if err != nil {
		return nil, err
	}
	der, err := Issue(ctx, Template{
		CommonName: name, Organization: devOrganization, CA: true, PathLen: 0, NotAfter: now.Add(intermediateValidity),
	}, interKey.Public(), root, rootKey)
	if err != nil {
		return nil, err
	}
	inter, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &DevCA{root: root, intermediate: inter, rootKey: rootKey, intermediateKey: interKey}, nil
}

// LoadDevCA is the way back from Files. It checks that keys and certificates
// belong together.
func LoadDevCA(f DevCAFiles) (*DevCA, error) {
	var ca DevCA
	var err error
	if ca.root, err = x509.ParseCertificate(f.Root); err != nil {
		return nil, fmt.Errorf("root of the development CA: %w", err)
	}
	if ca.intermediate, err = x509.ParseCertificate(f.Intermediate); err != nil {
		return nil, fmt.Errorf("intermediate of the development CA: %w", err)
	}
	if ca.rootKey, err = parseP256(f.RootKey); err != nil {
		return nil, fmt.Errorf("root key of the development CA: %w", err)
	}
	if ca.intermediateKey, err = parseP256(f.IntermediateKey); err != nil {
		return nil, fmt.Errorf("intermediate key of the development CA: %w", err)
	}
	if !BelongsTo(ca.root, ca.rootKey.Public()) || !BelongsTo(ca.intermediate, ca.intermediateKey.Public()) {
		return nil, errors.New("the development CA's keys do not belong to its certificates")
	}
	if err := ca.intermediate.CheckSignatureFrom(ca.root); err != nil {
		return nil, fmt.Errorf("the development CA's intermediate was not issued by its root: %w", err)
	}
	return &ca, nil
}

// Files gives the authority in the form that LoadDevCA takes.
func (ca *DevCA) Files() (DevCAFiles, error) {
	f := DevCAFiles{Root: ca.root.Raw, Intermediate: ca.intermediate.Raw}
	var err error
	if f.RootKey, err = pkcs8PEM(ca.rootKey); err != nil {
		return DevCAFiles{}, err
	}
	if f.IntermediateKey, err = pkcs8PEM(ca.intermediateKey); err != nil {
		return DevCAFiles{}, err
	}
	return f, nil
}

// Root is the root in DER.
func (ca *DevCA) Root() []byte { return ca.root.Raw }

// Chain is what stands above a leaf, in DER: intermediate, root.
func (ca *DevCA) Chain() [][]byte { return [][]byte{ca.intermediate.Raw, ca.root.Raw} }

// Leaf issues an end-entity certificate (DER) below the intermediate. A
// NotAfter behind the intermediate's is moved to it.
func (ca *DevCA) Leaf(ctx context.Context, t Template, pub crypto.PublicKey) ([]byte, error) {
	if t.CA {
		return nil, errors.New("a leaf is no authority")
	}
	if t.NotAfter.After(ca.intermediate.NotAfter) {
		t.NotAfter = ca.intermediate.NotAfter
	}
	return Issue(ctx, t, pub, ca.intermediate, ca.intermediateKey)
}

// newAuthority makes a self-signed authority with a name of its own.
func newAuthority(name string, key *ecdsa.PrivateKey, notAfter time.Time, pathLen int) (*x509.Certificate, error) {
	name, err := distinctName(name, key.Public())
	if err != nil {
		return nil, err
	}
	der, err := selfSigned(Template{CommonName: name, Organization: devOrganization, CA: true, PathLen: pathLen, NotAfter: notAfter}, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// distinctName adds a few digits of the key's identifier: two authorities with
// one name and different keys would confuse verifiers that look up by name.
func distinctName(name string, pub crypto.PublicKey) (string, error) {
	id, err := subjectKeyID(pub)
	if err != nil {
		return "", err
	}
	return name + " " + hex.EncodeToString(id[:4]), nil
}

func newP256() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func pkcs8PEM(key *ecdsa.PrivateKey) (secret.Secret, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return secret.Secret{}, fmt.Errorf("encode the private key: %w", err)
	}
	defer clear(der)
	return secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), nil
}

func parseP256(text secret.Secret) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text.Reveal()))
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it is no PKCS #8 key in PEM")
	}
	defer clear(block.Bytes)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it is no PKCS #8 key in PEM")
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, errors.New("it is no P-256 key")
	}
	return ec, nil
}
