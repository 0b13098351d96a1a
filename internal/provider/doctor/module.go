package doctor

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Module is what the headers of a PKCS #11 module tell, and what became of
// loading it in another process: a broken one takes its process with it.
type Module struct {
	Path    string
	Problem string // why it cannot be read as a module of this machine; the rest is empty then
	Cure    string

	Exports   int      // functions of PKCS #11 that it offers
	Libraries []string // names of the libraries that it (or its core) needs
	Absent    []string // those that the usual folders do not hold
	NeedsLibc string   // newest glibc version that it or its core needs, "2.28"; "" for none
	HasLibc   string   // of this machine, "" when unknown
	Musl      bool     // this machine's C library is musl

	DLL         bool       // it is one for Windows or macOS; what is said of glibc, cores and memory does not concern it
	Carries     bool       // it carries a core of ours: it is this product's module
	Beside      coreBeside // what lies beside it
	NoMemoryRun bool       // the kernel refuses to run files in memory, which is how a module alone opens its core

	TriedWith string // which program tried to load it; "" when none could
	Refused   string // what the loader, or C_Initialize, said against it; "" when it was loaded
	Library   string // what the module says it is; of this product's only

	Open  fs.FileMode // rights that let others replace the file: its write bits for group and others
	Owner string      // as in File
}

// coreBeside tells about libX.core.so beside libX.so.
type coreBeside int

const (
	coreAbsent coreBeside = iota
	coreSame
	coreOther
)

// functionsOfPKCS11 is the number of functions of PKCS #11 v2.40.
const functionsOfPKCS11 = 68

const maxModule = 512 << 20 // bytes that are read at most

// machines are the names of ELF machines as people say them, by GOARCH.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "386": elf.EM_386, "arm": elf.EM_ARM, "riscv64": elf.EM_RISCV}

// lookAtModule reads the headers of a module.
func lookAtModule(path string) *Module {
	m := &Module{Path: path}
	if err := m.read(); err != nil {
		var c *cured
		m.Problem = err.Error()
		if errors.As(err, &c) {
			m.Cure = c.cure
		}
	}
	return m
}

// cured is an error with what to do about it.
type cured struct{ text, cure string }

func (c *cured) Error() string { return c.text }

func (m *Module) read() error {
	info, err := os.Stat(m.Path)
	if err != nil {
		return &cured{plainPathError(err), "Name the file of the module, e.g. /usr/lib/libSignPath.Cryptoki.so."}
	}
	if !info.Mode().IsRegular() {
		return &cured{"it is not a regular file", "Name the file of the module itself."}
	}
	if info.Size() > maxModule {
		return &cured{"it is larger than any module", "Name the file of the module."}
	}
	if facts := lookAtFile(m.Path); facts.Err == nil {
		m.Open, m.Owner = facts.Mode&0o022, facts.Owner
	}
	data, err := os.ReadFile(m.Path)
	if err != nil {
		return &cured{plainPathError(err), "Give this user the right to read the file."}
	}
	switch runtime.GOOS {
	case "windows":
		return m.readPE(data)
	case "darwin":
		return m.readMachO(data)
	}
	file, err := openELF(data)
	if err != nil {
		return err
	}
	if m.Exports, err = countExports(file); err != nil {
		return &cured{"its table of symbols cannot be read: " + err.Error(), damaged}
	}
	files := []*elf.File{file}
	if core := carriedCore(data); core != nil {
		m.Carries = true
		inner, err := openELF(core)
		if err != nil {
			return &cured{"the core that it carries cannot be read: " + err.Error(), damaged}
		}
		files = append(files, inner)
		m.Beside = lookBeside(m.Path, core)
	}
	if err := m.needs(files); err != nil {
		return &cured{"its list of libraries cannot be read: " + err.Error(), damaged}
	}
	if flag, err := os.ReadFile("/proc/sys/vm/memfd_noexec"); err == nil {
		m.NoMemoryRun = strings.TrimSpace(string(flag)) == "2"
	}
	return nil
}

const damaged = "Copy the module again: this copy is damaged."

// openELF reads the headers and refuses what this machine cannot load.
func openELF(data []byte) (*elf.File, error) {
	if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		text := "it is no shared library for Linux (ELF)"
		switch {
		case len(data) == 0:
			text = "it is empty"
		case bytes.HasPrefix(data, []byte("MZ")):
			text = "it is a library for Windows"
		case len(data) >= 4 && slices.Contains([]uint32{0xfeedface, 0xfeedfacf, 0xbebafeca}, binary.LittleEndian.Uint32(data)):
			text = "it is a library for macOS"
		}
		return nil, &cured{text, "Take the module for this platform, linux-" + runtime.GOARCH + "."}
	}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, &cured{"its headers cannot be read: " + err.Error(), damaged}
	}
	switch {
	case file.Type != elf.ET_DYN:
		return nil, &cured{"it is no shared library, but a file of type " + file.Type.String(), "Name the file of the module."}
	case machines[runtime.GOARCH] != 0 && file.Machine != machines[runtime.GOARCH]:
		return nil, &cured{fmt.Sprintf("it is for %s, this machine is %s", machineName(file.Machine), runtime.GOARCH), "Take the module for linux-" + runtime.GOARCH + "."}
	}
	for _, p := range file.Progs { // a copy that was cut keeps its headers
		if p.Type == elf.PT_LOAD && p.Off+p.Filesz > uint64(len(data)) {
			return nil, &cured{"its end is missing", damaged}
		}
	}
	return file, nil
}

func machineName(m elf.Machine) string {
	for name, machine := range machines {
		if machine == m {
			return name
		}
	}
	return m.String()
}

// countExports counts the functions named C_….
func countExports(f *elf.File) (n int, err error) {
	symbols, err := f.DynamicSymbols()
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF && elf.ST_BIND(s.Info) == elf.STB_GLOBAL && strings.HasPrefix(s.Name, "C_") {
			n++
		}
	}
	return n, err
}

// pageSize is how a carried core is aligned in its module.
const pageSize = 4096

// carriedCore finds the core inside of a module: an ELF file that begins on a
// page and ends with its table of sections. nil when there is none.
func carriedCore(data []byte) []byte {
	for at := pageSize; at+64 < len(data); at += pageSize {
		if !bytes.HasPrefix(data[at:], []byte(elf.ELFMAG)) || data[at+elf.EI_CLASS] != byte(elf.ELFCLASS64) || data[at+elf.EI_DATA] != byte(elf.ELFDATA2LSB) {
			continue
		}
		h := data[at:]
		end := binary.LittleEndian.Uint64(h[40:]) + uint64(binary.LittleEndian.Uint16(h[58:]))*uint64(binary.LittleEndian.Uint16(h[60:])) // e_shoff, e_shentsize, e_shnum
		if end > 64 && end <= uint64(len(h)) {
			return h[:end]
		}
	}
	return nil
}

// lookBeside compares libX.core.so with the core that libX.so carries.
func lookBeside(path string, core []byte) coreBeside {
	beside := strings.TrimSuffix(path, filepath.Ext(path)) + ".core.so"
	data, err := readUpTo(beside, int64(len(core))+1)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return coreAbsent
	case err == nil && bytes.Equal(data, core):
		return coreSame
	}
	return coreOther
}

func readUpTo(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, limit))
}

// needs collects libraries and the newest version of glibc.
func (m *Module) needs(files []*elf.File) error {
	for _, f := range files {
		libraries, err := f.ImportedLibraries()
		if err != nil {
			return err
		}
		m.Libraries = append(m.Libraries, libraries...)
		if f.SectionByType(elf.SHT_GNU_VERNEED) == nil {
			continue // it needs no particular version of anything
		}
		versions, err := f.DynamicVersionNeeds()
		if err != nil {
			return err
		}
		for _, v := range versions {
			for _, d := range v.Needs {
				if n, ok := strings.CutPrefix(d.Dep, "GLIBC_"); ok && newer(n, m.NeedsLibc) {
					m.NeedsLibc = n
				}
			}
		}
	}
	slices.Sort(m.Libraries)
	m.Libraries = slices.Compact(m.Libraries)
	for _, l := range m.Libraries {
		if findLibrary(l) == "" {
			m.Absent = append(m.Absent, l)
		}
	}
	if libc := findLibrary("libc.so.6"); libc != "" {
		m.HasLibc = libcVersion(libc)
	} else {
		found, _ := filepath.Glob("/lib/ld-musl-*.so.1")
		m.Musl = len(found) > 0
	}
	return nil
}

// libraryFolders are where the dynamic loader of the usual distributions looks.
func libraryFolders() []string {
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "386": "i386-linux-gnu", "arm": "arm-linux-gnueabihf"}[runtime.GOARCH]
	return []string{"/lib/" + triplet, "/usr/lib/" + triplet, "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"}
}

func findLibrary(name string) string {
	for _, dir := range libraryFolders() {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// libcVersion is the newest version that a C library defines, "2.36".
func libcVersion(path string) (version string) {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	versions, err := f.DynamicVersions()
	if err != nil {
		return ""
	}
	for _, v := range versions {
		if n, ok := strings.CutPrefix(v.Name, "GLIBC_"); ok && newer(n, version) {
			version = n
		}
	}
	return version
}

// newer compares versions like 2.28 and 2.3.4; names like PRIVATE are older than any.
func newer(a, b string) bool {
	x, y := numbers(a), numbers(b)
	return x != nil && slices.Compare(x, y) > 0
}

func numbers(version string) []int {
	if version == "" {
		return nil
	}
	var out []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		out = append(out, n)
	}
	return out
}

// plainPathError is an error without the path, which the text around it names.
func plainPathError(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
