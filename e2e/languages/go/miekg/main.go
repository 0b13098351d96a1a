// Command miekg signs a file with github.com/miekg/pkcs11, in a process that has two
// Go runtimes then: its own and the module's.
//
//	miekg MODULE LABEL FILE FOLDER      (PIN in TEST_PIN)
//
// FOLDER gets PADDING-HASH.sig for each way of signing; ECDSA signatures are r‖s.
// Then eight threads sign the file, each in a session of its own.
package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/miekg/pkcs11"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "miekg:", err)
		os.Exit(1)
	}
}

type host struct {
	*pkcs11.Ctx
	slot    uint
	label   string
	content []byte
	folder  string
}

func run(module, label, file, folder string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	h := &host{Ctx: pkcs11.New(module), label: label, content: content, folder: folder}
	if h.Ctx == nil {
		return errors.New("the module cannot be loaded")
	}
	defer h.Destroy()
	if err := h.Initialize(); err != nil {
		return err
	}
	defer func() { _ = h.Finalize() }()
	slots, err := h.GetSlotList(true)
	if err != nil || len(slots) != 1 {
		return fmt.Errorf("slots %v: %w", slots, err)
	}
	h.slot = slots[0]
	session, err := h.OpenSession(h.slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return err
	}
	if err := h.Login(session, pkcs11.CKU_USER, os.Getenv("TEST_PIN")); err != nil {
		return err
	}
	isRSA, err := h.every(session)
	if err != nil {
		return err
	}
	if err := h.threads(isRSA); err != nil {
		return err
	}
	if err := h.Logout(session); err != nil {
		return err
	}
	return h.CloseSession(session)
}

func (h *host) find(session pkcs11.SessionHandle) (pkcs11.ObjectHandle, error) {
	if err := h.FindObjectsInit(session, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_LABEL, h.label)}); err != nil {
		return 0, err
	}
	found, _, err := h.FindObjects(session, 10)
	if err == nil {
		err = h.FindObjectsFinal(session)
	}
	if err != nil || len(found) != 1 {
		return 0, fmt.Errorf("%d keys %s: %w", len(found), h.label, err)
	}
	return found[0], nil
}

func (h *host) sign(session pkcs11.SessionHandle, key pkcs11.ObjectHandle, name string, mechanism *pkcs11.Mechanism, data []byte) error {
	if err := h.SignInit(session, []*pkcs11.Mechanism{mechanism}, key); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	signature, err := h.Sign(session, data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(h.folder, name+".sig"), signature, 0o600)
}

var sha512Info, _ = hex.DecodeString("3051300d060960864801650304020305000440")

// every signs in every way that fits the key.
func (h *host) every(session pkcs11.SessionHandle) (isRSA bool, err error) {
	key, err := h.find(session)
	if err != nil {
		return false, err
	}
	a, err := h.GetAttributeValue(session, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, nil)})
	if err != nil {
		return false, err
	}
	isRSA = a[0].Value[0] == pkcs11.CKK_RSA
	d256, d384, d512 := sha256.Sum256(h.content), sha512.Sum384(h.content), sha512.Sum512(h.content)
	type way struct {
		name      string
		mechanism *pkcs11.Mechanism
		data      []byte
	}
	ways := []way{
		{"ecdsa-sha256", pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil), d256[:]},
		{"ecdsa-sha384", pkcs11.NewMechanism(pkcs11.CKM_ECDSA_SHA384, nil), h.content},
	}
	if isRSA {
		ways = []way{
			{"pkcs1-sha256", pkcs11.NewMechanism(pkcs11.CKM_SHA256_RSA_PKCS, nil), h.content},
			{"pkcs1-sha512", pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil), append(sha512Info, d512[:]...)},
			{"pss-sha384", pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, pkcs11.NewPSSParams(pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384, 48)), d384[:]},
			{"pss-sha256", pkcs11.NewMechanism(pkcs11.CKM_SHA256_RSA_PKCS_PSS, pkcs11.NewPSSParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, 32)), h.content},
		}
	}
	for _, w := range ways {
		if err := h.sign(session, key, w.name, w.mechanism, w.data); err != nil {
			return isRSA, err
		}
	}
	return isRSA, nil
}

func (h *host) threads(isRSA bool) error {
	digest := sha256.Sum256(h.content)
	var wait sync.WaitGroup
	failed := make(chan error, 8)
	for i := range 8 {
		wait.Go(func() {
			session, err := h.OpenSession(h.slot, pkcs11.CKF_SERIAL_SESSION)
			if err != nil {
				failed <- err
				return
			}
			defer func() { _ = h.CloseSession(session) }()
			key, err := h.find(session)
			for n := range 5 {
				if err != nil {
					break
				}
				if isRSA {
					err = h.sign(session, key, fmt.Sprintf("thread%d%d-pkcs1-sha256", i, n), pkcs11.NewMechanism(pkcs11.CKM_SHA256_RSA_PKCS, nil), h.content)
				} else {
					err = h.sign(session, key, fmt.Sprintf("thread%d%d-ecdsa-sha256", i, n), pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil), digest[:])
				}
			}
			if err != nil {
				failed <- err
			}
		})
	}
	wait.Wait()
	close(failed)
	return <-failed // nil when nothing failed
}
