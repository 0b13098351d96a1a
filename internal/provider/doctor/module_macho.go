package doctor

import (
	"bytes"
	"debug/macho"
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// ourDylib is the install name of this product's module for macOS.
const ourDylib = "@rpath/libSignPath.Cryptoki.dylib"

// cpus are the processors of macOS by GOARCH.
var cpus = map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}

// readMachO reads the headers of a library for macOS, universal or not, and refuses
// what this machine cannot load.
func (m *Module) readMachO(data []byte) error {
	m.DLL = true
	file, err := sliceFor(data, runtime.GOARCH)
	if err != nil {
		return err
	}
	if file.Type != macho.TypeDylib && file.Type != macho.TypeBundle {
		return &cured{"it is a program or an object, no library", "Name the file of the module."}
	}
	if file.Symtab != nil {
		for _, s := range file.Symtab.Syms {
			const external, private, kind = 0x01, 0x10, 0x0e // <mach-o/nlist.h>
			if s.Type&external != 0 && s.Type&(private|0xe0) == 0 && s.Type&kind != 0 && strings.HasPrefix(s.Name, "_C_") {
				m.Exports++
			}
		}
	}
	for _, l := range file.Loads {
		raw := l.Raw()
		const idDylib, nameAt = 0xd, 24
		if len(raw) > nameAt && file.ByteOrder.Uint32(raw) == idDylib {
			name, _, _ := bytes.Cut(raw[nameAt:], []byte{0})
			m.Carries = string(name) == ourDylib
		}
	}
	return nil
}

// sliceFor is the part of a library that a processor loads.
func sliceFor(data []byte, goarch string) (*macho.File, error) {
	fat, err := macho.NewFatFile(bytes.NewReader(data))
	if err == nil {
		for _, a := range fat.Arches {
			if a.Cpu == cpus[goarch] {
				return a.File, nil
			}
		}
		return nil, &cured{"it is for other processors than " + goarch, "Take the module of macos-universal."}
	}
	if !errors.Is(err, macho.ErrNotFat) {
		text := "it is no library for macOS"
		switch {
		case len(data) == 0:
			text = "it is empty"
		case bytes.HasPrefix(data, []byte("\x7fELF")):
			text = "it is a library for Linux"
		case bytes.HasPrefix(data, []byte("MZ")):
			text = "it is a library for Windows"
		}
		return nil, &cured{text, "Take the module for this platform, macos-universal."}
	}
	file, err := macho.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, &cured{"its headers cannot be read: " + err.Error(), damaged}
	}
	if file.Cpu != cpus[goarch] {
		return nil, &cured{fmt.Sprintf("it is for %s, this program is for %s", file.Cpu, goarch), "Take the module of macos-universal."}
	}
	return file, nil
}
