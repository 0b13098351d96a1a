package remote

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/windows"
)

// ncryptSpec is what stands in place of a key specification when a key is one of
// CNG (CERT_NCRYPT_KEY_SPEC).
const ncryptSpec = 0xFFFFFFFF

// openStoreKey opens the private key of a certificate: by CNG, which opens the
// containers of Microsoft's CAPI providers too, else by CAPI. Nobody is asked for a
// PIN: providers run where nobody sits.
func openStoreKey(cert *windows.CertContext, public crypto.PublicKey) (crypto.Signer, error) {
	var key windows.Handle
	var spec uint32
	var free bool
	err := windows.CryptAcquireCertificatePrivateKey(cert,
		windows.CRYPT_ACQUIRE_PREFER_NCRYPT_KEY_FLAG|windows.CRYPT_ACQUIRE_SILENT_FLAG, nil, &key, &spec, &free)
	if err != nil {
		return nil, fmt.Errorf("the private key of the TLS client certificate cannot be opened: %w; import the certificate with its key, and let the user who signs read it", err)
	}
	if !free { // the handle is the context's
		windows.CertDuplicateCertificateContext(cert)
	}
	if spec != ncryptSpec {
		return openCAPIKey(cert, key, spec, free, public)
	}
	signer := &cngKey{handle: key, public: public}
	if free {
		runtime.AddCleanup(signer, func(h windows.Handle) { _, _, _ = procNCryptFree.Call(uintptr(h)) }, key)
	}
	return signer, nil
}

var (
	ncrypt         = windows.NewLazySystemDLL("ncrypt.dll")
	procNCryptSign = ncrypt.NewProc("NCryptSignHash")
	procNCryptFree = ncrypt.NewProc("NCryptFreeObject")
)

const (
	padPKCS1   = 0x2  // BCRYPT_PAD_PKCS1
	padPSS     = 0x8  // BCRYPT_PAD_PSS
	silentFlag = 0x40 // NCRYPT_SILENT_FLAG
)

// paddingInfo is BCRYPT_PSS_PADDING_INFO; BCRYPT_PKCS1_PADDING_INFO is its first member.
type paddingInfo struct {
	algorithm *uint16
	salt      uint32
}

// cngKey is a crypto.Signer over a CNG key handle: RSA PKCS #1 v1.5 and PSS, ECDSA.
// It is safe for use by many threads.
type cngKey struct {
	handle windows.Handle
	public crypto.PublicKey
	noPSS  atomic.Bool // a smart card that cannot do it has shown it
}

// Public implements crypto.Signer.
func (k *cngKey) Public() crypto.PublicKey { return k.public }

// PKCS1Only implements pkcs1Signer.
func (k *cngKey) PKCS1Only() bool { return k.noPSS.Load() }

var cngHashes = map[crypto.Hash]string{crypto.SHA1: "SHA1", crypto.SHA256: "SHA256", crypto.SHA384: "SHA384", crypto.SHA512: "SHA512"}

// Sign implements crypto.Signer; TLS asks for PSS with salt length = hash length.
func (k *cngKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if len(digest) == 0 {
		return nil, errors.New("nothing to sign")
	}
	var info *paddingInfo
	pss, flags := false, uintptr(silentFlag)
	switch k.public.(type) {
	case *rsa.PublicKey:
		name, ok := cngHashes[opts.HashFunc()]
		if !ok || len(digest) != opts.HashFunc().Size() {
			return nil, fmt.Errorf("the key store does not sign %d bytes as a digest of %v", len(digest), opts.HashFunc())
		}
		algorithm, err := windows.UTF16PtrFromString(name)
		if err != nil {
			return nil, err
		}
		info = &paddingInfo{algorithm: algorithm}
		if _, pss = opts.(*rsa.PSSOptions); pss {
			info.salt = uint32(len(digest)) //nolint:gosec // at most 64
			flags |= padPSS
		} else {
			flags |= padPKCS1
		}
	case *ecdsa.PublicKey:
	default:
		return nil, fmt.Errorf("keys of type %T cannot be used for TLS here", k.public)
	}
	out := make([]byte, 1024) // RSA-8192
	var n uint32
	status, _, _ := procNCryptSign.Call(uintptr(k.handle), uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(&digest[0])), uintptr(len(digest)),
		uintptr(unsafe.Pointer(&out[0])), uintptr(len(out)), uintptr(unsafe.Pointer(&n)), flags)
	runtime.KeepAlive(k)
	switch {
	case status != 0:
		if pss {
			k.noPSS.Store(true)
		}
		return nil, fmt.Errorf("the private key of the TLS client certificate does not sign (NCryptSignHash 0x%08X)", uint32(status))
	case int(n) > len(out):
		return nil, errors.New("the key store gave a signature that is too long")
	}
	out = out[:n]
	if info != nil {
		return out, nil
	}
	half := len(out) / 2 // r and s side by side, big-endian
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(out[:half]), new(big.Int).SetBytes(out[half:])})
}
