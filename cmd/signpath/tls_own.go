package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"signpath/internal/secret"
	"signpath/internal/service/pki"
)

// Names of the service's own certificate in the data folder.
const (
	tlsCAName    = "tls-ca.pem"     // what clients trust
	tlsCAKeyName = "tls-ca-key.pem" // the same and its key, in one file so that they fit
	tlsCertName  = "tls.pem"        // the server's certificate
	tlsKeyName   = "tls-key.pem"    // and its key
)

// A certificate of our own lasts as long as every usual client accepts. It is
// made anew shortly before its end, below the same authority: clients need
// nothing new for ten years.
const (
	tlsValidity   = 397 * 24 * time.Hour
	tlsCAValidity = 3650 * 24 * time.Hour
	tlsRenewal    = 30 * 24 * time.Hour
	tlsRetry      = time.Hour // after a renewal that failed
)

// ownTLS is the service's own certificate, which renews itself while it runs.
type ownTLS struct {
	folder string
	hosts  []string
	logger *slog.Logger
	now    func() time.Time

	mu    sync.Mutex
	cert  *tls.Certificate
	tried time.Time // last renewal that failed
}

// made tells what clients have to know about a certificate.
type made int

const (
	madeNothing     made = iota
	madeCertificate      // below the authority that clients know
	madeAuthority        // clients need the new tls-ca.pem
)

// openOwnTLS loads the certificate in the folder, or makes one for hosts when
// there is none or its end is near.
func openOwnTLS(folder string, hosts []string, logger *slog.Logger, now func() time.Time) (*ownTLS, made, error) {
	o := &ownTLS{folder: folder, hosts: hosts, logger: logger, now: now}
	certPath, keyPath := o.path(tlsCertName), o.path(tlsKeyName)
	cert, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err == nil && !o.endsSoon(cert.Leaf) {
		o.cert = &cert
		return o, madeNothing, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, madeNothing, badInput(fmt.Errorf("the TLS certificate %s cannot be used: %w", certPath, err), "remove "+certPath+" and "+keyPath+" to have new ones made")
	}
	what, err := o.renew()
	return o, what, err
}

func (o *ownTLS) path(name string) string { return filepath.Join(o.folder, name) }

func (o *ownTLS) endsSoon(c *x509.Certificate) bool {
	return !o.now().Add(tlsRenewal).Before(c.NotAfter)
}

// certificate is tls.Config.GetCertificate. A renewal that fails leaves the
// certificate as it is and is tried again later.
func (o *ownTLS) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	if !o.endsSoon(o.cert.Leaf) || now.Sub(o.tried) < tlsRetry {
		return o.cert, nil
	}
	switch what, err := o.renew(); {
	case err != nil:
		o.tried = now
		o.logger.Error("the TLS certificate could not be renewed", slog.Time("ends", o.cert.Leaf.NotAfter), slog.Any("error", err))
	case what == madeAuthority:
		o.logger.Warn("the TLS certificate was renewed with a new authority: clients need the new file", slog.String("file", o.path(tlsCAName)))
	default:
		o.logger.Info("the TLS certificate was renewed", slog.Time("ends", o.cert.Leaf.NotAfter))
	}
	return o.cert, nil
}

// renew makes a certificate, and the authority when there is none or its end is near.
func (o *ownTLS) renew() (made, error) {
	what := madeCertificate
	ca, caKey, end, err := o.authority()
	if err != nil {
		return madeNothing, err
	}
	if ca == nil {
		what, end = madeAuthority, o.now().Add(tlsCAValidity)
		if ca, caKey, err = pki.NewTLSAuthority(end); err != nil {
			return madeNothing, fmt.Errorf("making the TLS authority: %w", err)
		}
	}
	if last := o.now().Add(tlsValidity); last.Before(end) {
		end = last
	}
	leaf, key, err := pki.IssueTLS(ca, caKey, o.hosts, end)
	if err != nil {
		return madeNothing, fmt.Errorf("making the TLS certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(leaf, []byte(key.Reveal()))
	if err != nil {
		return madeNothing, fmt.Errorf("making the TLS certificate: %w", err)
	}
	// The certificate last: without it the next start goes on here.
	if err := os.Remove(o.path(tlsCertName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return madeNothing, err
	}
	type file struct {
		name string
		data []byte
		mode fs.FileMode
	}
	var files []file
	if what == madeAuthority {
		files = append(files, file{tlsCAKeyName, append(bytes.Clone(ca), caKey.Reveal()...), secretFile})
	}
	files = append(files, file{tlsCAName, ca, publicFile}, file{tlsKeyName, []byte(key.Reveal()), secretFile}, file{tlsCertName, leaf, publicFile})
	for _, f := range files {
		if err := writeFile(o.path(f.name), f.data, f.mode); err != nil {
			return madeNothing, err
		}
	}
	o.cert = &cert
	return what, nil
}

// authority loads the authority with the end of its validity; nil: there is
// none, or its end is near.
func (o *ownTLS) authority() (ca []byte, key secret.Secret, end time.Time, err error) {
	data, err := os.ReadFile(o.path(tlsCAKeyName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, key, end, nil
	}
	if err != nil {
		return nil, key, end, badInput(err, "")
	}
	defer clear(data)
	block, rest := pem.Decode(data)
	var cert *x509.Certificate
	if block != nil {
		cert, err = x509.ParseCertificate(block.Bytes)
	}
	if cert == nil || err != nil {
		return nil, key, end, badInput(fmt.Errorf("%s does not begin with a certificate", o.path(tlsCAKeyName)),
			"put it back from a backup; or remove it to have a new authority made, whose tls-ca.pem clients will need")
	}
	if o.endsSoon(cert) {
		return nil, key, end, nil
	}
	return pem.EncodeToMemory(block), secret.New(string(rest)), cert.NotAfter, nil
}
