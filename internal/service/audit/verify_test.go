package audit

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"signpath/internal/service/store"
)

// fakeLog makes a log of n entries in which each intent is followed by its
// outcome, but for the last one; mark tells logs of the same length apart.
func fakeLog(t testing.TB, n int, mark string) ([][]byte, []store.AuditHead) {
	var head store.AuditHead
	var leaves [][]byte
	heads := []store.AuditHead{{}}
	for i := range n {
		ev := Event{Type: "HashSigning.Intent", Intent: true, IP: mark}
		if i%2 == 1 {
			ev = Event{Type: "HashSigning.Completed", Outcome: uint64(i), IP: mark}
		}
		e, err := encode(ev, time.UnixMilli(1_700_000_000_000+int64(i)))
		if err != nil {
			t.Fatal(err)
		}
		row, err := seal(&head, e)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, row.Leaf)
		heads = append(heads, head)
	}
	return leaves, heads
}

func export(leaves [][]byte) []byte {
	var b []byte
	for _, l := range leaves {
		b = append(append(b, l...), '\n')
	}
	return b
}

func testSigner(t testing.TB, name string) (note.Signer, string) {
	skey, vkey, err := GenerateKey(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return s, vkey
}

func TestVerifyFindsEveryTampering(t *testing.T) {
	const n = 9
	leaves, heads := fakeLog(t, n, "a")
	other, otherHeads := fakeLog(t, n, "b")
	longer, _ := fakeLog(t, n+3, "a")
	signer, vkey := testSigner(t, "log")
	stranger, _ := testSigner(t, "log")
	foreign, _ := testSigner(t, "other")
	sign := func(s note.Signer, h store.AuditHead) []byte {
		b, err := SignCheckpoint(h, s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	anchor := sign(signer, heads[n])
	edit := func(i int, old, new string) [][]byte {
		c := slices.Clone(leaves)
		c[i] = bytes.Replace(c[i], []byte(old), []byte(new), 1)
		if bytes.Equal(c[i], leaves[i]) {
			t.Fatal("the case changes nothing")
		}
		return c
	}
	// A link that was changed, but nothing else.
	broken := slices.Clone(leaves)
	at := bytes.Index(broken[4], []byte(`"prev":"`)) + 8
	broken[4] = slices.Clone(broken[4])
	copy(broken[4][at:], strings.Repeat("0", 64))

	for _, c := range []struct {
		name    string
		leaves  [][]byte
		anchors [][]byte
		head    *store.AuditHead
		want    error
		seq     uint64
	}{
		{"untouched", leaves, [][]byte{anchor}, nil, nil, 0},
		{"untouched, older anchor", leaves, [][]byte{sign(signer, heads[3])}, nil, nil, 0},
		{"untouched, several anchors", leaves, [][]byte{anchor, sign(signer, heads[0]), sign(signer, heads[3])}, nil, nil, 0},
		{"untouched, no anchor", leaves, nil, nil, nil, 0},
		{"grown since", longer, [][]byte{anchor}, nil, nil, 0},
		{"empty log, anchor of an empty log", nil, [][]byte{sign(signer, heads[0])}, nil, nil, 0},
		{"changed in the middle", edit(3, `"ip":"a"`, `"ip":"z"`), nil, nil, ErrChanged, 4},
		{"changed at the start", edit(0, `"ip":"a"`, `"ip":"z"`), nil, nil, ErrChanged, 1},
		{"last but one changed", edit(n-2, `"ip":"a"`, `"ip":"z"`), nil, nil, ErrChanged, n - 1},
		{"last changed, anchor", edit(n-1, `"ip":"a"`, `"ip":"z"`), [][]byte{anchor}, nil, ErrRoot, n},
		{"last changed, store", edit(n-1, `"ip":"a"`, `"ip":"z"`), nil, &heads[n], ErrChanged, n},
		{"only a link changed", broken, nil, nil, ErrChanged, 5},
		{"malformed", edit(5, `{"v"`, `{'v"`), nil, nil, ErrChanged, 6},
		{"removed in the middle", slices.Delete(slices.Clone(leaves), 3, 4), nil, nil, ErrGap, 4},
		{"removed at the start", leaves[1:], nil, nil, ErrGap, 1},
		{"swapped", slices.Concat(leaves[:3], [][]byte{leaves[4], leaves[3]}, leaves[5:]), nil, nil, ErrGap, 4},
		{"twice", slices.Concat(leaves[:4], leaves[3:]), nil, nil, ErrGap, 5},
		{"cut off, no anchor", leaves[:5], nil, nil, nil, 0}, // cannot be seen; hence anchors
		{"cut off, anchor", leaves[:5], [][]byte{anchor}, nil, ErrCutOff, 6},
		{"cut off, store", leaves[:5], nil, &heads[n], ErrCutOff, 6},
		{"emptied, anchor", nil, [][]byte{anchor}, nil, ErrCutOff, 1},
		{"longer than the store says", longer, nil, &heads[n], ErrCutOff, n + 1},
		{"replaced, no anchor", other, nil, nil, nil, 0}, // likewise
		{"replaced, anchor", other, [][]byte{anchor}, nil, ErrRoot, n},
		{"replaced, older anchor first", other, [][]byte{anchor, sign(signer, heads[2])}, nil, ErrRoot, 2},
		{"replaced with the head", other, [][]byte{anchor}, &otherHeads[n], ErrRoot, n},
		{"anchor of another key of that name", leaves, [][]byte{sign(stranger, heads[n])}, nil, ErrCheckpoint, 0},
		{"anchor of another log", leaves, [][]byte{sign(foreign, heads[n])}, nil, ErrCheckpoint, 0},
		{"anchor without signature", leaves, [][]byte{bytes.SplitAfter(anchor, []byte("\n\n"))[0]}, nil, ErrCheckpoint, 0},
		{"anchor with another size", leaves, [][]byte{bytes.Replace(anchor, []byte("\n9\n"), []byte("\n8\n"), 1)}, nil, ErrCheckpoint, 0},
		{"no anchor but text", leaves, [][]byte{[]byte("hello")}, nil, ErrCheckpoint, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Verify(Lines(bytes.NewReader(export(c.leaves))), VerifyOptions{Anchors: c.anchors, VerifierKey: vkey, Head: c.head})
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			var v *VerifyError
			if errors.As(err, &v) && v.Seq != c.seq || c.seq != 0 && v == nil {
				t.Errorf("names entry %+v, want %d", v, c.seq)
			}
			if err == nil && r.Size != uint64(len(c.leaves)) {
				t.Errorf("the report tells of %d entries", r.Size)
			}
		})
	}
}

// A change of any byte is found, with an anchor also in the last entry, and the
// entry is named.
func TestVerifyFindsEachByte(t *testing.T) {
	const n = 5
	leaves, heads := fakeLog(t, n, "a")
	signer, vkey := testSigner(t, "log")
	anchor, err := SignCheckpoint(heads[n], signer)
	if err != nil {
		t.Fatal(err)
	}
	whole := export(leaves)
	line := uint64(1)
	for i := range whole {
		for _, flip := range []byte{1, 0x20, 0x80} {
			bad := slices.Clone(whole)
			bad[i] ^= flip
			_, err := Verify(Lines(bytes.NewReader(bad)), VerifyOptions{Anchors: [][]byte{anchor}, VerifierKey: vkey})
			if err == nil {
				t.Fatalf("byte %d of entry %d with %#x: not found", i, line, flip)
			}
			var v *VerifyError
			if !errors.As(err, &v) || v.Seq != line {
				t.Errorf("byte %d of entry %d with %#x (%q): blames %v", i, line, flip, bad[max(0, i-8):min(len(bad), i+8)], err)
			}
		}
		if whole[i] == '\n' {
			line++
		}
	}
	for cut := range len(whole) {
		if _, err := Verify(Lines(bytes.NewReader(whole[:cut])), VerifyOptions{Anchors: [][]byte{anchor}, VerifierKey: vkey}); err == nil {
			t.Fatalf("cut after %d bytes: not found", cut)
		}
	}
}

func TestVerifyReport(t *testing.T) {
	leaves, heads := fakeLog(t, 7, "a")
	signer, vkey := testSigner(t, "log")
	anchor, err := SignCheckpoint(heads[4], signer)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Verify(Lines(bytes.NewReader(export(leaves))), VerifyOptions{Anchors: [][]byte{anchor}, VerifierKey: vkey})
	if err != nil {
		t.Fatal(err)
	}
	if r.Size != 7 || r.Anchored != 4 || r.Intents != 4 || !slices.Equal(r.OpenIntents, []uint64{7}) || r.Root != Root(heads[7]) || r.Last.Sub(r.First) != 6*time.Millisecond || len(r.StrayOutcomes) != 0 {
		t.Errorf("%+v", r)
	}
	var head store.AuditHead
	var stray [][]byte
	for _, ev := range []Event{{Type: "A.Intent", Intent: true}, {Type: "A.Done", Outcome: 1}, {Type: "A.Done", Outcome: 1}, {Type: "A.Done", Outcome: 9}, {Type: "A.Intent", Intent: true}, {Type: "A.OutcomeUnknown", Outcome: 5}} {
		e, _ := encode(ev, time.Now())
		row, err := seal(&head, e)
		if err != nil {
			t.Fatal(err)
		}
		stray = append(stray, row.Leaf)
	}
	r, err = Verify(Lines(bytes.NewReader(export(stray))), VerifyOptions{})
	if err != nil || !slices.Equal(r.StrayOutcomes, []uint64{3, 4}) || len(r.OpenIntents) != 0 || r.Unknown != 1 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	var got []string
	for l, err := range Lines(strings.NewReader("a\n" + long + "\n\nb\n")) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(l))
	}
	if !slices.Equal(got, []string{"a", long, "", "b"}) {
		t.Errorf("got %d lines", len(got))
	}
	for name, text := range map[string]string{"endless line": strings.Repeat("x", MaxLeaf+100_000) + "\n", "no line feed at the end": "a\nb"} {
		var last error
		for _, err := range Lines(strings.NewReader(text)) {
			last = err
		}
		if !errors.Is(last, ErrUnreadable) {
			t.Errorf("%s: %v", name, last)
		}
	}
}

// Verify needs the same memory for a log of any length.
func TestVerifyStreams(t *testing.T) {
	endless := func(n int) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			var head store.AuditHead
			for i := range n {
				e, _ := encode(Event{Type: "X.Y", IP: fmt.Sprint(i)}, time.UnixMilli(0))
				row, err := seal(&head, e)
				if !yield(row.Leaf, err) {
					return
				}
			}
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := Verify(endless(20_000), VerifyOptions{})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err != nil || r.Size != 20_000 {
		t.Fatal(r, err)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d bytes are held", grown)
	}
}

func FuzzVerify(f *testing.F) {
	leaves, _ := fakeLog(f, 4, "a")
	whole := export(leaves)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Verify(Lines(bytes.NewReader(data)), VerifyOptions{})
		if err == nil && r.Size != uint64(bytes.Count(data, []byte("\n"))) {
			t.Error("entries were skipped")
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	_, heads := fakeLog(f, 3, "a")
	signer, vkey := testSigner(f, "log")
	good, err := SignCheckpoint(heads[3], signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	text, _, _ := bytes.Cut(good, []byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := openCheckpoint(data, vkey)
		if err == nil && (c.size != 3 || !bytes.HasPrefix(data, text)) {
			t.Errorf("a forged checkpoint was accepted: %q", data)
		}
	})
}
