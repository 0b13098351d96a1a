package pki

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"signpath/internal/secret"
)

// NewTLSAuthority makes a small authority for the server certificates of one
// installation. The certificate and the key (PKCS #8, ECDSA P-256) are PEM;
// clients trust the certificate, and whoever has the key can be the server for
// them.
func NewTLSAuthority(notAfter time.Time) (ca []byte, key secret.Secret, err error) {
	caKey, err := newP256()
	if err != nil {
		return nil, key, err
	}
	name, err := distinctName("SignPath TLS", caKey.Public())
	if err != nil {
		return nil, key, err
	}
	caDER, err := selfSigned(Template{CommonName: name, Organization: "SignPath", CA: true, NotAfter: notAfter}, caKey)
	if err != nil {
		return nil, key, err
	}
	key, err = pkcs8PEM(caKey)
	return EncodePEM(caDER), key, err
}

// IssueTLS makes a TLS server certificate for hosts (names or IP addresses, also
// in brackets) below the authority whose certificate and key NewTLSAuthority
// made. The results are PEM: the certificate, and its new key (PKCS #8, ECDSA
// P-256). It ends at notAfter, which must not be later than the authority's end;
// some clients refuse more than 397 or 825 days.
func IssueTLS(ca []byte, caKey secret.Secret, hosts []string, notAfter time.Time) (leaf []byte, key secret.Secret, err error) {
	t := Template{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, NotAfter: notAfter, Organization: "SignPath"}
	if err := t.addHosts(hosts); err != nil {
		return nil, key, err
	}
	block, _ := pem.Decode(ca)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, key, errors.New("the TLS authority is no certificate in PEM")
	}
	issuer, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, key, fmt.Errorf("the TLS authority: %w", err)
	}
	issuerKey, err := parseP256(caKey)
	if err != nil {
		return nil, key, fmt.Errorf("the key of the TLS authority: %w", err)
	}
	leafKey, err := newP256()
	if err != nil {
		return nil, key, err
	}
	leafDER, err := Issue(context.Background(), t, leafKey.Public(), issuer, issuerKey)
	if err != nil {
		return nil, key, err
	}
	key, err = pkcs8PEM(leafKey)
	return EncodePEM(leafDER), key, err
}

// addHosts sorts hosts into names and addresses; the first one becomes the common name.
func (t *Template) addHosts(hosts []string) error {
	seen := map[string]bool{}
	for _, host := range hosts {
		h := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		ip := net.ParseIP(h)
		if ip == nil {
			h = strings.ToLower(h)
			if !validHost(h) {
				return fmt.Errorf("%q is neither a host name nor an IP address", host)
			}
		} else {
			h = ip.String()
		}
		if seen[h] {
			continue
		}
		seen[h] = true
		if ip != nil {
			t.IPs = append(t.IPs, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
		if t.CommonName == "" {
			t.CommonName = h[:min(len(h), 64)]
		}
	}
	if len(seen) == 0 {
		return errors.New("a TLS certificate needs at least one host name or IP address")
	}
	return nil
}

// validHost takes names of letters, digits, hyphens and underscores, and "*" as
// the first label (RFC 1123 section 2.1, RFC 6125 section 6.4.3).
func validHost(h string) bool {
	labels := strings.Split(h, ".")
	if len(h) > 253 {
		return false
	}
	for i, l := range labels {
		if l == "*" && i == 0 && len(labels) > 1 {
			continue
		}
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for _, c := range l {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
