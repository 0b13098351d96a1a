package main

import (
	"strings"
	"testing"
)

// What editors and shells write: Windows PowerShell's > makes UTF-16, Notepad may put a
// byte order mark in front.
func TestPasswordOf(t *testing.T) {
	for _, tt := range []struct{ name, data, want, err string }{
		{"bare", "geheim", "geheim", ""},
		{"echo", "geheim\n", "geheim", ""},
		{"Windows", "geheim\r\n", "geheim", ""},
		{"empty", "", "", ""},
		{"UTF-8 with a mark", "\xef\xbb\xbfgehéim\r\n", "gehéim", ""},
		{"Windows PowerShell", "\xff\xfeg\x00e\x00\r\x00\n\x00", "ge", ""},
		{"the same, big-endian", "\xfe\xff\x00g\x00e\x00\r\x00\n", "ge", ""},
		{"the longest, in UTF-16", "\xff\xfe" + strings.Repeat("x\x00", maxPassword) + "\r\x00\n\x00", strings.Repeat("x", maxPassword), ""},
		{"too long", strings.Repeat("x", maxPassword+1), "", "at most 1024 bytes"},
		{"two lines", "geheim\ngeheim\n", "", "one line"},
		{"UTF-16 without a mark", "g\x00e\x00", "", "one line"},
	} {
		got, err := passwordOf([]byte(tt.data), "FILE")
		switch {
		case tt.err == "" && (err != nil || got.Reveal() != tt.want):
			t.Errorf("%s: %q, %v", tt.name, got.Reveal(), err)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), "FILE")):
			t.Errorf("%s: %v", tt.name, err)
		case err != nil && strings.Contains(err.Error(), "geheim"):
			t.Errorf("%s: %v shows it", tt.name, err)
		}
	}
}
