package doctor

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf16"
)

// ourDLL stands in the version resource of this product's module, in UTF-16.
const ourDLL = "SignPath.Cryptoki.dll"

// readPE reads the headers of a DLL and refuses what this machine cannot load.
func (m *Module) readPE(data []byte) error {
	m.DLL = true
	if !bytes.HasPrefix(data, []byte("MZ")) {
		text := "it is no library for Windows"
		switch {
		case len(data) == 0:
			text = "it is empty"
		case bytes.HasPrefix(data, []byte("\x7fELF")):
			text = "it is a library for Linux"
		}
		return &cured{text, "Take the module for this platform, windows-" + runtime.GOARCH + "."}
	}
	switch machine, problem := machineOf(data); {
	case problem != "":
		return &cured{problem, "Name the file of the module, or copy it again."}
	case machine != runtime.GOARCH && runtime.GOOS == "windows":
		return &cured{fmt.Sprintf("it is for %s, this program is for %s, and a program loads modules of its own kind only", machine, runtime.GOARCH),
			"Take the module that fits the signing tool: that of windows-386 for one of 32 bits. The signpath.exe of the same folder looks at it."}
	}
	file, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		return &cured{"its headers cannot be read: " + err.Error(), damaged}
	}
	names, err := exportedNames(file)
	if err != nil {
		return &cured{"its table of exports cannot be read: " + err.Error(), damaged}
	}
	for _, n := range names {
		if strings.HasPrefix(n, "C_") {
			m.Exports++
		}
	}
	if resources := file.Section(".rsrc"); resources != nil {
		b, err := resources.Data()
		m.Carries = err == nil && bytes.Contains(b, wide(ourDLL))
	}
	return nil
}

func wide(text string) (out []byte) {
	for _, u := range utf16.Encode([]rune(text)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

// maxExports is more than any library has.
const maxExports = 1 << 16

var errTable = errors.New("a pointer leads nowhere")

// exportedNames reads the export directory ("PE Format", the .edata section).
func exportedNames(f *pe.File) ([]string, error) {
	var at uint32
	switch h := f.OptionalHeader.(type) {
	case *pe.OptionalHeader64:
		at = h.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_EXPORT].VirtualAddress
	case *pe.OptionalHeader32:
		at = h.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_EXPORT].VirtualAddress
	}
	if at == 0 {
		return nil, nil
	}
	directory, err := mapped(f, at, 40)
	if err != nil {
		return nil, err
	}
	count := binary.LittleEndian.Uint32(directory[24:])
	if count == 0 {
		return nil, nil
	}
	if count > maxExports {
		return nil, errTable
	}
	pointers, err := mapped(f, binary.LittleEndian.Uint32(directory[32:]), 4*count)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range count {
		text, err := mapped(f, binary.LittleEndian.Uint32(pointers[4*i:]), 1)
		if err != nil {
			return nil, err
		}
		name, _, ended := bytes.Cut(text, []byte{0})
		if !ended {
			return nil, errTable
		}
		names = append(names, string(name))
	}
	return names, nil
}

// mapped is the memory at a relative address to the end of its section, which is at
// least size bytes.
func mapped(f *pe.File, at, size uint32) ([]byte, error) {
	for _, s := range f.Sections {
		if at < s.VirtualAddress || at-s.VirtualAddress >= s.Size {
			continue
		}
		b, err := s.Data()
		if err != nil {
			return nil, err
		}
		if b = b[at-s.VirtualAddress:]; uint32(len(b)) >= size { //nolint:gosec // a section's Size has 32 bits
			return b, nil
		}
	}
	return nil, errTable
}
