package remote

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"

	"signpath/internal/provider/settings"
	"signpath/internal/rights"
)

const (
	maxClientFile   = 1 << 20 // bytes
	hintClientFiles = "TlsClientCertificateFile (SIGNPATH_TLS_CLIENT_CERTIFICATE_FILE) is a PEM file with the certificate and then its issuers, TlsClientKeyFile (SIGNPATH_TLS_CLIENT_KEY_FILE) one with its private key, unencrypted; both may be the same file."
	hintStore       = "TlsClientCertificate (SIGNPATH_TLS_CLIENT_CERTIFICATE) is thumbprint:{hex} of a certificate with private key in the Windows stores CurrentUser\\My or LocalMachine\\My; it works on Windows only, TlsClientCertificateFile everywhere."
)

// clientIdentity gives the TLS client certificate of the settings, nil for none.
// Its error is an *Error.
func clientIdentity(s settings.Settings) (*tls.Certificate, error) {
	var cert *tls.Certificate
	var err error
	hint := hintClientFiles
	switch files := s.TLSClientCertificateFile != "" || s.TLSClientKeyFile != ""; {
	case files && s.TLSClientCertificate != "":
		err = errors.New("there are two TLS client certificates, one from the Windows certificate store and one from files")
	case files:
		cert, err = fileCertificate(s.TLSClientCertificateFile, s.TLSClientKeyFile)
	case s.TLSClientCertificate != "":
		hint = hintStore
		cert, err = clientCertificate(s.TLSClientCertificate)
	}
	if err != nil {
		return nil, &Error{Class: Other, Op: "configuration", Err: err, Hint: hint}
	}
	return cert, nil
}

// ClientCertificate reads the files of the TLS client certificate, or looks into the
// Windows stores, as every connection does, for people who want to know who they are: the certificate
// first, then its issuers. None without such settings.
func ClientCertificate(s settings.Settings) ([]*x509.Certificate, error) {
	if s.TLSClientCertificateFile == "" && s.TLSClientKeyFile == "" && s.TLSClientCertificate == "" {
		return nil, nil
	}
	cert, err := clientIdentity(s)
	if err != nil {
		return nil, err
	}
	all := []*x509.Certificate{cert.Leaf}
	for _, der := range cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil { // always: it was parsed before
			all = append(all, c)
		}
	}
	return all, nil
}

// warnClientCertificate tells what is wrong with a client certificate that works.
func (c *Client) warnClientCertificate(cert *tls.Certificate) {
	if cert == nil || cert.Leaf == nil {
		return
	}
	if now := c.now(); now.After(cert.Leaf.NotAfter) || now.Before(cert.Leaf.NotBefore) {
		c.log.Warning("the TLS client certificate is outside its validity; the service will most likely refuse it",
			"certificate", Subject(cert.Leaf), "from", cert.Leaf.NotBefore.UTC().Format(time.RFC3339), "to", cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if path := c.settings.TLSClientKeyFile; path != "" {
		if info, err := os.Stat(path); err == nil && OpenKeyFile(info.Mode()) {
			c.log.Warning("every user of this machine may read the private key of the TLS client certificate; take that right away: chmod o-rwx, or chmod 600",
				"file", path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
		}
		if others, err := rights.Look(path); err == nil && len(others.Read) > 0 {
			c.log.Warning("other users may read the private key of the TLS client certificate; take that right away: icacls FILE /inheritance:r /grant:r YOU:F",
				"file", path, "users", strings.Join(others.Read, ", "))
		}
	}
}

// OpenKeyFile tells whether everybody may read a file. On Windows the mode does
// not say.
func OpenKeyFile(mode fs.FileMode) bool { return runtime.GOOS != "windows" && mode.Perm()&0o004 != 0 }

// fileCertificate reads a certificate chain and its private key (PEM, RFC 7468).
// No error holds anything of the key's file but its name.
func fileCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	if certFile == "" || keyFile == "" {
		return nil, errors.New("a TLS client certificate needs both files, that of the certificate and that of the key")
	}
	data, err := readRegular(certFile, maxClientFile)
	if err != nil {
		return nil, fmt.Errorf("the TLS client certificate: %w", err)
	}
	chain, err := parseChain(certFile, data)
	if err != nil {
		return nil, err
	}
	if keyFile != certFile {
		if data, err = readRegular(keyFile, maxClientFile); err != nil {
			return nil, fmt.Errorf("the key of the TLS client certificate: %w", err)
		}
	}
	key, err := parseClientKey(keyFile, data)
	if err != nil {
		return nil, err
	}
	public, comparesKeys := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !comparesKeys {
		return nil, fmt.Errorf("the key in %s is of a type that TLS does not use", keyFile)
	}
	cert := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	fits := -1
	for i, c := range chain {
		if fits < 0 && public.Equal(c.PublicKey) {
			fits = i
		}
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	switch {
	case fits < 0:
		return nil, fmt.Errorf("the private key in %s does not belong to the certificate in %s", keyFile, certFile)
	case fits > 0:
		return nil, fmt.Errorf("the certificate of the private key is number %d in %s; it must stand first, its issuers behind it", fits+1, certFile)
	}
	return cert, nil
}

// parseChain reads all certificates of a file; other blocks are passed over.
func parseChain(file string, data []byte) (chain []*x509.Certificate, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate number %d in %s cannot be read: %w", len(chain)+1, file, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return chain, nil
}

// parseClientKey reads the one private key of a file: PKCS #8, or the older forms
// of RSA (RFC 8017 appendix A.1.2) and EC keys (RFC 5915). What the parsers say is
// left out of the errors: it may quote the key.
func parseClientKey(file string, data []byte) (key crypto.Signer, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PRIVATE KEY" && !strings.HasSuffix(block.Type, " PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, fmt.Errorf("the private key in %s is encrypted, and nobody can be asked for its password here; store it unencrypted, readable by the user who signs only (openssl pkey -in … -out …)", file)
		}
		if key != nil {
			return nil, fmt.Errorf("%s holds more than one private key", file)
		}
		var parsed any
		switch block.Type {
		case "PRIVATE KEY":
			parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			parsed, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			return nil, fmt.Errorf("%s holds a private key in a form that is not known here (%q); convert it with openssl pkey", file, block.Type)
		}
		signer, signs := parsed.(crypto.Signer)
		if err != nil || !signs {
			return nil, fmt.Errorf("the private key in %s cannot be read: it is damaged, or of a type that TLS does not use", file)
		}
		key = signer
	}
	if key == nil {
		return nil, fmt.Errorf("%s holds no private key in PEM form", file)
	}
	return key, nil
}

// readRegular reads a small file. Opening a pipe would wait for ever.
func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s is larger than %d MiB", path, limit>>20)
	}
	return os.ReadFile(path)
}
