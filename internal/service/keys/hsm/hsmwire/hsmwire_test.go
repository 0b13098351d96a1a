package hsmwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func frame(t *testing.T, id uint64, body any) []byte {
	t.Helper()
	f, err := Encode(id, body)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRoundTrip(t *testing.T) {
	requests := []Request{
		{Op: OpPing},
		{Op: OpOpen, Open: &Open{Module: "/lib/x.so", Label: "main <&>", PIN: []byte("1234"), Sessions: 4, Attributes: []uint64{0x80000001}}},
		{Op: OpSign, Sign: &Sign{Key: KeyRef{ID: []byte{0, 1, 255}}, Mechanism: MechanismPSS, Hash: "SHA-256", Data: make([]byte, 32)}},
		{Op: OpGenerate, Generate: &Generate{KeyRef: KeyRef{ID: []byte{1}, Label: "l"}, Type: RSA, Bits: 2048}},
	}
	var stream bytes.Buffer
	for i, r := range requests {
		stream.Write(frame(t, uint64(i)<<33, r))
	}
	for i, want := range requests {
		var got Request
		id, err := Decode(&stream, &got)
		if err != nil || id != uint64(i)<<33 || !reflect.DeepEqual(got, want) {
			t.Errorf("request %d: id %d, %+v, %v", i, id, got, err)
		}
	}
	if _, err := Decode(&stream, &Request{}); err != io.EOF {
		t.Errorf("at the end: %v, want io.EOF", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := frame(t, 7, Request{Op: OpPing})
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	raw := func(body string) []byte {
		b := make([]byte, headerSize, headerSize+len(body))
		binary.BigEndian.PutUint32(b, uint32(len(body)+headerSize-4))
		b[4] = Version
		return append(b, body...)
	}
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"another version":       {change(func(b []byte) []byte { b[4] = 2; return b }), ErrFrame},
		"no body":               {change(func(b []byte) []byte { binary.BigEndian.PutUint32(b, 9); return b }), ErrFrame},
		"shorter than a header": {change(func(b []byte) []byte { binary.BigEndian.PutUint32(b, 3); return b }), ErrFrame},
		"huge":                  {change(func(b []byte) []byte { binary.BigEndian.PutUint32(b, 1<<31); return b }), ErrFrame},
		"cut header":            {good[:6], io.ErrUnexpectedEOF},
		"cut body":              {good[:len(good)-3], io.ErrUnexpectedEOF},
		"no JSON":               {raw("xx"), ErrFrame},
		"two values":            {raw(`{"op":"ping"}{"op":"ping"}`), ErrFrame},
		"unknown member":        {raw(`{"op":"ping","shell":"x"}`), ErrFrame},
		"another type":          {raw(`{"op":5}`), ErrFrame},
	} {
		if _, err := Decode(bytes.NewReader(c.frame), &Request{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestEncodeIsBounded(t *testing.T) {
	if _, err := Encode(1, Request{Op: Op(strings.Repeat("x", MaxBody))}); err == nil {
		t.Error("a frame beyond the limit was made")
	}
}

func FuzzDecode(f *testing.F) {
	for _, body := range []any{Request{Op: OpPing}, Answer{Error: &Error{Class: ClassPIN, Text: "x"}}, Answer{Signature: []byte{1, 2}}} {
		b, err := Encode(3, body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, body := range []any{&Request{}, &Answer{}} {
			id, err := Decode(bytes.NewReader(data), body)
			if err != nil {
				continue
			}
			// What was accepted survives another round.
			again := reflect.New(reflect.TypeOf(body).Elem()).Interface()
			b, err := Encode(id, body)
			if err != nil {
				t.Fatal(err)
			}
			if id2, err := Decode(bytes.NewReader(b), again); err != nil || id2 != id {
				t.Fatalf("%d %v", id2, err)
			}
		}
	})
}
