package macossign

import (
	"bytes"
	"compress/zlib"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // what old packages are signed with
	_ "crypto/sha256"
	"crypto/x509"
	"debug/macho"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// codeSignature is what lies at the end of a signed Mach-O file (xnu,
// osfmk/kern/cs_blobs.h; all integers big-endian).
type codeSignature struct {
	directories [][]byte // CodeDirectory blobs, the primary one first
	cms         []byte   // DER
	identifier  string
	team        string
	flags       uint32
}

// Blobs and slots.
const (
	magicDirectory = 0xfade0c02
	magicCMS       = 0xfade0b01
	slotDirectory  = 0
	slotMore       = 0x1000 // alternate code directories
	slotCMS        = 0x10000
)

var errNotSigned = errors.New("no signature")

// readCode reads the signature of a thin Mach-O file and checks every hash of every
// code directory: of the pages of code, and of the blobs beside it.
func readCode(file string) (*codeSignature, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f, err := macho.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var blob []byte
	for _, l := range f.Loads {
		if raw := l.Raw(); f.ByteOrder.Uint32(raw) == 0x1d { // LC_CODE_SIGNATURE
			at, n := f.ByteOrder.Uint32(raw[8:]), f.ByteOrder.Uint32(raw[12:])
			blob = data[at : at+n]
		}
	}
	if blob == nil {
		return nil, errNotSigned
	}
	u32 := func(b []byte, at uint32) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	slots := map[uint32][]byte{}
	s := &codeSignature{}
	for i := range u32(blob, 8) {
		kind, at := u32(blob, 12+8*i), u32(blob, 16+8*i)
		b := blob[at : at+u32(blob, at+4)]
		slots[kind] = b
		switch magic := u32(b, 0); {
		case magic == magicDirectory && (kind == slotDirectory || kind >= slotMore && kind < slotMore+5):
			s.directories = append(s.directories, b)
		case magic == magicCMS && kind == slotCMS:
			s.cms = b[8:]
		}
	}
	for _, d := range s.directories {
		if err := s.checkDirectory(d, data, slots); err != nil {
			return nil, err
		}
	}
	if len(s.directories) == 0 || len(s.cms) == 0 {
		return nil, errNotSigned
	}
	return s, nil
}

func text(b []byte) string { t, _, _ := bytes.Cut(b, []byte{0}); return string(t) }

func (s *codeSignature) checkDirectory(d, data []byte, slots map[uint32][]byte) error {
	u32 := func(at int) int { return int(binary.BigEndian.Uint32(d[at:])) }
	hashes, special, count, limit, size := u32(16), u32(24), u32(28), u32(32), int(d[36])
	hash, known := map[byte]crypto.Hash{1: crypto.SHA1, 2: crypto.SHA256, 4: crypto.SHA384}[d[37]]
	if !known || hash.Size() != size {
		return fmt.Errorf("unknown hash %d of %d bytes", d[37], size)
	}
	s.flags, s.identifier = uint32(u32(12)), text(d[u32(20):])
	if team := u32(48); u32(8) >= 0x20200 && team != 0 {
		s.team = text(d[team:])
	}
	page := 1 << d[39]
	if want := (limit + page - 1) / page; count != want {
		return fmt.Errorf("%d hashes for %d pages", count, want)
	}
	for i := range count {
		if got := rig.HashOf(hash, data[i*page:min((i+1)*page, limit)]); !bytes.Equal(got, d[hashes+i*size:][:size]) {
			return fmt.Errorf("page %d was changed", i)
		}
	}
	for i := 1; i <= special; i++ {
		want := d[hashes-i*size:][:size]
		if b, there := slots[uint32(i)]; there && !bytes.Equal(rig.HashOf(hash, b), want) {
			return fmt.Errorf("the blob in slot %d was changed", i)
		}
	}
	return nil
}

// archive is a XAR file (xar's documented format: a header, the table of contents as
// compressed XML, a heap; all integers big-endian).
type archive struct {
	hash      crypto.Hash
	checksum  []byte // of the compressed table of contents: what is signed
	signature []byte // PKCS #1 v1.5 over the checksum; nil for none
	cms       []byte // DER, detached, over the checksum
	leaf      *x509.Certificate
}

type place struct {
	Style  string   `xml:"style,attr"`
	Offset int      `xml:"offset"`
	Size   int      `xml:"size"`
	Certs  []string `xml:"KeyInfo>X509Data>X509Certificate"`
}

type contents struct {
	Checksum  place  `xml:"toc>checksum"`
	Signature *place `xml:"toc>signature"`
	CMS       *place `xml:"toc>x-signature"`
	Files     []struct {
		Name string `xml:"name"`
		Data struct {
			Offset   int `xml:"offset"`
			Length   int `xml:"length"`
			Archived struct {
				Style string `xml:"style,attr"`
				Sum   string `xml:",chardata"`
			} `xml:"archived-checksum"`
		} `xml:"data"`
	} `xml:"toc>file"`
}

var sums = map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256}

// readArchive reads a signed XAR file and checks the table's checksum, the files' and
// the PKCS #1 signature with the key of the certificate in it.
func readArchive(file string) (*archive, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	head, length := int(binary.BigEndian.Uint16(data[4:])), int(binary.BigEndian.Uint64(data[8:]))
	packed, heap := data[head:head+length], data[head+length:]
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	table, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	var c contents
	if err := xml.Unmarshal(table, &c); err != nil {
		return nil, err
	}
	if c.CMS == nil {
		return nil, errNotSigned
	}
	part := func(p *place) []byte { return heap[p.Offset : p.Offset+p.Size] }
	a := &archive{hash: sums[c.Checksum.Style], checksum: part(&c.Checksum), cms: part(c.CMS)}
	if a.hash == 0 || !bytes.Equal(rig.HashOf(a.hash, packed), a.checksum) {
		return nil, errors.New("the table of contents was changed")
	}
	for _, f := range c.Files {
		if got := fmt.Sprintf("%x", rig.HashOf(sums[f.Data.Archived.Style], heap[f.Data.Offset:f.Data.Offset+f.Data.Length])); got != f.Data.Archived.Sum {
			return nil, fmt.Errorf("%s was changed", f.Name)
		}
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c.CMS.Certs[0]), ""))
	if err != nil {
		return nil, err
	}
	if a.leaf, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if c.Signature != nil {
		a.signature = part(c.Signature)
		key, ok := a.leaf.PublicKey.(*rsa.PublicKey)
		if !ok {
			return nil, errors.New("an RSA signature of no RSA key")
		}
		if err := rsa.VerifyPKCS1v15(key, a.hash, a.checksum, a.signature); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// packageFile writes an unsigned package: files in a XAR archive, stored as they are.
func packageFile(t *testing.T, name, checksum string, files map[string][]byte, order ...string) string {
	t.Helper()
	hash := sums[checksum]
	at := hash.Size()
	var entries strings.Builder
	var heap bytes.Buffer
	for i, n := range order {
		b := files[n]
		sum := fmt.Sprintf("%x", rig.HashOf(hash, b))
		fmt.Fprintf(&entries, `<file id="%d"><name>%s</name><type>file</type><mode>0644</mode><data><length>%d</length><size>%d</size><offset>%d</offset>`+
			`<encoding style="application/octet-stream"/><extracted-checksum style="%s">%s</extracted-checksum><archived-checksum style="%s">%s</archived-checksum></data></file>`,
			i+1, n, len(b), len(b), at, checksum, sum, checksum, sum)
		at += len(b)
		heap.Write(b)
	}
	table := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><xar><toc><checksum style="%s"><offset>0</offset><size>%d</size></checksum>`+
		`<creation-time>2020-01-01T00:00:00</creation-time>%s</toc></xar>`, checksum, hash.Size(), entries.String())
	var packed, out bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, _ = z.Write([]byte(table))
	_ = z.Close()
	out.WriteString("xar!")
	for _, v := range []any{uint16(28), uint16(1), uint64(packed.Len()), uint64(len(table)), map[string]uint32{"sha1": 1, "sha256": 3}[checksum]} {
		_ = binary.Write(&out, binary.BigEndian, v)
	}
	out.Write(packed.Bytes())
	out.Write(rig.HashOf(hash, packed.Bytes()))
	out.Write(heap.Bytes())
	return rig.Write(t, name, out.Bytes())
}
