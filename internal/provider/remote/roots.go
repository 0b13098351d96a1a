package remote

import (
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

const maxCAFile = 16 << 20 // bytes

// roots are the certificate authorities that a service may chain to: the
// system's and those of the TrustedCaFile.
//
// Reading the system's costs about as much as a whole signature (a hundred and
// fifty files), so with a TrustedCaFile they are left out until a certificate
// does not chain to the file: the connection is then made once more with both.
type roots struct {
	file   *x509.CertPool                 // nil: no TrustedCaFile
	both   func() (*x509.CertPool, error) // reads the system's, once
	system func()                         // starts to read the system's, once, without waiting
	wide   atomic.Bool                    // the file alone was not enough
}

// readRoots reads the file ("" for none).
func readRoots(file string) (*roots, error) {
	r := &roots{}
	if file == "" {
		var once sync.Once
		r.system = func() { once.Do(func() { go func() { _, _ = x509.SystemCertPool() }() }) }
		return r, nil
	}
	r.system = func() {}
	pem, err := readRegular(file, maxCAFile)
	if err != nil {
		return nil, err
	}
	r.file = x509.NewCertPool()
	if !r.file.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	r.both = sync.OnceValues(func() (*x509.CertPool, error) {
		pool, err := x509.SystemCertPool()
		if err != nil { // a machine without roots can still trust the file
			return r.file, err
		}
		pool.AppendCertsFromPEM(pem)
		return pool, nil
	})
	return r, nil
}

// pool is what a handshake trusts now; nil means the system's.
func (r *roots) pool() *x509.CertPool {
	if r.file == nil || !r.wide.Load() {
		return r.file
	}
	pool, _ := r.both()
	return pool
}

// widen tells whether a connection that failed with err may succeed with the
// system's roots as well. narrow is whether it was begun without them.
func (r *roots) widen(narrow bool, err error) bool {
	var unknown x509.UnknownAuthorityError
	if !narrow || !errors.As(err, &unknown) {
		return false
	}
	r.wide.Store(true)
	return true
}

// narrow tells whether the system's roots are left out now.
func (r *roots) narrow() bool { return r.file != nil && !r.wide.Load() }
