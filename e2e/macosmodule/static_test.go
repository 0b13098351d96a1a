package macosmodule

import (
	"bytes"
	"crypto/sha256"
	"debug/macho"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

const module = "libSignPath.Cryptoki.dylib"

func built(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(rig.Program(t, "E2E_MACOS"), name)
}

// slicesOf are the thin files in a universal one.
func slicesOf(t *testing.T, file string) map[macho.Cpu]*macho.File {
	t.Helper()
	fat, err := macho.OpenFat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fat.Close() })
	all := map[macho.Cpu]*macho.File{}
	for _, a := range fat.Arches {
		if a.Align != 14 || a.Offset%(1<<14) != 0 {
			t.Errorf("%s: aligned to 2^%d at %#x", a.Cpu, a.Align, a.Offset)
		}
		all[a.Cpu] = a.File
	}
	if len(all) != 2 || all[macho.CpuArm64] == nil || all[macho.CpuAmd64] == nil {
		t.Fatalf("%s is for %v", file, all)
	}
	return all
}

// command is the first load command of a kind.
func command(f *macho.File, kind uint32) []byte {
	for _, l := range f.Loads {
		if raw := l.Raw(); f.ByteOrder.Uint32(raw) == kind {
			return raw
		}
	}
	return nil
}

// objdump prints tables of a universal file's slice.
func objdump(t *testing.T, file, arch string, tables ...string) string {
	t.Helper()
	return rig.Run(t, nil, "llvm-objdump", append(append([]string{"--macho", "--arch=" + arch}, tables...), file)...).OK(t).Output
}

var arches = map[macho.Cpu]string{macho.CpuArm64: "arm64", macho.CpuAmd64: "x86_64"}

// TestModule: what a host's loader reads of the module.
func TestModule(t *testing.T) {
	for cpu, f := range slicesOf(t, built(t, module)) {
		t.Run(arches[cpu], func(t *testing.T) {
			if f.Type != macho.TypeDylib {
				t.Errorf("type %v", f.Type)
			}
			if id := command(f, 0xd); !strings.HasPrefix(string(id[24:]), "@rpath/"+module+"\x00") {
				t.Errorf("install name %q", id[24:])
			}
			version(t, f)
			libraries, err := f.ImportedLibraries()
			slices.Sort(libraries)
			if want := []string{
				"/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation",
				"/System/Library/Frameworks/Security.framework/Versions/A/Security",
				"/usr/lib/libSystem.B.dylib", "/usr/lib/libresolv.9.dylib",
			}; err != nil || !slices.Equal(libraries, want) {
				t.Errorf("needs %q, %v", libraries, err)
			}
			exports := regexp.MustCompile(`(?m)^0x[0-9A-F]+ +(\S+)`).FindAllStringSubmatch(objdump(t, built(t, module), arches[cpu], "--exports-trie"), -1)
			var names []string
			for _, e := range exports {
				names = append(names, strings.TrimPrefix(e[1], "_"))
			}
			slices.Sort(names)
			if want := functions(t); !slices.Equal(names, want) {
				t.Errorf("exports %d names: %q", len(names), names)
			}
			// Go's runtime waits: dyld has one thing of ours to call, and the runtime's pointer is plain data that dyld relocates.
			if s := f.Section("__sp_init"); s == nil || s.Seg != "__DATA" || s.Size != 8 || s.Flags&0xff != 0 {
				t.Errorf("the core's entry: %+v", s)
			}
			if s := f.Section("__mod_init_func"); s == nil || s.Size != 8 {
				t.Errorf("initializers: %+v", s)
			}
			if !strings.Contains(objdump(t, built(t, module), arches[cpu], "--rebase"), "__sp_init") {
				t.Error("the core's entry is not relocated")
			}
			signed(t, f, "io.signpath.Cryptoki")
		})
	}
}

// TestPrograms: the programs without cgo.
func TestPrograms(t *testing.T) {
	for name, id := range map[string]string{"notation-signpath": "io.signpath.notation-signpath"} {
		for cpu, f := range slicesOf(t, built(t, name)) {
			t.Run(name+" "+arches[cpu], func(t *testing.T) {
				if f.Type != macho.TypeExec {
					t.Errorf("type %v", f.Type)
				}
				version(t, f)
				signed(t, f, id)
			})
		}
	}
}

func version(t *testing.T, f *macho.File) {
	t.Helper()
	if b := command(f, 0x32); b == nil || f.ByteOrder.Uint32(b[8:]) != 1 || f.ByteOrder.Uint32(b[12:])>>16 > 12 {
		t.Errorf("LC_BUILD_VERSION %x: not for macOS 12", b)
	}
}

// functions are the names in the shim's table.
func functions(t *testing.T) []string {
	t.Helper()
	table := rig.Must(os.ReadFile(filepath.Join(rig.Root, "cmd", "cryptoki", "shim", "functions.h")))
	var names []string
	for _, m := range regexp.MustCompile(`X\((\w+),\d,[A-Z]+,\d+\)`).FindAllSubmatch(table, -1) {
		names = append(names, "C_"+string(m[1]))
	}
	slices.Sort(names)
	if len(names) != 92 {
		t.Fatalf("%d functions in functions.h", len(names))
	}
	return names
}

// signed checks an ad hoc signature: place, identifier, and the hash of each page.
func signed(t *testing.T, f *macho.File, identifier string) {
	t.Helper()
	c := command(f, 0x1d)
	linkedit := f.Segment("__LINKEDIT")
	if c == nil || linkedit == nil {
		t.Fatal("no signature")
	}
	at, n := uint64(f.ByteOrder.Uint32(c[8:])), uint64(f.ByteOrder.Uint32(c[12:]))
	if at%16 != 0 || at+n != linkedit.Offset+linkedit.Filesz || linkedit.Memsz < linkedit.Filesz {
		t.Errorf("the signature at %#x of %#x bytes is not the end of __LINKEDIT", at, n)
	}
	all := make([]byte, at+n)
	for _, l := range f.Loads {
		if s, ok := l.(*macho.Segment); ok && s.Filesz > 0 {
			data, err := s.Data()
			if err != nil {
				t.Fatal(err)
			}
			copy(all[s.Offset:], data)
		}
	}
	blob := all[at:]
	u32 := func(b []byte, i int) int { return int(binary.BigEndian.Uint32(b[i:])) }
	if u32(blob, 0) != 0xfade0cc0 || u32(blob, 12) != 0 {
		t.Fatalf("no signature: % x", blob[:16])
	}
	d := blob[u32(blob, 16):]
	hashes, count, limit := u32(d, 16), u32(d, 28), u32(d, 32)
	if id, _, _ := bytes.Cut(d[u32(d, 20):], []byte{0}); string(id) != identifier {
		t.Errorf("signed as %q", id)
	}
	if u32(d, 12)&2 == 0 || uint64(limit) != at || d[37] != 2 || d[39] != 12 || count != (limit+4095)/4096 {
		t.Fatalf("flags %#x, %d pages, limit %#x", u32(d, 12), count, limit)
	}
	for i := range count {
		if sum := sha256.Sum256(all[i*4096 : min((i+1)*4096, limit)]); !bytes.Equal(sum[:], d[hashes+i*32:][:32]) {
			t.Fatalf("page %d has another hash", i)
		}
	}
}

// TestOwners: every symbol that the module takes from elsewhere belongs to the library
// that it is bound to, says a line of our stubs that names its public source, or the
// stub of libSystem that comes with zig.
func TestOwners(t *testing.T) {
	known := map[string]string{} // symbol: library
	for _, l := range strings.Split(rig.Run(t, nil, "go", "run", "signpath/cmd/ctk/sdk", "-list").OK(t).Output, "\n") {
		if f := strings.Split(l, "\t"); len(f) == 3 && f[2] != "" {
			known[f[1]] = strings.Split(filepath.Base(f[0]), ".")[0]
		}
	}
	system := map[string]bool{}
	for _, s := range regexp.MustCompile(`_[\w$]+`).FindAllSubmatch(rig.Must(os.ReadFile(rig.Program(t, "E2E_LIBSYSTEM"))), -1) {
		system[string(s[0])] = true
	}
	row := regexp.MustCompile(`(?m)^__\w+ +__\w+ +0x[0-9A-F]+ (?:\w+ +-?\d+ +)? *(\S+) +(\S+)$`)
	for _, arch := range arches {
		t.Run(arch, func(t *testing.T) {
			rows := row.FindAllStringSubmatch(objdump(t, built(t, module), arch, "--bind", "--lazy-bind", "--weak-bind"), -1)
			if len(rows) < 100 {
				t.Fatalf("%d bindings read", len(rows))
			}
			for _, r := range rows {
				owner, symbol := r[1], r[2]
				if owner == "libSystem" {
					if !system[symbol] && symbol != "dyld_stub_binder" {
						t.Errorf("libSystem has no %s", symbol)
					}
				} else if known[symbol] != owner {
					t.Errorf("%s is bound to %s; the stubs say %q", symbol, owner, known[symbol])
				}
			}
		})
	}
}
