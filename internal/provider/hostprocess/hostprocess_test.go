package hostprocess

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"

	"signpath/internal/provider/redact"
	"signpath/internal/secret"
)

const (
	pin   = "7f3c2d10-5c3e-4b7a-9d52-0e6f1a2b3c4d:AIk/65sl23lA1nVV/pgSqk96SvHFsSw3xitmp5Qhr+F/"
	token = "AIk/65sl23lA1nVV/pgSqk96SvHFsSw3xitmp5Qhr+F/"
)

// Command lines of real tools; S stands for the secret, which nobody told us.
func TestOptions(t *testing.T) {
	tests := []struct{ args, want string }{
		{"pkcs11-tool --module M --pin S --sign", "pkcs11-tool --module M --pin [redacted] --sign"},
		{"pkcs11-tool --pin=S --sign", "pkcs11-tool --pin=[redacted] --sign"},
		{"pkcs11-tool -p S --sign", "pkcs11-tool -p [redacted] --sign"},
		{"/usr/bin/pkcs11-tool -pS -O", "/usr/bin/pkcs11-tool -p[redacted] -O"},
		{"pkcs11-tool --so-pin S --new-pin S", "pkcs11-tool --so-pin [redacted] --new-pin [redacted]"},
		{"pkcs11-tool --pin CONFIG --sign", "pkcs11-tool --pin CONFIG --sign"},
		{"ls -p a", "ls -p a"},
		{"mkdir --parents -pv a", "mkdir --parents -pv a"},
		{"osslsigncode sign -pkcs11module M -key pkcs11:id=p/q;pin-value=S;type=private -pass S -in a.exe", "osslsigncode sign -pkcs11module M -key pkcs11:id=p/q;pin-value=[redacted];type=private -pass [redacted] -in a.exe"},
		{"osslsigncode sign -askpass -in a.exe -readpass f", "osslsigncode sign -askpass -in a.exe -readpass f"},
		{"openssl dgst -engine pkcs11 -sign pkcs11:id=%50/q;pin%2Dvalue=S -passin pass:S f", "openssl dgst -engine pkcs11 -sign pkcs11:id=%50/q;pin%2Dvalue=[redacted] -passin [redacted] f"},
		{"openssl cms -passin env:NAME -in f", "openssl cms -passin env:NAME -in f"},
		{"openssl enc -k S -in f", "openssl enc -k [redacted] -in f"},
		{"openssl x -pass file:/etc/pass", "openssl x -pass file:/etc/pass"},
		{"openssl engine -pre PIN:S pkcs11", "openssl engine -pre PIN:[redacted] pkcs11"},
		{"jarsigner -keystore NONE -storepass S -keypass S a.jar p/q", "jarsigner -keystore NONE -storepass [redacted] -keypass [redacted] a.jar p/q"},
		{"jarsigner -storepass:env NAME a.jar", "jarsigner -storepass:env NAME a.jar"},
		{"keytool -deststorepass S -srckeypass S", "keytool -deststorepass [redacted] -srckeypass [redacted]"},
		{"java -Djavax.net.ssl.keyStorePassword=S -jar x.jar", "java -Djavax.net.ssl.keyStorePassword=[redacted] -jar x.jar"},
		{"java -jar /opt/jsign.jar --storepass S -s S", "java -jar /opt/jsign.jar --storepass [redacted] -s [redacted]"},
		{"mvn verify -Dgpg.passphrase=S", "mvn verify -Dgpg.passphrase=[redacted]"},
		{"gpg --passphrase S --passphrase-fd 0", "gpg --passphrase [redacted] --passphrase-fd 0"},
		{"signtool sign /f a.pfx /p S /fd SHA256 a.exe", "signtool sign /f a.pfx /p [redacted] /fd SHA256 a.exe"},
		{`C:\kits\SignTool.EXE sign /ph /P S a.exe`, `C:\kits\SignTool.EXE sign /ph /P [redacted] a.exe`},
		{"nuget sign a -CertificatePassword S", "nuget sign a -CertificatePassword [redacted]"},
		{"pwsh RunScenario.ps1 -Scenario X -ApiToken S", "pwsh RunScenario.ps1 -Scenario X -ApiToken [redacted]"},
		{"pwsh RunScenario.ps1 -ApiToken:S", "pwsh RunScenario.ps1 -ApiToken:[redacted]"},
		{"signpath sign --api-token S", "signpath sign --api-token [redacted]"},
		{"signpath sign --api-token -S", "signpath sign --api-token [redacted]"},
		{"notation sign --plugin-config ApiToken=S --id p/q", "notation sign --plugin-config ApiToken=[redacted] --id p/q"},
		{"env SIGNPATH_API_TOKEN=S cosign sign", "env SIGNPATH_API_TOKEN=[redacted] cosign sign"},
		{"curl -H|Authorization: Bearer S|-u me:S https://me:S@h/x", "curl -H|Authorization: Bearer [redacted]|-u [redacted] https://me:[redacted]@h/x"},
		{"cosign sign --key pkcs11:token=SignPath;slot-id=1;id=p%2fq?module-path=/M&pin-value=S repo", "cosign sign --key pkcs11:token=SignPath;slot-id=1;id=p%2fq?module-path=/M&pin-value=[redacted] repo"},
		{"p11tool --login pkcs11:pin-source=S;x=y", "p11tool --login pkcs11:pin-source=[redacted];x=y"},
		{"wget https://h/?token=S&a=b", "wget https://h/?token=[redacted]&a=b"},
		{"sh -c|cd x && pkcs11-tool --pin S --sign", "sh -c|cd x && pkcs11-tool --pin [redacted] --sign"},
		{"sh -c|pkcs11-tool -p 'S' -O", "sh -c|pkcs11-tool -p [redacted] -O"},
		{`bash -c|sh -c "jarsigner -storepass 'S x' a.jar"`, `bash -c|sh -c "jarsigner -storepass [redacted] a.jar"`},
		{"nginx: worker process", "nginx: worker process"},
		{"tool --pin", "tool --pin"},
		{"tool --pin --so-pin S", "tool --pin --so-pin [redacted]"},
		{"tool --pinentry-mode loopback --compass north", "tool --pinentry-mode loopback --compass [redacted]"}, // too much is no harm
		{"/srv/pass/x /home/password/y", "/srv/pass/x /home/password/y"},
	}
	const s = "hunter2-hunter2"
	split := func(line string) []string {
		if before, after, ok := strings.Cut(line, "|"); ok {
			mid, rest, ok := strings.Cut(after, "|")
			args := append(strings.Fields(before), mid)
			if ok {
				args = append(args, strings.Fields(rest)...)
			}
			return args
		}
		return strings.Fields(line)
	}
	for _, tt := range tests {
		args := split(tt.args)
		for i := range args {
			args[i] = replaceWordS(args[i], s)
		}
		got := redactArguments(args, redact.New())
		if want := split(tt.want); !slices.Equal(got, want) {
			t.Errorf("%s\n got %q\nwant %q", tt.args, got, want)
		}
		if strings.Contains(strings.Join(got, " "), s) {
			t.Errorf("%s: the secret is still there: %q", tt.args, got)
		}
	}
}

// replaceWordS puts the secret in place of the S of the table.
func replaceWordS(arg, s string) string {
	if arg == "S" || arg == "-S" || arg == "-pS" {
		return strings.TrimSuffix(arg, "S") + s
	}
	for _, before := range []string{"=", ":", " ", "'"} {
		for _, after := range []string{"", ";", "&", " ", "'", "@"} {
			whole := before + "S" + after
			if after == "" {
				if strings.HasSuffix(arg, whole) {
					arg = strings.TrimSuffix(arg, "S") + s
				}
				continue
			}
			arg = strings.ReplaceAll(arg, whole, before+s+after)
		}
	}
	return arg
}

// A secret that is known goes wherever it stands.
func TestKnownSecrets(t *testing.T) {
	hide := redact.New(secret.New(pin))
	for _, args := range [][]string{
		{"tool", "--unknown-option", pin}, {"tool", "--x=" + token}, {"tool", "-Z" + token + "tail"},
		{"tool", "pkcs11:id=a;x=" + url.QueryEscape(pin)}, {"tool", "a b " + url.PathEscape(token) + " c"},
		{"tool", strings.ToLower(url.QueryEscape("/")) + token}, {token}, {"tool", "it's " + token},
	} {
		got := commandLine(args, hide)
		if strings.Contains(got, token) || strings.Contains(got, url.QueryEscape(token)) || strings.Contains(got, url.PathEscape(token)) || !strings.Contains(got, "[redacted]") {
			t.Errorf("%q: %s", args, got)
		}
	}
}

// Words that were one secret before a shell split them.
func TestSecretAcrossArguments(t *testing.T) {
	if got := commandLine([]string{"tool", "--unknown", "correct", "horse", "battery"}, redact.New(secret.New("correct horse battery"))); got != "tool --unknown [redacted]" {
		t.Error(got)
	}
}

func TestQuoting(t *testing.T) {
	args := []string{"tool", "", "a b", "it's", "$HOME", `back\slash`, "new\nline", "ünï", "--x=1", "~", "*", "{a,b}", "#", "a;b", "!"}
	line := commandLine(args, redact.New())
	if runtime.GOOS == "windows" {
		return // windows.EscapeArg is not ours
	}
	out, err := exec.Command("sh", "-c", `for a in "$@"; do printf '%s\0' "$a"; done; `+"set -- "+line+`; printf '\1'; for a in "$@"; do printf '%s\0' "$a"; done`, "x").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	_, after, _ := strings.Cut(string(out), "\x01")
	if got := splitKeepEmpty(after); !slices.Equal(got, args) {
		t.Errorf("%s reads back as %q", line, got)
	}
}

func splitKeepEmpty(s string) []string {
	return strings.Split(strings.TrimSuffix(s, "\x00"), "\x00")
}

func TestLimits(t *testing.T) {
	line := commandLine([]string{"tool", strings.Repeat("ü", 8<<10)}, redact.New())
	if len(line) > maxCommandLine || !strings.HasSuffix(line, " [cut]") || strings.Contains(line, "\uFFFD") || len(line) < maxCommandLine-4 {
		t.Errorf("%d bytes, …%q", len(line), line[len(line)-12:])
	}
	exact := commandLine([]string{strings.Repeat("x", maxCommandLine)}, redact.New())
	if len(exact) != maxCommandLine || strings.Contains(exact, "cut") {
		t.Error("a line of the limit is cut")
	}
	// What is cut at the limit is no half secret.
	line = commandLine([]string{strings.Repeat("x", maxCommandLine-30), token}, redact.New(secret.New(token)))
	if strings.Contains(line, token[:8]) {
		t.Error(line[len(line)-60:])
	}
	if got := commandLine([]string{"a\xffb"}, redact.New()); got != "'a\uFFFDb'" {
		t.Errorf("%q", got)
	}
	if got := commandLine(nil, redact.New()); got != "" {
		t.Errorf("%q", got)
	}
}

func TestSplitZeros(t *testing.T) {
	tests := []struct {
		data  string
		whole bool
		want  []string
	}{
		{"a\x00b c\x00", true, []string{"a", "b c"}},
		{"a\x00\x00b\x00", true, []string{"a", "", "b"}},
		{"nginx: master\x00\x00\x00\x00", true, []string{"nginx: master"}},
		{"", true, nil},
		{"a\x00b\x00half", false, []string{"a", "b", "[cut]"}},
		{"half", false, nil},
	}
	for _, tt := range tests {
		if got := splitZeros(tt.data, tt.whole); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q", tt.data, got)
		}
	}
}

func TestProcArgs(t *testing.T) {
	const head = "\x03\x00\x00\x00/bin/tool\x00\x00\x00\x00"
	tests := []struct {
		data string
		want []string
	}{
		{head + "tool\x00-x\x00\x00HOME=/\x00", []string{"tool", "-x", ""}},
		{head + "tool\x00half", []string{"tool"}},
		{"\x00\x00\x00\x00x\x00", nil},
		{"\xff\xff\xff\xffx\x00", nil},
		{"\x01", nil},
		{"", nil},
	}
	for _, tt := range tests {
		if got := parseProcArgs([]byte(tt.data)); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q", tt.data, got)
		}
	}
}

// The test runs itself with a command line of its own and reads it back.
func TestDescribe(t *testing.T) {
	if len(os.Args) > 1 && os.Args[len(os.Args)-1] == "describe-yourself" {
		p := Describe([]secret.Secret{secret.New(token)})
		_, _ = os.Stdout.Write(append(p.Metadata(), '\n'))
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(exe, "-test.run=^TestDescribe$", "--", "--unknown", token, "--pin", "12345678", "a b", "describe-yourself").Output()
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	var m struct {
		CreatingProcess struct{ CommandLine, User string }
	}
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := m.CreatingProcess
	if !strings.Contains(c.CommandLine, "--unknown [redacted] --pin [redacted]") || !strings.Contains(c.CommandLine, "a b") || !strings.HasPrefix(c.CommandLine, exe) || c.User == "" {
		t.Errorf("%+v", c)
	}
	if strings.Contains(line, token) || strings.Contains(line, "12345678") {
		t.Error("a secret is in the metadata")
	}
}

func TestMetadata(t *testing.T) {
	tests := []struct {
		p    Process
		want string
	}{
		{Process{}, ""},
		{Process{User: "me"}, `{"CreatingProcess":{"User":"me"}}`},
		{Process{CommandLine: "a b", User: `D\u`}, `{"CreatingProcess":{"CommandLine":"a b","User":"D\\u"}}`},
	}
	for _, tt := range tests {
		if got := string(tt.p.Metadata()); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

// The secret never survives, whatever stands around it and however it is escaped.
func FuzzCommandLine(f *testing.F) {
	f.Add("tool --pin @ --sign", " ")
	f.Add("sh -c 'x @'", "'")
	f.Add(`a "b @ c" d`, "%")
	f.Add("pkcs11:pin-value=@;x", "\x00")
	f.Fuzz(func(t *testing.T, template, separator string) {
		for _, form := range []string{token, url.QueryEscape(token), url.PathEscape(token), strings.ToLower(url.QueryEscape("/")) + token} {
			line := strings.ReplaceAll(template, "@", form)
			args := []string{line}
			if separator != "" {
				args = strings.Split(line, separator)
			}
			got := commandLine(args, redact.New(secret.New(token)))
			if strings.Contains(got, token) || strings.Contains(got, url.QueryEscape(token)) || strings.Contains(got, url.PathEscape(token)) || len(got) > maxCommandLine {
				t.Fatalf("%q became %q", args, got)
			}
		}
	})
}

// A PIN that nobody told us, behind the options that carry one.
func FuzzUnknownPIN(f *testing.F) {
	f.Add("geheim-1234", "x")
	f.Add("-x-y-z", "a b")
	f.Fuzz(func(t *testing.T, value, other string) {
		if len(value) < 6 || strings.ContainsAny(value, "\x00'\"\\;&?|<>") || strings.IndexFunc(value, unicode.IsSpace) >= 0 || strings.Contains(secret.Redacted, value) || strings.Contains(other, value) {
			return
		}
		if _, ok, _ := optionOf(value, nil); ok || isPlace(value) || value == "CONFIG" || strings.Contains("pkcs11-tool -p --pin=x pkcs11:pin-value=", value) || strings.ToValidUTF8(value, "") != value {
			return
		}
		for _, args := range [][]string{
			{"tool", "--pin", value, other}, {"tool", other, "--pin=" + value}, {"pkcs11-tool", "-p", value},
			{"tool", "-storepass", value}, {"tool", "pkcs11:pin-value=" + value + ";x=y"},
		} {
			got := strings.Join(redactArguments(args, redact.New()), "\x00")
			if strings.Contains(got, value) {
				t.Fatalf("%q became %q", args, got)
			}
		}
	})
}

func TestUserName(t *testing.T) {
	if userName() == "" {
		t.Error("no user")
	}
}
