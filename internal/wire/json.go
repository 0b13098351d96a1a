package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a JSON document (the deepest known request has five levels).
const maxDepth = 64

// byteOrderMark begins what Windows PowerShell and other tools save as UTF-8. A
// reader may ignore it (RFC 8259 section 8.1).
var byteOrderMark = []byte("\ufeff")

// DecodeJSON reads exactly one JSON value into v, a pointer. A byte order mark
// before it is ignored. Member names are
// matched without regard to case and unknown members are ignored, as SignPath
// does. Unlike encoding/json it refuses what that would silently change:
// duplicate member names, invalid UTF-8, lone surrogates, and anything after
// the value. Where v holds a struct, names that differ in case only are
// duplicates too; inside free-form members (json.RawMessage, maps, any) they
// are two names. The error is a sentence without its full stop.
func DecodeJSON(data []byte, v any) error {
	data = bytes.TrimPrefix(data, byteOrderMark)
	if err := checkJSON(data, reflect.TypeOf(v)); err != nil {
		return err
	}
	return decodeChecked(data, v)
}

// decodeChecked is DecodeJSON for data that checkJSON has seen.
func decodeChecked(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) {
			name := t.Field
			if name == "" {
				name = "The document"
			}
			return fmt.Errorf("%s must not be a JSON %s", name, t.Value)
		}
		return fmt.Errorf("the JSON cannot be read: %w", err)
	}
	return nil
}

// CheckJSON tells whether data is one JSON value that no reader can understand
// in two ways; see DecodeJSON.
func CheckJSON(data []byte) error { return checkJSON(data, nil) }

// checkJSON checks data against the Go type it is meant for (nil: none).
func checkJSON(data []byte, t reflect.Type) error {
	if !utf8.Valid(data) {
		return errors.New("the JSON is not valid UTF-8")
	}
	if err := checkSurrogates(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := checkValue(d, t, 0); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the JSON ends too early")
		}
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more text after the JSON value")
	}
	return nil
}

func checkValue(d *json.Decoder, t reflect.Type, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("the JSON is nested deeper than %d levels", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return jsonError(err)
	}
	switch token {
	case json.Delim('{'):
		err = checkMembers(d, structOf(t), depth)
	case json.Delim('['):
		for elem := elemOf(t); err == nil && d.More(); {
			err = checkValue(d, elem, depth+1)
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	_, err = d.Token() // the closing delimiter
	return jsonError(err)
}

// checkMembers checks the members of an object that is meant for struct type t
// (nil: not for a struct).
func checkMembers(d *json.Decoder, t reflect.Type, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return jsonError(err)
		}
		name, _ := token.(string)
		key := name
		var member reflect.Type
		if t != nil {
			key, member = fold(name), memberType(t, fold(name))
		}
		if seen[key] {
			return fmt.Errorf("the JSON member %q appears twice", clip(name))
		}
		seen[key] = true
		if err := checkValue(d, member, depth+1); err != nil {
			return err
		}
	}
	return nil
}

var rawMessage = reflect.TypeFor[json.RawMessage]()

// structOf is the struct type behind t, nil when t is anything else.
func structOf(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// elemOf is the element type of a slice, nil when t is anything else.
func elemOf(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t == rawMessage || t.Kind() != reflect.Slice {
		return nil
	}
	return t.Elem()
}

// memberType is the type of the struct member that encoding/json would fill
// from the folded name, nil when there is none.
func memberType(t reflect.Type, folded string) reflect.Type {
	if known, ok := memberTypes.Load(t); ok {
		return known.(map[string]reflect.Type)[folded]
	}
	members := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		if _, ok := members[fold(name)]; !ok {
			members[fold(name)] = f.Type
		}
	}
	memberTypes.Store(t, members)
	return members[folded]
}

// memberTypes remembers the members of each struct by their folded names: a list
// of ten thousand policies asks two hundred thousand times.
var memberTypes sync.Map // reflect.Type -> map[string]reflect.Type

// fold maps names that encoding/json takes for the same to one spelling: it
// folds as Unicode does, so that "ſ" (U+017F) is an "s".
func fold(name string) string {
	if plain(name) {
		return strings.ToUpper(name) // the least of each letter's forms
	}
	return strings.Map(func(r rune) rune {
		low := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			low = min(low, f)
		}
		return low
	}, name)
}

// plain tells whether a name is ASCII.
func plain(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func jsonError(err error) error {
	var s *json.SyntaxError
	if errors.As(err, &s) {
		if strings.Contains(s.Error(), "unexpected end") {
			return io.ErrUnexpectedEOF
		}
		return fmt.Errorf("the JSON is malformed at byte %d: %w", s.Offset, err)
	}
	return err
}

// checkSurrogates refuses \uD800-\uDFFF escapes that do not form a pair:
// encoding/json would replace them by U+FFFD.
func checkSurrogates(data []byte) error {
	inString := false
	for i := 0; i < len(data); i++ {
		switch {
		case data[i] == '"':
			inString = !inString
		case data[i] == '\\' && inString:
			high, ok := escape(data[i:])
			if !ok || high < 0xD800 || high > 0xDFFF {
				i++ // the escaped character
				continue
			}
			low, ok := escape(data[min(i+6, len(data)):])
			if high > 0xDBFF || !ok || low < 0xDC00 || low > 0xDFFF {
				return fmt.Errorf("the JSON has half of a surrogate pair at byte %d", i)
			}
			i += 11
		}
	}
	return nil
}

// escape reads \uXXXX at the start of b.
func escape(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// DecodeBase64 reads standard base64 with padding (RFC 4648 section 4) and
// nothing else: no line breaks, no white space, no URL alphabet, no non-zero
// trailing bits.
func DecodeBase64(s string) ([]byte, error) { return decodeBase64([]byte(s)) }

// strictBase64 refuses non-zero trailing bits.
var strictBase64 = base64.StdEncoding.Strict()

func decodeBase64(text []byte) ([]byte, error) {
	if bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, '\n') >= 0 {
		return nil, errors.New("base64 with line breaks, which are not allowed")
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := strictBase64.Decode(b, text)
	if err != nil {
		return nil, errors.New("not standard base64 with padding")
	}
	return b[:n], nil
}
