package settings

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The table of settings in the user documentation has every setting, with all
// its names and its default in one row, in the order of the table here.
func TestDocumentedSettings(t *testing.T) {
	text, err := os.ReadFile("../../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	last := 0
	for _, n := range Names() {
		first := "—"
		if n.JSON != "" {
			first = "`" + n.JSON + "`"
		}
		at := strings.Index(doc, "\n| "+first+" | `"+n.Environment+"` |")
		if at < 0 {
			t.Errorf("docs/providers.md has no row | %s | `%s` |", first, n.Environment)
			continue
		}
		if at < last {
			t.Errorf("%s stands in another order", n.Environment)
		}
		last = at
		row, _, _ := strings.Cut(doc[at+1:], "\n")
		cells := strings.Split(row, "|")
		if len(cells) != 7 {
			t.Errorf("%s: %d columns, want 5", n.Environment, len(cells)-2)
			continue
		}
		if got := strings.TrimSpace(strings.ReplaceAll(cells[3], "`", "")); got != n.Default {
			t.Errorf("%s: default %q, want %q", n.Environment, got, n.Default)
		}
		for _, old := range append(n.OldJSON, n.OldEnvironment...) {
			if !strings.Contains(cells[5], "`"+old+"`") {
				t.Errorf("%s: the old name %s is missing", n.Environment, old)
			}
		}
		if (n.OS == "windows") != strings.Contains(cells[4], "Windows only") && n.JSON != "ApiToken" {
			t.Errorf("%s: where does it exist?", n.Environment)
		}
	}
	known := envNames()
	for _, name := range regexp.MustCompile(`\bSIGNPATH_[A-Z0-9_]+`).FindAllString(doc, -1) {
		if !known[name] {
			t.Errorf("docs/providers.md names %s, which is no setting", name)
		}
	}
}
