package syslog

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// TLS says how a receiver behind tls:// is checked, and how this service shows
// who it is (RFC 5425 sections 4.2 and 5). The files are read at each new
// connection, so that renewed ones count without a restart.
type TLS struct {
	CAFile   string // authorities in PEM; empty: those of the operating system
	CertFile string // client certificate with its issuers in PEM; empty: none
	KeyFile  string // its private key in PEM
}

// WithTLS gives the target of tls:// its files, and reads them once, so that
// what cannot work is known at the start. Other targets take none.
func (t Target) WithTLS(files TLS) (Target, error) {
	if files == (TLS{}) {
		return t, nil
	}
	if t.network != "tls" {
		return t, fmt.Errorf("the syslog target %s is not encrypted and takes no certificates; write tls://HOST:6514", t)
	}
	if (files.CertFile == "") != (files.KeyFile == "") {
		return t, errors.New("the client certificate for syslog and its private key belong together")
	}
	t.files = files
	_, err := t.tlsConfig()
	return t, err
}

// tlsConfig reads the files. The name in the target must be one of the
// receiver's certificate.
func (t Target) tlsConfig() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(t.address)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if t.files.CAFile != "" {
		text, err := os.ReadFile(t.files.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the authorities for syslog: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate in PEM", t.files.CAFile)
		}
	}
	if t.files.CertFile != "" {
		own, err := tls.LoadX509KeyPair(t.files.CertFile, t.files.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate for syslog: %w", err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}
