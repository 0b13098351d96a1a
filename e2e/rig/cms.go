package rig

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"debug/pe"
	"encoding/asn1"
	"os"
	"path/filepath"
	"testing"
)

// SignedData is the part of CMS SignedData (RFC 5652 section 5) and of PKCS #7
// (RFC 2315) that tools write into artifacts, read here without any library that
// a tool uses, too.
type SignedData struct {
	Version int
	Digests asn1.RawValue
	Content struct {
		Type asn1.ObjectIdentifier
		Body asn1.RawValue `asn1:"optional,tag:0"` // [0] EXPLICIT: its Bytes are the content's DER
	}
	Embedded asn1.RawValue `asn1:"optional,tag:0"`
	CRLs     asn1.RawValue `asn1:"optional,tag:1"`
	Signers  []struct {
		Version    int
		ID         asn1.RawValue
		Digest     pkix.AlgorithmIdentifier
		Attributes asn1.RawValue `asn1:"optional,tag:0"`
		Algorithm  pkix.AlgorithmIdentifier
		Signature  []byte
		Unsigned   asn1.RawValue `asn1:"optional,tag:1"`
	} `asn1:"set"`
}

var hashOIDs = map[string]crypto.Hash{
	"1.3.14.3.2.26": crypto.SHA1, "2.16.840.1.101.3.4.2.1": crypto.SHA256,
	"2.16.840.1.101.3.4.2.2": crypto.SHA384, "2.16.840.1.101.3.4.2.3": crypto.SHA512,
}

func ParseCMS(t *testing.T, der []byte) *SignedData {
	t.Helper()
	var outer struct {
		Type asn1.ObjectIdentifier
		Body asn1.RawValue // [0] EXPLICIT
	}
	if _, err := asn1.Unmarshal(der, &outer); err != nil { // zeros may follow, they fill up
		t.Fatal(err)
	}
	var sd SignedData
	if _, err := asn1.Unmarshal(outer.Body.Bytes, &sd); err != nil {
		t.Fatal(err)
	}
	if len(sd.Signers) != 1 {
		t.Fatalf("%d signers, not one", len(sd.Signers))
	}
	return &sd
}

func HashOf(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// Digest is what the key signed: the digest of the attributes, or of the content.
func (sd *SignedData) Digest(t *testing.T, detached []byte) []byte {
	t.Helper()
	signer := sd.Signers[0]
	h, known := hashOIDs[signer.Digest.Algorithm.String()]
	if !known {
		t.Fatalf("unknown digest %v", signer.Digest.Algorithm)
	}
	if len(signer.Attributes.FullBytes) == 0 {
		return HashOf(h, detached)
	}
	set := bytes.Clone(signer.Attributes.FullBytes)
	set[0] = asn1.TagSet | 0x20 // RFC 5652 section 5.4: signed as SET OF, stored as [0]
	return HashOf(h, set)
}

// Certificates are those that the signature carries.
func (sd *SignedData) Certificates(t *testing.T) []*x509.Certificate {
	t.Helper()
	return Must(x509.ParseCertificates(sd.Embedded.Bytes))
}

// signedContent is the content without its tag and length, which is what the
// digest attribute of an Authenticode signature covers (RFC 2315 section 9.3).
func (sd *SignedData) signedContent(t *testing.T) []byte {
	t.Helper()
	var content asn1.RawValue
	if _, err := asn1.Unmarshal(sd.Content.Body.Bytes, &content); err != nil {
		t.Fatal(err)
	}
	return content.Bytes
}

// SPCDigest is the file's digest in Authenticode's SpcIndirectDataContent.
func (sd *SignedData) SPCDigest(t *testing.T) (crypto.Hash, []byte) {
	t.Helper()
	var spc struct {
		Data   asn1.RawValue
		Digest struct {
			Algorithm pkix.AlgorithmIdentifier
			Value     []byte
		}
	}
	if _, err := asn1.Unmarshal(sd.Content.Body.Bytes, &spc); err != nil {
		t.Fatal(err)
	}
	return hashOIDs[spc.Digest.Algorithm.Algorithm.String()], spc.Digest.Value
}

// peDigest is the digest of a PE file that Authenticode signs ("Windows
// Authenticode Portable Executable Signature Format", "Calculating the PE Image
// Hash"): all but the checksum, the entry of the certificate table and the table.
func peDigest(t *testing.T, file string, h crypto.Hash) []byte {
	t.Helper()
	b := Must(os.ReadFile(file))
	f := Must(pe.NewFile(bytes.NewReader(b)))
	header, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		t.Fatal("not a 64-bit PE file")
	}
	optional := (int(b[0x3c]) | int(b[0x3d])<<8) + 4 + 20
	checksum, entry := optional+64, optional+112+4*8
	table := header.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY]
	if int(table.VirtualAddress+table.Size) != len(b) {
		t.Fatal("the certificate table is not the end of the file")
	}
	d := h.New()
	d.Write(b[:checksum])
	d.Write(b[checksum+4 : entry])
	d.Write(b[entry+8 : table.VirtualAddress])
	return d.Sum(nil)
}

// OpenSSLAccepts lets OpenSSL verify a PKCS #7 signature and its chain to the root.
func (s *Service) OpenSSLAccepts(t *testing.T, der, content []byte) {
	t.Helper()
	dir := t.TempDir()
	sig, in := Write(t, filepath.Join(dir, "sig.p7"), der), Write(t, filepath.Join(dir, "content"), content)
	verify := func(in string) *Result {
		return Run(t, nil, "openssl", "smime", "-verify", "-binary", "-inform", "DER", "-in", sig, "-content", in, "-CAfile", s.File("ca.pem"), "-purpose", "any", "-out", os.DevNull)
	}
	verify(in).OK(t)
	verify(Write(t, filepath.Join(dir, "other"), append([]byte{1}, content...))).Fails(t)
}
