// Package backup writes an installation into one file, and makes one from it.
//
// What enters is a store and a few files of the data folder, what leaves is a
// stream, and the other way round. The stream does not depend on the database:
// what came from SQLite can be restored into PostgreSQL. It is one state of the
// database; the service may run meanwhile.
//
// Format, version 1: gzip (RFC 1952) of lines of JSON (RFC 8259), each an object:
//
//	{"format":"signpath-backup/1","id":UUID,"made":TIME,"program":VERSION,"schema":N}
//	{"file":NAME,"sealed":BASE64}                     any number of them
//	{"table":NAME,"columns":[NAME,…]}                 holds for the rows that follow
//	{"row":[VALUE,…]}                                 null, true, 1, "text" or {"base64":"…"}
//	{"rows":N,"sha256":HEX,"seal":BASE64}             the last line
//
// sha256 is that of all lines before, with their line ends. seal is that hash,
// sealed with the key-encryption key for "backup/ID": whoever can change the
// file but does not have the key cannot smuggle in a user or a token. Files are
// sealed for "backup/ID/NAME". Private keys lie in the rows as they do in the
// database, sealed; the key-encryption key itself is never in a backup.
package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/store"
)

// Format names the format of the first line.
const Format = "signpath-backup/1"

// maxLine bounds a line: the largest artifact of a signing request in base64.
const maxLine = 256 << 20

// Errors of Restore; text after them says more.
var (
	ErrFormat   = errors.New("this is not a backup of this program")
	ErrDamaged  = errors.New("the backup is damaged or cut off")
	ErrUnsealed = errors.New("the backup does not prove where it comes from")
)

// Key is the key-encryption key (*keys.KEK).
type Key interface {
	Seal(purpose string, plaintext []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}

// File is a file of the data folder.
type File struct {
	Name    string
	Content []byte
}

// Summary is what a backup holds.
type Summary struct {
	ID      string    `json:"id"`
	Made    time.Time `json:"made"`
	Program string    `json:"program"` // version that made it
	Schema  int       `json:"schema"`
	Rows    int       `json:"rows"`
	SHA256  string    `json:"sha256"` // of the uncompressed lines, hexadecimal
	Files   []File    `json:"-"`
}

// line is every line; the present members say which it is.
type line struct {
	Format  string     `json:"format,omitempty"`
	ID      string     `json:"id,omitempty"`
	Made    *time.Time `json:"made,omitempty"`
	Program string     `json:"program,omitempty"`
	Schema  int        `json:"schema,omitempty"`

	File   string `json:"file,omitempty"`
	Sealed []byte `json:"sealed,omitempty"`

	Table   string   `json:"table,omitempty"`
	Columns []string `json:"columns,omitempty"`

	Row []json.RawMessage `json:"row,omitempty"`

	Rows   *int   `json:"rows,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Seal   []byte `json:"seal,omitempty"`
}

// Write writes a backup. Without a key (nil) there are no files in it, and
// Restore must be told to take it all the same.
func Write(ctx context.Context, w io.Writer, st store.Store, key Key, program string, files []File, now time.Time) (Summary, error) {
	zipped := gzip.NewWriter(w)
	out := &writer{to: bufio.NewWriterSize(zipped, 1<<16), hash: sha256.New()}
	made := now.UTC().Truncate(time.Millisecond)
	s := Summary{ID: uuid.NewString(), Made: made, Program: program}
	begin := func(schema int) error {
		s.Schema = schema
		if err := out.line(line{Format: Format, ID: s.ID, Made: &made, Program: program, Schema: schema}); err != nil || key == nil {
			return err
		}
		for _, f := range files {
			sealed, err := key.Seal(filePurpose(s.ID, f.Name), f.Content)
			if err != nil {
				return err
			}
			if err := out.line(line{File: f.Name, Sealed: sealed}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := st.Dump(ctx, begin, out.row); err != nil {
		return Summary{}, err
	}
	digest := out.hash.Sum(nil)
	s.Rows, s.SHA256 = out.rows, hex.EncodeToString(digest)
	last := line{Rows: &s.Rows, SHA256: s.SHA256}
	if key != nil {
		var err error
		if last.Seal, err = key.Seal(purpose(s.ID), digest); err != nil {
			return Summary{}, err
		}
	}
	if err := errors.Join(out.line(last), out.to.Flush(), zipped.Close()); err != nil {
		return Summary{}, err
	}
	return s, nil
}

func purpose(id string) string           { return "backup/" + id }
func filePurpose(id, name string) string { return purpose(id) + "/" + name }

type writer struct {
	to      *bufio.Writer
	hash    hash.Hash
	table   string
	columns []string
	rows    int
}

func (w *writer) line(l line) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	w.hash.Write(data)
	_, err = w.to.Write(data)
	return err
}

func (w *writer) row(r store.Row) error {
	if r.Table != w.table || !slices.Equal(r.Columns, w.columns) {
		w.table, w.columns = r.Table, r.Columns
		if err := w.line(line{Table: r.Table, Columns: r.Columns}); err != nil {
			return err
		}
	}
	values := make([]json.RawMessage, len(r.Values))
	for i, v := range r.Values {
		switch b := v.(type) {
		case []byte:
			v = blob{b}
		case nil, bool, int64, string:
		default:
			return fmt.Errorf("%s.%s has a value of type %T, which a backup cannot hold", r.Table, r.Columns[i], v)
		}
		var err error
		if values[i], err = json.Marshal(v); err != nil {
			return err
		}
	}
	w.rows++
	return w.line(line{Row: values})
}

type blob struct {
	Base64 []byte `json:"base64"`
}

// Restore fills an empty store from a backup: all of it, or nothing if the
// stream is damaged or not sealed with the key. anyway takes a stream that is
// not sealed at all, or sealed with another key; its files stay out then.
func Restore(ctx context.Context, r io.Reader, st store.Store, key Key, anyway bool) (Summary, error) {
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return Summary{}, fmt.Errorf("%w (%v)", ErrFormat, err)
	}
	in := &reader{from: bufio.NewReaderSize(zipped, 1<<16), hash: sha256.New(), key: key, anyway: anyway}
	if err := in.begin(); err != nil {
		return Summary{}, err
	}
	if err := st.Load(ctx, in.summary.Schema, in.next); err != nil {
		return Summary{}, err
	}
	return in.summary, nil
}

type reader struct {
	from    *bufio.Reader
	hash    hash.Hash
	key     Key
	anyway  bool
	summary Summary
	sealed  []File // as they came
	table   string
	columns []string
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// line reads the next one; before is the hash of those before it.
func (r *reader) line() (l line, before []byte, err error) {
	before = r.hash.Sum(nil)
	var data []byte
	for {
		part, err := r.from.ReadSlice('\n')
		data = append(data, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line{}, nil, damaged("it ends in the middle (%v)", err)
		}
		if len(data) > maxLine {
			return line{}, nil, damaged("a line has more than %d bytes", maxLine)
		}
	}
	r.hash.Write(data)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return line{}, nil, damaged("%v", err)
	}
	return l, before, nil
}

func (r *reader) begin() error {
	l, _, err := r.line()
	if err != nil || l.Format == "" || l.ID == "" || l.Made == nil || l.Schema < 1 {
		return ErrFormat
	}
	if l.Format != Format {
		return fmt.Errorf("%w: its format is %q, this program knows %q", ErrFormat, l.Format, Format)
	}
	r.summary = Summary{ID: l.ID, Made: *l.Made, Program: l.Program, Schema: l.Schema}
	return nil
}

// next is the next row, see store.Store.Load.
func (r *reader) next() (store.Row, error) {
	for {
		l, before, err := r.line()
		if err != nil {
			return store.Row{}, err
		}
		switch {
		case l.File != "":
			r.sealed = append(r.sealed, File{l.File, l.Sealed})
		case l.Table != "":
			r.table, r.columns = l.Table, l.Columns
		case l.Row != nil:
			r.summary.Rows++
			return r.row(l.Row)
		case l.Rows != nil:
			return store.Row{}, r.end(l, before)
		default:
			return store.Row{}, damaged("a line says nothing")
		}
	}
}

func (r *reader) row(values []json.RawMessage) (store.Row, error) {
	if len(values) != len(r.columns) {
		return store.Row{}, damaged("a row of %q has %d values for %d columns", r.table, len(values), len(r.columns))
	}
	row := store.Row{Table: r.table, Columns: r.columns, Values: make([]any, len(values))}
	for i, raw := range values {
		v, err := value(raw)
		if err != nil {
			return store.Row{}, damaged("%s.%s: %v", r.table, r.columns[i], err)
		}
		row.Values[i] = v
	}
	return row, nil
}

func value(raw json.RawMessage) (any, error) {
	if len(raw) > 0 && raw[0] == '{' {
		var b struct {
			Base64 *string `json:"base64"`
		}
		if err := json.Unmarshal(raw, &b); err != nil || b.Base64 == nil {
			return nil, errors.New("an object that is no base64")
		}
		data, err := base64.StdEncoding.DecodeString(*b.Base64)
		if data == nil {
			data = []byte{}
		}
		return data, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	switch n := v.(type) {
	case nil, bool, string:
		return v, nil
	case json.Number:
		i, err := n.Int64()
		if err != nil {
			return nil, fmt.Errorf("%s is no whole number up to %d", n, int64(math.MaxInt64))
		}
		return i, nil
	}
	return nil, errors.New("a value of another kind")
}

// end checks the last line: after it the rows are committed.
func (r *reader) end(l line, digest []byte) error {
	r.summary.SHA256 = hex.EncodeToString(digest)
	if *l.Rows != r.summary.Rows || l.SHA256 != r.summary.SHA256 {
		return damaged("its content does not fit its check value")
	}
	if _, err := r.from.ReadByte(); err == nil {
		return damaged("something follows its end")
	} else if !errors.Is(err, io.EOF) {
		return damaged("%v", err)
	}
	var sealed []byte
	var err error
	switch {
	case r.key == nil:
		err = fmt.Errorf("%w: no key-encryption key was given", ErrUnsealed)
	case len(l.Seal) == 0:
		err = fmt.Errorf("%w: it was made without the key-encryption key", ErrUnsealed)
	default:
		if sealed, err = r.key.Open(purpose(r.summary.ID), l.Seal); err != nil || !bytes.Equal(sealed, digest) {
			err = fmt.Errorf("%w: it was changed, or sealed with another key-encryption key", ErrUnsealed)
		}
	}
	if err != nil {
		if r.anyway {
			return store.ErrNoMoreRows
		}
		return err
	}
	for _, f := range r.sealed {
		if f.Content, err = r.key.Open(filePurpose(r.summary.ID, f.Name), f.Content); err != nil {
			return damaged("the file %s does not open", f.Name)
		}
		r.summary.Files = append(r.summary.Files, f)
	}
	return store.ErrNoMoreRows
}
