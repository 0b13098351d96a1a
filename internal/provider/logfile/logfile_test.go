package logfile

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"signpath/internal/provider/settings"
	"signpath/internal/secret"
)

const apiToken = "AIk/65sl23lA1nVV/pgSqk96SvHFsSw3xitmp5Qhr+F/"

// open makes a Logger in a fresh folder.
func open(t *testing.T, level settings.Level) *Logger {
	t.Helper()
	l := Open(Options{Interface: "Cryptoki", Log: settings.Log{FileLevel: level, FileDirectory: filepath.Join(t.TempDir(), "logs")}, Secrets: []secret.Secret{secret.New(apiToken)}})
	t.Cleanup(l.Close)
	return l
}

// content is all that was written.
func content(t *testing.T, l *Logger) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(l.options.Log.FileDirectory, "SignPath.CryptoProviders.Cryptoki.txt"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

var lineForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (FATAL|ERROR|WARNING|INFO|DEBUG|VERBOSE) \[\d+\] \[[^\]@ ]+@\d+\] (.*)$`)

// texts are the parts of the lines behind the head.
func texts(t *testing.T, all string) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(all) {
		if !strings.HasSuffix(line, "\n") {
			t.Errorf("torn: %q", line)
		}
		m := lineForm.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Errorf("not a line of the log: %q", line)
			continue
		}
		out = append(out, m[2])
	}
	return out
}

func TestLine(t *testing.T) {
	l := open(t, settings.LevelVerbose)
	l.options.Now = func() time.Time { return time.Date(2024, 4, 12, 7, 34, 0, 926e6, time.Local) }
	l.Debug("text", "key", "value")
	func() { l.Named("C_Sign", 0).Error("x") }()
	got := strings.Split(content(t, l), "\n")
	pid := os.Getpid()
	for i, want := range []string{`2024-04-12 07:34:00.926 DEBUG [%d] [TestLine@\d+] text key=value`, `2024-04-12 07:34:00.926 ERROR [%d] [C_Sign@\d+] x`, ""} {
		if want != "" {
			want = strings.NewReplacer("[", `\[`, "]", `\]`).Replace(fmt.Sprintf(want, pid))
		}
		if !regexp.MustCompile("^" + want + "$").MatchString(got[i]) {
			t.Errorf("%q, want %s", got[i], want)
		}
	}
	_, file, line, _ := caller()
	l.Info("here")
	if want := fmt.Sprintf("[TestLine@%d]", line+1); !strings.Contains(content(t, l), want) {
		t.Errorf("no %s (%s) in %s", want, file, content(t, l))
	}
}

func TestLevels(t *testing.T) {
	all := []func(*Logger, string, ...any){(*Logger).Fatal, (*Logger).Error, (*Logger).Warning, (*Logger).Info, (*Logger).Debug, (*Logger).Verbose}
	for level := settings.LevelNone; level <= settings.LevelVerbose; level++ {
		l := open(t, level)
		for _, write := range all {
			write(l, "x")
		}
		if got := strings.Count(content(t, l), "\n"); got != int(level) {
			t.Errorf("%s: %d lines", level, got)
		}
		if l.Enabled(level+1) || level > 0 && !l.Enabled(level) || l.Enabled(settings.LevelNone) {
			t.Errorf("%s: Enabled", level)
		}
		if level == settings.LevelNone {
			if _, err := os.Stat(l.options.Log.FileDirectory); err == nil {
				t.Error("a folder was made for nothing")
			}
		}
	}
	var none *Logger
	none.Info("x")
	none.With("a", 1).Named("x", 0).Slog().Info("x")
	none.AddSecret(secret.New("xxxx"))
	none.Close()
	if none.Enabled(settings.LevelFatal) || none.Path() != "" {
		t.Error("a nil Logger does something")
	}
}

type broken struct{}

func (broken) String() string { panic("broken") }

type brokenValue struct{}

func (brokenValue) LogValue() slog.Value { panic("broken") }

func TestAttributes(t *testing.T) {
	tests := []struct {
		args []any
		want string
	}{
		{[]any{"n", 5, "b", true, "d", 1500 * time.Millisecond}, "x n=5 b=true d=1.5s"},
		{[]any{"s", "two words", "e", "", "q", `a"b`}, `x s="two words" e="" q="a\"b"`},
		{[]any{"nl", "a\nb", "esc", "\x1b[31m"}, `x nl="a\nb" esc="\x1b[31m"`},
		{[]any{"err", errors.New("went wrong"), "nil", nil}, `x err="went wrong" nil=<nil>`},
		{[]any{"bytes", []byte{1, 0xAB}, "long", make([]byte, 100)}, "x bytes=01ab long=\"" + strings.Repeat("00", 64) + "… (100 bytes)\""},
		{[]any{slog.Int("a", 1), slog.Group("g", "b", 2)}, "x a=1 g.b=2"},
		{[]any{"alone"}, "x !BADKEY=alone"},
		{[]any{7, "k", "v"}, "x !BADKEY=7 k=v"},
		{[]any{"bad key\n=", 1, "", 2}, "x bad_key__=1 ?=2"},
		{[]any{"s", secret.New("hidden"), "t", apiToken}, "x s=[redacted] t=[redacted]"},
		{[]any{"e", fmt.Errorf("server said %q", apiToken)}, `x e="server said \"[redacted]\""`},
		{[]any{slog.Attr{}, "k", 1}, "x k=1"},
	}
	for _, tt := range tests {
		l := open(t, settings.LevelInfo)
		l.Info("x", tt.args...)
		if got := texts(t, content(t, l)); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%v\n got %q\nwant %q", tt.args, got, tt.want)
		}
	}
	l := open(t, settings.LevelInfo)
	l.With("a", 1).With("b", "2 3").Info("msg", "c", 4)
	l.Info("plain")
	l.With("p", brokenValue{}).Info("still here", "q", broken{})
	got := texts(t, content(t, l))
	if len(got) != 3 || got[0] != `msg a=1 b="2 3" c=4` || got[1] != "plain" || !strings.HasPrefix(got[2], "still here") {
		t.Errorf("%q", got)
	}
}

// One line stays one line, and nothing reaches the terminal.
func TestEscapes(t *testing.T) {
	tests := map[string]string{
		"a\nb\r\n":            `a\nb\r\n`,
		"\x1b]0;x\a":          `\x1b]0;x\a`,
		"zero\x00":            `zero\x00`,
		"line\u2028separator": `line\u2028separator`,
		"bidi\u202e":          `bidi\u202e`,
		"no UTF-8 \xff":       `no UTF-8 \xff`,
		"C1 \u009b":           `C1 \u009b`,
		`C:\path "quoted" äß`: `C:\path "quoted" äß`,
	}
	for msg, want := range tests {
		l := open(t, settings.LevelInfo)
		l.Info(msg)
		if got := texts(t, content(t, l)); len(got) != 1 || got[0] != want {
			t.Errorf("%q: %q", msg, got)
		}
	}
}

func TestRedaction(t *testing.T) {
	l := open(t, settings.LevelInfo)
	l.AddSecret(secret.New("hunter2-hunter2"))
	l.Info(apiToken)
	l.Info("url " + url.QueryEscape(apiToken) + " " + base64.StdEncoding.EncodeToString([]byte("me:"+apiToken)))
	l.Info("PIN", "value", "hunter2-hunter2", "hunter2-hunter2", "name")
	l.With("w", "hunter2-hunter2").Info("cut PIN "+apiToken[:32], "h", "Authorization: Bearer abcdef")
	l.Slog().With("t", apiToken).WithGroup("g").Error("slog "+apiToken, "a", "hunter2-hunter2")
	got := content(t, l)
	if strings.Contains(got, "hunter2") || strings.Contains(got, "abcdef") || strings.Contains(got, apiToken[:20]) || strings.Count(got, "[redacted]") < 10 {
		t.Error(got)
	}
	texts(t, got)
}

func TestLongLines(t *testing.T) {
	l := open(t, settings.LevelInfo)
	l.Info(strings.Repeat("ü", 40<<10))
	l.Info(strings.Repeat("x", maxLine-100-len(apiToken)/2)+apiToken+strings.Repeat("y", 1000), "k", "v")
	got := content(t, l)
	for line := range strings.Lines(got) {
		if len(line) > maxLine || !strings.HasSuffix(line, "[cut]\n") {
			t.Errorf("%d bytes, …%q", len(line), line[len(line)-20:])
		}
	}
	if strings.Contains(got, apiToken[:8]) {
		t.Error("half a token")
	}
	texts(t, got)
}

func TestSlog(t *testing.T) {
	l := open(t, settings.LevelInfo)
	s := l.Slog()
	s.Debug("not")
	s.Info("yes", "a", 1)
	s.WithGroup("g").With("b", 2).WithGroup("h").Warn("deep", "c", 3, slog.Group("i", "d", 4))
	s.Log(t.Context(), 12, "worst")
	got := content(t, l)
	want := []string{"yes a=1", "deep g.b=2 g.h.c=3 g.h.i.d=4", "worst"}
	for i, text := range texts(t, got) {
		if text != want[i] {
			t.Errorf("%q, want %q", text, want[i])
		}
	}
	for _, part := range []string{"INFO [", "WARNING [", "FATAL [", "[TestSlog@"} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in %s", part, got)
		}
	}
}

func TestShortNames(t *testing.T) {
	for full, want := range map[string]string{
		"signpath/internal/provider/keyring.(*Key).Sign":             "Sign",
		"signpath/internal/provider/keyring.(*Key).Sign.func1":       "Sign",
		"signpath/internal/provider/keyring.Open.func2.1":            "Open",
		"signpath/internal/provider/keyring.Open.Token.func3":        "Token",
		"signpath/internal/x.Map[...]":                               "Map",
		"signpath/internal/x.(*List[...]).Push":                      "?",
		"main.main":                                                  "main",
		"signpath/internal/x.Key.Sign":                               "Sign",
		"":                                                           "?",
		"signpath/internal/x.(*Module).C_GetAttributeValue.gowrap1":  "C_GetAttributeValue",
		"github.com/some.one/x.y/z.Do":                               "Do",
		"signpath/internal/x.(*Module).C_Initialize.deferwrap1.1.12": "C_Initialize",
	} {
		if got := shortName(full); got != want && want != "?" {
			t.Errorf("%s: %q, want %q", full, got, want)
		}
	}
}

// Interfaces wrap a Logger; the caller shown is still who logs.
func TestWrapped(t *testing.T) {
	l := open(t, settings.LevelInfo)
	var wrapped interface{ Info(string, ...any) } = struct{ *Logger }{l}
	wrapped.Info("x")
	if got := content(t, l); !strings.Contains(got, "[TestWrapped@") {
		t.Error(got)
	}
}

func TestConcurrency(t *testing.T) {
	l := open(t, settings.LevelInfo)
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 50 {
				l.With("g", g).Info("line", "i", i)
			}
		})
	}
	wg.Wait()
	if n := len(texts(t, content(t, l))); n != 800 {
		t.Errorf("%d lines", n)
	}
}

func TestClosed(t *testing.T) {
	l := open(t, settings.LevelInfo)
	l.Info("one")
	if l.Path() == "" {
		t.Error("no path")
	}
	l.Close()
	l.Info("two")
	l.Close()
	if got := texts(t, content(t, l)); len(got) != 1 || l.Path() != "" {
		t.Errorf("%q", got)
	}
}

// One line, whatever the text; a known secret never survives.
func FuzzLine(f *testing.F) {
	f.Add("message", "key", "value")
	f.Add("a\nb", "k=", apiToken)
	f.Add(url.QueryEscape(apiToken), "", "\xff\x00")
	l := Open(Options{Interface: "Cryptoki", Secrets: []secret.Secret{secret.New(apiToken)}})
	f.Fuzz(func(t *testing.T, msg, key, value string) {
		for _, m := range []string{msg, msg + apiToken + value, msg + url.QueryEscape(apiToken)} {
			line := string(l.With(key, value).line(settings.LevelInfo, time.Now(), callerPC(0), m, l.render([]any{key + apiToken, value, value, key})))
			if strings.Count(line, "\n") != 1 || !lineForm.MatchString(strings.TrimSuffix(line, "\n")) {
				t.Fatalf("%q", line)
			}
			if strings.Contains(line, apiToken) || strings.Contains(line, url.QueryEscape(apiToken)) {
				t.Fatalf("the token is in %q", line)
			}
		}
	})
}

func BenchmarkDisabled(b *testing.B) {
	l := Open(Options{Interface: "Cryptoki"})
	for b.Loop() {
		l.Debug("text", "key", 5)
	}
}

func BenchmarkLine(b *testing.B) {
	l := Open(Options{Interface: "Cryptoki", Log: settings.Log{FileLevel: settings.LevelDebug, FileDirectory: b.TempDir()}, Secrets: []secret.Secret{secret.New(apiToken)}})
	defer l.Close()
	for b.Loop() {
		l.Debug("C_GetAttributeValue returns", "session", 5, "object", 17, "result", "CKR_OK")
	}
}
