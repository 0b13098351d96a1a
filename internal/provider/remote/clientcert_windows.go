package remote

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the thumbprint that Windows shows
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// stores are where a client certificate is looked for, in this order.
var stores = []struct {
	name     string
	location uint32
}{
	{`CurrentUser\My`, windows.CERT_SYSTEM_STORE_CURRENT_USER},
	{`LocalMachine\My`, windows.CERT_SYSTEM_STORE_LOCAL_MACHINE},
}

// clientCertificate finds the certificate of "thumbprint:{hex}" (SHA-1 or SHA-256 of
// the DER) in CurrentUser\My, then in LocalMachine\My, with its private key, which
// stays where it is, and its issuers as far as this machine knows them. One without
// a usable key in the first store does not hide that of the second.
func clientCertificate(value string) (*tls.Certificate, error) {
	kind, digits, _ := strings.Cut(value, ":")
	thumbprint, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), " ", ""))
	if !strings.EqualFold(kind, "thumbprint") || err != nil || len(thumbprint) != sha1.Size && len(thumbprint) != sha256.Size {
		return nil, errors.New("the TLS client certificate is not given as thumbprint: and 40 hexadecimal digits")
	}
	var problems []string
	for _, s := range stores {
		cert, err := storeCertificate(s.location, thumbprint)
		if cert != nil {
			return cert, nil
		}
		if err != nil {
			problems = append(problems, s.name+": "+err.Error())
		}
	}
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	return nil, fmt.Errorf("no certificate with thumbprint %x in %s or %s", thumbprint, stores[0].name, stores[1].name)
}

// storeCertificate looks into one store; nil and nil mean that it is not there.
func storeCertificate(location uint32, thumbprint []byte) (*tls.Certificate, error) {
	name, err := windows.UTF16PtrFromString("My")
	if err != nil {
		return nil, err
	}
	store, err := windows.CertOpenStore(windows.CERT_STORE_PROV_SYSTEM_W, 0, 0,
		location|windows.CERT_STORE_OPEN_EXISTING_FLAG|windows.CERT_STORE_READONLY_FLAG, uintptr(unsafe.Pointer(name)))
	if err != nil {
		return nil, nil // no such store: not there
	}
	defer func() { _ = windows.CertCloseStore(store, 0) }()
	var found *windows.CertContext
	for {
		// Every call takes the context of the one before.
		if found, err = windows.CertEnumCertificatesInStore(store, found); err != nil || found == nil {
			return nil, nil
		}
		if hasThumbprint(encoded(found), thumbprint) {
			break
		}
	}
	defer func() { _ = windows.CertFreeCertificateContext(found) }()
	der := bytes.Clone(encoded(found))
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("the TLS client certificate cannot be read: %w", err)
	}
	key, err := openStoreKey(found, leaf.PublicKey)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, issuers(found)...), Leaf: leaf, PrivateKey: key}, nil
}

// encoded is the DER of a certificate; it lives as long as the context.
func encoded(c *windows.CertContext) []byte { return unsafe.Slice(c.EncodedCert, c.Length) }

func hasThumbprint(der, thumbprint []byte) bool {
	if len(thumbprint) == sha256.Size {
		sum := sha256.Sum256(der)
		return bytes.Equal(sum[:], thumbprint)
	}
	sum := sha1.Sum(der) //nolint:gosec // a name, no protection
	return bytes.Equal(sum[:], thumbprint)
}

// issuers are the certificates between leaf and root, for services that do not have
// them. Nothing is fetched from the network.
func issuers(leaf *windows.CertContext) (all [][]byte) {
	const cacheOnly = 0x80000000 | 0x4 // CERT_CHAIN_REVOCATION_CHECK_CACHE_ONLY, CERT_CHAIN_CACHE_ONLY_URL_RETRIEVAL
	para := windows.CertChainPara{}
	para.Size = uint32(unsafe.Sizeof(para))
	var chain *windows.CertChainContext
	if err := windows.CertGetCertificateChain(0, leaf, nil, leaf.Store, &para, cacheOnly, 0, &chain); err != nil {
		return nil
	}
	defer windows.CertFreeCertificateChain(chain)
	if chain.ChainCount == 0 {
		return nil
	}
	first := unsafe.Slice(chain.Chains, chain.ChainCount)[0]
	for i, element := range unsafe.Slice(first.Elements, first.NumElements) {
		der := bytes.Clone(encoded(element.CertContext))
		c, err := x509.ParseCertificate(der)
		if err != nil || bytes.Equal(c.RawIssuer, c.RawSubject) {
			break // a root is nothing that a service would believe us
		}
		if i > 0 {
			all = append(all, der)
		}
	}
	return all
}
