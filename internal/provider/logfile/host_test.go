package logfile

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Inside a host process, writing to these ends the host when the stream is a
// broken pipe, and the environment there is frozen at the host's start.
func TestNothingForbiddenInHosts(t *testing.T) {
	forbidden := map[string]bool{"Stdout": true, "Stderr": true, "Stdin": true, "Getenv": true, "LookupEnv": true, "Environ": true, "Setenv": true, "ExpandEnv": true, "Exit": true}
	for _, dir := range []string{".", "../settings", "../hostprocess", "../redact"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && forbidden[s.Sel.Name] {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "os" {
						t.Errorf("%s: os.%s", set.Position(s.Pos()), s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}
