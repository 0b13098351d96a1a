//go:build !windows

package remote

import (
	"crypto/tls"
	"errors"
)

func clientCertificate(string) (*tls.Certificate, error) {
	return nil, errors.New("a TLS client certificate from the Windows certificate store is configured, but this is not Windows")
}
