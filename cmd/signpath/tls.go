package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
)

// givenCertificate loads the operator's certificate and key.
func givenCertificate(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return cert, badInput(fmt.Errorf("the TLS certificate %s with key %s cannot be used: %w", certFile, keyFile, err), "both must be PEM and belong together; the certificate first, then its issuers")
	}
	return cert, nil
}

// clientAuthorities loads the authorities of client certificates.
func clientAuthorities(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, badInput(err, "")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, badInput(fmt.Errorf("%s holds no certificate in PEM", file), "")
	}
	return pool, nil
}

// tlsConfig is what the service accepts: TLS 1.2 and 1.3. certificate gives the
// service's certificate for each connection.
func tlsConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), clients *x509.CertPool) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate, NextProtos: []string{"h2", "http/1.1"}}
	if clients != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	return c
}

// hostsFor are the names and addresses that a certificate of our own carries.
func hostsFor(listenHost, publicHost string) []string {
	var hosts []string
	for _, h := range []string{publicHost, listenHost} {
		if h != "" && !isUnspecified(h) {
			hosts = append(hosts, h)
		}
	}
	hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	if name, err := os.Hostname(); err == nil && (net.ParseIP(listenHost) == nil || !net.ParseIP(listenHost).IsLoopback()) {
		hosts = append(hosts, name)
	}
	return hosts
}

// covers tells whether the certificate is valid for the host.
func covers(cert tls.Certificate, host string) bool {
	return cert.Leaf != nil && cert.Leaf.VerifyHostname(host) == nil
}

// isUnspecified tells whether the listen address means every address of the machine.
func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// isLoopback tells whether only this machine can reach the host.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
