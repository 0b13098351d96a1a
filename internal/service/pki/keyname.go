package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"signpath/internal/wire"
)

// DefaultKeyNames is what the development service has unless it is told otherwise.
const DefaultKeyNames = "rsa2048,rsa3072,rsa4096,p256,p384,p521,tls-p256,tls-rsa2048,mail-rsa2048,gpg-rsa3072"

// Purpose is what a development key is for.
type Purpose string

// The purposes.
const (
	PurposeCode Purpose = "code" // code signing
	PurposeTLS  Purpose = "tls"  // server and client of TLS on this machine
	PurposeMail Purpose = "mail" // S/MIME
	PurposeGPG  Purpose = "gpg"  // an OpenPGP key, no certificate
)

// KeySpec is what a development key's name says.
type KeySpec struct {
	Name    string
	Type    wire.KeyType
	Bits    int // RSA modulus or curve size
	Purpose Purpose
}

// keyNames and keyPurposes are the two tables of the name pattern.
var (
	keyNames = []KeySpec{
		{Name: "rsa2048", Type: wire.KeyRSA, Bits: 2048},
		{Name: "rsa3072", Type: wire.KeyRSA, Bits: 3072},
		{Name: "rsa4096", Type: wire.KeyRSA, Bits: 4096},
		{Name: "p256", Type: wire.KeyECDSA, Bits: 256},
		{Name: "p384", Type: wire.KeyECDSA, Bits: 384},
		{Name: "p521", Type: wire.KeyECDSA, Bits: 521},
		{Name: "ed25519", Type: wire.KeyEd25519, Bits: 256},
	}
	keyPurposes = []struct {
		prefix  string
		purpose Purpose
	}{
		{"tls-", PurposeTLS},
		{"mail-", PurposeMail},
		{"gpg-", PurposeGPG},
	}
)

const keyNamePattern = "[tls-|mail-|gpg-]{rsa2048|rsa3072|rsa4096|p256|p384|p521|ed25519}, gpg- with RSA only"

// ParseKeyName reads the name of a development key, e.g. "rsa2048", "tls-p256"
// or "gpg-rsa3072". The error lists the pattern.
func ParseKeyName(name string) (KeySpec, error) {
	purpose, key := PurposeCode, name
	for _, p := range keyPurposes {
		if rest, ok := strings.CutPrefix(name, p.prefix); ok {
			purpose, key = p.purpose, rest
			break
		}
	}
	for _, spec := range keyNames {
		if spec.Name == key && (purpose != PurposeGPG || spec.Type == wire.KeyRSA) {
			spec.Name, spec.Purpose = name, purpose
			return spec, nil
		}
	}
	return KeySpec{}, fmt.Errorf("the key name %q is unknown; names are %s", name, keyNamePattern)
}

// ParseKeyNames reads a list with commas, e.g. DefaultKeyNames. White space
// around names is ignored; an empty list and repeated names are refused.
func ParseKeyNames(list string) ([]KeySpec, error) {
	var specs []KeySpec
	for name := range strings.SplitSeq(list, ",") {
		spec, err := ParseKeyName(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(specs, func(s KeySpec) bool { return s.Name == spec.Name }) {
			return nil, fmt.Errorf("the key name %q appears twice", spec.Name)
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// Validity of development certificates: TLS as browsers and Apple's trust
// store allow at most, others long enough that nobody meets the end of it.
const (
	tlsLeafValidity = 397 * 24 * time.Hour
	leafValidity    = 3 * 365 * 24 * time.Hour
)

// ErrNoX509 refuses a certificate for a key that is an OpenPGP key.
var ErrNoX509 = errors.New("OpenPGP keys have no certificate")

// LeafTemplateFor describes the end-entity certificate of a development key,
// valid from now on. A "gpg-" name answers ErrNoX509.
func LeafTemplateFor(keyName string) (Template, error) {
	spec, err := ParseKeyName(keyName)
	if err != nil {
		return Template{}, err
	}
	t := Template{CommonName: "SignPath development " + keyName, Organization: devOrganization}
	validity := leafValidity
	switch spec.Purpose {
	case PurposeCode:
		t.EKU = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	case PurposeTLS:
		t.EKU = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		t.DNSNames = []string{"localhost"}
		t.IPs = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
		validity = tlsLeafValidity
	case PurposeMail:
		t.EKU = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
		t.Emails = []string{keyName + "@example.com"}
	case PurposeGPG:
		return Template{}, fmt.Errorf("%s: %w", keyName, ErrNoX509)
	}
	t.NotAfter = time.Now().Add(validity)
	return t, nil
}
