package doctor

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"strings"
	"testing"
)

// dll is a library for amd64 with one section that has an export directory with these
// names, and a .rsrc section with this text.
func dll(names []string, resource string) []byte {
	const base, at = 0x1000, 0x400
	var table, texts []byte
	table = make([]byte, 40)
	binary.LittleEndian.PutUint32(table[24:], uint32(len(names)))
	binary.LittleEndian.PutUint32(table[32:], base+40)
	for _, n := range names {
		table = binary.LittleEndian.AppendUint32(table, base+uint32(40+4*len(names)+len(texts)))
		texts = append(texts, n+"\x00"...)
	}
	table = append(table, texts...)
	rsrc := wide(resource)
	out := make([]byte, at)
	copy(out, "MZ")
	binary.LittleEndian.PutUint32(out[0x3c:], 0x80)
	var h bytes.Buffer
	h.WriteString("PE\x00\x00")
	optional := pe.OptionalHeader64{Magic: 0x20b, NumberOfRvaAndSizes: 16}
	optional.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_EXPORT] = pe.DataDirectory{VirtualAddress: base, Size: uint32(len(table))}
	_ = binary.Write(&h, binary.LittleEndian, pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: 2, SizeOfOptionalHeader: uint16(binary.Size(optional)), Characteristics: pe.IMAGE_FILE_DLL})
	_ = binary.Write(&h, binary.LittleEndian, optional)
	for _, s := range []pe.SectionHeader32{
		{Name: [8]uint8{'.', 'e', 'd'}, VirtualAddress: base, VirtualSize: uint32(len(table)), SizeOfRawData: uint32(len(table)), PointerToRawData: at},
		{Name: [8]uint8{'.', 'r', 's', 'r', 'c'}, VirtualAddress: 0x9000, VirtualSize: uint32(len(rsrc)), SizeOfRawData: uint32(len(rsrc)), PointerToRawData: uint32(at + len(table))},
	} {
		_ = binary.Write(&h, binary.LittleEndian, s)
	}
	copy(out[0x80:], h.Bytes())
	return append(append(out, table...), rsrc...)
}

func TestReadPE(t *testing.T) {
	good := dll([]string{"C_GetFunctionList", "C_Initialize", "Other"}, "OriginalFilename\x00"+ourDLL+"\x00")
	m := &Module{}
	if err := m.readPE(good); err != nil || m.Exports != 2 || !m.Carries || !m.DLL {
		t.Errorf("%+v: %v", m, err)
	}
	m = &Module{}
	if err := m.readPE(dll([]string{"C_GetFunctionList"}, "another.dll")); err != nil || m.Exports != 1 || m.Carries {
		t.Errorf("%+v: %v", m, err)
	}
	lost := bytes.Clone(good)
	binary.LittleEndian.PutUint32(lost[0x400+32:], 0xfffffff0) // the table of names
	for what, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty": {nil, "empty"},
		"Linux": {[]byte("\x7fELF\x02"), "for Linux"},
		"text":  {[]byte("hello"), "no library for Windows"},
		"head":  {good[:0x90], "no DLL"},
		"cut":   {good[:len(good)-3], "its end is missing"},
		"lost":  {lost, "leads nowhere"},
	} {
		if err := (&Module{}).readPE(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzReadPE: whatever a file holds, it is looked at without harm.
func FuzzReadPE(f *testing.F) {
	f.Add(dll([]string{"C_GetFunctionList", "C_Initialize"}, ourDLL))
	f.Add([]byte("MZ"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &Module{}
		if err := m.readPE(data); err == nil && m.Exports > maxExports {
			t.Errorf("%d exports", m.Exports)
		}
	})
}
