// Package layers holds no code: its test is the linter of the house. It reads
// the imports of every package (tests included) and holds them against the
// rules below; docs/design.md says why each rule exists.
package layers

import (
	"bufio"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// rule forbids that packages under From import packages under To, unless From
// or To is also under one of Except.
type rule struct {
	why    string
	from   []string // prefixes below the module; "*" is everything
	except []string
	to     []string // prefixes below the module, or import paths of other modules and the standard library
}

var rules = []rule{
	{"the two halves meet on the wire only", []string{"internal/provider"}, nil, []string{"internal/service"}},
	{"the two halves meet on the wire only", []string{"internal/service"}, nil, []string{"internal/provider"}},
	{"leaf packages import nothing of ours", []string{"internal/secret", "internal/buildinfo", "internal/hardening", "internal/rights"}, nil, []string{"internal"}},
	{"the wire imports leaf packages only", []string{"internal/wire"}, []string{"internal/testkit"}, []string{"internal/service", "internal/provider"}},
	{"only signing, pki and the wiring reach a private key", []string{"*"},
		[]string{"internal/service/keys", "internal/service/signing", "internal/service/pki", "cmd/signpath", "cmd/signpath-hsm", "internal/testkit"}, []string{"internal/service/keys"}},
	{"only the store knows SQL", []string{"*"}, []string{"internal/service/store", "internal/testkit"}, []string{"database/sql", "github.com/jackc/pgx", "modernc.org/sqlite"}},
	{"only the wiring chooses a database engine", []string{"internal", "cmd"}, []string{"internal/service/store", "cmd/signpath", "internal/testkit"}, []string{"internal/service/store/sqlite", "internal/service/store/postgres"}},
	{"interface packages reach the network through the keyring only", []string{"internal/provider/cryptoki", "internal/provider/winkeys", "internal/provider/cng", "internal/provider/capi", "internal/provider/ctk", "internal/provider/notation", "internal/provider/gpg", "internal/provider/doctor"},
		nil, []string{"net", "net/http", "crypto/tls"}},
	{"shims know their interface package only and decide nothing", []string{"cmd/cryptoki", "cmd/ksp", "cmd/csp", "cmd/notation-signpath", "cmd/ctk/core"}, nil,
		[]string{"internal/provider/keyring", "internal/provider/remote", "internal/provider/settings", "internal/provider/logfile", "internal/service", "internal/wire", "net/http", "crypto/tls"}},
	{"cgo is for the shims", []string{"internal"}, nil, []string{"C"}},
	{"memory tricks are for the shims, and for calls of the Windows API", []string{"internal"}, nil, []string{"unsafe"}},
	{"nothing below cmd decides what a C host sees", []string{"internal"}, nil, []string{"cmd"}},
}

// environmentReaders may call os.Getenv, os.LookupEnv and os.Environ: settings
// take the environment as a value, and everything else takes settings.
var environmentReaders = []string{"cmd", "e2e", "internal/testkit"}

// noStandardStreams must not write through os.Stdout and os.Stderr: inside a
// host, Go ends the whole process when one of them is a broken pipe.
var noStandardStreams = []string{"internal/provider", "cmd/cryptoki", "cmd/ksp", "cmd/csp"}

type file struct {
	dir     string // below the module, with slashes
	name    string
	imports []string
	text    string
}

func sources(t *testing.T) []file {
	t.Helper()
	root := filepath.Join("..", "..")
	var files []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != root && (strings.HasPrefix(n, ".") && n != ".." || n == "dist" || n == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), p, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f := file{dir: path.Dir(filepath.ToSlash(rel)), name: filepath.ToSlash(rel), text: string(text)}
		for _, i := range parsed.Imports {
			v, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, strings.TrimPrefix(v, "signpath/"))
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func under(dir string, prefixes []string) bool {
	for _, p := range prefixes {
		if p == "*" || dir == p || strings.HasPrefix(dir, p+"/") {
			return true
		}
	}
	return false
}

// matches tells whether an import is one of a rule's targets. Standard packages
// and C match exactly, others by prefix.
func matches(imported string, to []string) bool {
	for _, p := range to {
		if imported == p || strings.HasPrefix(imported, p+"/") && strings.Contains(p, "/") && p != "net/http" || p == "internal" && strings.HasPrefix(imported, "internal/") || p == "cmd" && strings.HasPrefix(imported, "cmd/") {
			return true
		}
	}
	return false
}

func TestImports(t *testing.T) {
	files := sources(t)
	if len(files) < 20 {
		t.Fatalf("only %d source files found", len(files))
	}
	for _, f := range files {
		test := strings.HasSuffix(f.name, "_test.go")
		for _, r := range rules {
			if !under(f.dir, r.from) || under(f.dir, r.except) {
				continue
			}
			for _, i := range f.imports {
				if i == "unsafe" && strings.HasSuffix(f.name, "_windows.go") {
					continue
				}
				// tests may put a real neighbour behind what they test
				if test && !strings.Contains(r.why, "halves") {
					continue
				}
				if matches(i, r.to) && !under(f.dir, []string{i}) {
					t.Errorf("%s imports %s: %s", f.name, i, r.why)
				}
			}
		}
	}
}

func TestEnvironment(t *testing.T) {
	for _, f := range sources(t) {
		if strings.HasSuffix(f.name, "_test.go") || under(f.dir, environmentReaders) {
			continue
		}
		for n, line := range lines(f.text) {
			for _, call := range []string{"os.Getenv(", "os.LookupEnv(", "os.Environ(", "ProxyFromEnvironment"} {
				if strings.Contains(line, call) {
					t.Errorf("%s:%d: %s…): only settings and cmd read the environment", f.name, n+1, call)
				}
			}
		}
	}
}

func TestStandardStreams(t *testing.T) {
	for _, f := range sources(t) {
		if strings.HasSuffix(f.name, "_test.go") || !under(f.dir, noStandardStreams) {
			continue
		}
		for n, line := range lines(f.text) {
			for _, use := range []string{"os.Stdout", "os.Stderr", "fmt.Print", "log.Print", "println("} {
				if strings.Contains(line, use) {
					t.Errorf("%s:%d: %s inside a host ends it on a broken pipe; use the log", f.name, n+1, use)
				}
			}
		}
	}
}

// TestRulesBite keeps the linter honest: a rule that matches nothing it should is no rule.
func TestRulesBite(t *testing.T) {
	for _, c := range []struct {
		dir, imported string
		want          bool
	}{
		{"internal/provider/keyring", "internal/service/store", true},
		{"internal/service/httpapi", "internal/service/keys", true},
		{"internal/service/signing", "internal/service/keys", false},
		{"internal/service/httpapi", "database/sql", true},
		{"internal/service/store/sqlite", "modernc.org/sqlite", false},
		{"internal/provider/cryptoki", "net/http", true},
		{"internal/provider/remote", "net/http", false},
		{"internal/provider/notation", "net/http", true},
		{"internal/provider/ctk", "net", true},
		{"internal/provider/ctk", "internal/provider/ctkchannel", false},
		{"cmd/ctk/core", "internal/provider/keyring", true},
		{"internal/provider/notation", "internal/provider/keyring", false},
		{"cmd/notation-signpath", "internal/provider/keyring", true},
		{"cmd/notation-signpath", "internal/provider/notation", false},
		{"internal/secret", "internal/wire", true},
		{"internal/wire", "internal/service/model", true},
	} {
		got := false
		for _, r := range rules {
			got = got || under(c.dir, r.from) && !under(c.dir, r.except) && matches(c.imported, r.to)
		}
		if got != c.want {
			t.Errorf("%s imports %s: forbidden = %v, want %v", c.dir, c.imported, got, c.want)
		}
	}
}

// lines gives the code lines of a text without comment lines.
func lines(text string) []string {
	var out []string
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		l := s.Text()
		if strings.HasPrefix(strings.TrimSpace(l), "//") {
			l = ""
		}
		out = append(out, l)
	}
	return out
}
