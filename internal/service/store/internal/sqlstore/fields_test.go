package sqlstore

import (
	"testing"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// A database that somebody changed by hand gives errors, never wrong values or
// a panic.
func TestScanRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		to   field
		bad  []any
	}{
		{"text", text[string]{new(string)}, []any{nil, int64(1), true}},
		{"reference", reference{new(string)}, []any{int64(1)}},
		{"number", number{new(int)}, []any{nil, "1", 1.5}},
		{"flag", flag{new(bool)}, []any{nil, "true"}},
		{"millis", millis{new(time.Time)}, []any{"2020-01-01", 1.5}},
		{"blob", blob{new([]byte)}, []any{"text", int64(1)}},
		{"hash32", hash32{new([32]byte)}, []any{nil, "text", []byte{}, make([]byte, 31), make([]byte, 33)}},
		{"hashList", hashList{new([][32]byte)}, []any{nil, "text", make([]byte, 33)}},
		{"list", list[[]byte]{new([][]byte)}, []any{int64(1), "", "{", `{"a":1}`, `[1]`, `["%"]`}},
		{"textList", textList[model.Role]{new([]model.Role)}, []any{int64(1), "", "[1]", `"a"`}},
		{"hashNames", hashNames{new([]wire.Hash)}, []any{int64(1), "", "[1]", `["Sha999"]`, `["none"]`}},
	} {
		for _, bad := range c.bad {
			if err := c.to.Scan(bad); err == nil {
				t.Errorf("%s takes %T %v", c.name, bad, bad)
			}
		}
	}
}

func TestValueRefuses(t *testing.T) {
	broken := "a\xff"
	for name, f := range map[string]field{
		"text":      text[string]{&broken},
		"reference": reference{&broken},
		"textList":  textList[string]{&[]string{"fine", broken}},
		"hashNames": hashNames{&[]wire.Hash{wire.SHA256, 99}},
	} {
		if v, err := f.Value(); err == nil {
			t.Errorf("%s stores %v", name, v)
		}
	}
}

// Times keep milliseconds, whatever zone they come from.
func TestMillis(t *testing.T) {
	zone := time.FixedZone("x", 7200)
	for _, in := range []time.Time{
		{}, time.Unix(0, 0), time.Date(2026, 2, 3, 4, 5, 6, 789_999_999, zone), time.Date(1901, 1, 1, 0, 0, 0, 1e6, time.UTC),
	} {
		v, err := millis{&in}.Value()
		if err != nil {
			t.Fatal(err)
		}
		out := time.Now()
		if err := (millis{&out}).Scan(v); err != nil {
			t.Fatal(err)
		}
		if want := in.Truncate(time.Millisecond).UTC(); out != want {
			t.Errorf("%s came back as %s", in, out)
		}
	}
}
