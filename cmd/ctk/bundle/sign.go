package main

import (
	"bytes"
	"crypto/sha256"
	"debug/macho"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// Blobs and flags of code signatures (cs_blobs.h); all integers big-endian.
const (
	magicRequirements   = 0xfade0c01
	magicCodeDirectory  = 0xfade0c02
	magicSignature      = 0xfade0cc0
	magicEntitlements   = 0xfade7171
	magicEntitlementDER = 0xfade7172
	magicCMS            = 0xfade0b01

	slotCodeDirectory  = 0
	slotInfo           = 1
	slotRequirements   = 2
	slotResources      = 3
	slotEntitlements   = 5
	slotEntitlementDER = 7
	slotCMS            = 0x10000

	flagAdHoc   = 0x2
	flagRuntime = 0x10000

	execMainBinary = 1

	versionRuntime   = 0x20500 // the first that names the hardened runtime's version
	hashSHA256       = 2
	codePage         = 12 // 2^12 bytes are hashed at a time
	directoryHead    = 96 // bytes of a code directory of version 0x20500
	loadSignature    = 0x1d
	loadBuildVersion = 0x32
	fileHeader64     = 32
	sizeCDHash       = 20
)

// signing is what a signature covers beside the code.
type signing struct {
	id                            string
	info, resources, entitlements []byte // entitlements: nil for none
}

// sign puts an ad hoc signature with the hardened runtime at the end of a thin
// 64-bit Mach-O executable or library, in place of the linker's, and gives the hash that names
// the code.
func sign(thin []byte, s signing) (signed, cdHash []byte, err error) {
	m, err := layout(thin)
	if err != nil {
		return nil, nil, err
	}
	var der []byte
	if s.entitlements != nil {
		if der, err = entitlementsDER(s.entitlements); err != nil {
			return nil, nil, err
		}
	}
	// A code directory hashes the load commands, and they hold the signature's
	// size: it is fixed first.
	code := slices.Clone(m.code)
	size := uint32(len(superBlob(m, s, der, code)))
	size = (size + 15) &^ 15
	m.setSignature(code, size)
	blob := superBlob(m, s, der, code)
	out := append(code, blob...)
	out = append(out, make([]byte, int(size)-len(blob))...)
	sum := sha256.Sum256(codeDirectory(m, s, der, code))
	return out, sum[:sizeCDHash], nil
}

// image is where things are in a Mach-O file.
type image struct {
	code            []byte // all before the signature, padded to 16 bytes
	signature       int    // offset of LC_CODE_SIGNATURE
	linkedit        int    // offset of LC_SEGMENT_64 of __LINKEDIT
	linkeditOffset  uint64 // in the file
	text            uint64 // size of __TEXT in the file
	arm64, library  bool
	minimum         uint32 // macOS version, as LC_BUILD_VERSION writes it
	systemInterface uint32 // SDK version
}

func layout(thin []byte) (*image, error) {
	f, err := macho.NewFile(bytes.NewReader(thin))
	if err != nil {
		return nil, err
	}
	if f.Magic != macho.Magic64 || f.Type != macho.TypeExec && f.Type != macho.TypeDylib || f.ByteOrder != binary.LittleEndian {
		return nil, errors.New("not a 64-bit Mach-O executable or library")
	}
	m := &image{arm64: f.Cpu == macho.CpuArm64, library: f.Type == macho.TypeDylib}
	at := fileHeader64
	for _, l := range f.Loads {
		raw := l.Raw()
		switch binary.LittleEndian.Uint32(raw) {
		case loadSignature:
			m.signature = at
		case loadBuildVersion:
			m.minimum, m.systemInterface = binary.LittleEndian.Uint32(raw[12:]), binary.LittleEndian.Uint32(raw[16:])
		}
		if seg, ok := l.(*macho.Segment); ok {
			switch seg.Name {
			case "__LINKEDIT":
				m.linkedit, m.linkeditOffset = at, seg.Offset
			case "__TEXT":
				m.text = seg.Filesz
			}
		}
		at += len(raw)
	}
	end := uint64(len(thin))
	switch {
	case m.linkedit == 0 || m.text == 0 || m.minimum == 0:
		return nil, errors.New("no __TEXT, no __LINKEDIT or no LC_BUILD_VERSION")
	case m.signature == 0: // the linker left none: there must be room for the command
		var first uint64
		for _, sec := range f.Sections {
			if o := uint64(sec.Offset); o > 0 && (first == 0 || o < first) {
				first = o
			}
		}
		if uint64(at)+16 > first {
			return nil, errors.New("no room for LC_CODE_SIGNATURE")
		}
		m.signature = at
		thin = slices.Clone(thin)
		binary.LittleEndian.PutUint32(thin[at:], loadSignature)
		binary.LittleEndian.PutUint32(thin[at+4:], 16)
		binary.LittleEndian.PutUint32(thin[16:], uint32(len(f.Loads)+1))
		binary.LittleEndian.PutUint32(thin[20:], uint32(at+16-fileHeader64))
	default:
		if end = uint64(binary.LittleEndian.Uint32(thin[m.signature+8:])); end > uint64(len(thin)) || end <= m.linkeditOffset {
			return nil, errors.New("LC_CODE_SIGNATURE is not at the end")
		}
	}
	m.code = append(slices.Clone(thin[:end]), make([]byte, (16-end%16)%16)...)
	return m, nil
}

// setSignature writes place and size of the signature into the load commands.
func (m *image) setSignature(code []byte, size uint32) {
	binary.LittleEndian.PutUint32(code[m.signature+8:], uint32(len(code)))
	binary.LittleEndian.PutUint32(code[m.signature+12:], size)
	length := uint64(len(code)) + uint64(size) - m.linkeditOffset
	binary.LittleEndian.PutUint64(code[m.linkedit+32:], (length+1<<pageShift-1)&^(1<<pageShift-1)) // vmsize
	binary.LittleEndian.PutUint64(code[m.linkedit+48:], length)                                    // filesize
}

// blob puts magic and length in front.
func blob(magic uint32, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, magic)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)+8))
	return append(b, data...)
}

// slot is a blob with its place in the signature.
type slot struct {
	kind uint32
	data []byte
}

// specials are the blobs that a code directory names by hash.
func specials(s signing, der []byte) []slot {
	all := []slot{{slotRequirements, blob(magicRequirements, make([]byte, 4))}} // none: macOS derives the designated one
	if s.entitlements != nil {
		all = append(all, slot{slotEntitlements, blob(magicEntitlements, s.entitlements)}, slot{slotEntitlementDER, blob(magicEntitlementDER, der)})
	}
	return all
}

// superBlob is the whole signature.
func superBlob(m *image, s signing, der, code []byte) []byte {
	slots := append([]slot{{slotCodeDirectory, codeDirectory(m, s, der, code)}}, specials(s, der)...)
	slots = append(slots, slot{slotCMS, blob(magicCMS, nil)}) // ad hoc: empty
	var index, data []byte
	index = binary.BigEndian.AppendUint32(index, uint32(len(slots)))
	at := 12 + 8*len(slots)
	for _, x := range slots {
		index = binary.BigEndian.AppendUint32(index, x.kind)
		index = binary.BigEndian.AppendUint32(index, uint32(at+len(data)))
		data = append(data, x.data...)
	}
	return blob(magicSignature, append(index, data...))
}

// codeDirectory hashes the code page by page, and what belongs to it.
func codeDirectory(m *image, s signing, der, code []byte) []byte {
	farthest := slotResources
	if s.entitlements != nil {
		farthest = slotEntitlementDER
	}
	special := make([][]byte, farthest+1) // index 0 unused
	put := func(slot int, data []byte) {
		sum := sha256.Sum256(data)
		special[slot] = sum[:]
	}
	if s.info != nil { // a file outside of a bundle has neither
		put(slotInfo, s.info)
		put(slotResources, s.resources)
	}
	for _, x := range specials(s, der) {
		put(int(x.kind), x.data)
	}
	var hashes []byte
	for i := farthest; i >= 1; i-- { // the farthest first
		if special[i] == nil {
			special[i] = make([]byte, sha256.Size)
		}
		hashes = append(hashes, special[i]...)
	}
	const page = 1 << codePage
	pages := 0
	for at := 0; at < len(code); at += page {
		sum := sha256.Sum256(code[at:min(at+page, len(code))])
		hashes = append(hashes, sum[:]...)
		pages++
	}
	id := append([]byte(s.id), 0)
	idAt := uint32(directoryHead)
	hashAt := idAt + uint32(len(id)+farthest*sha256.Size)
	var b []byte
	u32 := func(v ...uint32) {
		for _, x := range v {
			b = binary.BigEndian.AppendUint32(b, x)
		}
	}
	u64 := func(v ...uint64) {
		for _, x := range v {
			b = binary.BigEndian.AppendUint64(b, x)
		}
	}
	u32(versionRuntime, flagAdHoc|flagRuntime, hashAt, idAt, uint32(farthest), uint32(pages), uint32(len(code)))
	b = append(b, sha256.Size, hashSHA256, 0, codePage)
	u32(0, 0, 0, 0) // spare, scatter, team, spare
	var main uint64
	if !m.library {
		main = execMainBinary
	}
	u64(0)                    // code limit of files beyond 4 GiB
	u64(0, m.text, main)      // executable segment: offset, size, flags
	u32(m.systemInterface, 0) // version of the hardened runtime; no pre-encryption
	if len(b)+8 != directoryHead {
		panic(fmt.Sprintf("a code directory's head of %d bytes", len(b)+8))
	}
	b = append(b, id...)
	return blob(magicCodeDirectory, append(b, hashes...))
}

var trueEntitlement = regexp.MustCompile(`<key>([^<]+)</key>\s*<(\w+)/>`)

// entitlementsDER is the second form of entitlements that macOS 12 and later
// wants: [APPLICATION 16] { INTEGER 1, [CONTEXT 16] { SEQUENCE { UTF8String name,
// BOOLEAN true }… } }, in the order of the names. The templates hold true only.
func entitlementsDER(xml []byte) ([]byte, error) {
	found := trueEntitlement.FindAllSubmatch(xml, -1)
	if bytes.Count(xml, []byte("<key>")) != len(found) {
		return nil, errors.New("entitlements other than <true/> are not supported")
	}
	var names []string
	for _, f := range found {
		if string(f[2]) != "true" {
			return nil, errors.New("entitlements other than <true/> are not supported")
		}
		names = append(names, string(f[1]))
	}
	slices.Sort(names)
	var pairs []byte
	for _, n := range names {
		pair, err := asn1.Marshal(struct {
			Name  string `asn1:"utf8"`
			Value bool
		}{n, true})
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair...)
	}
	dict, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 16, IsCompound: true, Bytes: pairs})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(asn1.RawValue{Class: asn1.ClassApplication, Tag: 16, IsCompound: true, Bytes: append([]byte{2, 1, 1}, dict...)})
}
