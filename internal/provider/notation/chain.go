package notation

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxChain is the longest chain that is built; notation's own limit is far lower
// in practice, this one ends loops of certificates that issued each other.
const maxChain = 16

// maxChainFile is the largest file with issuers that is read, in bytes.
const maxChainFile = 4 << 20

// chain is what certificateChain holds: DER, the leaf first, each next one the
// issuer of the one before, a self-signed root last. A leaf that signed itself is
// its own chain. Issuers come from the service and from CertificateChainFile.
func (j *job) chain() ([][]byte, error) {
	der := j.key.Certificate()
	if len(der) == 0 {
		return nil, newError(CodeValidation, "%s has no certificate; notation needs one", j.key.Name())
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, newError(CodeGeneric, "the certificate of %s cannot be read: %v", j.key.Name(), err)
	}
	var issuers []*x509.Certificate
	for i, d := range j.key.Chain() {
		c, err := x509.ParseCertificate(d)
		if err != nil {
			j.log.Warning("a certificate of the chain cannot be read", "key", j.key.Name(), "position", i+1, "cause", err.Error())
			continue
		}
		issuers = append(issuers, c)
	}
	if j.config.chainFile != "" {
		more, err := readChainFile(j.config.chainFile)
		if err != nil {
			return nil, newError(CodeValidation, "%s (%s of --plugin-config): %v", nameChainFile, j.config.chainFile, err)
		}
		issuers = append(issuers, more...)
	}
	return buildChain(leaf, issuers)
}

// buildChain goes from the leaf to a root.
func buildChain(leaf *x509.Certificate, issuers []*x509.Certificate) ([][]byte, error) {
	chain := [][]byte{leaf.Raw}
	at := leaf
	for !selfSigned(at) {
		if len(chain) == maxChain {
			return nil, newError(CodeValidation, "the certificate chain has more than %d certificates", maxChain)
		}
		next := issuerOf(at, issuers)
		if next == nil {
			return nil, newError(CodeValidation, "the certificate chain is not complete: the certificate of %q, which issued that of %q, is missing. Notation needs the chain up to the root: upload it to the service, or name a PEM file with the missing certificates by --plugin-config %s=FILE", at.Issuer.String(), at.Subject.String(), nameChainFile)
		}
		chain = append(chain, next.Raw)
		at = next
	}
	return chain, nil
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func issuerOf(c *x509.Certificate, among []*x509.Certificate) *x509.Certificate {
	for _, i := range among {
		if bytes.Equal(i.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(i) == nil {
			return i
		}
	}
	return nil
}

// readChainFile reads the certificates of a PEM file, in any order.
func readChainFile(path string) ([]*x509.Certificate, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, causeOf(err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, causeOf(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxChainFile+1))
	if err != nil {
		return nil, causeOf(err)
	}
	if len(data) > maxChainFile {
		return nil, fmt.Errorf("the file has more than %d bytes", maxChainFile)
	}
	return parseChain(data)
}

func parseChain(data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no certificate in it (PEM, BEGIN CERTIFICATE)")
	}
	return all, nil
}

func causeOf(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
