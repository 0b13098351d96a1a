// Package winstore puts the certificates of signing policies into the certificate
// stores of Windows, linked to a provider, so that tools find them by thumbprint or
// name (signtool /sha1 and /n, Set-AuthenticodeSignature, nuget, Windows-MY of Java).
//
// What enters are certificates in DER with the names of their keys, and what the
// stores hold; what leaves is a plan (Plan, a pure function), which Apply carries
// out by the calls of crypt32, and a list for people (List). A link is the property
// CERT_KEY_PROV_INFO: provider and container, nothing else; no private key is ever
// here. Each entry made here is marked by its description. Entries without that mark
// are never changed or removed, a certificate that has another private key never gets
// our link, and a root comes into Root only when asked for. Source: Microsoft's
// documentation of CRYPT_KEY_PROV_INFO, "System Store Locations", "CNG Key Storage".
package winstore

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the thumbprint that Windows shows
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
)

// ErrNotWindows is how everything that touches a store fails elsewhere.
var ErrNotWindows = errors.New("certificate stores exist on Windows only; elsewhere tools take the certificate as a file")

// Location is where stores lie.
type Location string

// The locations.
const (
	CurrentUser  Location = "CurrentUser"
	LocalMachine Location = "LocalMachine" // for all users and services; changing it needs an administrator
)

// The names of the stores.
const (
	My   = "My"   // certificates with a private key
	CA   = "CA"   // intermediates
	Root = "Root" // trusted roots
)

// Provider is a way from an entry to its key.
type Provider struct {
	Short   string // KSP or CSP
	Name    string
	Type    uint32 // 0: of CNG
	KeySpec uint32 // AT_SIGNATURE for CryptoAPI; CNG has none
	RSAOnly bool
}

// Providers are ours: the key storage provider of CNG, and the cryptographic service
// provider of CryptoAPI, of type PROV_RSA_AES.
var Providers = []Provider{
	{Short: "KSP", Name: "SignPathKSP"},
	{Short: "CSP", Name: "SignPathCSP", Type: 24, KeySpec: 2, RSAOnly: true},
}

// providerOf finds one of ours by its registered name.
func providerOf(name string) (Provider, bool) {
	for _, p := range Providers {
		if strings.EqualFold(p.Name, name) {
			return p, true
		}
	}
	return Provider{}, false
}

// ProviderNamed finds one by its short name.
func ProviderNamed(short string) (Provider, bool) {
	for _, p := range Providers {
		if p.Short == short {
			return p, true
		}
	}
	return Provider{}, false
}

// machineKeyset is CRYPT_MACHINE_KEYSET and NCRYPT_MACHINE_KEY_FLAG.
const machineKeyset = 0x20

// Link is CRYPT_KEY_PROV_INFO: where the private key of an entry is.
type Link struct {
	Provider, Container  string
	Type, KeySpec, Flags uint32
}

// LinkOf is how an entry of a location is linked to a key, named project/policy.
func LinkOf(p Provider, key string, l Location) Link {
	link := Link{Provider: p.Name, Container: key, Type: p.Type, KeySpec: p.KeySpec}
	if l == LocalMachine {
		link.Flags = machineKeyset
	}
	return link
}

// Entry is a certificate in a store.
type Entry struct {
	Location     Location
	Store        string
	DER          []byte
	Link         *Link  // nil: none
	FriendlyName string // "" for none
	Description  string // "" for none
	Inherited    bool   // it is seen here, but lies in another location
}

// Thumbprint is the SHA-1 of a certificate's DER as tools take it: 40 hexadecimal
// digits in upper case.
func Thumbprint(der []byte) string {
	sum := sha1.Sum(der) //nolint:gosec // a name, no protection
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// Mark is what the description of an entry made here says.
type Mark struct {
	Organization string // UUID
	Policy       string // project/policy; "" for an issuer
}

// The words of a mark. They are part of what lies in users' stores: a change must
// still read these.
const (
	markBegin  = "signpath certificates: "
	markIssuer = "issuer"
	markMiddle = " of organization "
)

// String is the description.
func (m Mark) String() string {
	what := m.Policy
	if what == "" {
		what = markIssuer
	}
	return markBegin + what + markMiddle + m.Organization
}

// ParseMark reads a description; ok is false for one that was not made here.
func ParseMark(description string) (m Mark, ok bool) {
	rest, ok := strings.CutPrefix(description, markBegin)
	at := strings.LastIndex(rest, markMiddle)
	if !ok || at < 0 {
		return Mark{}, false
	}
	what := rest[:at]
	m.Organization = rest[at+len(markMiddle):]
	if what != markIssuer {
		if project, policy, two := strings.Cut(what, "/"); !two || project == "" || policy == "" {
			return Mark{}, false
		}
		m.Policy = what
	}
	return m, m.Organization != ""
}

// ours tells whether an entry was made here, and with which mark. In My it must be
// linked to one of our providers as well: a certificate that got another key since
// then is somebody else's.
func (e Entry) ours() (Mark, bool) {
	m, ok := ParseMark(e.Description)
	if !ok || e.Inherited || (e.Store == My) != (m.Policy != "") {
		return Mark{}, false
	}
	if e.Store == My {
		if e.Link == nil {
			return Mark{}, false
		}
		if _, known := providerOf(e.Link.Provider); !known {
			return Mark{}, false
		}
	}
	return m, true
}

// isRoot tells whether a certificate names itself as its issuer.
func isRoot(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }
