package doctor

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
)

// dylib makes the headers of a thin library: a name and symbols.
func dylib(cpu macho.Cpu, kind macho.Type, name string, symbols ...string) []byte {
	le := binary.LittleEndian
	id := append([]byte(name), make([]byte, 8-len(name)%8)...)
	var names, table []byte
	names = append(names, 0)
	for _, s := range symbols {
		entry := le.AppendUint32(nil, uint32(len(names)))
		entry = append(entry, 0x0f, 1, 0, 0) // external, defined in section 1
		table = append(table, le.AppendUint64(entry, 0)...)
		names = append(append(names, s...), 0)
	}
	commands := 24 + len(id) + 24
	var b bytes.Buffer
	put := func(v ...uint32) { _ = binary.Write(&b, le, v) }
	put(macho.Magic64, uint32(cpu), 0, uint32(kind), 2, uint32(commands), 0, 0)
	put(0xd, uint32(24+len(id)), 24, 0, 0, 0)
	b.Write(id)
	at := uint32(32 + commands)
	put(2, 24, at, uint32(len(symbols)), at+uint32(len(table)), uint32(len(names)))
	b.Write(table)
	b.Write(names)
	return b.Bytes()
}

func universalOf(thin []byte, cpu macho.Cpu) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.BigEndian, []uint32{macho.MagicFat, 1, uint32(cpu), 0, 64, uint32(len(thin)), 6})
	b.Write(make([]byte, 64-b.Len()))
	b.Write(thin)
	return b.Bytes()
}

func TestMachO(t *testing.T) {
	here, other := cpus[runtime.GOARCH], macho.CpuArm64
	if here == other {
		other = macho.CpuAmd64
	}
	ours := dylib(here, macho.TypeDylib, ourDylib, "_C_GetFunctionList", "_C_Sign", "_other")
	for _, c := range []struct {
		name, problem string
		data          []byte
		exports       int
		carries       bool
	}{
		{name: "ours", data: ours, exports: 2, carries: true},
		{name: "ours, universal", data: universalOf(ours, here), exports: 2, carries: true},
		{name: "another's", data: dylib(here, macho.TypeDylib, "/usr/local/lib/opensc.dylib", "_C_GetFunctionList"), exports: 1},
		{name: "another processor's", data: dylib(other, macho.TypeDylib, ourDylib), problem: "it is for "},
		{name: "another processor's, universal", data: universalOf(dylib(other, macho.TypeDylib, ourDylib), other), problem: "it is for other processors"},
		{name: "a program", data: dylib(here, macho.TypeExec, "x"), problem: "it is a program"},
		{name: "nothing", problem: "it is "},
		{name: "for Linux", data: []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), problem: "it is a library for Linux"},
		{name: "for Windows", data: []byte("MZ\x90\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), problem: "it is a library for Windows"},
		{name: "cut off", data: ours[:40], problem: "its headers cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &Module{}
			err := m.readMachO(c.data)
			if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.HasPrefix(err.Error(), c.problem)) {
				t.Fatalf("%v", err)
			}
			if m.Exports != c.exports || m.Carries != c.carries {
				t.Errorf("%d exports, ours: %t", m.Exports, m.Carries)
			}
		})
	}
}

func FuzzMachO(f *testing.F) {
	ours := dylib(cpus["amd64"], macho.TypeDylib, ourDylib, "_C_Sign")
	f.Add(ours)
	f.Add(universalOf(ours, cpus["amd64"]))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = (&Module{}).readMachO(data) })
}
