package hostprocess

import (
	"strings"
	"testing"
)

func TestPasswdName(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\n# comment\n\nbroken:x\n:x:7:7::/:/\nme:x:1000:1000::/home/me:/bin/sh\n"
	for uid, want := range map[string]string{"0": "root", "1000": "me", "7": "", "5": "", "100": ""} {
		if got := passwdName(strings.NewReader(passwd), uid); got != want {
			t.Errorf("%s: %q", uid, got)
		}
	}
}
