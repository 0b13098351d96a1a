package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNeverPrinted(t *testing.T) {
	const value = "AIk/65sl23lA1nVV"
	s := New(value)
	outer := struct {
		Token Secret
		inner Secret
	}{s, s}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", s, "outer", outer)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", s, "outer", outer)
	js, err := json.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{log.String(), string(js), fmt.Sprint(s), fmt.Sprint(outer), fmt.Sprint(&outer)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		out = append(out, fmt.Sprintf(verb, s), fmt.Sprintf(verb, outer), fmt.Sprintf(verb, []Secret{s}), fmt.Sprintf(verb, map[string]Secret{"a": s}))
	}
	for _, o := range out {
		if strings.Contains(o, value) || strings.Contains(strings.ToLower(o), fmt.Sprintf("%x", value)) {
			t.Errorf("printed: %s", o)
		}
	}
	if !strings.Contains(string(js), Redacted) {
		t.Errorf("JSON without %s: %s", Redacted, js)
	}
}

func TestValue(t *testing.T) {
	if got := New("abc").Reveal(); got != "abc" {
		t.Errorf("Reveal() = %q", got)
	}
	if !New("").IsEmpty() || New("a").IsEmpty() {
		t.Error("IsEmpty is wrong")
	}
	if !New("a").Equal(New("a")) || New("a").Equal(New("b")) || New("a").Equal(New("ab")) || !New("").Equal(Secret{}) {
		t.Error("Equal is wrong")
	}
}
