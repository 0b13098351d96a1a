package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxFile is the largest configuration file that is read, in bytes.
const maxFile = 1 << 20

// kind is the JSON type of a value.
type kind uint8

const (
	kindString kind = 1 << iota
	kindNumber
	kindBool
	kindNull
	kindObject
	kindArray
)

var kindNames = map[kind]string{kindString: "text", kindNumber: "a number", kindBool: "true or false", kindNull: "null", kindObject: "an object", kindArray: "a list"}

// node is one value of a configuration file.
type node struct {
	kind         kind
	text         string // of text, numbers (as written), true and false
	line, column int    // from 1; columns count characters
	members      []member
}

// member is one named value of an object.
type member struct {
	name         string
	line, column int
	value        *node
}

// fileError is a problem at a place in the file.
type fileError struct {
	line, column int // 0: the file as a whole
	field, cause string
}

// readFile reads a configuration file. Only regular files are opened: a pipe
// could hold up the host process for ever.
func readFile(path string) (*node, *fileError) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	var data []byte
	if err == nil {
		data, err = readLimited(path)
	}
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, &fileError{cause: "the configuration file cannot be read: " + err.Error()}
	}
	if len(data) > maxFile {
		return nil, &fileError{cause: "the configuration file has more than 1 MiB"}
	}
	return parseFile(data)
}

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// parseFile reads JSON (RFC 8259) whose outermost value is an object. UTF-8, or
// UTF-16 with a byte order mark, as Windows tools write it. A member named twice
// is an error, also when the names differ in case only.
func parseFile(data []byte) (*node, *fileError) {
	data = DecodeText(data)
	pos := &position{data: data, line: 1, column: 1}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return nil, pos.errorAt(i, "the file is not UTF-8 text")
		}
		i += n
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, &fileError{cause: "the configuration file is empty; it must hold a JSON object, at least {}"}
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		at := len(data)
		var syntax *json.SyntaxError
		cause := err.Error()
		if errors.As(err, &syntax) {
			at = max(int(syntax.Offset)-1, 0)
			if strings.Contains(cause, "unexpected end") {
				at, cause = len(data), "it ends too early"
			}
		}
		return nil, pos.errorAt(at, "the file is not valid JSON: "+cause)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	p := &fileParser{decoder: d, data: data, pos: pos}
	root, err := p.value("", 0)
	if err != nil {
		return nil, err
	}
	if root.kind != kindObject {
		return nil, &fileError{line: root.line, column: root.column, cause: "the configuration file must hold a JSON object, not " + kindNames[root.kind]}
	}
	return root, nil
}

// DecodeText takes a byte order mark away and turns UTF-16 into UTF-8: what Notepad and
// Windows PowerShell write. Other bytes stay as they are.
func DecodeText(data []byte) []byte {
	if rest, ok := bytes.CutPrefix(data, []byte{0xEF, 0xBB, 0xBF}); ok {
		return rest
	}
	if len(data) < 2 || !(data[0] == 0xFE && data[1] == 0xFF || data[0] == 0xFF && data[1] == 0xFE) {
		return data
	}
	high := 1
	if data[0] == 0xFE {
		high = 0
	}
	units := make([]uint16, 0, len(data)/2)
	for i := 2; i+1 < len(data); i += 2 {
		units = append(units, uint16(data[i+high])<<8|uint16(data[i+1-high]))
	}
	return []byte(string(utf16.Decode(units)))
}

type fileParser struct {
	decoder *json.Decoder
	data    []byte
	pos     *position
}

// maxDepth is how deep a configuration file may nest; two levels are in use.
const maxDepth = 64

// next reads a token and tells where it begins.
func (p *fileParser) next() (t json.Token, line, column int, err *fileError) {
	at := int(p.decoder.InputOffset())
	for at < len(p.data) && strings.IndexByte(" \t\r\n,:", p.data[at]) >= 0 {
		at++
	}
	line, column = p.pos.at(at)
	t, e := p.decoder.Token()
	if e != nil { // json.Unmarshal accepted it; so this is a guard only
		return nil, line, column, p.pos.errorAt(at, "the file is not valid JSON: "+e.Error())
	}
	return t, line, column, nil
}

func (p *fileParser) value(path string, depth int) (*node, *fileError) {
	t, line, column, err := p.next()
	if err != nil {
		return nil, err
	}
	n := &node{line: line, column: column}
	switch t := t.(type) {
	case string:
		n.kind, n.text = kindString, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case bool:
		n.kind, n.text = kindBool, fmt.Sprint(t)
	case nil:
		n.kind = kindNull
	case json.Delim:
		if depth == maxDepth {
			return nil, &fileError{line, column, path, fmt.Sprintf("the file nests deeper than %d levels", maxDepth)}
		}
		n.kind = kindArray
		if t == '{' {
			n.kind = kindObject
		}
		if err := p.content(n, path, depth); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (p *fileParser) content(n *node, path string, depth int) *fileError {
	seen := map[string]bool{}
	for p.decoder.More() {
		m := member{}
		at := path
		if n.kind == kindObject {
			t, line, column, err := p.next()
			if err != nil {
				return err
			}
			m.name, _ = t.(string)
			m.line, m.column = line, column
			at = join(path, m.name)
			if fold := strings.ToLower(m.name); seen[fold] {
				return &fileError{line, column, clip(at), "the name appears twice; names differ in more than upper and lower case"}
			} else {
				seen[fold] = true
			}
		}
		v, err := p.value(at, depth+1)
		if err != nil {
			return err
		}
		m.value = v
		n.members = append(n.members, m)
	}
	_, _, _, err := p.next() // the closing bracket
	return err
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// position turns offsets into lines and columns; offsets are asked for in
// rising order, so that a large file is walked once.
type position struct {
	data                 []byte
	offset, line, column int
}

func (p *position) at(offset int) (line, column int) {
	if offset < p.offset {
		p.offset, p.line, p.column = 0, 1, 1
	}
	for p.offset < offset && p.offset < len(p.data) {
		if p.data[p.offset] == '\n' {
			p.line, p.column = p.line+1, 0
		}
		_, n := utf8.DecodeRune(p.data[p.offset:])
		p.offset += n
		p.column++
	}
	return p.line, p.column
}

func (p *position) errorAt(offset int, cause string) *fileError {
	line, column := p.at(offset)
	return &fileError{line: line, column: column, cause: cause}
}
