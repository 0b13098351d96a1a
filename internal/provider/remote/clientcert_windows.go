package remote

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// clientCertificate finds the certificate of "thumbprint:{hex}" (SHA-1 of the
// DER) in CurrentUser\My, then LocalMachine\My, with its CNG private key, which
// stays where it is.
func clientCertificate(value string) (*tls.Certificate, error) {
	kind, digits, _ := strings.Cut(value, ":")
	thumbprint, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), " ", ""))
	if !strings.EqualFold(kind, "thumbprint") || err != nil || len(thumbprint) != 20 {
		return nil, errors.New("the TLS client certificate is not given as thumbprint: and 40 hexadecimal digits")
	}
	for _, location := range []uint32{windows.CERT_SYSTEM_STORE_CURRENT_USER, windows.CERT_SYSTEM_STORE_LOCAL_MACHINE} {
		cert, err := storeCertificate(location, thumbprint)
		if cert != nil || err != nil {
			return cert, err
		}
	}
	return nil, fmt.Errorf("no certificate with thumbprint %x in CurrentUser\\My or LocalMachine\\My", thumbprint)
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
	defer windows.CertCloseStore(store, 0)
	blob := windows.CryptHashBlob{Size: uint32(len(thumbprint)), Data: &thumbprint[0]}
	found, err := windows.CertFindCertificateInStore(store, windows.X509_ASN_ENCODING|windows.PKCS_7_ASN_ENCODING, 0,
		windows.CERT_FIND_HASH, unsafe.Pointer(&blob), nil)
	if err != nil {
		return nil, nil
	}
	defer windows.CertFreeCertificateContext(found)
	der := make([]byte, found.Length)
	copy(der, unsafe.Slice(found.EncodedCert, found.Length))
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("the TLS client certificate cannot be read: %w", err)
	}
	var key windows.Handle
	var spec uint32
	var free bool
	err = windows.CryptAcquireCertificatePrivateKey(found,
		windows.CRYPT_ACQUIRE_ONLY_NCRYPT_KEY_FLAG|windows.CRYPT_ACQUIRE_SILENT_FLAG, nil, &key, &spec, &free)
	if err != nil {
		return nil, fmt.Errorf("the private key of the TLS client certificate cannot be opened: %w", err)
	}
	signer := &storeKey{handle: key, public: parsed.PublicKey}
	if free {
		runtime.AddCleanup(signer, func(h windows.Handle) { _, _, _ = procFreeObject.Call(uintptr(h)) }, key)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, Leaf: parsed, PrivateKey: signer}, nil
}

var (
	ncrypt         = windows.NewLazySystemDLL("ncrypt.dll")
	procSignHash   = ncrypt.NewProc("NCryptSignHash")
	procFreeObject = ncrypt.NewProc("NCryptFreeObject")
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

// storeKey is a crypto.Signer over a CNG key handle.
type storeKey struct {
	handle windows.Handle
	public crypto.PublicKey
}

// Public implements crypto.Signer.
func (k *storeKey) Public() crypto.PublicKey { return k.public }

var cngHashes = map[crypto.Hash]string{crypto.SHA1: "SHA1", crypto.SHA256: "SHA256", crypto.SHA384: "SHA384", crypto.SHA512: "SHA512"}

// Sign implements crypto.Signer; TLS asks for PSS with salt length = hash length.
func (k *storeKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if len(digest) == 0 {
		return nil, errors.New("nothing to sign")
	}
	var info *paddingInfo
	flags := uintptr(silentFlag)
	switch k.public.(type) {
	case *rsa.PublicKey:
		name, ok := cngHashes[opts.HashFunc()]
		if !ok {
			return nil, fmt.Errorf("the key store does not sign %v digests", opts.HashFunc())
		}
		algorithm, err := windows.UTF16PtrFromString(name)
		if err != nil {
			return nil, err
		}
		info = &paddingInfo{algorithm: algorithm}
		if _, pss := opts.(*rsa.PSSOptions); pss {
			info.salt = uint32(len(digest))
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
	status, _, _ := procSignHash.Call(uintptr(k.handle), uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(&digest[0])), uintptr(len(digest)),
		uintptr(unsafe.Pointer(&out[0])), uintptr(len(out)), uintptr(unsafe.Pointer(&n)), flags)
	runtime.KeepAlive(k)
	if status != 0 {
		return nil, fmt.Errorf("the private key of the TLS client certificate does not sign (NCryptSignHash 0x%08X)", uint32(status))
	}
	out = out[:n]
	if info != nil {
		return out, nil
	}
	half := len(out) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(out[:half]), new(big.Int).SetBytes(out[half:])})
}
