package audit

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"signpath/internal/secret"
	"signpath/internal/service/store"
)

var update = flag.Bool("update", false, "write the golden files of the package anew; the leaf encoding must never change")

// goldenEvents show each member and each rule of the encoding.
func goldenEvents() []Event {
	actor := Actor{Type: "CiUser", ID: "0b0e4ff6-2f4e-4c6c-9a2f-3f7d1f3f6a10", Name: "Build"}
	const org = "6f1c2d3e-4b5a-4978-8c6d-0e1f2a3b4c5d"
	return []Event{
		{Type: "Organization.Created"},
		{Type: "HashSigning.Intent", OrganizationID: org, Actor: actor, IP: "192.0.2.7", UserAgent: "SignPath.CryptoProviders.Cryptoki/6.0.2 (Linux 6.1; x64)",
			TraceID: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", Intent: true,
			Data: json.RawMessage(`{ "hash": "ba7816bf", "metadata": {"n": 12345678901234567890.10, "cmd": "a <b> & \u00e9"} }`)},
		{Type: "HashSigning.Completed", OrganizationID: org, Actor: actor, Outcome: 2, Data: json.RawMessage(`{}`)},
		{Type: "User.Renamed", Actor: Actor{Type: "Operator", Name: "quote \" backslash \\ tab \t newline \n bell \a delete \x7f line \u2028 emoji 😀 bad \xff"}},
		{Type: "HashSigning.Refused", UserAgent: strings.Repeat("é", 300)},
	}
}

func goldenLog(t testing.TB) ([][]byte, store.AuditHead) {
	var head store.AuditHead
	var leaves [][]byte
	for i, ev := range goldenEvents() {
		e, err := encode(ev, time.Date(2026, 1, 2, 3, 4, 5, i*1_500_000, time.FixedZone("", 3600)))
		if err != nil {
			t.Fatal(err)
		}
		row, err := seal(&head, e)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, row.Leaf)
	}
	return leaves, head
}

// The signer key of the golden checkpoint: public on purpose.
const goldenSigner = "PRIVATE+KEY+audit.example+453c39b9+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

func golden(t *testing.T, name string, got []byte) {
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is now\n%swas\n%s", name, got, want)
	}
}

// The encoding is fixed for ever: a failure here is never mended by -update.
func TestGoldenLog(t *testing.T) {
	leaves, head := goldenLog(t)
	golden(t, "golden.jsonl", append(bytes.Join(leaves, []byte("\n")), '\n'))
	signer, err := NewSigner(secret.New(goldenSigner))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := SignCheckpoint(head, signer)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "golden.checkpoint", signed)
	vkey, err := os.ReadFile("testdata/golden.vkey")
	if err != nil {
		t.Fatal(err)
	}
	export, err := os.Open("testdata/golden.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer export.Close()
	if _, err := Verify(Lines(export), VerifyOptions{Anchors: [][]byte{signed}, VerifierKey: string(vkey)}); err != nil {
		t.Error(err)
	}
}

func TestParseLeafGivesTheEventBack(t *testing.T) {
	leaves, _ := goldenLog(t)
	for i, ev := range goldenEvents() {
		e, err := ParseLeaf(leaves[i])
		if err != nil {
			t.Fatalf("entry %d: %v", i+1, err)
		}
		if e.Seq != uint64(i+1) || e.Event.Type != ev.Type || e.Event.Intent != ev.Intent || e.Event.Outcome != ev.Outcome || e.Event.IP != ev.IP || e.Event.Actor.ID != ev.Actor.ID {
			t.Errorf("entry %d: %+v", i+1, e)
		}
	}
}

// Only one spelling of an entry is one of this log.
func TestParseLeafRefusesOtherSpellings(t *testing.T) {
	leaves, _ := goldenLog(t)
	leaf := string(leaves[1])
	for name, bad := range map[string]string{
		"space":           strings.Replace(leaf, ",", ", ", 1),
		"trailing space":  leaf + " ",
		"carriage return": leaf + "\r",
		"order":           strings.Replace(leaf, `{"v":1,"seq":2,`, `{"seq":2,"v":1,`, 1),
		"member's case":   strings.Replace(leaf, `"seq"`, `"Seq"`, 1),
		"unknown member":  strings.Replace(leaf, `"v":1,`, `"v":1,"x":1,`, 1),
		"twice":           strings.Replace(leaf, `"v":1,`, `"v":1,"v":1,`, 1),
		"escape":          strings.Replace(leaf, `HashSigning`, `\u0048ashSigning`, 1),
		"empty member":    strings.Replace(leaf, `"type"`, `"org":"","type"`, 1),
		"upper hex":       strings.Replace(leaf, leaf[strings.Index(leaf, `prev":"`)+7:][:64], strings.ToUpper(leaf[strings.Index(leaf, `prev":"`)+7:][:64]), 1),
		"version":         strings.Replace(leaf, `"v":1`, `"v":2`, 1),
		"microseconds":    strings.Replace(leaf, `05.001Z`, `05.001000Z`, 1),
		"zone":            strings.Replace(leaf, `05.001Z`, `05.001+00:00`, 1),
		"number":          strings.Replace(leaf, `"seq":2`, `"seq":2.0`, 1),
		"data no object":  leaf[:strings.Index(leaf, `,"data"`)] + `,"data":[]}`,
		"nothing":         "",
		"null":            "null",
		"array":           "[]",
	} {
		if bad == leaf {
			t.Fatalf("%s: the case changes nothing", name)
		}
		if _, err := ParseLeaf([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, ev := range map[string]Event{
		"no type":                     {},
		"intent without the suffix":   {Type: "HashSigning.Start", Intent: true},
		"the suffix without intent":   {Type: "HashSigning.Intent"},
		"data is no object":           {Type: "X.Y", Data: json.RawMessage(`[1]`)},
		"data is no JSON":             {Type: "X.Y", Data: json.RawMessage(`{"a":}`)},
		"data has a member twice":     {Type: "X.Y", Data: json.RawMessage(`{"a":1,"a":2}`)},
		"data has something after it": {Type: "X.Y", Data: json.RawMessage(`{} {}`)},
		"data is not UTF-8":           {Type: "X.Y", Data: json.RawMessage("{\"a\":\"\xff\"}")},
		"too long":                    {Type: "X.Y", Data: json.RawMessage(`{"a":"` + strings.Repeat("x", MaxLeaf) + `"}`)},
	} {
		if _, err := encode(ev, time.Now()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Our tree is the one of golang.org/x/mod/sumdb/tlog at every size.
func TestTreeIsTheOneOfTlog(t *testing.T) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	var head store.AuditHead
	for n := range int64(70) {
		leaf := []byte(strings.Repeat("x", int(n)))
		if LeafHash(leaf) != tlog.RecordHash(leaf) {
			t.Fatal("the leaf hash is not the one of tlog")
		}
		hashes, err := tlog.StoredHashes(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		if err := extend(&head, LeafHash(leaf)); err != nil {
			t.Fatal(err)
		}
		want, err := tlog.TreeHash(n+1, reader)
		if err != nil {
			t.Fatal(err)
		}
		if Root(head) != want {
			t.Fatalf("the root of %d leaves differs", n+1)
		}
	}
	if empty := Root(store.AuditHead{}); tlog.Hash(empty).String() != "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" {
		t.Error("the root of the empty tree is not SHA-256 of nothing")
	}
	head.Frontier = head.Frontier[1:]
	if extend(&head, [32]byte{}) == nil {
		t.Error("a damaged frontier was extended")
	}
}

func TestKeys(t *testing.T) {
	signerKey, verifierKey, err := GenerateKey("sign.example.com/audit")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := NewSigner(signerKey)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := note.NewVerifier(verifierKey); err != nil || v.KeyHash() != signer.KeyHash() || v.Name() != signer.Name() {
		t.Errorf("the two keys do not belong together: %v", err)
	}
	if _, _, err := GenerateKey("two words"); err == nil {
		t.Error("a name with a space was accepted")
	}
	if _, err := NewSigner(secret.New("PRIVATE+KEY+broken")); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("a broken key: %v", err)
	}
}

func FuzzParseLeaf(f *testing.F) {
	leaves, _ := goldenLog(f)
	for _, l := range leaves {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, leaf []byte) {
		e, err := ParseLeaf(leaf)
		if err != nil {
			return
		}
		if bytes.ContainsAny(leaf, "\n") {
			t.Error("an entry of two lines was accepted")
		}
		again := appendTail(appendHead(nil, e.Seq, e.Time, e.Prev), e.Event, e.Event.Data)
		if !bytes.Equal(again, leaf) {
			t.Errorf("read and written again: %q", again)
		}
	})
}
