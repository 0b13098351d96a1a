// Command crypto11 signs a file with github.com/ThalesGroup/crypto11, which makes a
// crypto.Signer of a key, and uses it in a TLS server.
//
//	crypto11 MODULE LABEL FILE FOLDER      (PIN in TEST_PIN)
//
// FOLDER gets PADDING-HASH.sig for each way of signing; ECDSA signatures are DER here,
// which the names say: ecdsader-HASH.sig. crypto11 opens read/write sessions only.
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/ThalesGroup/crypto11"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "crypto11:", err)
		os.Exit(1)
	}
}

func run(module, label, file, folder string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	token, err := crypto11.Configure(&crypto11.Config{Path: module, TokenLabel: "SignPath", Pin: os.Getenv("TEST_PIN")})
	if err != nil {
		return err
	}
	defer func() { _ = token.Close() }()
	key, err := token.FindKeyPair(nil, []byte(label))
	if err != nil {
		return err
	}
	if key == nil {
		return fmt.Errorf("there is no key %s", label)
	}
	certificate, err := token.FindCertificate(nil, []byte(label), nil)
	if err != nil || certificate == nil {
		return fmt.Errorf("no certificate: %w", err)
	}
	sign := func(name string, hash crypto.Hash, options crypto.SignerOpts) error {
		h := hash.New()
		_, _ = h.Write(content)
		signature, err := key.Sign(rand.Reader, h.Sum(nil), options)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return os.WriteFile(filepath.Join(folder, name+".sig"), signature, 0o600)
	}
	_, isRSA := key.Public().(*rsa.PublicKey)
	one := func(prefix string) error {
		if isRSA {
			return sign(prefix+"pkcs1-sha256", crypto.SHA256, crypto.SHA256)
		}
		return sign(prefix+"ecdsader-sha256", crypto.SHA256, crypto.SHA256)
	}
	if err := one(""); err != nil {
		return err
	}
	if isRSA {
		err = sign("pss-sha384", crypto.SHA384, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384})
	} else {
		err = sign("ecdsader-sha384", crypto.SHA384, crypto.SHA384)
	}
	if err != nil {
		return err
	}
	if err := parallel(one); err != nil {
		return err
	}
	return handshake(tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key, Leaf: certificate})
}

// parallel lets crypto11's pool of sessions grow.
func parallel(one func(prefix string) error) error {
	var wait sync.WaitGroup
	failed := make(chan error, 8)
	for i := range 8 {
		wait.Go(func() {
			if err := one(fmt.Sprintf("thread%d-", i)); err != nil {
				failed <- err
			}
		})
	}
	wait.Wait()
	close(failed)
	return <-failed // nil when nothing failed
}

// handshake has the key sign for TLS 1.3; the client pins the certificate, whose
// purpose and name are for signed code and not for a host.
func handshake(certificate tls.Certificate) error {
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}).Handshake()
	}()
	c := tls.Client(client, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
		VerifyConnection: func(s tls.ConnectionState) error {
			if !s.PeerCertificates[0].Equal(certificate.Leaf) {
				return fmt.Errorf("another certificate: %s", s.PeerCertificates[0].Subject)
			}
			return nil
		},
	})
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("TLS client: %w", err)
	}
	if err := <-done; err != nil {
		return fmt.Errorf("TLS server: %w", err)
	}
	return nil
}
