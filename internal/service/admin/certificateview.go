package admin

import (
	"crypto/sha1" //nolint:gosec // names certificates as Windows does; nothing is decided on it
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/wire"
)

// CertificateState says in a word whether a certificate can sign.
type CertificateState string

// The states; the first one that fits counts.
const (
	StateKeyDeleted  CertificateState = "KeyDeleted"
	StateInactive    CertificateState = "Inactive"
	StateNotIssued   CertificateState = "NotIssued"
	StateExpired     CertificateState = "Expired"
	StateNotYetValid CertificateState = "NotYetValid"
	StateActive      CertificateState = "Active"
)

func stateOf(c *model.Certificate, key *model.Key, now time.Time) CertificateState {
	switch {
	case key == nil || key.Deleted:
		return StateKeyDeleted
	case !c.Active:
		return StateInactive
	case c.Type == wire.CertificateX509 && len(c.Leaf) == 0:
		return StateNotIssued
	case expired(c, now):
		return StateExpired
	case now.Before(c.NotBefore):
		return StateNotYetValid
	}
	return StateActive
}

// expired: an X.509 certificate is valid at its last second (RFC 5280 section
// 4.1.2.5), an OpenPGP key is not (RFC 9580 section 5.2.3.13).
func expired(c *model.Certificate, now time.Time) bool {
	if c.NotAfter.IsZero() {
		return false
	}
	return now.After(c.NotAfter) || c.Type == wire.CertificateGPG && now.Equal(c.NotAfter)
}

// showInUse adds what depends on the present: state and policies.
func (v *view) showInUse(c *model.Certificate, now time.Time) Certificate {
	out := v.showCertificate(c, nil)
	out.State = stateOf(c, v.keyByID(c.KeyID), now)
	for _, p := range v.policiesWith(c.ID) {
		out.Policies = append(out.Policies, v.showPolicy(p).Key())
	}
	slices.Sort(out.Policies)
	return out
}

// describe fills in what the certificate, the request or the OpenPGP key says itself.
func (c *Certificate) describe(from *model.Certificate) {
	c.ChainLength = len(from.Chain)
	if info, err := pki.ReadOpenPGP(from.OpenPGP); err == nil {
		c.Fingerprint, c.UserID = info.Fingerprint, info.UserID
	}
	leaf, err := x509.ParseCertificate(from.Leaf)
	if err != nil {
		if request, err := x509.ParseCertificateRequest(from.CSR); err == nil {
			c.Subject = request.Subject.String()
			c.Names = pki.AlternativeNames(request.DNSNames, request.IPAddresses, request.EmailAddresses, request.URIs)
		}
		return
	}
	c.Subject, c.Issuer, c.SerialNumber = leaf.Subject.String(), leaf.Issuer.String(), leaf.SerialNumber.Text(16)
	sha1Sum, sha256Sum := sha1.Sum(from.Leaf), sha256.Sum256(from.Leaf) //nolint:gosec // see the import
	c.Thumbprint, c.SHA256 = strings.ToUpper(hex.EncodeToString(sha1Sum[:])), hex.EncodeToString(sha256Sum[:])
	c.Names = pki.AlternativeNames(leaf.DNSNames, leaf.IPAddresses, leaf.EmailAddresses, leaf.URIs)
	for i, name := range keyUsages {
		if leaf.KeyUsage&(1<<i) != 0 {
			c.KeyUsage = append(c.KeyUsage, name)
		}
	}
	for _, u := range leaf.ExtKeyUsage {
		name, ok := extKeyUsages[u]
		if !ok {
			name = fmt.Sprintf("usage %d of Go's crypto/x509", u)
		}
		c.ExtKeyUsage = append(c.ExtKeyUsage, name)
	}
	for _, oid := range leaf.UnknownExtKeyUsage {
		c.ExtKeyUsage = append(c.ExtKeyUsage, oid.String())
	}
}

// keyUsages are the names of RFC 5280 section 4.2.1.3 in the order of the bits.
var keyUsages = []string{"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"}

// extKeyUsages are the names of RFC 5280 section 4.2.1.12.
var extKeyUsages = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageAny: "anyExtendedKeyUsage", x509.ExtKeyUsageServerAuth: "serverAuth", x509.ExtKeyUsageClientAuth: "clientAuth",
	x509.ExtKeyUsageCodeSigning: "codeSigning", x509.ExtKeyUsageEmailProtection: "emailProtection",
	x509.ExtKeyUsageTimeStamping: "timeStamping", x509.ExtKeyUsageOCSPSigning: "OCSPSigning",
}
