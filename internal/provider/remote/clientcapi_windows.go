package remote

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	crypt32                  = windows.NewLazySystemDLL("crypt32.dll")
	procCertGetProperty      = crypt32.NewProc("CertGetCertificateContextProperty")
	advapi32                 = windows.NewLazySystemDLL("advapi32.dll")
	procCryptGetProvParam    = advapi32.NewProc("CryptGetProvParam")
	procCryptGetUserKey      = advapi32.NewProc("CryptGetUserKey")
	procCryptDestroyKey      = advapi32.NewProc("CryptDestroyKey")
	procCryptCreateHash      = advapi32.NewProc("CryptCreateHash")
	procCryptSetHashParam    = advapi32.NewProc("CryptSetHashParam")
	procCryptSignHash        = advapi32.NewProc("CryptSignHashW")
	procCryptDestroyHash     = advapi32.NewProc("CryptDestroyHash")
	capiHashes               = map[crypto.Hash]uintptr{crypto.SHA1: 0x8004, crypto.SHA256: 0x800C, crypto.SHA384: 0x800D, crypto.SHA512: 0x800E}
	errPKCS1                 = errors.New("the key store signs RSA PKCS #1 v1.5 only")
	errKeyDoesNotFit         = errors.New("the private key in the Windows store does not belong to its certificate; import both again")
	errNoUsableSpecification = errors.New("the container of the TLS client certificate's private key holds no key")
)

const (
	keyProvInfoProperty = 2    // CERT_KEY_PROV_INFO_PROP_ID
	provTypeParam       = 16   // PP_PROVTYPE
	hashValueParam      = 2    // HP_HASHVAL
	rsaAES              = 24   // PROV_RSA_AES: knows SHA-2
	machineKeyset       = 0x20 // CRYPT_MACHINE_KEYSET
	atKeyExchange       = 1
	atSignature         = 2
)

// keyProvInfo is CRYPT_KEY_PROV_INFO.
type keyProvInfo struct {
	container, provider *uint16
	provType, flags     uint32
	paramCount          uint32
	_                   uintptr
	keySpec             uint32
}

// capiKey is a crypto.Signer over a CAPI key, which signs RSA PKCS #1 v1.5 only. One
// call runs at a time.
type capiKey struct {
	mu       sync.Mutex
	provider windows.Handle
	spec     uint32
	public   *rsa.PublicKey
}

// openCAPIKey makes a signer of what CryptAcquireCertificatePrivateKey gave. Providers
// of type PROV_RSA_FULL know no SHA-2, without which there is no TLS 1.2: one of
// Microsoft's is opened again as PROV_RSA_AES, which shares its containers.
func openCAPIKey(cert *windows.CertContext, provider windows.Handle, spec uint32, free bool, public crypto.PublicKey) (crypto.Signer, error) {
	release := func(h windows.Handle) { _ = windows.CryptReleaseContext(h, 0) }
	pub, ok := public.(*rsa.PublicKey)
	if !ok {
		if free {
			release(provider)
		}
		return nil, fmt.Errorf("keys of type %T cannot be used for TLS here", public)
	}
	if again, ok := reopenForSHA2(cert, provider); ok {
		if free {
			release(provider)
		}
		provider, free = again, true
	}
	spec, err := usableSpec(provider, spec)
	if err != nil {
		if free {
			release(provider)
		}
		return nil, err
	}
	k := &capiKey{provider: provider, spec: spec, public: pub}
	if free {
		runtime.AddCleanup(k, release, provider)
	}
	return k, nil
}

// reopenForSHA2 opens the container of a provider of another type as PROV_RSA_AES.
func reopenForSHA2(cert *windows.CertContext, provider windows.Handle) (windows.Handle, bool) {
	var kind, size uint32 = 0, 4
	if ok, _, _ := procCryptGetProvParam.Call(uintptr(provider), provTypeParam, uintptr(unsafe.Pointer(&kind)), uintptr(unsafe.Pointer(&size)), 0); ok == 0 || kind == rsaAES {
		return 0, false
	}
	size = 0
	if ok, _, _ := procCertGetProperty.Call(uintptr(unsafe.Pointer(cert)), keyProvInfoProperty, 0, uintptr(unsafe.Pointer(&size))); ok == 0 || size < uint32(unsafe.Sizeof(keyProvInfo{})) {
		return 0, false
	}
	words := make([]uintptr, size/uint32(unsafe.Sizeof(uintptr(0)))+1) // aligned
	if ok, _, _ := procCertGetProperty.Call(uintptr(unsafe.Pointer(cert)), keyProvInfoProperty, uintptr(unsafe.Pointer(&words[0])), uintptr(unsafe.Pointer(&size))); ok == 0 {
		return 0, false
	}
	info := (*keyProvInfo)(unsafe.Pointer(&words[0]))
	if info.provider != nil && !strings.HasPrefix(windows.UTF16PtrToString(info.provider), "Microsoft ") {
		return 0, false // another maker's containers are its own
	}
	var again windows.Handle
	err := windows.CryptAcquireContext(&again, info.container, nil, rsaAES, info.flags&machineKeyset|windows.CRYPT_SILENT)
	runtime.KeepAlive(words)
	return again, err == nil
}

// usableSpec finds the key of a container, the named one first. Some callers are
// told both at once.
func usableSpec(provider windows.Handle, named uint32) (uint32, error) {
	specs := []uint32{atKeyExchange, atSignature}
	if named == atSignature {
		slices.Reverse(specs)
	}
	for _, spec := range specs {
		var key windows.Handle
		if ok, _, _ := procCryptGetUserKey.Call(uintptr(provider), uintptr(spec), uintptr(unsafe.Pointer(&key))); ok != 0 {
			_, _, _ = procCryptDestroyKey.Call(uintptr(key))
			return spec, nil
		}
	}
	return 0, errNoUsableSpecification
}

// Public implements crypto.Signer.
func (k *capiKey) Public() crypto.PublicKey { return k.public }

// PKCS1Only implements pkcs1Signer.
func (k *capiKey) PKCS1Only() bool { return true }

// Sign implements crypto.Signer. The signature is verified before it is given: a
// container may hold another key than the certificate says.
func (k *capiKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash := opts.HashFunc()
	algorithm, known := capiHashes[hash]
	if _, pss := opts.(*rsa.PSSOptions); pss || !known || len(digest) != hash.Size() {
		return nil, errPKCS1
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var h windows.Handle
	if ok, _, err := procCryptCreateHash.Call(uintptr(k.provider), algorithm, 0, 0, uintptr(unsafe.Pointer(&h))); ok == 0 {
		return nil, fmt.Errorf("the provider of the TLS client certificate's private key does not know %v: %w", hash, err)
	}
	defer func() { _, _, _ = procCryptDestroyHash.Call(uintptr(h)) }()
	if ok, _, err := procCryptSetHashParam.Call(uintptr(h), hashValueParam, uintptr(unsafe.Pointer(&digest[0])), 0); ok == 0 {
		return nil, fmt.Errorf("the provider of the TLS client certificate's private key takes no %v: %w", hash, err)
	}
	out := make([]byte, 1024) // RSA-8192
	n := uint32(len(out))     //nolint:gosec // a constant
	if ok, _, err := procCryptSignHash.Call(uintptr(h), uintptr(k.spec), 0, 0, uintptr(unsafe.Pointer(&out[0])), uintptr(unsafe.Pointer(&n))); ok == 0 {
		return nil, fmt.Errorf("the private key of the TLS client certificate does not sign: %w", err)
	}
	runtime.KeepAlive(k)
	out = out[:min(int(n), len(out))]
	slices.Reverse(out) // CAPI is little-endian
	if rsa.VerifyPKCS1v15(k.public, hash, digest, out) != nil {
		return nil, errKeyDoesNotFit
	}
	return out, nil
}
