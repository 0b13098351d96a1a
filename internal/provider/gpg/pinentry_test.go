package gpg

import (
	"bytes"
	"strings"
	"testing"
)

const (
	first  = "SETDESC Please enter the PIN (SignPath/SignPath/00d9e588970a12e2/SignPath) to unlock the card"
	second = "SETDESC Bitte geben Sie die PIN (PIN required for token 'SignPath' (try 0)) ein"
)

// TestPinentry: what the agent says, what it hears, and what is told as refused.
func TestPinentry(t *testing.T) {
	for name, c := range map[string]struct {
		says    []string
		hears   []string // after the greeting; an ERR by its beginning
		refused string
	}{
		"as gpg-agent asks":  {[]string{"OPTION no-grab", "OPTION owner=1 host", "GETINFO pid", "GETINFO flavor", "GETINFO version", "SETKEYINFO --clear", first, "SETPROMPT PIN", "GETPIN", "BYE"}, []string{"OK", "OK", "D 7", "OK", "D signpath", "OK", "D 1.2", "OK", "OK", "OK", "OK", "D CONFIG", "OK", "OK closing connection"}, ""},
		"before 0.10":        {[]string{second, "GETPIN"}, []string{"OK", "D CONFIG", "OK"}, ""},
		"escaped":            {[]string{"SETDESC Please%20enter%0Athe PIN %28SignPath%2FSignPath/00/SignPath)", "GETPIN"}, []string{"OK", "D CONFIG", "OK"}, ""},
		"lower case":         {[]string{strings.ToLower(first[:7]) + first[7:], "getpin"}, []string{"OK", "D CONFIG", "OK"}, ""},
		"wrong PIN":          {[]string{first, "SETERROR Bad PIN", "GETPIN"}, []string{"OK", "OK", "ERR 83886179"}, "a PIN or passphrase"},
		"second try":         {[]string{strings.Replace(second, "try 0", "try 1", 1), "GETPIN"}, []string{"OK", "ERR 83886179"}, "a PIN or passphrase"},
		"passphrase":         {[]string{"SETDESC Please enter the passphrase to protect your new key", "GETPIN"}, []string{"OK", "ERR 83886179"}, "a PIN or passphrase"},
		"another token":      {[]string{"SETDESC Please enter the PIN (Other/SignPath/00/SignPath)", "GETPIN"}, []string{"OK", "ERR 83886179"}, "a PIN or passphrase"},
		"no description":     {[]string{"GETPIN"}, []string{"ERR 83886179"}, "a PIN or passphrase"},
		"forgotten":          {[]string{first, "RESET", "GETPIN"}, []string{"OK", "OK", "ERR 83886179"}, "a PIN or passphrase"},
		"insert a card":      {[]string{first, "CONFIRM"}, []string{"OK", "ERR 83886179"}, "consent"},
		"message":            {[]string{"MESSAGE"}, []string{"ERR 83886179"}, "consent"},
		"unknown":            {[]string{"GETSECRET", "GETINFO secrets", "# a comment", "", "NOP"}, []string{"ERR 83886355", "ERR 83886355", "OK", "OK", "OK"}, ""},
		"nothing after BYE":  {[]string{"BYE", first, "GETPIN"}, []string{"OK closing connection"}, ""},
		"line ends of other": {[]string{first + "\r", "GETPIN\r"}, []string{"OK", "D CONFIG", "OK"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			refused := ""
			if err := Pinentry(strings.NewReader(strings.Join(c.says, "\n")+"\n"), &out, 7, "1.2", func(what, _ string) { refused = what }); err != nil {
				t.Fatal(err)
			}
			heard := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")[1:]
			if len(heard) != len(c.hears) {
				t.Fatalf("heard %q", heard)
			}
			for i, want := range c.hears {
				if heard[i] != want && !(strings.HasPrefix(want, "ERR ") && strings.HasPrefix(heard[i], want+" ")) {
					t.Errorf("answer %d is %q, not %q", i, heard[i], want)
				}
			}
			if refused != c.refused {
				t.Errorf("refused %q", refused)
			}
		})
	}
}

func TestPinentryLongLine(t *testing.T) {
	var out bytes.Buffer
	err := Pinentry(strings.NewReader("SETDESC "+strings.Repeat("x", maxLine)+"\nGETPIN\n"), &out, 7, "1", func(string, string) {})
	if err == nil || strings.Contains(out.String(), "CONFIG") || !strings.Contains(out.String(), "ERR 83886343") {
		t.Errorf("%v %q", err, out.String())
	}
}

// FuzzPinentry: it says nothing but whole lines of the protocol, and the PIN only to
// who asked for the token's.
func FuzzPinentry(f *testing.F) {
	f.Add(first + "\nGETPIN\nBYE\n")
	f.Add(second + "\nSETERROR x\nGETPIN\nGETINFO pid\n%\n#\n\n")
	f.Fuzz(func(t *testing.T, in string) {
		var out bytes.Buffer
		_ = Pinentry(strings.NewReader(in), &out, 7, "1", func(string, string) {})
		for _, line := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
			word, _, _ := strings.Cut(line, " ")
			if word != "OK" && word != "D" && word != "ERR" {
				t.Errorf("said %q", line)
			}
		}
		if strings.Contains(out.String(), PIN) && !strings.Contains(unescape(in), "SignPath") {
			t.Errorf("the PIN was given to %q", in)
		}
	})
}
