package macos

import (
	"bytes"
	"crypto/sha256"
	"debug/macho"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// program is one of the bundle's two programs, below Contents of the app.
type program struct {
	folder, name string
	libraries    []string
}

const (
	objc           = "/usr/lib/libobjc.A.dylib"
	system         = "/usr/lib/libSystem.B.dylib"
	frameworks     = "/System/Library/Frameworks/"
	foundation     = frameworks + "Foundation.framework/Versions/C/Foundation"
	security       = frameworks + "Security.framework/Versions/A/Security"
	cryptoTokenKit = frameworks + "CryptoTokenKit.framework/Versions/A/CryptoTokenKit"
)

var (
	appProgram       = program{"", "SignPathCryptoTokenKit", []string{frameworks + "AppKit.framework/Versions/C/AppKit", cryptoTokenKit, security, frameworks + "CoreFoundation.framework/Versions/A/CoreFoundation", foundation, objc, "/usr/lib/libresolv.9.dylib", system}}
	extensionProgram = program{"PlugIns/CryptoTokenKit.appex/Contents", "CryptoTokenKit", []string{cryptoTokenKit, security, foundation, objc, system}}
	programs         = []program{appProgram, extensionProgram}
)

func contents(t *testing.T) string {
	t.Helper()
	return filepath.Join(folder(t, "E2E_MACOS", "dist/macos-universal"), "SignPathCryptoTokenKit.app", "Contents")
}

func (p program) file(t *testing.T, name ...string) string {
	t.Helper()
	return filepath.Join(append([]string{contents(t), p.folder}, name...)...)
}

func (p program) path(t *testing.T) string { t.Helper(); return p.file(t, "MacOS", p.name) }

// thin gives the program for each architecture.
func (p program) thin(t *testing.T) map[string][]byte {
	t.Helper()
	data := []byte(read(t, p.path(t)))
	fat, err := macho.NewFatFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, a := range fat.Arches {
		if a.Offset%(1<<14) != 0 {
			t.Errorf("%s: slice at %d, which no page begins at", p.name, a.Offset)
		}
		all[map[macho.Cpu]string{macho.CpuArm64: "arm64", macho.CpuAmd64: "x86_64"}[a.Cpu]] = data[a.Offset : a.Offset+a.Size]
	}
	return all
}

// TestPrograms: architectures, kind, oldest macOS, libraries.
func TestPrograms(t *testing.T) {
	for _, p := range programs {
		thin := p.thin(t)
		if got := slices.Sorted(maps.Keys(thin)); !slices.Equal(got, []string{"arm64", "x86_64"}) {
			t.Errorf("%s: architectures %v", p.name, got)
		}
		for arch, data := range thin {
			f := rig.Must(macho.NewFile(bytes.NewReader(data)))
			if f.Type != macho.TypeExec {
				t.Errorf("%s %s: type %s", p.name, arch, f.Type)
			}
			libraries := rig.Must(f.ImportedLibraries())
			slices.Sort(libraries)
			want := slices.Sorted(slices.Values(p.libraries))
			if !slices.Equal(libraries, want) {
				t.Errorf("%s %s: libraries %v\nwant %v", p.name, arch, libraries, want)
			}
			minimum := uint32(0)
			for _, l := range f.Loads {
				if raw := l.Raw(); binary.LittleEndian.Uint32(raw) == 0x32 { // LC_BUILD_VERSION
					if platform := binary.LittleEndian.Uint32(raw[8:]); platform != 1 {
						t.Errorf("%s %s: platform %d, not macOS", p.name, arch, platform)
					}
					minimum = binary.LittleEndian.Uint32(raw[12:])
				}
			}
			if minimum != 12<<16 {
				t.Errorf("%s %s: oldest macOS %x, want 12.0", p.name, arch, minimum)
			}
		}
	}
	if n := rig.Must(os.Stat(extensionProgram.path(t))).Size(); n > 400_000 { // C and Objective-C only: it holds no secret and no Go
		t.Errorf("the extension has %d bytes", n)
	}
}

// methods is what macOS calls by name: class, selector, types (Objective-C runtime
// type encodings). They are those of Apple's headers; nothing else checks them.
var methods = map[string][]string{
	extensionProgram.name: {
		"SPToken token:createSessionWithError: @32@0:8@16^@24",
		"SPTokenDriver init @16@0:8",
		"SPTokenDriver tokenDriver:tokenForConfiguration:error: @40@0:8@16@24^@32",
		"SPTokenSession tokenSession:signData:usingKey:algorithm:error: @56@0:8@16@24@32@40^@48",
		"SPTokenSession tokenSession:supportsOperation:usingKey:algorithm: {BOOL}48@0:8@16q24@32@40",
	},
	appProgram.name: {
		"SPMenu addCommand:action:key: v40@0:8@16:24@32",
		"SPMenu alert: v24@0:8@16",
		"SPMenu applicationDidFinishLaunching: v24@0:8@16",
		"SPMenu applicationShouldTerminate: Q24@0:8@16",
		"SPMenu display: v24@0:8@16",
		"SPMenu openLog: v24@0:8@16",
		"SPMenu quit: v24@0:8@16",
		"SPMenu reload: v24@0:8@16",
	},
}

var (
	classLine  = regexp.MustCompile(`^\s+name 0x[0-9a-f]+ (SP\w+)$`)
	nameLine   = regexp.MustCompile(`^\s+name 0x[0-9a-f]+ (\S+)$`)
	typesLine  = regexp.MustCompile(`^\s+types 0x[0-9a-f]+ (\S+)$`)
	methodsEnd = regexp.MustCompile(`^\s+(baseProtocols|Protocols|instanceMethods)`)
)

// TestMethods: classes, selectors and type encodings.
func TestMethods(t *testing.T) {
	for _, p := range programs {
		for arch, boolean := range map[string]string{"arm64": "B", "x86_64": "c"} { // BOOL is bool on one and signed char on the other
			r := rig.Run(t, nil, "llvm-objdump", "--macho", "--arch="+arch, "--objc-meta-data", p.path(t)).OK(t)
			var got []string
			class, selector, inside := "", "", false
			for _, l := range strings.Split(r.Output, "\n") {
				switch name, types := nameLine.FindStringSubmatch(l), typesLine.FindStringSubmatch(l); {
				case classLine.MatchString(l) && !inside:
					class = classLine.FindStringSubmatch(l)[1]
				case strings.Contains(l, "baseMethods"):
					inside = true
				case methodsEnd.MatchString(l):
					inside = false
				case inside && name != nil:
					selector = name[1]
				case inside && types != nil:
					got = append(got, class+" "+selector+" "+types[1])
				}
			}
			slices.Sort(got)
			var want []string
			for _, m := range methods[p.name] {
				want = append(want, strings.Replace(m, "{BOOL}", boolean, 1))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %s:\n%s\nwant\n%s", p.name, arch, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if p.name == extensionProgram.name && !strings.Contains(r.Output, "superclass 0x0 _OBJC_CLASS_$_TKTokenDriver") {
				t.Errorf("%s: SPTokenDriver is no TKTokenDriver", arch)
			}
		}
	}
}

var bindLine = regexp.MustCompile(`^__\w+\s+__\w+\s+0x[0-9A-F]+\s+(?:pointer\s+-?\d+\s+)?(\S+)\s+(\S+)$`)

// TestBindings: each symbol is bound to a library that cmd/ctk/sdk says has it, and
// the table there names a source for each. A wrong owner would stop the program
// from loading on a Mac.
func TestBindings(t *testing.T) {
	owners, unused := map[string]string{}, map[string]bool{}
	list := rig.Run(t, nil, "go", "-C", rig.Root, "run", "./cmd/ctk/sdk", "-list").OK(t)
	for _, l := range strings.Split(strings.TrimSpace(list.Output), "\n") {
		f := strings.Split(l, "\t")
		if len(f) != 3 || f[2] == "" {
			t.Fatalf("no source in %q", l)
		}
		short := strings.TrimPrefix(filepath.Base(f[0]), "lib")
		short, _, _ = strings.Cut(short, ".")
		owners[short+" "+f[1]] = f[2]
		unused[f[1]] = true
	}
	seen := 0
	for _, p := range programs {
		for _, arch := range []string{"arm64", "x86_64"} {
			for _, table := range []string{"--bind", "--lazy-bind", "--weak-bind"} {
				for _, l := range strings.Split(rig.Run(t, nil, "llvm-objdump", "--macho", "--arch="+arch, table, p.path(t)).OK(t).Output, "\n") {
					m := bindLine.FindStringSubmatch(l)
					if m == nil || m[1] == "libSystem" { // zig's own list of libSystem
						continue
					}
					seen++
					delete(unused, m[2])
					if owners[strings.TrimPrefix(m[1], "lib")+" "+m[2]] == "" {
						t.Errorf("%s %s: %s is bound to %s, which the table does not say", p.name, arch, m[2], m[1])
					}
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d bindings found", seen)
	}
}

// plist is a property list's innermost strings by key, whatever dictionary they
// stand in; true is "true".
func plist(t *testing.T, text string) map[string]string {
	t.Helper()
	values, key := map[string]string{}, ""
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return values
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "true", "false":
			values[key] = e.Name.Local
		case "key", "string":
			var s string
			if err := d.DecodeElement(&s, &e); err != nil {
				t.Fatal(err)
			}
			if e.Name.Local == "key" {
				key = s
			} else {
				values[key] = s
			}
		}
	}
}

// TestPropertyLists: the names that macOS finds the parts by, the same in both
// lists and in the code.
func TestPropertyLists(t *testing.T) {
	for _, c := range []struct {
		program program
		want    map[string]string
	}{
		{appProgram, map[string]string{
			"CFBundleIdentifier": "io.signpath.apps.SignPathCryptoTokenKit", "CFBundleExecutable": "SignPathCryptoTokenKit", "CFBundlePackageType": "APPL",
			"LSMinimumSystemVersion": "12.0", "LSUIElement": "true", "NSPrincipalClass": "NSApplication",
		}},
		{extensionProgram, map[string]string{
			"CFBundleIdentifier": "io.signpath.apps.CryptoTokenKit", "CFBundleExecutable": "CryptoTokenKit", "CFBundlePackageType": "XPC!",
			"LSMinimumSystemVersion": "12.0", "NSExtensionPointIdentifier": "com.apple.ctk-tokens",
			"com.apple.ctk.class-id": classID, "com.apple.ctk.driver-class": "SPTokenDriver",
			"NSExtensionPrincipalClass": "", // macOS refuses the driver with it
		}},
	} {
		got := plist(t, read(t, c.program.file(t, "Info.plist")))
		for k, v := range c.want {
			if got[k] != v {
				t.Errorf("%s: %s is %q, want %q", c.program.name, k, got[k], v)
			}
		}
		if version := strings.TrimSpace(strings.Split(read(t, filepath.Join(rig.Root, "VERSION")), "-")[0]); got["CFBundleShortVersionString"] != version {
			t.Errorf("%s: version %q, want %q", c.program.name, got["CFBundleShortVersionString"], version)
		}
		rig.Run(t, nil, "python3", "-c", "import plistlib, sys; plistlib.load(open(sys.argv[1], 'rb'))", c.program.file(t, "Info.plist")).OK(t)
	}
	if !bytes.Contains([]byte(read(t, appProgram.path(t))), []byte(classID+"\x00")) {
		t.Error("the app's code does not know the class id")
	}
}

// blobs are the parts of a code signature by slot (cs_blobs.h).
func blobs(t *testing.T, thin []byte) (all map[uint32][]byte, limit int) {
	t.Helper()
	f := rig.Must(macho.NewFile(bytes.NewReader(thin)))
	for _, l := range f.Loads {
		if raw := l.Raw(); binary.LittleEndian.Uint32(raw) == 0x1d {
			limit = int(binary.LittleEndian.Uint32(raw[8:]))
			if size := int(binary.LittleEndian.Uint32(raw[12:])); limit+size != len(thin) {
				t.Fatalf("the signature ends at %d of %d", limit+size, len(thin))
			}
		}
	}
	b := thin[limit:]
	if limit == 0 || binary.BigEndian.Uint32(b) != 0xfade0cc0 {
		t.Fatal("no signature")
	}
	all = map[uint32][]byte{}
	for i := range binary.BigEndian.Uint32(b[8:]) {
		at := binary.BigEndian.Uint32(b[16+8*i:])
		all[binary.BigEndian.Uint32(b[12+8*i:])] = b[at : at+binary.BigEndian.Uint32(b[at+4:])]
	}
	return all, limit
}

// TestSignatures: what macOS checks of an ad hoc signature, computed anew.
func TestSignatures(t *testing.T) {
	nested := map[string]string{}
	for _, p := range []program{extensionProgram, appProgram} {
		for arch, thin := range p.thin(t) {
			all, limit := blobs(t, thin)
			d := all[0]
			u32 := func(at int) int { return int(binary.BigEndian.Uint32(d[at:])) }
			if flags := u32(12); flags != 0x10002 {
				t.Errorf("%s %s: flags %x, want ad hoc and hardened runtime", p.name, arch, flags)
			}
			hashes, special, pages := u32(16), u32(24), u32(28)
			id := string(d[u32(20) : u32(20)+bytes.IndexByte(d[u32(20):], 0)])
			if want := plist(t, read(t, p.file(t, "Info.plist")))["CFBundleIdentifier"]; id != want {
				t.Errorf("%s %s: signed as %q, want %q", p.name, arch, id, want)
			}
			if u32(32) != limit || pages != (limit+4095)/4096 || d[36] != 32 || d[37] != 2 || d[39] != 12 {
				t.Errorf("%s %s: %d bytes in %d pages, signature at %d", p.name, arch, u32(32), pages, limit)
			}
			for i := range pages {
				sum := sha256.Sum256(thin[i*4096 : min((i+1)*4096, limit)])
				if !bytes.Equal(sum[:], d[hashes+32*i:hashes+32*i+32]) {
					t.Fatalf("%s %s: page %d has another hash", p.name, arch, i)
				}
			}
			want := map[int][]byte{1: []byte(read(t, p.file(t, "Info.plist"))), 2: all[2], 3: []byte(read(t, p.file(t, "_CodeSignature", "CodeResources"))), 5: all[5], 7: all[7]}
			for slot := 1; slot <= special; slot++ {
				sum := sha256.Sum256(want[slot])
				if len(want[slot]) == 0 {
					sum = [32]byte{}
				}
				if !bytes.Equal(sum[:], d[hashes-32*slot:hashes-32*slot+32]) {
					t.Errorf("%s %s: special slot %d has another hash", p.name, arch, slot)
				}
			}
			entitlements := map[string]string{}
			if len(all[5]) > 8 {
				entitlements = plist(t, string(all[5][8:]))
			}
			wanted := map[string]string{}
			if p.name == extensionProgram.name { // macOS loads no token extension without a sandbox
				wanted = map[string]string{"com.apple.security.app-sandbox": "true", "com.apple.security.network.client": "true"}
				sum := sha256.Sum256(d)
				nested[arch] = hex.EncodeToString(sum[:20])
				// DER: [APPLICATION 16] { INTEGER 1, [16] { SEQUENCE { UTF8String, BOOLEAN }… } }
				der, bools := all[7][8:], bytes.Count(all[7], []byte{1, 1, 0xff})
				if der[0] != 0x70 || int(der[1]) != len(der)-2 || !bytes.Equal(der[2:5], []byte{2, 1, 1}) || der[5] != 0xb0 || bools != 2 {
					t.Errorf("%s: entitlements in DER: %x", arch, der)
				}
			}
			if !maps.Equal(entitlements, wanted) {
				t.Errorf("%s %s: entitlements %v, want %v", p.name, arch, entitlements, wanted)
			}
		}
	}
	seal := plist(t, read(t, appProgram.file(t, "_CodeSignature", "CodeResources")))
	for arch, hash := range nested {
		if !strings.Contains(seal["requirement"], `cdhash H"`+hash+`"`) {
			t.Errorf("the app does not seal the extension for %s: %q", arch, seal["requirement"])
		}
	}
}
