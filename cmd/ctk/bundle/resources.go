package main

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

// cdHashes name code by its code directories, one per architecture: the first 20
// bytes of their SHA-256.
type cdHashes [][]byte

// requirement is what code must fulfil to be the one that was sealed: for ad hoc
// signatures one of its own hashes ("Code Signing Requirement Language").
func (h cdHashes) requirement() string {
	var terms []string
	for _, x := range h {
		terms = append(terms, `cdhash H"`+hex.EncodeToString(x)+`"`)
	}
	return strings.Join(terms, " or ")
}

// codeResources is the property list that seals a bundle without files below
// Resources: nested code, and the rules that say what belongs to the seal. The
// rules are those that codesign writes (rules: version 1, rules2: version 2).
func codeResources(nested map[string]cdHashes) []byte {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>files</key>
	<dict/>
	<key>files2</key>
`)
	var names []string
	for n := range nested {
		names = append(names, n)
	}
	slices.Sort(names)
	if len(names) == 0 {
		b.WriteString("\t<dict/>\n")
	} else {
		b.WriteString("\t<dict>\n")
		for _, n := range names {
			b.WriteString("\t\t<key>" + n + "</key>\n\t\t<dict>\n\t\t\t<key>cdhash</key>\n\t\t\t<data>\n\t\t\t" +
				base64.StdEncoding.EncodeToString(nested[n][0]) + "\n\t\t\t</data>\n\t\t\t<key>requirement</key>\n\t\t\t<string>" + escape(nested[n].requirement()) + "</string>\n\t\t</dict>\n")
		}
		b.WriteString("\t</dict>\n")
	}
	b.WriteString("\t<key>rules</key>\n\t<dict>\n")
	for _, r := range rules {
		r.write(&b)
	}
	b.WriteString("\t</dict>\n\t<key>rules2</key>\n\t<dict>\n")
	for _, r := range rules2 {
		r.write(&b)
	}
	b.WriteString("\t</dict>\n</dict>\n</plist>\n")
	return []byte(b.String())
}

// rule is one regular expression of paths below Contents with its attributes.
type rule struct {
	path   string
	flags  []string // members with the value true
	weight string
}

var rules = []rule{
	{"^Resources/", nil, ""},
	{"^Resources/.*\\.lproj/", []string{"optional"}, "1000"},
	{"^Resources/.*\\.lproj/locversion.plist$", []string{"omit"}, "1100"},
	{"^Resources/Base\\.lproj/", nil, "1010"},
	{"^version.plist$", nil, ""},
}

var rules2 = []rule{
	{".*\\.dSYM($|/)", nil, "11"},
	{"^(.*/)?\\.DS_Store$", []string{"omit"}, "2000"},
	{"^(Frameworks|SharedFrameworks|PlugIns|Plug-ins|XPCServices|Helpers|MacOS|Library/(Automator|Spotlight|LoginItems))/", []string{"nested"}, "10"},
	{"^.*", nil, ""},
	{"^Info\\.plist$", []string{"omit"}, "20"},
	{"^PkgInfo$", []string{"omit"}, "20"},
	{"^Resources/", nil, "20"},
	{"^Resources/.*\\.lproj/", []string{"optional"}, "1000"},
	{"^Resources/.*\\.lproj/locversion.plist$", []string{"omit"}, "1100"},
	{"^Resources/Base\\.lproj/", nil, "1010"},
	{"^[^/]+$", []string{"nested"}, "10"},
	{"^embedded\\.provisionprofile$", nil, "20"},
	{"^version\\.plist$", nil, "20"},
}

func (r rule) write(b *strings.Builder) {
	b.WriteString("\t\t<key>" + escape(r.path) + "</key>\n")
	if r.weight == "" && len(r.flags) == 0 {
		b.WriteString("\t\t<true/>\n")
		return
	}
	b.WriteString("\t\t<dict>\n")
	for _, f := range r.flags {
		b.WriteString("\t\t\t<key>" + f + "</key>\n\t\t\t<true/>\n")
	}
	if r.weight != "" {
		b.WriteString("\t\t\t<key>weight</key>\n\t\t\t<real>" + r.weight + "</real>\n")
	}
	b.WriteString("\t\t</dict>\n")
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
