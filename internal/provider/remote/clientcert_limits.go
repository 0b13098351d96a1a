package remote

import "crypto/tls"

// pkcs1Signer is a private key of TLS that may be able to do PKCS #1 v1.5 only:
// keys of CAPI, and smart cards. TLS 1.3 wants RSASSA-PSS of RSA keys (RFC 8446
// section 4.2.3), so such a key needs TLS 1.2. Some show it at the first signature only.
type pkcs1Signer interface{ PKCS1Only() bool }

// pkcs1Schemes are what such a key can sign in TLS 1.2 (RFC 5246 section 7.4.1.4.1).
var pkcs1Schemes = []tls.SignatureScheme{tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512}

// pkcs1Only tells whether the client certificate's key is such a key, as far as it is known now.
func (d *dialer) pkcs1Only() bool {
	if d.client == nil {
		return false
	}
	key, ok := d.client.PrivateKey.(pkcs1Signer)
	return ok && key.PKCS1Only()
}

// limit fits a handshake to the client certificate's key.
func (d *dialer) limit(cfg *tls.Config) {
	if !d.pkcs1Only() {
		return
	}
	cfg.MaxVersion = tls.VersionTLS12
	limited := *d.client
	limited.SupportedSignatureAlgorithms = pkcs1Schemes
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &limited, nil }
}
