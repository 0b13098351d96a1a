package pki

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"signpath/internal/service/keys"
)

// Identifiers of what a certification request asks for (RFC 5280 sections 4.2.1.3 and 4.2.1.12).
var (
	oidKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// usageOIDs are the extended key usages that a request can ask for.
var usageOIDs = map[x509.ExtKeyUsage]asn1.ObjectIdentifier{
	x509.ExtKeyUsageServerAuth:      {1, 3, 6, 1, 5, 5, 7, 3, 1},
	x509.ExtKeyUsageClientAuth:      {1, 3, 6, 1, 5, 5, 7, 3, 2},
	x509.ExtKeyUsageCodeSigning:     {1, 3, 6, 1, 5, 5, 7, 3, 3},
	x509.ExtKeyUsageEmailProtection: {1, 3, 6, 1, 5, 5, 7, 3, 4},
}

// NewRequest makes a certification request (PKCS #10, RFC 2986) in DER, signed
// by the key. It asks for the template's subject and alternative names, the key
// usage digitalSignature (critical) and the extended key usages. Validity and
// CA do not apply: the authority decides about them.
func NewRequest(ctx context.Context, signer keys.Signer, t Template) ([]byte, error) {
	t.CA, t.PathLen = false, 0
	if err := t.check(); err != nil {
		return nil, err
	}
	key := keys.CryptoSigner(ctx, signer)
	alg, err := signatureAlgorithm(key.Public())
	if err != nil {
		return nil, err
	}
	usages := make([]asn1.ObjectIdentifier, 0, len(t.EKU))
	for _, u := range t.EKU {
		oid, ok := usageOIDs[u]
		if !ok {
			return nil, fmt.Errorf("a request cannot ask for the extended key usage %d", u)
		}
		usages = append(usages, oid)
	}
	// digitalSignature is bit 0 of a named bit list without trailing zero bits (X.690 section 11.2.2).
	keyUsage, err := asn1.Marshal(asn1.BitString{Bytes: []byte{0x80}, BitLength: 1})
	if err != nil {
		return nil, err
	}
	extensions := []pkix.Extension{{Id: oidKeyUsage, Critical: true, Value: keyUsage}}
	if len(usages) > 0 {
		value, err := asn1.Marshal(usages)
		if err != nil {
			return nil, err
		}
		extensions = append(extensions, pkix.Extension{Id: oidExtKeyUsage, Value: value})
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: t.subject(), SignatureAlgorithm: alg, ExtraExtensions: extensions,
		DNSNames: t.DNSNames, IPAddresses: t.IPs, EmailAddresses: t.Emails, URIs: t.URIs,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make the certification request: %w", err)
	}
	// Read it as an authority would: a wrong signature of the key store must not leave.
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("read the certification request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the certification request's signature is wrong: %w", err)
	}
	return der, nil
}

// EncodeRequestPEM writes a certification request as PEM (RFC 7468 section 7).
func EncodeRequestPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// alternativeNames is the table of kinds of subject alternative names, by the
// prefixes that OpenSSL uses.
var alternativeNames = []struct {
	prefix string
	add    func(t *Template, value string) error
}{
	{"DNS:", func(t *Template, v string) error {
		if len(v) > 253 || hasEmptyLabel(v) || strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.*_") != "" {
			return errors.New("it is no DNS name")
		}
		t.DNSNames = append(t.DNSNames, v)
		return nil
	}},
	{"IP:", func(t *Template, v string) error {
		ip := net.ParseIP(v)
		if ip == nil {
			return errors.New("it is no IP address")
		}
		t.IPs = append(t.IPs, ip)
		return nil
	}},
	{"email:", func(t *Template, v string) error {
		if a, err := mail.ParseAddress(v); err != nil || a.Address != v || !isASCII(v) {
			return errors.New("it is no e-mail address in ASCII")
		}
		t.Emails = append(t.Emails, v)
		return nil
	}},
	{"URI:", func(t *Template, v string) error {
		u, err := url.Parse(v)
		if err != nil || u.Scheme == "" || !isASCII(v) || u.Host != "" && hasEmptyLabel(u.Host) {
			return errors.New("it is no absolute URI in ASCII")
		}
		t.URIs = append(t.URIs, u)
		return nil
	}},
}

// AddAlternativeName adds a subject alternative name (RFC 5280 section 4.2.1.6)
// in OpenSSL's spelling: DNS:example.com, IP:192.0.2.1, email:name@example.com
// or URI:https://example.com. The prefixes are taken without regard to case.
func (t *Template) AddAlternativeName(name string) error {
	for _, kind := range alternativeNames {
		if len(name) > len(kind.prefix) && strings.EqualFold(name[:len(kind.prefix)], kind.prefix) {
			if err := kind.add(t, name[len(kind.prefix):]); err != nil {
				return fmt.Errorf("the alternative name %q: %w", name, err)
			}
			return nil
		}
	}
	return fmt.Errorf("the alternative name %q has no known kind: write DNS:…, IP:…, email:… or URI:…", name)
}

// AlternativeNames are the names of a certificate or request in the spelling of AddAlternativeName.
func AlternativeNames(dns []string, ips []net.IP, emails []string, uris []*url.URL) []string {
	var names []string
	for _, v := range dns {
		names = append(names, "DNS:"+v)
	}
	for _, v := range ips {
		names = append(names, "IP:"+v.String())
	}
	for _, v := range emails {
		names = append(names, "email:"+v)
	}
	for _, v := range uris {
		names = append(names, "URI:"+v.String())
	}
	return names
}

// hasEmptyLabel: readers of certificates refuse names like "a..b" and ".a".
func hasEmptyLabel(domain string) bool { return slices.Contains(strings.Split(domain, "."), "") }

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
