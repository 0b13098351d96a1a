// Command sdk writes linker stubs (.tbd files, version 4) for the macOS
// libraries that cmd/ctk and Go programs with cgo are linked with:
//
//	go run ./cmd/ctk/sdk -out DIR     writes DIR/System/Library/Frameworks and DIR/usr/lib
//	go run ./cmd/ctk/sdk -list        prints every symbol: install name, symbol, source
//
// What enters are the declarations below include/ and link.table, what leaves
// are names of symbols and libraries. Every declaration stands below a line that
// names the public header or source file it was taken from; without one nothing
// is written. There is no text and no code of Apple's SDK here.
package main

import (
	"bufio"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed include link.table
var files embed.FS

// symbol is one exported name with where we know it from.
type symbol struct{ name, source string }

// library is one dynamic library of macOS.
type library struct {
	name, install, compatibility string
	symbols                      []symbol // without doubles, sorted
}

var (
	libraryLine   = regexp.MustCompile(`^// library: (\S+) (\S+)$`)
	sourceLine    = regexp.MustCompile(`^// source: (.+)$`)
	interfaceLine = regexp.MustCompile(`^@interface (\w+) : \w+$`)
	categoryLine  = regexp.MustCompile(`^@interface \w+ \(\w+\)$`)
	externLine    = regexp.MustCompile(`^extern [^(;]*?(\w+)(\(.*\))?;$`)
)

func main() {
	out := flag.String("out", "", "folder to write stubs to")
	list := flag.Bool("list", false, "print every symbol with its library and source")
	flag.Parse()
	libraries, err := read(files)
	if err == nil && *out != "" {
		err = write(*out, libraries)
	}
	if err == nil && *list {
		for _, l := range libraries {
			for _, s := range l.symbols {
				_, _ = fmt.Printf("%s\t%s\t%s\n", l.install, s.name, s.source)
			}
		}
	}
	if err != nil || *out == "" && !*list {
		if err == nil {
			err = errors.New("give -out DIR or -list")
		}
		_, _ = fmt.Fprintln(os.Stderr, "sdk:", err)
		os.Exit(1)
	}
}

// read gives all libraries, sorted by name.
func read(from fs.FS) ([]library, error) {
	all := map[string]*library{}
	err := fs.WalkDir(from, "include", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return readHeader(from, p, all)
	})
	if err == nil {
		err = readTable(from, "link.table", all)
	}
	if err != nil {
		return nil, err
	}
	var sorted []library
	for _, l := range all {
		slices.SortFunc(l.symbols, func(a, b symbol) int { return strings.Compare(a.name, b.name) })
		l.symbols = slices.CompactFunc(l.symbols, func(a, b symbol) bool { return a.name == b.name })
		sorted = append(sorted, *l)
	}
	slices.SortFunc(sorted, func(a, b library) int { return strings.Compare(a.name, b.name) })
	return sorted, nil
}

func declare(all map[string]*library, name, install, compatibility string) (*library, error) {
	l := all[name]
	if l == nil {
		l = &library{name: name, install: install, compatibility: compatibility}
		all[name] = l
	}
	if l.install != install || l.compatibility != compatibility {
		return nil, fmt.Errorf("%s is declared in two ways", name)
	}
	return l, nil
}

// readHeader takes the classes and external names of a header.
func readHeader(from fs.FS, file string, all map[string]*library) error {
	f, err := from.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var l *library
	source := ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		fail := func(text string) error { return fmt.Errorf("%s:%d: %s", file, n, text) }
		if m := libraryLine.FindStringSubmatch(line); m != nil {
			if l, err = declare(all, path.Base(path.Dir(file)), m[1], m[2]); err != nil {
				return fail(err.Error())
			}
			continue
		}
		if m := sourceLine.FindStringSubmatch(line); m != nil {
			source = m[1]
			continue
		}
		var names []string
		switch class, extern := interfaceLine.FindStringSubmatch(line), externLine.FindStringSubmatch(line); {
		case class != nil:
			names = []string{"_OBJC_CLASS_$_" + class[1], "_OBJC_METACLASS_$_" + class[1]}
		case extern != nil:
			names = []string{"_" + extern[1]}
		case strings.HasPrefix(line, "@interface") && !categoryLine.MatchString(line), strings.HasPrefix(line, "extern"):
			return fail("a declaration that is not understood; one per line")
		case !strings.HasPrefix(line, "@interface"):
			continue
		}
		if l == nil || source == "" {
			return fail("a declaration without the line that names its source")
		}
		for _, name := range names {
			l.symbols = append(l.symbols, symbol{name, source})
		}
	}
	return lines.Err()
}

// readTable takes the lines of link.table.
func readTable(from fs.FS, file string, all map[string]*library) error {
	text, err := fs.ReadFile(from, file)
	if err != nil {
		return err
	}
	for n, line := range strings.Split(string(text), "\n") {
		what, source, _ := strings.Cut(line, "#")
		words, source := strings.Fields(what), strings.TrimSpace(source)
		if len(words) == 0 {
			continue
		}
		if words[0] == "library" && len(words) == 4 {
			if _, err := declare(all, words[1], words[2], words[3]); err != nil {
				return fmt.Errorf("%s:%d: %w", file, n+1, err)
			}
			continue
		}
		l := all[words[0]]
		if l == nil || source == "" {
			return fmt.Errorf("%s:%d: an unknown library, or no source", file, n+1)
		}
		for _, name := range words[1:] {
			l.symbols = append(l.symbols, symbol{name, source})
		}
	}
	return nil
}

// stub is the text of a .tbd file. Text-based stub libraries: LLVM's documentation
// of TextAPI, version 4.
func (l library) stub() string {
	var symbols, classes []string
	for _, s := range l.symbols {
		switch {
		case strings.HasPrefix(s.name, "_OBJC_CLASS_$_"):
			classes = append(classes, strings.TrimPrefix(s.name, "_OBJC_CLASS_$_"))
		case strings.HasPrefix(s.name, "_OBJC_METACLASS_$_"):
		default:
			symbols = append(symbols, s.name)
		}
	}
	const targets = "[ x86_64-macos, arm64-macos ]"
	b := "--- !tapi-tbd\ntbd-version: 4\ntargets: " + targets + "\ninstall-name: '" + l.install + "'\ncurrent-version: " + l.compatibility +
		"\ncompatibility-version: " + l.compatibility + "\nexports:\n  - targets: " + targets + "\n"
	if len(symbols) > 0 {
		b += "    symbols: [ " + strings.Join(symbols, ", ") + " ]\n"
	}
	if len(classes) > 0 {
		b += "    objc-classes: [ " + strings.Join(classes, ", ") + " ]\n"
	}
	return b + "...\n"
}

// write puts each stub where a linker looks for it.
func write(out string, libraries []library) error {
	for _, l := range libraries {
		file := filepath.Join(out, "usr", "lib", "lib"+l.name+".tbd")
		if strings.Contains(l.install, ".framework/") {
			file = filepath.Join(out, "System", "Library", "Frameworks", l.name+".framework", l.name+".tbd")
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(l.stub()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
