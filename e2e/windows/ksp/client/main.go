// Command client signs through Windows' ncrypt.dll as Go programs do: RSA keys with
// go.step.sm/crypto/kms/capi, an independent client, and ECDSA keys, for which that one
// wants a certificate store, with calls of its own.
//
//	client PROVIDER CONTAINER {pkcs1|pss|ecdsa} {sha256|sha384|sha512} DIGEST-FILE SIGNATURE-FILE
//
// ECDSA signatures are written as r‖s.
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/capi"
	"golang.org/x/sys/windows"
)

var hashes = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("client:", err)
		os.Exit(1)
	}
	fmt.Println("client: signed")
}

func run(args []string) error {
	if len(args) != 6 {
		return errors.New("six arguments are wanted")
	}
	provider, container, padding, hash := args[0], args[1], args[2], hashes[args[3]]
	digest, err := os.ReadFile(args[4])
	if err != nil {
		return err
	}
	var signature []byte
	if padding == "ecdsa" {
		signature, err = signECDSA(provider, container, digest)
	} else {
		signature, err = signRSA(provider, container, padding, hash, digest)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(args[5], signature, 0o600)
}

func signRSA(provider, container, padding string, hash crypto.Hash, digest []byte) ([]byte, error) {
	uri := "capi:provider=" + provider + ";key=" + container
	k, err := capi.New(nil, apiv1.Options{Type: "capi", URI: uri})
	if err != nil {
		return nil, err
	}
	defer k.Close()
	signer, err := k.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: uri})
	if err != nil {
		return nil, err
	}
	var o crypto.SignerOpts = hash
	if padding == "pss" {
		o = &rsa.PSSOptions{Hash: hash, SaltLength: rsa.PSSSaltLengthEqualsHash}
	}
	return signer.Sign(rand.Reader, digest, o)
}

var ncrypt = windows.NewLazyDLL("ncrypt.dll")

// call calls a function of ncrypt.dll.
func call(name string, args ...uintptr) error {
	r, _, _ := ncrypt.NewProc(name).Call(args...)
	if r != 0 {
		return fmt.Errorf("%s: 0x%08x", name, uint32(r))
	}
	return nil
}

func text(s string) uintptr { return uintptr(unsafe.Pointer(windows.StringToUTF16Ptr(s))) }

func signECDSA(provider, container string, digest []byte) ([]byte, error) {
	var p, k uintptr
	if err := call("NCryptOpenStorageProvider", uintptr(unsafe.Pointer(&p)), text(provider), 0); err != nil {
		return nil, err
	}
	if err := call("NCryptOpenKey", p, uintptr(unsafe.Pointer(&k)), text(container), 0, 0x40); err != nil {
		return nil, err
	}
	var n uint32
	number := make([]byte, 4)
	for _, property := range []string{"Length", "Key Usage"} {
		if err := call("NCryptGetProperty", k, text(property), uintptr(unsafe.Pointer(&number[0])), 4, uintptr(unsafe.Pointer(&n)), 0); err != nil {
			return nil, err
		}
		fmt.Println("client:", property, binary.LittleEndian.Uint32(number))
	}
	if err := call("NCryptSignHash", k, 0, uintptr(unsafe.Pointer(&digest[0])), uintptr(len(digest)), 0, 0, uintptr(unsafe.Pointer(&n)), 0); err != nil {
		return nil, err
	}
	signature := make([]byte, n)
	if err := call("NCryptSignHash", k, 0, uintptr(unsafe.Pointer(&digest[0])), uintptr(len(digest)), uintptr(unsafe.Pointer(&signature[0])), uintptr(n), uintptr(unsafe.Pointer(&n)), 0); err != nil {
		return nil, err
	}
	if err := call("NCryptVerifySignature", k, 0, uintptr(unsafe.Pointer(&digest[0])), uintptr(len(digest)), uintptr(unsafe.Pointer(&signature[0])), uintptr(n), 0); err != nil {
		return nil, err
	}
	if err := call("NCryptFreeObject", p); err != nil { // before the key, as signtool does
		return nil, err
	}
	return signature[:n], call("NCryptFreeObject", k)
}
