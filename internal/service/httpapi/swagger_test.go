package httpapi

import (
	"bytes"
	"flag"
	"fmt"
	"html/template"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"signpath/internal/wire"
)

var update = flag.Bool("update", false, "write swagger.html anew")

// swagger.html is generated from openapi.yaml; this test is the generator and
// the proof that it is current.
func TestSwaggerPage(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(wire.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := renderPage(doc)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("swagger.html", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, swaggerPage) {
		t.Error("swagger.html is not what openapi.yaml says; run go generate ./internal/service/httpapi")
	}
	if strings.Contains(string(swaggerPage), "<script") || strings.Contains(string(swaggerPage), "://cdn") || strings.Count(string(swaggerPage), "<style>") != 1 {
		t.Error("the page must have one style element, no script and nothing from elsewhere")
	}
}

type pageOperation struct {
	Method, Path string
	*openapi3.Operation
	Parameters openapi3.Parameters
}

func renderPage(doc *openapi3.T) ([]byte, error) {
	byTag := map[string][]pageOperation{}
	for _, path := range doc.Paths.InMatchingOrder() {
		item := doc.Paths.Value(path)
		for method, op := range item.Operations() {
			byTag[op.Tags[0]] = append(byTag[op.Tags[0]], pageOperation{method, doc.Servers[0].URL + path, op, append(slices.Clone(item.Parameters), op.Parameters...)})
		}
	}
	for _, ops := range byTag {
		slices.SortFunc(ops, func(a, b pageOperation) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	}
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, map[string]any{"Doc": doc, "Operations": byTag})
	return b.Bytes(), err
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// schemaName is the last part of a reference, "" for a schema without one.
func schemaName(s *openapi3.SchemaRef) string {
	return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
}

// constraints tells what a schema allows, in words.
func constraints(s *openapi3.Schema) string {
	var parts []string
	if s.Type != nil {
		parts = append(parts, strings.Join(s.Type.Slice(), " or "))
	} else {
		parts = append(parts, "any JSON value")
	}
	if s.Format != "" {
		parts = append(parts, s.Format)
	}
	if len(s.Enum) > 0 {
		var values []string
		for _, v := range s.Enum {
			if v != nil {
				values = append(values, fmt.Sprint(v))
			}
		}
		parts = append(parts, "one of "+strings.Join(values, ", "))
	}
	if s.Default != nil {
		parts = append(parts, fmt.Sprint("default ", s.Default))
	}
	if s.Min != nil {
		parts = append(parts, fmt.Sprint("at least ", *s.Min))
	}
	if s.Max != nil {
		parts = append(parts, fmt.Sprint("at most ", *s.Max))
	}
	if s.MaxLength != nil {
		parts = append(parts, fmt.Sprint("at most ", *s.MaxLength, " characters"))
	}
	if s.Pattern != "" {
		parts = append(parts, "pattern "+s.Pattern)
	}
	if s.Nullable {
		parts = append(parts, "may be null")
	}
	return strings.Join(parts, "; ")
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"keys": func(m any) []string {
		switch m := m.(type) {
		case openapi3.Schemas:
			return sortedKeys(m)
		case map[string]*openapi3.ResponseRef:
			return sortedKeys(m)
		}
		panic(fmt.Sprintf("keys of %T", m))
	},
	"name": schemaName, "constraints": constraints, "contains": slices.Contains[[]string],
	"public": func(op *openapi3.Operation) bool { return op.Security != nil && len(*op.Security) == 0 },
	"lines":  func(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") },
}).Parse(`<!doctype html>
<!-- Generated from openapi.yaml by TestSwaggerPage; run go generate. -->
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Doc.Info.Title}}: API</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff; }
code, .path { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
details { border: 1px solid #bbb; border-radius: .4rem; margin: .6rem 0; padding: .5rem 1rem; }
summary { cursor: pointer; }
.method { display: inline-block; min-width: 3.5rem; font-weight: 700; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; padding: .3rem .6rem .3rem 0; }
.note { color: #555; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #161616; } a { color: #8ab4f8; } .note { color: #aaa; } th, td { border-color: #444; } }
</style>
</head>
<body>
<h1>{{.Doc.Info.Title}}: API, version {{.Doc.Info.Version}}</h1>
{{range lines .Doc.Info.Description}}<p>{{.}}</p>
{{end}}<p>The same as a file: <a href="openapi.yaml">openapi.yaml</a></p>
{{range .Doc.Tags}}<h2>{{.Name}}</h2>
<p>{{.Description}}</p>
{{range index $.Operations .Name}}<details id="{{.OperationID}}">
<summary><span class="method">{{.Method}}</span> <span class="path">{{.Path}}</span><br>{{.Summary}}{{if .Deprecated}} <span class="note">(deprecated)</span>{{end}}</summary>
{{if .Description}}<p>{{.Description}}</p>
{{end}}<p class="note">{{if public .Operation}}No token needed.{{else}}Needs a token: Authorization: Bearer &hellip;{{end}}</p>
{{if .Parameters}}<h4>Parameters</h4>
<table>
<tr><th>Name</th><th>In</th><th>Meaning</th></tr>
{{range .Parameters}}<tr><td><code>{{.Value.Name}}</code>{{if .Value.Required}} (required){{end}}</td><td>{{.Value.In}}</td><td>{{.Value.Description}} <span class="note">{{constraints .Value.Schema.Value}}</span></td></tr>
{{end}}</table>
{{end}}{{with .RequestBody}}<h4>Request body</h4>
<ul>
{{range $type, $media := .Value.Content}}<li><code>{{$type}}</code>: {{template "schema" $media.Schema}}</li>
{{end}}</ul>
{{end}}<h4>Answers</h4>
<table>
<tr><th>Status</th><th>Meaning</th><th>Content</th></tr>
{{$responses := .Responses.Map}}{{range $status := keys $responses}}{{with index $responses $status}}<tr><td>{{$status}}</td><td>{{.Value.Description}}</td><td>{{range $type, $media := .Value.Content}}<code>{{$type}}</code>{{with $media.Schema}} {{template "schema" .}}{{end}} {{end}}</td></tr>
{{end}}{{end}}</table>
</details>
{{end}}{{end}}<h2>Schemas</h2>
{{$schemas := .Doc.Components.Schemas}}{{range $name := keys $schemas}}{{with index $schemas $name}}<details id="schema-{{$name}}">
<summary><code>{{$name}}</code></summary>
{{if .Value.Description}}<p>{{.Value.Description}}</p>
{{end}}{{if .Value.Properties}}<table>
<tr><th>Member</th><th>Meaning</th></tr>
{{$schema := .Value}}{{range $member := keys .Value.Properties}}{{with index $schema.Properties $member}}<tr><td><code>{{$member}}</code>{{if contains $schema.Required $member}} (required){{end}}</td><td>{{template "schema" .}}</td></tr>
{{end}}{{end}}</table>
{{else}}<p class="note">{{constraints .Value}}</p>
{{end}}</details>
{{end}}{{end}}</body>
</html>
{{define "schema"}}{{if name .}}<a href="#schema-{{name .}}">{{name .}}</a>{{else}}{{.Value.Description}} <span class="note">{{constraints .Value}}</span>{{if .Value.Items}} of {{template "schema" .Value.Items}}{{end}}{{end}}{{end}}`))
