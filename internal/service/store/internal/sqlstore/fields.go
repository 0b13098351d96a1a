package sqlstore

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"signpath/internal/wire"
)

// A field binds one member of a model value to a column, in both directions.
type field interface {
	driver.Valuer
	sql.Scanner
}

// column is a field under its name in the database.
type column struct {
	name string
	field
}

// text is a NOT NULL text. PostgreSQL takes neither a NUL nor broken UTF-8, so
// no engine does.
type text[S ~string] struct{ p *S }

func (f text[S]) Value() (driver.Value, error) {
	return string(*f.p), checkText(string(*f.p))
}

func (f text[S]) Scan(src any) error {
	s, err := scanText(src)
	*f.p = S(s)
	return err
}

// reference is the ID of another object; the empty one is NULL, which no
// foreign key looks at.
type reference struct{ p *string }

func (f reference) Value() (driver.Value, error) {
	if *f.p == "" {
		return nil, nil
	}
	return *f.p, checkText(*f.p)
}

func (f reference) Scan(src any) error {
	if src == nil {
		*f.p = ""
		return nil
	}
	return text[string](f).Scan(src)
}

// number is a NOT NULL integer.
type number struct{ p *int }

func (f number) Value() (driver.Value, error) { return int64(*f.p), nil }

func (f number) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("found %T where an integer belongs", src)
	}
	*f.p = int(n)
	return nil
}

// flag is a NOT NULL truth value; SQLite keeps it as 0 or 1.
type flag struct{ p *bool }

func (f flag) Value() (driver.Value, error) { return *f.p, nil }

func (f flag) Scan(src any) error {
	switch v := src.(type) {
	case bool:
		*f.p = v
	case int64:
		*f.p = v != 0
	default:
		return fmt.Errorf("found %T where a truth value belongs", src)
	}
	return nil
}

// millis is a time in milliseconds since 1970, UTC; the zero time is NULL.
type millis struct{ p *time.Time }

func (f millis) Value() (driver.Value, error) {
	if f.p.IsZero() {
		return nil, nil
	}
	return f.p.UnixMilli(), nil
}

func (f millis) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*f.p = time.Time{}
	case int64:
		*f.p = time.UnixMilli(v).UTC()
	default:
		return fmt.Errorf("found %T where a time in milliseconds belongs", src)
	}
	return nil
}

// blob is a byte string; nil is NULL, the empty one is not.
type blob struct{ p *[]byte }

func (f blob) Value() (driver.Value, error) {
	if *f.p == nil {
		return nil, nil
	}
	return *f.p, nil
}

func (f blob) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*f.p = nil
	case []byte:
		*f.p = append([]byte{}, v...) // the driver reuses v
	default:
		return fmt.Errorf("found %T where bytes belong", src)
	}
	return nil
}

// hash32 is a NOT NULL byte string of 32 bytes.
type hash32 struct{ p *[32]byte }

func (f hash32) Value() (driver.Value, error) { return f.p[:], nil }

func (f hash32) Scan(src any) error {
	v, ok := src.([]byte)
	if !ok || len(v) != len(f.p) {
		return fmt.Errorf("found %T of %d bytes where a hash of 32 bytes belongs", src, len(v))
	}
	copy(f.p[:], v)
	return nil
}

// hashList is a list of 32-byte hashes, one after the other in one byte string.
type hashList struct{ p *[][32]byte }

func (f hashList) Value() (driver.Value, error) {
	b := make([]byte, 0, 32*len(*f.p))
	for _, h := range *f.p {
		b = append(b, h[:]...)
	}
	return b, nil
}

func (f hashList) Scan(src any) error {
	v, ok := src.([]byte)
	if !ok || len(v)%32 != 0 {
		return fmt.Errorf("found %T of %d bytes where hashes of 32 bytes belong", src, len(v))
	}
	*f.p = nil
	for ; len(v) > 0; v = v[32:] {
		*f.p = append(*f.p, [32]byte(v))
	}
	return nil
}

// list is a list as JSON, byte strings in it as base64; the nil list is NULL,
// the empty one "[]".
type list[T any] struct{ p *[]T }

func (f list[T]) Value() (driver.Value, error) {
	if *f.p == nil {
		return nil, nil
	}
	b, err := json.Marshal(*f.p)
	return string(b), err
}

func (f list[T]) Scan(src any) error {
	*f.p = nil
	if src == nil {
		return nil
	}
	s, err := scanText(src)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(s), f.p)
}

// textList is a list of texts as JSON.
type textList[S ~string] struct{ p *[]S }

func (f textList[S]) Value() (driver.Value, error) {
	for _, s := range *f.p {
		// The JSON encoder would replace broken UTF-8 silently.
		if err := checkText(string(s)); err != nil {
			return nil, err
		}
	}
	return list[S](f).Value()
}

func (f textList[S]) Scan(src any) error { return list[S](f).Scan(src) }

// hashNames is a list of digest algorithms by their wire names, e.g.
// ["Sha256"], so that the numbers of the constants may change.
type hashNames struct{ p *[]wire.Hash }

func (f hashNames) Value() (driver.Value, error) {
	if *f.p == nil {
		return nil, nil
	}
	names := make([]string, len(*f.p))
	for i, h := range *f.p {
		if h.Size() == 0 {
			return nil, fmt.Errorf("digest algorithm %d does not exist", h)
		}
		names[i] = h.String()
	}
	return list[string]{&names}.Value()
}

func (f hashNames) Scan(src any) error {
	var names []string
	if err := (list[string]{&names}).Scan(src); err != nil || names == nil {
		*f.p = nil
		return err
	}
	*f.p = make([]wire.Hash, len(names))
	for i, name := range names {
		h, ok := wire.HashByName(name)
		if !ok {
			return fmt.Errorf("digest algorithm %q is unknown to this program", name)
		}
		(*f.p)[i] = h
	}
	return nil
}

func scanText(src any) (string, error) {
	switch v := src.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", fmt.Errorf("found %T where a text belongs", src)
}

func checkText(s string) error {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return fmt.Errorf("the text %q is not valid UTF-8 or has a NUL in it", s)
	}
	return nil
}
